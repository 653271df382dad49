#!/usr/bin/env python3
"""Says how far the logits of a device are from those of `ref`, which decodes the same weights and computes with double
accumulation, for one synthetic model in each of several formats. The figures in docs/performance.md come from here.

With --peer, another library is measured on the same files: PROGRAM MODEL 1,2,3 OUT writes the logits behind every token
as little-endian float32, as llm-logits does."""
import argparse
import array
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile

FORMATS = "q8_0 q4_0 q5_0 q4_1 q4_k q5_k q6_k q3_k q2_k iq4_xs iq3_s mxfp4 f16 bf16"


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--shape", default="160M", help="of llm-synth [160M]")
    p.add_argument("--formats", default=FORMATS, help=f"with blanks between them [{FORMATS}]")
    p.add_argument("--device", default="cpu", help="the device to judge [cpu]")
    p.add_argument("--tokens", type=int, default=48, help="random tokens of the prompt [48]")
    p.add_argument("--peer", type=pathlib.Path, metavar="PROGRAM", help="another library's writer of logits")
    p.add_argument("--fast", action="store_true", help="judge the device with fast numerics as well")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    p.add_argument("--programs", type=pathlib.Path, default="build/examples", help=argparse.SUPPRESS)
    return p.parse_args()


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"accuracy: {command[0]} failed: {done.stderr.strip()}")


def rows(path, count):
    values = array.array("f", path.read_bytes())
    if sys.byteorder == "big":
        values.byteswap()
    width = len(values) // count
    return [values[i * width:(i + 1) * width] for i in range(count)]


def error(found, expected):
    """The length of the difference over the length of the row, the mean over the rows."""
    ratios = [math.dist(a, b) / math.hypot(*b) for a, b in zip(found, expected)]
    return sum(ratios) / len(ratios)


def measure(options, form, folder):
    ids = ",".join(str(random.Random(5 + i).randrange(3, 30000)) for i in range(options.tokens))
    model, out = folder / "model.gguf", folder / "logits"
    run(options.programs / "llm-synth", options.shape, form, model)

    def logits(*command):
        run(*command)
        return rows(out, options.tokens)

    def ours(device, *more):
        return logits(options.programs / "llm-logits", model, "--tokens", ids, "--out", out, "--device", device, *more)

    expected = ours("ref")
    result = {options.device: error(ours(options.device), expected)}
    if options.fast:
        result["fast"] = error(ours(options.device, "--fast"), expected)
    if options.peer:
        result[options.peer.name] = error(logits(options.peer, model, ids, out), expected)
    return result


def main():
    options = arguments()
    table = {}
    for form in options.formats.split():
        print(f"\r{form:8}", end="", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="llm-accuracy-") as folder:
            table[form] = measure(options, form, pathlib.Path(folder))
    print("\r", end="", file=sys.stderr)
    if options.json:
        print(json.dumps(table, indent=1))
        return
    names = list(next(iter(table.values())))
    print("| format | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for form, result in table.items():
        print(f"| {form} | " + " | ".join(f"{result[name]:.1e}" for name in names) + " |")


if __name__ == "__main__":
    main()
