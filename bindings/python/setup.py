"""Builds libllm with meson and puts the shared library and its Vulkan module beside the Python files."""

import pathlib
import shutil
import subprocess
import sys

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.dist import Distribution

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
LIBRARIES = ("libllm.so.0", "libllm.0.dylib", "llm-0.dll")


class BuildWithLibrary(build_py):
    def run(self):
        super().run()
        target = pathlib.Path(self.build_lib) / "libllm"
        target.mkdir(parents=True, exist_ok=True)
        for made in self.build_library():
            shutil.copy2(made, target)

    def build_library(self) -> list[pathlib.Path]:
        if not (SOURCE / "meson.build").exists():
            sys.exit("libllm's sources are not there; install from a checkout: pip install ./bindings/python")
        build = HERE / "build" / "meson"
        if not (build / "build.ninja").exists():
            subprocess.run(["meson", "setup", str(build), str(SOURCE), "--buildtype=release",
                            "-Dtests=false", "-Dexamples=false", "-Dcuda=disabled"], check=True)
        subprocess.run(["ninja", "-C", str(build)], check=True)
        for name in LIBRARIES:
            if (build / name).exists():
                return [self.copy_as(build, name), *filter(pathlib.Path.is_file, build.glob("libllm-vulkan.*"))]
        sys.exit(f"the build made none of {', '.join(LIBRARIES)}")

    @staticmethod
    def copy_as(build: pathlib.Path, name: str) -> pathlib.Path:
        """Links are followed, so that the package holds one file under the name it is loaded by."""
        out = build / "package" / name
        out.parent.mkdir(exist_ok=True)
        shutil.copy2((build / name).resolve(), out)
        return out


class BinaryDistribution(Distribution):
    """The wheel holds machine code, so it is for this platform only."""

    def has_ext_modules(self):
        return True


setup(cmdclass={"build_py": BuildWithLibrary}, distclass=BinaryDistribution)
