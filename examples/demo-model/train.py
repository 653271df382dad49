#!/usr/bin/env python3
"""Makes the demo model: a byte-level BPE vocabulary and a small Llama-architecture model, trained
on the text files given as arguments, written as an F32 GGUF.

    train.py --out demo-f32.gguf war-and-peace.txt botchan.txt tinyshakespeare.txt

Needs torch, numpy, tokenizers and gguf. Beside the GGUF it leaves `heldout.txt` (the text kept out
of training, for measuring bits per byte), `training.txt` (for counting known words), a checkpoint
and a log. Weights, gradients and the optimiser's state are F32; matrix products run in
bfloat16 unless --exact is given."""

import argparse
import json
import math
import re
import time
from pathlib import Path

import gguf
import numpy as np
import tokenizers
import torch
import torch.nn.functional as F
from torch import nn

from words import known_share

END = "<|endoftext|>"
SHAPE = dict(vocab=3072, width=256, layers=6, heads=4, kv_heads=2, head_dim=64, ffn=512,
             context=512, rope_base=10000.0, eps=1e-5)


# --- text ---------------------------------------------------------------------------------------

def clean(raw):
    """Plain paragraphs: no transcriber's front and back matter, no hard wrapping of prose."""
    text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    begin = re.search(r"\*\*\* ?START OF .*\n", text)
    end = re.search(r"\*\*\* ?END OF ", text)
    text = text[begin.end() if begin else 0:end.start() if end else len(text)]
    lines = [line.rstrip() for line in text.split("\n")]
    full = 55  # a wrapped line of prose is longer than this, a line of verse is not
    if np.median([len(line) for line in lines if line]) > full:
        lines = unwrap(lines, full)
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"
    return re.sub(r"\n+(CHAPTER [IVXL]+\.?)\n", "\n\n" + END + r"\1\n", text)


def unwrap(lines, full):
    out, paragraph = [], ""
    for line in lines:
        paragraph += (" " if paragraph and line else "") + line
        if len(line) < full:
            out += [paragraph, ""]
            paragraph = ""
    return out + [paragraph]


def split_held_out(text, share):
    """The last part of a text, cut at a paragraph."""
    cut = text.index("\n\n", int(len(text) * (1 - share))) + 2
    return text[:cut], text[cut:]


def train_vocabulary(texts, size):
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, special_tokens=[END], show_progress=False,
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    bpe.train_from_iterator(texts, trainer)
    assert bpe.get_vocab_size() == size
    return bpe


# --- model --------------------------------------------------------------------------------------

class Block(nn.Module):
    def __init__(self, s, dropout):
        super().__init__()
        kv = s["kv_heads"] * s["head_dim"]
        self.s = s
        self.attn_norm = nn.Parameter(torch.ones(s["width"]))
        self.attn_q = nn.Linear(s["width"], s["heads"] * s["head_dim"], bias=False)
        self.attn_k = nn.Linear(s["width"], kv, bias=False)
        self.attn_v = nn.Linear(s["width"], kv, bias=False)
        self.attn_output = nn.Linear(s["heads"] * s["head_dim"], s["width"], bias=False)
        self.ffn_norm = nn.Parameter(torch.ones(s["width"]))
        self.ffn_gate = nn.Linear(s["width"], s["ffn"], bias=False)
        self.ffn_up = nn.Linear(s["width"], s["ffn"], bias=False)
        self.ffn_down = nn.Linear(s["ffn"], s["width"], bias=False)
        self.drop = nn.Dropout(dropout)

    def attention(self, x, cos, sin):
        b, t, _ = x.shape
        split = lambda y: y.view(b, t, -1, self.s["head_dim"]).transpose(1, 2)
        q = rotate(split(self.attn_q(x)), cos, sin)
        k = rotate(split(self.attn_k(x)), cos, sin)
        v = split(self.attn_v(x))
        groups = self.s["heads"] // self.s["kv_heads"]
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        y = F.scaled_dot_product_attention(q, k, v.to(q.dtype), is_causal=True)
        return self.attn_output(y.transpose(1, 2).reshape(b, t, -1))

    def forward(self, x, cos, sin):
        norm = lambda y, w: F.rms_norm(y, (self.s["width"],), w, self.s["eps"])
        x = x + self.drop(self.attention(norm(x, self.attn_norm), cos, sin))
        y = norm(x, self.ffn_norm)
        return x + self.drop(self.ffn_down(F.silu(self.ffn_gate(y)) * self.ffn_up(y)))


def rotate(x, cos, sin):
    """RoPE over neighbouring pairs, the order that Llama GGUF files store q and k in."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)


class Model(nn.Module):
    def __init__(self, s, dropout=0.0):
        super().__init__()
        self.token_embd = nn.Embedding(s["vocab"], s["width"])
        self.blk = nn.ModuleList(Block(s, dropout) for _ in range(s["layers"]))
        self.output_norm = nn.Parameter(torch.ones(s["width"]))
        self.drop = nn.Dropout(dropout)
        self.s = s
        angle = torch.outer(torch.arange(s["context"]).float(), s["rope_base"] ** (
            -torch.arange(0, s["head_dim"], 2).float() / s["head_dim"]))
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                into_residual = "attn_output" in name or "ffn_down" in name
                nn.init.normal_(p, std=0.02 / (math.sqrt(2 * s["layers"]) if into_residual else 1))

    def forward(self, ids):
        t = ids.shape[1]
        x = self.drop(self.token_embd(ids))
        for block in self.blk:
            x = block(x, self.cos[:t], self.sin[:t])
        x = F.rms_norm(x, (self.s["width"],), self.output_norm, self.s["eps"])
        return F.linear(x, self.token_embd.weight)


# --- training -----------------------------------------------------------------------------------

def optimiser(model, args):
    decay = [p for p in model.parameters() if p.dim() == 2]
    rest = [p for p in model.parameters() if p.dim() < 2]
    return torch.optim.AdamW([{"params": decay, "weight_decay": args.decay},
                              {"params": rest, "weight_decay": 0.0}],
                             lr=args.rate, betas=(0.9, 0.95))


def rate_at(step, args):
    if step < args.warmup:
        return args.rate * (step + 1) / args.warmup
    at = (step - args.warmup) / max(1, args.steps - args.warmup)
    return args.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * at)))


def windows(ids, context):
    """Consecutive windows; the first token of each is only read, never predicted."""
    for at in range(0, len(ids) - 1, context):
        yield torch.tensor(ids[at:at + context + 1])[None]


@torch.no_grad()
def bits_per_byte(model, ids, n_bytes, context):
    model.eval()
    nats = 0.0
    for w in windows(ids, context):
        nats += F.cross_entropy(model(w[:, :-1]).float()[0], w[0, 1:], reduction="sum").item()
    model.train()
    return nats / math.log(2) / n_bytes


def batch(data, context, step, args, draw):
    """Windows at random places: short ones at first, which is cheaper, then whole contexts."""
    n, t = args.batch, context
    if step < args.short * args.steps:
        n, t = n * 2, t // 2
    at = torch.randint(len(data) - t - 1, (n,), generator=draw)
    return torch.stack([data[i:i + t + 1] for i in at])


def train(model, ids, held, held_bytes, args, folder):
    context = model.s["context"]
    data = torch.tensor(ids)
    draw = torch.Generator().manual_seed(args.seed)
    opt = optimiser(model, args)
    step_model = torch.compile(model, dynamic=False) if args.compile else model
    best, log, begin = math.inf, open(folder / "log.jsonl", "w"), time.time()
    half = torch.autocast("cpu", torch.bfloat16, enabled=not args.exact)
    for step in range(args.steps + 1):
        if step % args.every == 0 or step == args.steps:
            with half:
                bpb = bits_per_byte(model, held, held_bytes, context)
            line = dict(step=step, minutes=round((time.time() - begin) / 60, 2),
                        held_out_bits_per_byte=round(bpb, 4),
                        training_loss=round(loss.item(), 4) if step else None)
            print(json.dumps(line), file=log, flush=True)
            print(json.dumps(line), flush=True)
            if bpb < best:
                best = bpb
                torch.save({"shape": model.s, "weights": model.state_dict()}, folder / "best.pt")
        if step == args.steps:
            break
        rows = batch(data, context, step, args, draw)
        for group in opt.param_groups:
            group["lr"] = rate_at(step, args)
        with half:
            logits = step_model(rows[:, :-1])
        loss = F.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())
        opt.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
    model.load_state_dict(torch.load(folder / "best.pt")["weights"])


# --- what it writes -----------------------------------------------------------------------------

@torch.no_grad()
def sample(model, first, n, temperature, rows, seed):
    """[rows, n] ids drawn from the plain softmax, n below the context."""
    model.eval()
    draw = torch.Generator().manual_seed(seed)
    ids = torch.full((rows, 1), first)
    for _ in range(n):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(ids)[:, -1].float() / temperature
        ids = torch.cat((ids, torch.multinomial(logits.softmax(-1), 1, generator=draw)), 1)
    return ids[:, 1:]


# --- GGUF ---------------------------------------------------------------------------------------

def write_gguf(path, model, bpe, description):
    s = model.s
    w = gguf.GGUFWriter(str(path), "llama")
    w.add_name("libllm demo")
    w.add_description(description)
    w.add_license("MIT")
    w.add_file_type(gguf.LlamaFileType.ALL_F32)
    w.add_context_length(s["context"])
    w.add_embedding_length(s["width"])
    w.add_block_count(s["layers"])
    w.add_feed_forward_length(s["ffn"])
    w.add_head_count(s["heads"])
    w.add_head_count_kv(s["kv_heads"])
    w.add_layer_norm_rms_eps(s["eps"])
    w.add_rope_dimension_count(s["head_dim"])
    w.add_rope_freq_base(s["rope_base"])
    w.add_vocab_size(s["vocab"])
    end = bpe.token_to_id(END)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list([bpe.id_to_token(i) for i in range(s["vocab"])])
    w.add_token_types([control if i == end else normal for i in range(s["vocab"])])
    w.add_token_merges([" ".join(m) for m in json.loads(bpe.to_str())["model"]["merges"]])
    w.add_bos_token_id(end)
    w.add_eos_token_id(end)
    w.add_add_bos_token(False)
    for name, value in model.state_dict().items():
        name = name if name.endswith(".weight") else name + ".weight"
        w.add_tensor(name, value.float().numpy())
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def arguments():
    p = argparse.ArgumentParser(description="Trains the demo model and writes it as an F32 GGUF.")
    p.add_argument("texts", nargs="+", type=Path)
    p.add_argument("--out", type=Path, required=True, help="the GGUF to write")
    p.add_argument("--steps", type=int, default=3000)
    p.add_argument("--batch", type=int, default=8, help="windows of 512 tokens per step")
    p.add_argument("--short", type=float, default=0.7, help="share of steps on half windows")
    p.add_argument("--rate", type=float, default=2e-3)
    p.add_argument("--warmup", type=int, default=200)
    p.add_argument("--decay", type=float, default=0.1)
    p.add_argument("--dropout", type=float, default=0.1)
    p.add_argument("--held-out", type=float, default=0.02, help="share of each text's end")
    p.add_argument("--every", type=int, default=250, help="steps between two measurements")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--exact", action="store_true", help="matrix products in F32 as well")
    p.add_argument("--compile", action="store_true", help="use torch.compile for the steps")
    return p.parse_args()


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    folder = args.out.parent
    folder.mkdir(parents=True, exist_ok=True)
    parts = [split_held_out(clean(path.read_bytes()), args.held_out) for path in args.texts]
    known, held = (END.join(part) for part in zip(*parts))
    plain = lambda text: text.replace(END, "")
    (folder / "training.txt").write_text(plain(known), encoding="utf-8")
    (folder / "heldout.txt").write_text(plain(held), encoding="utf-8")

    bpe = train_vocabulary([known], SHAPE["vocab"])
    bpe.save(str(folder / "tokenizer.json"))
    ids, held_ids = bpe.encode(known).ids, bpe.encode(plain(held)).ids
    held_bytes = len(plain(held).encode())
    model = Model(SHAPE, args.dropout)
    count = sum(p.numel() for p in model.parameters())
    print(f"{count} parameters, {len(ids)} training tokens, {held_bytes} bytes held out",
          flush=True)
    train(model, ids, held_ids, held_bytes, args, folder)

    bpb = bits_per_byte(model, held_ids, held_bytes, SHAPE["context"])
    written = [bpe.decode(row.tolist()) for row in
               sample(model, bpe.token_to_id(END), 500, 0.8, 16, args.seed)]
    share, _ = known_share("\n".join(written), known)
    (folder / "sample.txt").write_text("\n\n".join(written), encoding="utf-8")
    print(f"held out: {bpb:.4f} bits per byte; words known: {100 * share:.2f} %")
    write_gguf(args.out, model, bpe,
               "A small model for trying things out, trained on public-domain English prose and "
               "verse; it writes text in that manner and knows nothing.")


if __name__ == "__main__":
    main()
