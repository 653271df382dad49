#!/usr/bin/env python3
"""A second opinion on tests/model/data: runs its models with llama.cpp and prints how far its
logits are from the stored ones, relative to the largest. Needs the llama_cpp module
(llama-cpp-python).

    compare_llama_cpp.py [--data DIR] [CASE...]"""

import argparse
from ctypes import POINTER, c_float, cast
from pathlib import Path

import llama_cpp as lc
import numpy as np


def read_reference(path):
    lines = dict(line.split(" ", 1) for line in path.read_text().splitlines() if " " in line)
    numbers = lambda key: [int(x) for x in lines.get(key, "").split()]
    shape = int(lines["rows"]), int(lines["columns"])
    values = np.fromfile(path.with_suffix(".f32"), "<f4").reshape(shape)
    return lines, numbers("tokens") + numbers("greedy"), values


def run(model, ids, context, embeddings):
    params = lc.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch = context, 512, 512
    params.n_threads = params.n_threads_batch = 1
    params.type_k = params.type_v = 0  # F32
    params.embeddings = embeddings
    params.flash_attn_type = 0
    if embeddings:
        params.pooling_type = lc.LLAMA_POOLING_TYPE_NONE
    ctx = lc.llama_init_from_model(model, params)
    batch = lc.llama_batch_init(len(ids), 0, 1)
    for i, token in enumerate(ids):
        batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, i, 1
        batch.seq_id[i][0], batch.logits[i] = 0, 1
    batch.n_tokens = len(ids)
    assert (lc.llama_encode if embeddings else lc.llama_decode)(ctx, batch) == 0
    if embeddings:
        columns, first = lc.llama_model_n_embd(model), lc.llama_get_embeddings(ctx)
    else:
        columns, first = lc.llama_vocab_n_tokens(lc.llama_model_get_vocab(model)), \
            lc.llama_get_logits(ctx)
    found = np.ctypeslib.as_array(cast(first, POINTER(c_float)), (len(ids), columns)).copy()
    lc.llama_free(ctx)
    return found


def main():
    p = argparse.ArgumentParser(description="Compares the references with llama.cpp.")
    p.add_argument("--data", type=Path, default=Path(__file__).parent / "data")
    p.add_argument("cases", nargs="*")
    args = p.parse_args()
    quiet = lc.llama_log_callback(lambda level, text, data: None)
    lc.llama_log_set(quiet, None)
    lc.llama_backend_init()
    for path in sorted(args.data.glob("*.ref")):
        if args.cases and path.stem not in args.cases:
            continue
        lines, ids, right = read_reference(path)
        params = lc.llama_model_default_params()
        params.use_mmap = False
        model = lc.llama_model_load_from_file(str(path.parent / lines["model"]).encode(), params)
        if not model:
            print(f"{path.stem}: not read")
            continue
        found = run(model, ids, int(lines["context"]), "pooling" in lines)
        far = np.abs(found - right).max() / np.abs(right).max()
        print(f"{path.stem}: {far:.1e}", flush=True)
        lc.llama_model_free(model)


if __name__ == "__main__":
    main()
