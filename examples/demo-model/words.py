#!/usr/bin/env python3
"""Says which share of the words on stdin occur in the text files given: how much of what a small
model writes is language.

    llm-run demo.gguf -p "The prince" -n 400 --temp 0.8 | words.py training.txt"""

import re
import sys
from pathlib import Path


def words(text):
    return re.findall(r"[A-Za-z]+(?:'[A-Za-z]+)?", text)


def known_share(written, known):
    """Case counts: a word is known as it stands. Returns the share and the unknown words."""
    seen = set(words(known))
    found = words(written)
    unknown = [w for w in found if w not in seen]
    return 1 - len(unknown) / max(1, len(found)), unknown


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    texts = "\n".join(Path(name).read_text(encoding="utf-8-sig") for name in sys.argv[1:])
    share, unknown = known_share(sys.stdin.read(), texts)
    print(f"{100 * share:.2f} % known; not known: {' '.join(sorted(set(unknown))) or 'none'}")
