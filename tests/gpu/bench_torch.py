#!/usr/bin/env python3
"""PyTorch on the same card, for tests/gpu/run bench: the 8B Llama shape in bf16 with random weights. Attention is
scaled_dot_product_attention; decoding is compiled and replayed as one CUDA graph. Lines of JSON; --small: on the processor."""
import json
import sys
import time

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    sys.exit("PyTorch is not installed")

SMALL = "--small" in sys.argv
WIDTH, LAYERS, HEADS, KV, DIM, FF, VOCAB = (64, 2, 4, 2, 16, 96, 300) if SMALL else (4096, 32, 32, 8, 128, 14336, 128256)
DEPTHS, PROMPTS = ([0], [16]) if SMALL else ([0, 2048, 32768], [512, 2048, 8192])
DEVICE = "cpu" if SMALL else "cuda"
REPS = 1 if SMALL else 3
STEPS = 2 if SMALL else 64


def weight(rows, cols):
    return torch.randn(rows, cols, device=DEVICE, dtype=torch.bfloat16) * cols**-0.5


def norm(x, w):
    return F.rms_norm(x, (WIDTH,), w, 1e-5)


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


def layer(x, w, keys, values, at, cos, sin, causal):
    """Rows [1, n, WIDTH] at slots `at` of keys and values [1, KV, context, DIM]."""
    n = x.shape[1]
    q, k, v = F.linear(norm(x, w["n1"]), w["qkv"]).split((HEADS * DIM, KV * DIM, KV * DIM), dim=-1)
    q, k, v = (t.view(1, n, -1, DIM).transpose(1, 2) for t in (q, k, v))
    keys.index_copy_(2, at, rotate(k, cos, sin))
    values.index_copy_(2, at, v)
    mixed = F.scaled_dot_product_attention(rotate(q, cos, sin), keys, values, is_causal=causal, enable_gqa=True)
    x = x + F.linear(mixed.transpose(1, 2).reshape(1, n, HEADS * DIM), w["o"])
    gate, up = F.linear(norm(x, w["n2"]), w["gate_up"]).chunk(2, dim=-1)
    return x + F.linear(F.silu(gate) * up, w["down"])


class Model:
    def __init__(self):
        ones = torch.ones(WIDTH, device=DEVICE, dtype=torch.bfloat16)
        self.table, self.head, self.last = weight(VOCAB, WIDTH), weight(VOCAB, WIDTH), ones
        self.layers = [{"n1": ones, "n2": ones, "qkv": weight((HEADS + 2 * KV) * DIM, WIDTH), "o": weight(WIDTH, HEADS * DIM),
                        "gate_up": weight(2 * FF, WIDTH), "down": weight(WIDTH, FF)} for _ in range(LAYERS)]
        self.bytes = 2 * (sum(t.numel() for w in self.layers for t in w.values()) + self.head.numel())

    def caches(self, context):
        shape = (1, KV, context, DIM)
        return [[torch.randn(shape, device=DEVICE, dtype=torch.bfloat16) for _ in range(2)] for _ in range(LAYERS)]

    def run(self, ids, caches, first, causal, one_layer):
        at = torch.arange(first, first + ids.shape[1], device=DEVICE)
        angles = at[:, None] * 500000.0 ** (-torch.arange(0, DIM, 2, device=DEVICE) / DIM)
        cos, sin = angles.cos().bfloat16(), angles.sin().bfloat16()
        x = self.table[ids]
        for w, (keys, values) in zip(self.layers, caches):
            x = one_layer(x, w, keys, values, at, cos, sin, causal)
        return F.linear(norm(x[:, -1:], self.last), self.head).argmax(-1)


def wait():
    if not SMALL:
        torch.cuda.synchronize()


def best_seconds(work, times):
    work()
    best = float("inf")
    for _ in range(REPS):
        wait()
        start = time.perf_counter()
        for _ in range(times):
            work()
        wait()
        best = min(best, (time.perf_counter() - start) / times)
    return best


def tell(test, at, tokens, seconds, **more):
    print(json.dumps({"test": test, "at": at, "tok_s": tokens / seconds, **more}), flush=True)


def graph_of(work):
    """The work, recorded; on the processor as it is."""
    work(), work()  # compiles
    if SMALL:
        return work
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


@torch.inference_mode()
def main():
    if not SMALL and not torch.cuda.is_available():
        sys.exit("PyTorch sees no card")
    model = Model()
    per_row = 2 * LAYERS * sum(t.numel() for t in model.layers[0].values())
    for length in PROMPTS:
        ids, caches = torch.randint(VOCAB, (1, length), device=DEVICE), model.caches(length)
        seconds = best_seconds(lambda: model.run(ids, caches, 0, True, layer), 1)
        tell("prompt", length, length, seconds, flops=per_row + 4 * LAYERS * HEADS * DIM * (length + 1) / 2)
    one_layer = layer if SMALL else torch.compile(layer, dynamic=False)
    one = torch.zeros(1, 1, dtype=torch.long, device=DEVICE)
    for depth in DEPTHS:  # the same token again and again: the cache is as long as it is
        caches = model.caches(depth + 1)
        step = graph_of(lambda: model.run(one, caches, depth, False, one_layer))
        tell("decode", depth, 1, best_seconds(step, STEPS), bytes=model.bytes + depth * LAYERS * 2 * KV * DIM * 2)


main()
