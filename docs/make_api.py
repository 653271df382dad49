#!/usr/bin/env python3
"""Writes docs/api/: one page per public header, made of its comments and declarations.

    docs/make_api.py            writes the pages
    docs/make_api.py --check    fails when a committed page is not what the headers say"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
HEADERS = ROOT / "include/llm"
PAGES = ROOT / "docs/api"
FIRST = "llm.h"  # the umbrella has no page: it is the index

SCAFFOLD = re.compile(r"^(#(ifndef|define) LLM_\w*H|#include .*|#endif|}|extern \"C\" \{|#ifdef __cplusplus)$")
LINKAGE = "#define LLM_API"  # how symbols are exported is nobody's concern but the build's
SECTION = re.compile(r"^/\* --- (.*?) -+ \*/$")
COMMENT = re.compile(r"/\*(.*?)\*/", re.S)


def prose(comment):
    """The text of a comment as Markdown: paragraphs, indented parts as they stand, and who may call."""
    lines = [re.sub(r"^ ?\* ?", "", line).rstrip() for line in comment.strip().split("\n")]
    text, _, threads = "\n".join(lines).partition("Thread-safety:")
    out, fixed = [], False
    for line in text.rstrip().split("\n"):
        if line.startswith("  ") and not fixed and (not out or out[-1] == ""):
            out.append("```")
            fixed = True
        elif fixed and line and not line.startswith("  "):
            while out[-1] == "":
                out.pop()
            out += ["```", ""]
            fixed = False
        out.append(line[2:] if fixed else plain(line))
    if fixed:
        out.append("```")
    if threads:
        out += ["", "*Thread-safety: " + " ".join(threads.split()) + "*"]
    return "\n".join(out).strip("\n")


def plain(line):
    """Characters that Markdown would take for its own."""
    return re.sub(r"(^| )\*(\w)", r"\1\\*\2", line.replace("<", "&lt;"))


def blocks(text):
    """(comment or None, code) of everything between blank lines."""
    for block in re.split(r"\n\s*\n", text):
        if "#else" not in block:  # a choice of two definitions stays whole
            block = "\n".join(line for line in block.split("\n") if not scaffold(line))
        block = block.strip("\n")
        if not block.strip() or LINKAGE in block:
            continue
        section = SECTION.match(block.split("\n")[0])
        if section:
            yield "section", section.group(1)
            block = "\n".join(block.split("\n")[1:])
            if not block.strip():
                continue
        comment = COMMENT.match(block)
        if comment:
            yield "item", (comment.group(1), block[comment.end():].strip("\n"))
        else:
            yield "item", (None, block)


def scaffold(line):
    return bool(SCAFFOLD.match(line.strip())) and not line.startswith((" ", "}  ", "} "))


def merge(items):
    """Structures and comments hold blank lines: puts pieces of one brace pair together again."""
    depth, held = 0, None
    for kind, value in items:
        if kind == "item":
            comment, code = value
            depth_here = code.count("{") - code.count("}")
            if held is not None:
                raw = ("/*" + comment + "*/\n" if comment else "") + code
                held = (held[0], held[1] + "\n\n" + raw)
                depth += depth_here
                if depth == 0:
                    yield "item", held
                    held = None
                continue
            if depth_here > 0:
                held, depth = value, depth_here
                continue
        yield kind, value


def names(code):
    functions = re.findall(r"LLM_API[^;(]*?\b(llm_\w+)\s*\(", code)
    types = re.findall(r"}\s*(llm_\w+);", code) + re.findall(r"\(\*(llm_\w+)\)\(", code)
    types += re.findall(r"^typedef \w+ (llm_\w+);", code, re.M)
    return functions + types


def link(text, here, where):
    """Names of functions in prose lead to their place."""
    def one(match):
        name = match.group(1)
        page = where.get(name)
        if page is None:
            return match.group(0)
        target = "" if page == here else page
        return f"[`{name}()`]({target}#{name})"

    pieces = re.split(r"(```.*?```)", text, flags=re.S)
    return "".join(p if p.startswith("```") else re.sub(r"`?\b(llm_\w+)\(\)`?", one, p) for p in pieces)


def page(path, where):
    text = path.read_text(encoding="utf-8")
    head = COMMENT.match(text)
    title, _, rest = head.group(1).strip().partition("\n")
    name, _, about = title.partition(" - ")
    first = about[:1].upper() + about[1:] + "\n" + rest
    here = page_name(path)
    out = [f"# {name}", "", link(prose(first), here, where), ""]
    for kind, value in merge(blocks(text[head.end():])):
        if kind == "section":
            out += [f"## {value[0].upper()}{value[1:]}", ""]
            continue
        comment, code = value
        if not code:
            out += [link(prose(comment), here, where), ""] if comment else []
            continue
        found = names(code)
        if found:
            out += [f'<a id="{n}"></a>' for n in found[1:]]
            out += [f"### {', '.join(found)}" if len(found) < 3 else f"### {found[0]}, ...", ""]
        if comment:
            out += [link(prose(comment), here, where), ""]
        out += ["```c", code, "```", ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).rstrip() + "\n"


def page_name(path):
    return path.stem + ".md"


def headers():
    return [path for path in sorted(HEADERS.glob("*.h")) if path.name != FIRST]


def index(all_headers):
    out = ["# The public API", "",
           "One page per header of `include/llm/`; `#include <llm/llm.h>` brings all of them. Made by",
           "`docs/make_api.py` from the headers, which are the reference: edit those.", ""]
    for path in all_headers:
        title = re.match(r"/\* \S+ - (.*?)(?:\n \*\n|\*/)", path.read_text(encoding="utf-8"), re.S)
        text = re.sub(r"\s*\n \*\s*", " ", title.group(1)).strip()
        out.append(f"- [{path.name}]({page_name(path)}): {text}")
    return "\n".join(out) + "\n"


def pages():
    where = {}
    for path in headers():
        for name in re.findall(r"LLM_API[^;(]*?\b(llm_\w+)\s*\(", path.read_text(encoding="utf-8")):
            where[name] = page_name(path)
    made = {"README.md": index(headers())}
    for path in headers():
        made[page_name(path)] = page(path, where)
    return made


def main():
    made = pages()
    if sys.argv[1:] == ["--check"]:
        there = {path.name: path.read_text(encoding="utf-8") for path in PAGES.glob("*.md")}
        stale = sorted(n for n in made.keys() | there.keys() if made.get(n) != there.get(n))
        print("\n".join(f"docs/api/{name} is not current" for name in stale) or "the API pages are current")
        if stale:
            print("docs/make_api.py writes them")
        return 1 if stale else 0
    PAGES.mkdir(exist_ok=True)
    for path in PAGES.glob("*.md"):
        path.unlink()
    for name, text in made.items():
        (PAGES / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
