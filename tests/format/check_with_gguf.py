#!/usr/bin/env python3
"""Reads a file of our writer with the gguf package (pip install gguf).

usage: check_with_gguf.py BUILD/tests/format/test_gguf_writer
"""
import subprocess
import sys
import tempfile

import gguf

VALUES = {
    "general.architecture": "llama", "u32": 4000000000, "f32": 1.5, "bool": True,
    "strings": ["", "one", "two words"], "i32s": [-1, 0, 2000000000], "wide": -2**63,
}
TENSORS = [("a", "Q6_K", [256, 3], 630), ("b", "F32", [5], 20), ("c", "Q8_0", [32, 2, 2], 136)]

with tempfile.TemporaryDirectory() as folder:
    path = folder + "/written.gguf"
    subprocess.run([sys.argv[1], path], check=True)
    reader = gguf.GGUFReader(path)
    for key, wanted in VALUES.items():
        assert reader.fields[key].contents() == wanted, (key, reader.fields[key].contents())
    assert [float(x) for x in reader.fields["f32s"].contents()][0] == 0.5
    at = 0
    for tensor, (name, kind, dims, size) in zip(reader.tensors, TENSORS, strict=True):
        assert (tensor.name, tensor.tensor_type.name) == (name, kind)
        assert (tensor.shape.tolist(), int(tensor.n_bytes)) == (dims, size)
        data = tensor.data.tobytes()
        assert data == bytes((at + i) * 7 & 255 for i in range(size)), name
        at += size
print("the gguf package reads what the writer wrote")
