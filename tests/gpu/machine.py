"""What tests/gpu/run shares: time, the tools of this machine, building, running with limits, tables."""
import functools
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
KNOWN_TARGETS = {"8.0": "80", "8.6": "86", "8.9": "89", "9.0": "90a"}


class Clock:
    def __init__(self, minutes):
        self.start, self.end = time.monotonic(), time.monotonic() + minutes * 60

    def passed(self):
        return time.monotonic() - self.start

    def left(self):
        return self.end - time.monotonic()


def say(text):
    print(f"run: {text}", file=sys.stderr, flush=True)


def tool(name):
    """A tool of CUDA's; None where it is not."""
    home = pathlib.Path("/usr/local/cuda")
    beside = [path for path in (home / "bin" / name, home / name / name) if path.is_file()]
    return shutil.which(name) or (str(beside[0]) if beside else None)


@functools.cache
def own_libraries():
    """Folders with CUDA's libraries: beside its compiler, and among the packages of this python."""
    found = [pathlib.Path(tool("nvcc")).resolve().parents[1] / "lib64"] if tool("nvcc") else []
    packages = importlib.util.find_spec("nvidia")
    for folder in packages.submodule_search_locations if packages else []:
        found += sorted({path.parent for path in pathlib.Path(folder).glob("**/libcublas*.so.*")})
    return found


def with_libraries():
    """The environment for programs of ours, which open cuBLAS where the loader finds it."""
    known = [os.environ.get("LD_LIBRARY_PATH"), *(str(folder) for folder in own_libraries())]
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, known))}


def without_library(folder):
    """The same where cuBLASLt seems to be absent: the loader finds one that has no functions, in this folder."""
    command = ["cc", "-shared", "-x", "c", "/dev/null", "-o", pathlib.Path(folder) / "libcublasLt.so.13"]
    subprocess.run(command, check=True)
    environment = with_libraries()
    return {**environment, "LD_LIBRARY_PATH": os.pathsep.join([str(folder), environment["LD_LIBRARY_PATH"]])}


def target_of_card():
    query = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError) as problem:
        sys.exit(f"run: nvidia-smi names no card ({problem}); --emulated runs without one")
    return KNOWN_TARGETS.get(found[0], "ptx")


def finish(command, limit, environment=None):
    """(exit status or None when time was over, what it printed, what it said on stderr)"""
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          errors="replace", start_new_session=True, env=environment or with_libraries()) as process:
        try:
            out, err = process.communicate(timeout=max(limit, 1))
            return process.returncode, out, err
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)  # with what it started
            out, err = process.communicate()
            return None, out, err


def build(options, targets, clock):
    """The build folder with these targets; the card's own architecture alone, no cmocka."""
    folder = options.build
    if options.built:
        return
    if not (folder / "build.ninja").exists():
        settings = ["-Dtest_runner=disabled", "--buildtype=release", "-Dvulkan=disabled" if options.vulkan else "-Dvulkan=auto"]
        settings += [] if options.emulated else ["-Dcuda=enabled", f"-Dgpu_targets={target_of_card()}"]
        run_or_end(["meson", "setup", folder, ROOT, *settings], clock)
    run_or_end(["ninja", "-C", folder, *targets], clock)


def run_or_end(command, clock):
    status, out, err = finish(command, clock.left())
    if status != 0:
        print(out[-6000:], err[-6000:], file=sys.stderr)
        sys.exit("run: building " + ("took too long" if status is None else "failed"))


def cuda_modules(options):
    return options.build / "tests/cuda_host" if options.emulated else options.build


def targets_of(options, *programs):
    """These programs and the modules that this machine can build."""
    module = "tests/cuda_host/libllm-cuda.so" if options.emulated else "libllm-cuda.so"
    return [module, *programs]


def build_vulkan(options, clock):
    """The folder of a Vulkan module that has a device here, and its name; or None and the reason."""
    folder = options.vulkan
    if folder is None:
        if options.emulated:
            return None, "not asked for"
        if finish(["ninja", "-C", options.build, "libllm-vulkan.so"], clock.left())[0] != 0:
            return None, "glslc, spirv-val or Vulkan's headers are absent; --vulkan FOLDER names a module built elsewhere"
        folder = options.build
    status, out, err = finish([options.build / "tests/gpu/bench_steps", "device", "--backend=vulkan", f"--modules={folder}"], 60)
    if status != 0:
        return None, (err.strip().splitlines() or ["the device does not answer"])[-1].removeprefix("bench_steps: ")
    return folder, json.loads(out)["device"]


def table(names, rows):
    widths = [max(len(str(row[i])) for row in [names, *rows]) for i in range(len(names))]
    for row in [names, *rows]:
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip())
