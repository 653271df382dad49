#!/usr/bin/env python3
"""Makes unicode_tables.c: python3 make_unicode.py > unicode_tables.c

Categories, White_Space, Alphabetic and the Han script come from the `regex` package, whose Unicode
version is newer than the interpreter's; case mapping and decomposition from `unicodedata`.
"""
import sys
import unicodedata

import regex

LAST = 0x110000
BITS = {name: 1 << i for i, name in enumerate(
    "LU LL LT LM LO MN MC ND NL NO PC PO S Z CC CF CX SPACE HAN WORD".split())}
CATEGORIES = {
    "Lu": "LU", "Ll": "LL", "Lt": "LT", "Lm": "LM", "Lo": "LO", "Mn": "MN", "Mc": "MC", "Me": "MC",
    "Nd": "ND", "Nl": "NL", "No": "NO", "Pc": "PC", "Pd": "PO", "Ps": "PO", "Pe": "PO", "Pi": "PO",
    "Pf": "PO", "Po": "PO", "Sm": "S", "Sc": "S", "Sk": "S", "So": "S", "Zs": "Z", "Zl": "Z",
    "Zp": "Z", "Cc": "CC", "Cf": "CF", "Co": "CX", "Cs": "CX", "Cn": "CX",
}
# \w as Oniguruma has it, the engine behind the expressions: six numbers of Latin-1 are in it.
PROPERTIES = {r"\p{White_Space}": "SPACE", r"\p{Script=Han}": "HAN",
              "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\xb2\xb3\xb9\xbc-\xbe]": "WORD"}


def classes():
    masks = [BITS["CX"]] * LAST
    text = "".join(chr(c) for c in range(LAST) if not 0xD800 <= c < 0xE000)
    for category, bit in CATEGORIES.items():
        for match in regex.finditer(r"\p{%s}" % category, text):
            masks[ord(match.group())] = BITS[bit]
    for pattern, bit in PROPERTIES.items():
        for match in regex.finditer(pattern, text):
            masks[ord(match.group())] |= BITS[bit]
    return masks


def runs_of(masks, kinds):
    runs, previous = [], None
    for c, mask in enumerate(masks):
        if mask != previous:
            runs.append((c, kinds.index(mask)))
            previous = mask
    return runs


def blocks_of(runs):
    starts, blocks, at = [c for c, _ in runs], [], 0
    for block in range(257):
        while at + 1 < len(starts) and starts[at + 1] <= block * 256:
            at += 1
        blocks.append(at)
    return blocks


def case_runs(mapping):
    runs = []
    for c in range(LAST):
        if 0xD800 <= c < 0xE000:
            continue
        to = mapping(chr(c))
        if len(to) != 1 or ord(to) == c:
            continue
        delta = ord(to) - c
        if runs:
            first, count, step, last_delta = runs[-1]
            gap = c - (first + (count - 1) * step)
            if delta == last_delta and gap <= 2 and (count == 1 or gap == step):
                runs[-1] = (first, count + 1, gap if count == 1 else step, delta)
                continue
        runs.append((c, 1, 1, delta))
    return runs


def decompositions():
    found = []
    for c in range(LAST):
        if 0xD800 <= c < 0xE000 or 0xAC00 <= c <= 0xD7A3:
            continue
        to = unicodedata.normalize("NFD", chr(c))
        if to != chr(c):
            found.append((c, [ord(x) for x in to]))
    return found


def emit(declaration, values):
    print(f"const {declaration} = {{")
    line = "   "
    for value in values:
        if len(line) + len(value) + 2 > 100:
            print(line)
            line = "   "
        line += " " + value + ","
    print(line)
    print("};\n")


def main():
    masks = classes()
    kinds = sorted(set(masks))
    runs = runs_of(masks, kinds)
    print("/* unicode_tables.c - made by make_unicode.py, do not edit. */")
    print('#include "text/unicode.h"\n#include "text/unicode_tables.h"\n')
    print("/* clang-format off */")
    emit("uint32_t lm_unicode_ascii[128]", [hex(m) for m in masks[:128]])
    emit("uint32_t lm_unicode_masks[]", [hex(m) for m in kinds])
    emit("uint16_t lm_unicode_blocks[257]", [str(b) for b in blocks_of(runs)])
    emit("uint32_t lm_unicode_runs[]", [hex(c << 8 | kind) for c, kind in runs])
    print(f"const uint32_t lm_unicode_n_runs = {len(runs)};\n")
    for name, mapping in (("lower", str.lower), ("upper", str.upper)):
        found = case_runs(mapping)
        emit(f"lm_unicode_case lm_unicode_{name}_runs[]",
             ["{%#x, %d, %d, %d}" % run for run in found])
        print(f"const uint32_t lm_unicode_n_{name}_runs = {len(found)};\n")
    found = decompositions()
    pool, at = [], [0]
    for _, to in found:
        pool += to
        at.append(len(pool))
    emit("uint32_t lm_unicode_decomposed_from[]", [hex(c) for c, _ in found])
    emit("uint16_t lm_unicode_decomposed_at[]", [str(a) for a in at])
    emit("uint32_t lm_unicode_decomposed_pool[]", [hex(c) for c in pool])
    print(f"const uint32_t lm_unicode_n_decomposed = {len(found)};")
    print(f"{len(kinds)} kinds, {len(runs)} runs, {len(found)} decompositions", file=sys.stderr)


if __name__ == "__main__":
    main()
