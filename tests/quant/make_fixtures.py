#!/usr/bin/env python3
"""Writes decode.bin and encode.bin: what the `gguf` package decodes and encodes, bit for bit.

Both are sequences of records of little-endian words:
  decode.bin   format id, blocks, the blocks, their values as float32
  encode.bin   values, the values as float32 (once); then format id, bytes, the encoded bytes

usage: make_fixtures.py [FOLDER]     (needs the packages gguf and numpy; made with gguf 0.19.0)
"""
import struct
import sys
import warnings

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants

# Where each block keeps its half-precision numbers, which are made finite.
HALVES = {
    "F16": [0], "BF16": [], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_NL": [0], "IQ4_XS": [0], "TQ1_0": [52], "TQ2_0": [64], "MXFP4": [], "NVFP4": [],
}
ENCODED = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4"]
EDGE_HALVES = [0x0000, 0x8000, 0x0001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF, 0x3C00]
EDGE_BYTES = [0x00, 0xFF, 0x55, 0xAA, 0x80, 0x7F, 0x0F, 0xF0]


def random_blocks(name, rng):
    size = GGML_QUANT_SIZES[GGMLQuantizationType[name]][1]
    count = {2: 256}.get(size, 40 if size < 40 else 16)
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for i, byte in enumerate(EDGE_BYTES):
        blocks[i] = byte
    for at in HALVES[name]:
        halves = blocks[:, at:at + 2].copy().view("<u2")
        halves[: len(EDGE_HALVES), 0] = EDGE_HALVES
        halves[(halves & 0x7C00) == 0x7C00] ^= 0x4000
        blocks[:, at:at + 2] = halves.view(np.uint8)
    if name == "BF16":
        halves = blocks.view("<u2")
        halves[(halves & 0x7F80) == 0x7F80] ^= 0x4000
    if name == "MXFP4":
        blocks[:16, 0] = [0, 1, 2, 3, 126, 127, 128, 253, 254, 255, 0, 1, 2, 200, 50, 100]
    if name == "NVFP4":
        blocks[8:12, :4] = [[0, 0x7F, 0xFF, 0x80], [1, 7, 8, 0x7E], [0x81, 0x88, 0xFE, 0x38],
                            [2, 3, 9, 0x40]]
    return blocks


def inputs(rng):
    """Rows of 256 values. No row has zeros of both signs as its least or greatest values: which of
    them numpy's minimum is depends on the machine."""
    normal = lambda: rng.standard_normal(256)
    per32 = lambda low, high: 2.0 ** rng.integers(low, high, 8).repeat(32)
    spike = normal() * 0.01
    spike[rng.integers(0, 256, 12)] = 5.0
    below = 2.0 ** rng.integers(-100, 100, 8).repeat(32) * (1 - rng.integers(0, 8, 256) * 2.0**-24)
    rows = [
        np.zeros(256), np.full(256, -0.0), np.full(256, 1.5), np.full(256, -0.3),
        np.repeat([1, -1, 1e-3, -7, 65504, 1e-7, -1e30, 3e-45], 32),
        normal(), normal() * 0.02, normal() * 1e4, normal() * 1e-6, normal() * per32(-30, 30),
        np.abs(normal()), -np.abs(normal()), normal() + 4, normal() - 9,
        rng.uniform(-1, 1, 256), rng.laplace(size=256), spike,
        np.round(normal() * 2) / 2, rng.integers(-8, 9, 256), rng.integers(-16, 17, 256) * 0.5,
        rng.integers(-127, 128, 256), rng.integers(-1, 2, 256) * 0.7, rng.integers(0, 2, 256),
        np.arange(256) - 128, np.tile([1e-4, -1e-4], 128), np.where(np.arange(256) % 32 == 7, 3, 0),
        np.where(np.arange(256) % 32 == 31, -3, 1e-3),
        normal() * 1e-38, normal() * 1e-40, rng.integers(-9, 10, 256) * 2.0**-149,  # denormals
        normal() * per32(-140, -120), normal() * 1e38, np.clip(normal(), -1, 1) * 3.4e38,
        normal() * per32(110, 126), normal() * 30000, below,
    ]
    return np.stack(rows).astype(np.float32)


def words(*values):
    return struct.pack(f"<{len(values)}I", *values)


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "."
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(20)
    with open(f"{folder}/decode.bin", "wb") as out:
        for name in HALVES:
            kind = GGMLQuantizationType[name]
            blocks = random_blocks(name, rng)
            values = quants.dequantize(blocks, kind).astype("<f4")
            assert not np.isnan(values).any(), name
            out.write(words(kind, len(blocks)) + blocks.tobytes() + values.tobytes())
    values = inputs(rng)
    assert np.isfinite(values).all()
    with open(f"{folder}/encode.bin", "wb") as out:
        out.write(words(values.size) + values.astype("<f4").tobytes())
        for name in ENCODED:
            kind = GGMLQuantizationType[name]
            data = quants.quantize(values, kind).view(np.uint8).tobytes()
            out.write(words(kind, len(data)) + data)


main()
