#!/usr/bin/env python3
"""A library does not end its host's process, print, read the environment or use memory behind the
allocator's back: no such call in lib/ or backends/. Comments and strings may speak of them.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
WHY = {
    "ends the process": "abort exit _exit _Exit quick_exit at_quick_exit atexit raise assert",
    "prints": "printf fprintf vprintf vfprintf puts fputs putchar perror",
    "reads or writes the environment": "getenv secure_getenv setenv putenv unsetenv setlocale system popen",
    "installs a handler": "signal sigaction",
    "keeps hidden state": "rand srand strtok localtime gmtime strerror",
    "is unbounded": "gets sprintf vsprintf strcpy strcat alloca",
}
MEMORY = "malloc calloc realloc free aligned_alloc posix_memalign strdup strndup"
MEMORY_ALLOWED = {"lib/base/alloc.c"}
NOISE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)


def blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def calls(words):
    # not a member call: x->free(...) and x.free(...) go to the host's functions
    return re.compile(r"(?<![\w.>])(" + "|".join(words.split()) + r")\s*\(")


def check(path):
    name = path.relative_to(ROOT).as_posix()
    code = NOISE.sub(blank, path.read_text(encoding="utf-8"))
    rules = dict(WHY)
    if name not in MEMORY_ALLOWED:
        rules["goes around base/alloc"] = MEMORY
    if path.name.startswith("os_"):  # the texts of the system's own errors are asked for there
        rules["keeps hidden state"] = rules["keeps hidden state"].replace(" strerror", "")
    for number, line in enumerate(code.splitlines(), 1):
        if re.match(r"\s*#\s*include\s*<assert\.h>", line):
            yield f"{name}:{number}: <assert.h>: a check that NDEBUG removes is none"
        for why, words in rules.items():
            for call in calls(words).findall(line):
                yield f"{name}:{number}: {call}() {why}"


def main():
    found = []
    for folder in ("lib", "backends"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".c", ".h", ".in", ".cu", ".cpp"):
                found += check(path)
    print("\n".join(found) if found else "no forbidden call")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
