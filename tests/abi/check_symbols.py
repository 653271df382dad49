#!/usr/bin/env python3
"""usage: check_symbols.py LIBRARY HEADERS

The shared library exports exactly what the headers declare, needs only libc, libm and threads, has no
writable globals, no constructors of its own, and imports nothing that ends the process or prints.
"""
import pathlib
import re
import subprocess
import sys

ALLOWED_NEEDED = re.compile(r"^(libc|libm|libpthread|libdl|ld-linux[-\w]*)\.so(\.\d+)?$")
FORBIDDEN_IMPORTS = set("""abort exit _exit quick_exit atexit printf puts putchar perror fprintf fputs
    getenv secure_getenv setenv setlocale signal sigaction __assert_fail __printf_chk __fprintf_chk
    __vfprintf_chk system popen""".split())
FROM_COMPILER = {"completed.0", "__dso_handle", "__TMC_END__", "_edata", "_end", "__bss_start"}


def readelf(*args):
    return subprocess.run(["readelf", "-W", *args], check=True, capture_output=True, text=True).stdout


def declared(folder):
    names = set()
    for path in sorted(folder.glob("*.h")):
        code = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
        names |= set(re.findall(r"LLM_API[^;]*?\b(llm_\w+)\s*\(", code))
    return names


def symbols(library):
    """(name, type, section index) of the whole symbol table."""
    for line in readelf("-s", library).splitlines():
        part = line.split()
        if len(part) >= 8 and part[0].rstrip(":").isdigit():
            yield part[7].split("@")[0], part[3], part[6]


def sections(library):
    for line in readelf("-S", library).splitlines():
        match = re.match(r"\s*\[\s*(\d+)\]\s+(\S+)\s+\S+\s+\S+\s+\S+\s+(\S+)", line)
        if match:
            yield match.group(1), match.group(2), int(match.group(3), 16)


def check(library, headers):
    table = list(symbols(library))
    dynamic = readelf("--dyn-syms", library)
    exported = set(re.findall(r"(?:FUNC|OBJECT)\s+GLOBAL\s+DEFAULT\s+\d+\s+(\w+)", dynamic))
    wanted = declared(headers)
    if not wanted:
        yield f"{headers}: no declarations were found"
    for name in sorted(wanted - exported):
        yield f"{name} is declared in a header but not exported"
    for name in sorted(exported - wanted):
        yield f"{name} is exported but declared in no header"
    imports = set(re.findall(r"UND\s+(\w+)", dynamic))
    for name in sorted(imports & FORBIDDEN_IMPORTS):
        yield f"{name} is imported: a library does not do that to its host"
    for name in re.findall(r"NEEDED.*\[(.*?)\]", readelf("-d", library)):
        if not ALLOWED_NEEDED.match(name):
            yield f"{name} is needed: libc, libm and threads alone may be"
    by_index = {index: (name, size) for index, name, size in sections(library)}
    for name, kind, index in table:
        section = by_index.get(index, ("", 0))[0]
        if kind == "OBJECT" and section in (".data", ".bss") and name not in FROM_COMPILER:
            yield f"{name} lies in {section}: mutable globals are not allowed"
    for name, size in by_index.values():
        if name in (".init_array", ".fini_array") and size > 8:
            yield f"{name} holds more than the compiler's own entry: a static constructor"


def main():
    found = list(check(sys.argv[1], pathlib.Path(sys.argv[2])))
    print("\n".join(found) if found else "exports and imports are as they should be")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
