#!/usr/bin/env python3
"""Measures llm-bench and the benchmark programs of other libraries in turn on the same synthetic models, and prints
one table with what each reaches of what the machine can do. `./dev bench --against PROGRAM` calls this.

PROGRAM is the llama-bench of llama.cpp or of ik_llama.cpp. The latter cannot measure at a depth; that is left to the
llama-sweep-bench beside it, where there is one."""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SHAPES = "160M 1.1B 3B moe mamba2"
FORMATS = "q4_k_m q8_0 q4_0 q6_k iq4_xs iq3_s q5_k_m q3_k_m mxfp4 bf16 f16"
TESTS = "prompt prompt@8192 decode decode@8192"


def arguments():
    p = argparse.ArgumentParser(prog="dev bench", description=__doc__.split("\n\n")[0])
    p.add_argument("--against", action="append", required=True, type=pathlib.Path, metavar="PROGRAM", help="may be given more than once")
    p.add_argument("--shapes", default=SHAPES, help=f"of llm-synth, with blanks between them [{SHAPES}]")
    p.add_argument("--formats", default=FORMATS, help=f"[{FORMATS}]")
    p.add_argument("--tests", default=TESTS, help=f"prompt or decode, with @DEPTH for tokens before it [{TESTS}]")
    p.add_argument("--prompt", type=int, default=512, help="tokens of a prompt [512]")
    p.add_argument("--tokens", type=int, default=32, help="tokens to decode [32]")
    p.add_argument("--cache", default="f16", help="cache type [f16]")
    p.add_argument("--rounds", type=int, default=2, help="times that each program is run; the best counts [2]")
    p.add_argument("-t", "--threads", type=int, default=len(os.sched_getaffinity(0)), help="[all there are]")
    p.add_argument("--keep", type=pathlib.Path, metavar="FOLDER", help="keep the models there [they are deleted]")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    p.add_argument("--programs", type=pathlib.Path, default="build/examples", help=argparse.SUPPRESS)
    options = p.parse_args()
    options.programs = options.programs.resolve()
    return options


def parse_test(text):
    kind, _, depth = text.partition("@")
    if kind not in ("prompt", "decode") or (depth and not depth.isdigit()):
        sys.exit(f"dev bench: '{text}' is no test; prompt, decode, prompt@8192 and decode@8192 are some")
    return kind, int(depth or 0)


def run(command, stderr=subprocess.PIPE):
    """What a program prints; None when it cannot do this. Some leave logs where they are run."""
    with tempfile.TemporaryDirectory(prefix="llm-bench-") as folder:
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=stderr, cwd=folder, text=True)
    if done.returncode == 0:
        return done.stdout
    last = ((done.stderr or done.stdout).strip().splitlines() or ["no message"])[-1]
    print(f"dev bench: {command[0]} failed: {last}", file=sys.stderr)
    return None


class Ours:
    name = "libllm"

    def __init__(self, options):
        self.o, self.program = options, options.programs / "llm-bench"

    def measure(self, model, kinds, depth):
        """{kind: tokens per second}, and what llm-bench says about the machine."""
        out = run([self.program, model, "--json", "-r", 1, "-t", self.o.threads, "--cache", self.o.cache, "--depth", depth,
                   "-p", self.o.prompt if "prompt" in kinds else 0, "-n", self.o.tokens if "decode" in kinds else 0])
        if out is None:
            return {}, {}
        found = json.loads(out)
        return {kind: found[kind + "_tok_s"] for kind in kinds}, found


class Peer:
    """A llama-bench; the two that are known differ in how they measure at a depth."""

    def __init__(self, options, program):
        self.o, self.program = options, program.resolve()
        done = subprocess.run([self.program, "--help"], capture_output=True, text=True)
        text = done.stdout + done.stderr
        if "--n-gen" not in text:
            sys.exit(f"dev bench: {program} is no llama-bench")
        self.has_depth = "--n-depth" in text
        self.sweep = self.program.with_name("llama-sweep-bench")
        self.name = "llama.cpp" if self.has_depth else "ik_llama.cpp"

    def measure(self, model, kinds, depth):
        if depth > 0 and not self.has_depth:
            return self.by_sweep(model, kinds, depth), {}
        out = run([self.program, "-m", model, "-o", "json", "-r", 1, "-t", self.o.threads,
                   "-ctk", self.o.cache, "-ctv", self.o.cache, *(["-d", depth] if depth > 0 else []),
                   "-p", self.o.prompt if "prompt" in kinds else 0, "-n", self.o.tokens if "decode" in kinds else 0])
        if out is None:
            return {}, {}
        rates = {"prompt" if row["n_prompt"] > 0 else "decode": row["avg_ts"] for row in json.loads(out)}
        return {kind: rates[kind] for kind in kinds if kind in rates}, {}

    def by_sweep(self, model, kinds, depth):
        """Goes up to the depth in prompts, measures the first and the last of them."""
        if not self.sweep.exists() or depth % self.o.prompt != 0:
            return {}
        out = run([self.sweep, "-m", model, "-t", self.o.threads, "-ctk", self.o.cache, "-ctv", self.o.cache,
                   "-c", depth + self.o.prompt, "-b", self.o.prompt, "-ub", self.o.prompt, "-n", self.o.tokens,
                   "--sweep-stride", depth // self.o.prompt, "--output-format", "jsonl"], stderr=subprocess.STDOUT)
        for line in (out or "").splitlines():
            row = json.loads(line) if line.startswith("{") else {}
            if row.get("n_kv") == depth:
                return {kind: row[{"prompt": "speed_pp", "decode": "speed_tg"}[kind]] for kind in kinds}
        return {}


def synthesise(options, shape, form, folder):
    path = folder.resolve() / f"{shape.replace(',', '_')}-{form}.gguf"
    if not path.exists():
        made = path.with_suffix(".part")
        if run([options.programs / "llm-synth", shape, form, made]) is None:
            sys.exit(1)
        made.rename(path)
        forget(path)
    return path


def forget(path):
    """What was just written lies in small pages of memory; read from the disk it lies in large ones, as models do."""
    if hasattr(os, "posix_fadvise"):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def fetch(path):
    """The first program to run shall not be the one that waits for the disk."""
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def measure_model(options, programs, model, tests):
    """{(kind, depth): {program: best rate, "share": what ours reaches}}: all programs, then all again."""
    cells = {}
    machine = []
    fetch(model)
    for depth in sorted({depth for _, depth in tests}):
        kinds = [kind for kind, at in tests if at == depth]
        for _ in range(options.rounds):
            for program in programs:
                rates, found = program.measure(model, kinds, depth)
                if found:
                    machine.append(found)
                for kind, rate in rates.items():
                    cell = cells.setdefault((kind, depth), {})
                    cell[program.name] = max(rate, cell.get(program.name, 0))
                    # shares are proportional to rates: of the best limits found, so that none is flattered
                    if found and rate > 0:
                        per_rate = found[kind + "_share"] / rate
                        cell["share_per_rate"] = min(per_rate, cell.get("share_per_rate", per_rate))
    return cells, machine


def table(rows):
    """Markdown that is readable as it is."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(row, widths)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def rows_of(results, names):
    ours, peers = names[0], names[1:]
    yield ["shape", "format", "test", *names, *(f"× {peer}" for peer in peers), *(f"% {name}" for name in names)]
    for r in results:
        rates, per_rate = r["rates"], r["share_per_rate"]
        mine = rates.get(ours, 0)
        yield [r["shape"], r["format"], r["test"],
               *(f"{rates[name]:.1f}" if rates.get(name) else "–" for name in names),
               *(f"{mine / rates[peer]:.2f}" if rates.get(peer) else "–" for peer in peers),
               *(f"{100 * per_rate * rates[name]:.0f}" if per_rate and rates.get(name) else "–" for name in names)]


def best(machine, key):
    return max((found[key] for found in machine), default=0)


def main():
    options = arguments()
    tests = [parse_test(text) for text in options.tests.split()]
    programs = [Ours(options), *(Peer(options, program) for program in options.against)]
    names = [program.name for program in programs]
    results, machine = [], []
    with tempfile.TemporaryDirectory(prefix="llm-bench-") as scratch:
        for shape in options.shapes.split():
            for form in options.formats.split():
                model = synthesise(options, shape, form, options.keep or pathlib.Path(scratch))
                cells, found = measure_model(options, programs, model, tests)
                machine += found
                for kind, depth in tests:
                    cell = cells.get((kind, depth), {})
                    results.append({"shape": shape, "format": form, "test": kind + (f"@{depth}" if depth else ""),
                                    "share_per_rate": cell.pop("share_per_rate", 0), "rates": cell})
                print(f"dev bench: {shape} {form} done", file=sys.stderr)
                if options.keep is None:
                    model.unlink()
    limits = {key: best(machine, key) for key in ("read_bytes_s", "int8_ops_s", "f32_ops_s", "bf16_ops_s")}
    if options.json:
        print(json.dumps({"threads": options.threads, "limits": limits, "results": results}))
        return
    print(table(list(rows_of(results, names))))
    print(f"\nTokens per second, {options.threads} threads, prompts of {options.prompt}, cache {options.cache}; ours over theirs (×); "
          "percent of the read bandwidth (decode) and\nof the arithmetic's peak (prompt). Best of the same minutes: "
          f"{limits['read_bytes_s'] / 1e9:.1f} GB/s; int8 {limits['int8_ops_s'] / 1e9:.0f}, f32 "
          f"{limits['f32_ops_s'] / 1e9:.0f}, bf16 {limits['bf16_ops_s'] / 1e9:.0f} G operations per second.")


if __name__ == "__main__":
    main()
