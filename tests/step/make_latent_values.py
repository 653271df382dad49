#!/usr/bin/env python3
"""Prints latent_values.h: what transformers' DeepseekV3Attention makes of the weights and inputs that
test_latent.c works out by the same rule, in float32."""
import numpy
import torch
from transformers import DeepseekV3Config
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3Attention, DeepseekV3RotaryEmbedding

WIDTH, HEADS, PLAIN, ROTATED, LATENT, VALUE, TOKENS = 32, 3, 12, 8, 24, 10, 6
U64 = numpy.uint64


def mix(x):
    x = x + U64(0x9e3779b97f4a7c15)
    x = (x ^ (x >> U64(30))) * U64(0xbf58476d1ce4e5b9)
    x = (x ^ (x >> U64(27))) * U64(0x94d049bb133111eb)
    return x ^ (x >> U64(31))


def numbers(tensor, *shape):
    """In [-1, 1)."""
    count = int(numpy.prod(shape))
    bits = mix(U64(tensor << 32) | numpy.arange(count, dtype=U64)) >> U64(11)
    return torch.tensor((bits.astype(numpy.float64) * 2.0**-53 * 2 - 1).reshape(shape).astype(numpy.float32))


def attention(low):
    config = DeepseekV3Config(hidden_size=WIDTH, num_attention_heads=HEADS, num_key_value_heads=HEADS,
                              q_lora_rank=low, kv_lora_rank=LATENT, qk_nope_head_dim=PLAIN,
                              qk_rope_head_dim=ROTATED, v_head_dim=VALUE, rope_interleave=True,
                              rms_norm_eps=1e-6, attn_implementation="eager",
                              rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    module = DeepseekV3Attention(config, 0).eval()
    weights = {"q_a_proj": 1, "q_b_proj": 2, "q_proj": 2, "kv_a_proj_with_mqa": 3, "kv_b_proj": 4, "o_proj": 5}
    norms = {"q_a_layernorm": 6, "kv_a_layernorm": 7}
    with torch.no_grad():
        for name, part in module.named_children():
            if name in weights:
                part.weight.copy_(numbers(weights[name], *part.weight.shape))
            elif name in norms:
                part.weight.copy_(1 + numbers(norms[name], *part.weight.shape) / 4)
        x = numbers(8, 1, TOKENS, WIDTH)
        angles = DeepseekV3RotaryEmbedding(config)(x, torch.arange(TOKENS)[None])
        mask = torch.full((TOKENS, TOKENS), float("-inf")).triu(1)[None, None]
        return module(x, angles, mask)[0][0]


print("/* Made by make_latent_values.py: [queries][token][column]. */")
print(f"static const float latent_values[2][{TOKENS}][{WIDTH}] = {{")
for low in (None, 20):
    print("    {")
    for row in attention(low):
        texts = [f"{v:.9g}" for v in row.tolist()]
        texts = [t + ("f" if "." in t or "e" in t else ".0f") for t in texts]
        lines = [", ".join(texts[i:i + 6]) for i in range(0, WIDTH, 6)]
        print("        {" + ",\n         ".join(lines) + "},")
    print("    },")
print("};")
