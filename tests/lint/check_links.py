#!/usr/bin/env python3
"""Every relative link in the Markdown files leads to a file of the repository."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def main():
    found = []
    for path in sorted(ROOT.rglob("*.md")):
        if any(part.startswith("build") or part == "subprojects" for part in path.relative_to(ROOT).parts):
            continue
        text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
        for target in LINK.findall(text):
            if "://" not in target and not target.startswith("mailto:"):
                if not (path.parent / target).exists():
                    found.append(f"{path.relative_to(ROOT)}: {target} leads nowhere")
    print("\n".join(found) if found else "every link leads somewhere")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
