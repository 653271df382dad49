"""The version of the interface of backends, made from the headers that library and modules share: one that changes
makes another number, so that modules built from other sources are refused.

    make_version.py backend_version.h HEADER...    from the folder of the build; what they include must be named too"""
import pathlib
import re
import sys
import zlib

headers = [pathlib.Path(name) for name in sys.argv[2:]]
texts = [header.read_text(encoding="utf-8") for header in headers]
for header, text in zip(headers, texts):
    for name in re.findall(r'^#include ["<](.+/.+)[">]', text, re.MULTILINE):
        if name != "backend/backend_version.h" and not any(other.as_posix().endswith("/" + name) for other in headers):
            sys.exit(f"{header} includes {name}, which lib/backend/meson.build must name too")
number = zlib.crc32("".join(texts).encode("utf-8"))
pathlib.Path(sys.argv[1]).write_text(f"#define LM_BACKEND_VERSION 0x{number:08x}u\n", encoding="utf-8")
