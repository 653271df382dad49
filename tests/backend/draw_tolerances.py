#!/usr/bin/env python3
"""Draws the figures of tolerances.c: runs the suite with one seed after the other, takes the largest difference from
ref that each kind of step ever has, and prints it times the margin beside what the table allows.

    tests/backend/draw_tolerances.py build/tests/backend/test_backend --seeds 1-20 -- --backend=cpu
    tests/backend/draw_tolerances.py build/tests/backend/test_backend --seeds 1-4 -- --backend=cuda --fast --modules=...

Everything behind -- goes to the suite. With --keep FILE differences are kept there and joined with those of earlier
draws. It ends with 1 when the table allows less than the margin anywhere."""
import argparse
import json
import math
import pathlib
import subprocess
import sys

MARGIN = 1.5
PARTS = ["matches ref", "cache types", "long context", "row counts", "long prompts"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path, help="test_backend")
    parser.add_argument("--seeds", default="1-20", help="FIRST-LAST [1-20]")
    parser.add_argument("--parts", nargs="+", default=PARTS, help=f"of the suite, by how names begin [{PARTS}]")
    parser.add_argument("--keep", type=pathlib.Path)
    own = sys.argv[1:sys.argv.index("--")] if "--" in sys.argv else sys.argv[1:]
    options = parser.parse_args(own)
    options.suite = sys.argv[len(own) + 2:]
    return options


def draw(options, seed):
    """{"STEP column": [difference, allowed, case]} of one seed."""
    found = {}
    for part in options.parts:
        command = [options.program, *options.suite, f"--seed={seed}", "--measure", f"--only={part}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in done.stdout.splitlines():
            if line.startswith("difference "):
                _, kind, column, difference, allowed, case = line.split(" ", 5)
                take(found, f"{kind} {column}", [float(difference), float(allowed), case])
    return found


def take(into, key, entry):
    if key not in into or entry[0] >= into[key][0]:
        into[key] = entry


def rounded_up(value):
    """To two digits."""
    if value == 0:
        return 0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit) * unit


def main():
    options = arguments()
    first, last = (int(word) for word in options.seeds.split("-"))
    kept = {"seeds": 0, "worst": {}}
    if options.keep and options.keep.exists():
        kept = json.loads(options.keep.read_text())
    for seed in range(first, last + 1):
        for key, entry in draw(options, seed).items():
            take(kept["worst"], key, entry)
        kept["seeds"] += 1
        if options.keep:
            options.keep.write_text(json.dumps(kept))
    low = False
    for key, (difference, allowed, case) in sorted(kept["worst"].items()):
        wanted = rounded_up(MARGIN * difference)
        low = low or wanted > allowed * 1.0001
        print(f"{key:22} worst {difference:8.2g}  times {MARGIN} {wanted:8.2g}  allowed {allowed:8.2g}  {case}")
    print(f"{kept['seeds']} seeds")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
