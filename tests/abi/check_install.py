#!/usr/bin/env python3
"""usage: check_install.py BUILD

Installs into a scratch folder and builds consumer.c and consumer.cpp as a stranger would, with nothing
but `pkg-config --cflags --libs libllm`; then runs them.
"""
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def run(*command, **extra):
    done = subprocess.run(command, capture_output=True, text=True, **extra)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def environment(root):
    found = next(root.rglob("libllm.pc"), None)
    if found is None:
        sys.exit("libllm.pc was not installed")
    return found.parent.parent, dict(
        os.environ, PKG_CONFIG_PATH=str(found.parent), PKG_CONFIG_SYSROOT_DIR=str(root),
        LD_LIBRARY_PATH=str(found.parent.parent))


def main():
    build = pathlib.Path(sys.argv[1])
    meson = os.environ.get("MESON") or shutil.which("meson")
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        run(meson, "install", "-C", build, "--no-rebuild", "--destdir", root, "--quiet")
        libraries, env = environment(root)
        flags = shlex.split(run("pkg-config", "--cflags", "--libs", "libllm", env=env))
        for source, compiler in (("consumer.c", "CC"), ("consumer.cpp", "CXX")):
            tool = shlex.split(os.environ.get(compiler, "cc" if compiler == "CC" else "c++"))
            program = root / source.replace(".", "_")
            run(*tool, "-Wall", "-Wextra", "-Werror", HERE / source, "-o", program, *flags)
            print(source, run(program, env=env).strip())
        if not list(libraries.glob("libllm.so.0")):
            sys.exit("the soname libllm.so.0 was not installed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
