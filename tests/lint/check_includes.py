#!/usr/bin/env python3
"""Checks who includes whom against the picture in docs/architecture.md.

Folders of lib/ and backends/ may include their own files and those of the folders in ARROWS; programs,
bindings and ABI tests see the public headers alone; calls to an operating system stay in base/os_*.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

BELOW_MODEL = {"base", "format", "quant", "text", "step", "arch"}
ARROWS = {
    "base": set(),
    "quant": {"base"},
    "format": {"base", "quant"},
    "text": {"base"},
    "step": {"base", "quant"},
    "sample": {"base", "text"},
    "arch": {"base", "format", "quant", "text", "step"},
    "model": BELOW_MODEL,
    "backend": {"base", "quant", "step"},
    "plan": BELOW_MODEL | {"model", "backend"},
    "adapter": BELOW_MODEL | {"model", "backend"},
    "exec": BELOW_MODEL | {"model", "backend", "plan", "sample", "adapter"},
    "api": BELOW_MODEL | {"model", "backend", "plan", "sample", "adapter", "exec"},
}
BACKEND_SEES = {"base", "quant", "step", "backend"}
STANDARD = set("""ctype errno fenv float inttypes limits locale math setjmp signal stdalign stdarg
    stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath time wchar""".split())
SIMD = {"immintrin.h", "arm_neon.h", "arm_sve.h", "cpuid.h"}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)


def sources(folder):
    for pattern in ("*.c", "*.h", "*.cpp", "*.hpp", "*.in", "*.cu"):
        found = sorted((ROOT / folder).rglob(pattern))
        yield from (path for path in found if "build" not in path.relative_to(ROOT).parts)


def includes(path):
    return INCLUDE.findall(path.read_text(encoding="utf-8"))


def system_error(path, name, os_allowed):
    if name.startswith("llm/") or name in SIMD or name.removesuffix(".h") in STANDARD:
        return None
    return None if os_allowed else f"<{name}> belongs into lib/base/os_*"


def inner_error(path, name, own, allowed):
    """An include in quotes: a neighbour, or folder/file.h."""
    if "/" not in name:
        return None if (path.parent / name).exists() else f'"{name}" lies in no folder of its own'
    parts = name.split("/")
    if parts[0] == "backends":
        parts = parts[:2]
    folder = "/".join(parts[: 2 if parts[0] == "backends" else 1])
    if folder == own or folder in allowed:
        return None
    return f'"{name}": {own} may not see {folder}'


def check(path, own, allowed, os_allowed=False):
    for kind, name in includes(path):
        if kind == "<":
            error = system_error(path, name, os_allowed)
        else:
            error = inner_error(path, name, own, allowed)
        if error:
            yield f"{path.relative_to(ROOT)}: {error}"


def check_public(path):
    """Programs, bindings and ABI tests."""
    for kind, name in includes(path):
        if kind == '"' and not (path.parent / name).exists():
            yield f'{path.relative_to(ROOT)}: "{name}": only <llm/...> may be seen from here'


def errors():
    for folder in sorted(p.name for p in (ROOT / "lib").iterdir() if p.is_dir()):
        if folder not in ARROWS:
            yield f"lib/{folder}: no arrow says what it may see; add it to {pathlib.Path(__file__).name}"
            continue
        for path in sources(f"lib/{folder}"):
            os_file = folder == "base" and path.name.startswith("os_")
            yield from check(path, folder, ARROWS[folder], os_file)
    for folder in sorted(p.name for p in (ROOT / "backends").iterdir() if p.is_dir()):
        allowed = BACKEND_SEES | {"backends/common"}
        for path in sources(f"backends/{folder}"):
            yield from check(path, f"backends/{folder}", allowed, folder in ("cuda", "vulkan"))
    for path in sources("include"):
        yield from check(path, "include", set())
    for folder in ("examples", "bindings", "tests/abi"):
        for path in sources(folder):
            yield from check_public(path)


def main():
    found = list(errors())
    print("\n".join(found) if found else "every include follows the arrows")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
