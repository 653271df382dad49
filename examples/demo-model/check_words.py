#!/usr/bin/env python3
"""Lets a model write and counts which share of its words occur in the texts it was trained on.

    check_words.py build/examples/llm-run demo.gguf training.txt...

Each seed writes from its own opening with llm-run's default sampling. Fails below 95 %."""

import argparse
import subprocess
import sys
from pathlib import Path

from words import known_share, words

OPENINGS = ["The night was", "When the prince came into the room,", "\"My dear,\" said", "In the morning",
            "What, my lord,", "The teacher laughed and"]
LEAST = 0.95


def write(program, model, opening, seed, tokens):
    done = subprocess.run([program, model, "-p", opening, "-n", str(tokens), "--seed", str(seed)],
                          capture_output=True, check=True)
    return done.stdout.decode("utf-8")


def main():
    p = argparse.ArgumentParser(description="Counts how many of the words a model writes are words.")
    p.add_argument("program", help="llm-run")
    p.add_argument("model")
    p.add_argument("texts", nargs="+", type=Path, help="what the model was trained on")
    p.add_argument("--seeds", type=int, default=24)
    p.add_argument("--tokens", type=int, default=300)
    args = p.parse_args()
    written = "\n".join(write(args.program, args.model, OPENINGS[s % len(OPENINGS)], s, args.tokens)
                        for s in range(args.seeds))
    known = "\n".join(path.read_text(encoding="utf-8-sig") for path in args.texts)
    share, unknown = known_share(written, known)
    print(f"{100 * share:.2f} % of {len(words(written))} words are known")
    print("not known:", " ".join(sorted(set(unknown))) or "none")
    return 0 if share >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
