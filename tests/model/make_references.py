#!/usr/bin/env python3
"""Makes tests/model/data: tiny models with random weights as GGUF files, and what transformers
computes with them in float32. See README.md for the files; needs torch, transformers, gguf.

    make_references.py [--out DIR] [CASE...]"""

import argparse
import copy
import math
import re
import sys
from pathlib import Path

import numpy as np
import torch
import transformers as tf

import reference_gguf
from reference_cases import CASES

GREEDY_MARGIN = 0.02   # smallest gap of the two best logits while generating, over their spread
ROUTE_MARGIN = 0.002   # likewise between the last expert taken and the first left out
GAINS = {              # spread of a product's results, by a part of the matrix' name
    "lm_head": 3.0, "mlp.gate.weight": 4.0, "(q|k|qkv)_proj": 1.6,
    "o_proj|down_proj|c_proj|out_proj": 2.5,
}


def fill(model, seed):
    """Random weights under which every part of the model shows in the result. All are bfloat16
    values, so that the same numbers can be stored in F32, F16 and BF16."""
    draw = np.random.default_rng(seed)
    gemma = model.config.model_type.startswith("gemma")
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            x = torch.from_numpy(weights(name, tuple(p.shape), draw, gemma))
            p.copy_(x.bfloat16().to(p.dtype))


def weights(name, shape, draw, gemma):
    normal = lambda std: draw.standard_normal(shape) * std
    if name.endswith("A_log"):
        return np.log(draw.uniform(0.5, 8.0, shape))
    if name.endswith("dt_bias"):
        return np.log(np.expm1(np.exp(draw.uniform(math.log(0.02), math.log(0.8), shape))))
    if name.endswith(".D"):
        return normal(1.0)
    if name.endswith("bias"):
        return normal(0.3)
    if len(shape) == 1:
        after = gemma and re.search("post_(attention|feedforward)", name)
        return normal(0.3) + (2.0 if after else 0.0 if gemma else 1.0)
    if "conv1d" in name:
        return normal(0.5)
    if "embed" in name or "wte" in name or "wpe" in name:
        return normal(0.5 if not gemma else 1.0 / math.sqrt(shape[-1]))
    gain = next((g for part, g in GAINS.items() if re.search(part, name)), 1.3)
    return normal(gain / math.sqrt(shape[0] if ".c_" in name else shape[-1]))


def build(config):
    config = copy.deepcopy(config)
    config._attn_implementation = "eager"
    kind = tf.AutoModel if config.model_type == "bert" else tf.AutoModelForCausalLM
    model = kind.from_config(config).eval()
    if config.model_type == "mamba2":
        for layer in model.backbone.layers:
            group_norm(layer.mixer.norm, config.n_groups)
    return model


def group_norm(norm, groups):
    """transformers norms all groups of a Mamba-2 together; the models are trained with, and other
    programs compute, one norm per group. The same with one group."""
    def forward(x, gate=None):
        x = x * torch.nn.functional.silu(gate)
        parts = x.view(*x.shape[:-1], groups, -1)
        parts = parts * torch.rsqrt(parts.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon)
        return norm.weight * parts.view(x.shape)
    norm.forward = forward


@torch.no_grad()
def logits_of(model, ids):
    return model(torch.tensor([ids]), use_cache=False).logits[0].float()


class RouteMargin:
    """Watches the routers for choices so close that rounding could turn them."""

    def __init__(self, model):
        self.smallest = math.inf
        top = getattr(model.config, "num_experts_per_tok", None)
        for name, module in model.named_modules() if top else []:
            if name.endswith("mlp.gate"):
                module.register_forward_hook(lambda m, args, out: self.look(m, args[0], top))

    def look(self, module, x, top):
        logits = (x.reshape(-1, x.shape[-1]) @ module.weight.T).sort(-1, descending=True).values
        gap = logits[:, top - 1] - logits[:, top]
        self.smallest = min(self.smallest, (gap.min() / logits.std()).item())


def continue_greedily(model, prompt, n):
    ids, margin = list(prompt), math.inf
    for _ in range(n):
        last = logits_of(model, ids)[-1]
        best = last.topk(2).values
        margin = min(margin, ((best[0] - best[1]) / last.std()).item())
        ids.append(int(last.argmax()))
    return ids[len(prompt):], margin


def random_prompt(case, seed):
    return np.random.default_rng(seed).integers(0, case.config.vocab_size, case.prompt).tolist()


def clear_prompt(case, model):
    """For a model that another case chose: the first prompt that suits it."""
    for seed in range(20_000, 20_400):
        prompt = random_prompt(case, seed)
        greedy, margin = continue_greedily(model, prompt, case.greedy)
        if margin > GREEDY_MARGIN and len(set(greedy)) >= case.greedy // 5:
            return prompt, greedy, margin
    sys.exit(f"{case.name}: no prompt gives a clear continuation")


def decoder_case(case):
    """The first seed whose result rounding cannot turn and which does not repeat itself."""
    for seed in range(1, 400):
        prompt = random_prompt(case, 10_000)
        model = build(case.config)
        fill(model, seed)
        routes = RouteMargin(model)
        greedy, margin = continue_greedily(model, prompt, case.greedy)
        if margin > GREEDY_MARGIN and routes.smallest > ROUTE_MARGIN and \
                len(set(greedy)) >= case.greedy // 5:
            return seed, model, prompt, greedy, margin
    sys.exit(f"{case.name}: no seed gives a clear continuation")


def check_discriminates(case, model, ids, right):
    for change in case.must_matter:
        config = copy.deepcopy(case.config)
        for key, value in change.items():
            setattr(config, key, value)
        wrong_model = build(type(config)(**config.to_dict()))
        wrong_model.load_state_dict(model.state_dict())
        wrong = logits_of(wrong_model, ids) if case.greedy else hidden_of(wrong_model, ids)
        size = ((wrong - right).abs().max() / right.abs().max()).item()
        if size < case.noticeable:
            sys.exit(f"{case.name}: {change} changes the result by {size:.1e} only")


@torch.no_grad()
def hidden_of(model, ids):
    return model(torch.tensor([ids])).last_hidden_state[0].float()


def numbers(values):
    return " ".join(str(v) for v in values)


def write_reference(folder, case, lines, values):
    values.numpy().astype("<f4").tofile(folder / f"{case.name}.f32")
    lines = [("model", f"{case.model or case.name}.gguf"), ("context", case.context),
             ("rows", values.shape[0]), ("columns", values.shape[1])] + lines
    text = "".join(f"{key} {value}\n" for key, value in lines)
    (folder / f"{case.name}.ref").write_text(text)


def make_decoder(case, folder, shared):
    if case.model in shared:
        seed, model = shared[case.model]
        prompt, greedy, margin = clear_prompt(case, model)
    else:
        seed, model, prompt, greedy, margin = decoder_case(case)
        shared[case.model or case.name] = seed, model
        reference_gguf.write(folder / f"{case.model or case.name}.gguf", case.name, model)
    right = logits_of(model, prompt + greedy)
    check_discriminates(case, model, prompt + greedy, right)
    write_reference(folder, case, [("tokens", numbers(prompt)), ("greedy", numbers(greedy)),
                                   ("margin", f"{margin:.4f}")], right)
    return f"seed {seed}, margin {margin:.3f}, logits' spread {right.std():.2f}"


def make_encoder(case, folder):
    ids = random_prompt(case, 30_000)
    model = build(case.config)
    fill(model, 1)
    reference_gguf.write(folder / f"{case.name}.gguf", case.name, model, case.pooling)
    hidden = hidden_of(model, ids)
    pooled = hidden[0] if case.pooling == "cls" else hidden.mean(0)
    check_discriminates(case, model, ids, hidden)
    write_reference(folder, case, [
        ("pooling", case.pooling), ("tokens", numbers(ids)),
        ("pooled", numbers(f"{x:.9g}" for x in pooled.tolist()))], hidden)
    return f"hidden spread {hidden.std():.2f}"


def main():
    p = argparse.ArgumentParser(description="Makes the reference models and results.")
    p.add_argument("--out", type=Path, default=Path(__file__).parent / "data")
    p.add_argument("cases", nargs="*")
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    tf.logging.set_verbosity_error()
    shared = {}
    for case in CASES:
        if args.cases and case.name not in args.cases:
            continue
        if case.pooling:
            done = make_encoder(case, args.out)
        else:
            done = make_decoder(case, args.out, shared)
        size = (args.out / f"{case.model or case.name}.gguf").stat().st_size
        print(f"{case.name}: {done}, {size // 1024} KiB", flush=True)


if __name__ == "__main__":
    main()
