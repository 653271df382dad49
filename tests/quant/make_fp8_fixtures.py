#!/usr/bin/env python3
"""Writes fp8.bin: what torch makes of E4M3 bytes and of floats that become them.

Records of little-endian words as in decode.bin and encode.bin (see make_fixtures.py):
  format id, blocks, the blocks, their values as float32     for F8_E4M3 and E4M3, no NaN among them
  values, the values as float32; format id, bytes, the encoded bytes     for E4M3

usage: make_fp8_fixtures.py [FOLDER]     (needs the packages torch and numpy; made with torch 2.15)
"""
import struct
import sys

import numpy as np
import torch

F8_E4M3, E4M3, BLOCK = 1000, 1001, 128


def decoded(codes):
    return torch.from_numpy(codes).view(torch.float8_e4m3fn).to(torch.float32).numpy()


def words(*values):
    return struct.pack(f"<{len(values)}I", *values)


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "."
    rng = np.random.default_rng(21)
    numbers = np.array([c for c in range(256) if c & 0x7F != 0x7F], dtype=np.uint8)
    scales = np.concatenate([
        [0, 1, -1, 2.0**-149, 2.0**-126, 3e-39, 7e35, -0.3], rng.standard_normal(16) * 0.02]).astype("<f4")
    codes = numbers[rng.integers(0, len(numbers), (len(scales), BLOCK))]
    codes[8, :] = numbers[:BLOCK]
    codes[9, :] = numbers[-BLOCK:]
    values = (scales[:, None] * decoded(codes)).astype("<f4")
    assert np.isfinite(values).all()
    blocks = np.concatenate([scales.view(np.uint8).reshape(-1, 4), codes], axis=1)

    # All numbers, what lies in the middle of two and beside it, and whatever else floats may be.
    ascending = decoded(numbers[:127])
    middles = (ascending[1:] + ascending[:-1]) / 2
    floats = np.concatenate([
        ascending, middles, np.nextafter(middles, np.float32(0)), np.nextafter(middles, np.float32(1e9)),
        [448.1, 463.9, 464, 464.1, 480, 1e9, 3.4e38, 1e-45, 1e-30], 2.0 ** rng.uniform(-14, 10, 500)])
    floats = np.concatenate([floats, -floats]).astype("<f4")
    stored = torch.from_numpy(floats).clamp(-448, 448).to(torch.float8_e4m3fn).view(torch.uint8).numpy()

    with open(f"{folder}/fp8.bin", "wb") as out:
        out.write(words(F8_E4M3, len(blocks)) + blocks.tobytes() + values.tobytes())
        out.write(words(E4M3, len(numbers)) + numbers.tobytes() + decoded(numbers).astype("<f4").tobytes())
        out.write(words(floats.size) + floats.tobytes() + words(E4M3, stored.size) + stored.tobytes())


main()
