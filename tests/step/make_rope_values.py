#!/usr/bin/env python3
"""Prints the rotation speeds that test_rope.c expects of YaRN, as transformers computes them."""
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

for dims, base, factor, original in ((64, 10000.0, 4.0, 2048), (32, 1e6, 16.0, 4096)):
    config = LlamaConfig(hidden_size=dims, num_attention_heads=1, head_dim=dims,
                         max_position_embeddings=int(original * factor), rope_parameters={
                             "rope_type": "yarn", "rope_theta": base, "factor": factor,
                             "original_max_position_embeddings": original})
    speeds, magnitude = ROPE_INIT_FUNCTIONS["yarn"](config, torch.device("cpu"))
    print(f"dims {dims} base {base} factor {factor} original {original} magnitude {magnitude}")
    print(", ".join(f"{x:.9g}" for x in speeds.tolist()))
