"""tests/gpu/run check: the whole backend suite with new random numbers, whole models, sanitizers.

What of the suite is there for GPUs: outputs and unwritten pages are full of NaN beforehand; pages lie in an order drawn
from the seed; every number of rows from 1 to 65 ("row counts"); every cache type and long contexts; the same bits for
any schedule ("same bits") or twice ("repeats"); a NaN in one row that stays there; allocations that fail."""
import concurrent.futures
import os
import re
import secrets
import time

from machine import build, build_vulkan, cuda_modules, finish, say, table, targets_of, tool

MODELS = ["llama", "gemma2", "qwen3moe", "mamba2", "phi3-window"]
# What sanitizers look at: they slow kernels down a hundredfold.
SANITIZED = [("memcheck", "matches ref: model"), ("memcheck", "matches ref: linear_expert"),
             ("racecheck", "matches ref: model Q8_0"), ("racecheck", "matches ref: attn PLAIN"),
             ("initcheck", "matches ref: model F32"), ("synccheck", "matches ref: model BF16")]
REFUSED = "Device not supported"  # what a sanitizer says where the machine keeps it from the card
PARTS = 8  # of the suite, at the same time
LIMITS = {"suite": 240, "model": 90, "sanitizer": 150}  # seconds of each, so that one that hangs costs no more


def checks(options, seed, vulkan):
    """(name, command, kind) of each check; the long ones first."""
    tests = options.build / "tests/backend/test_backend"
    modules = cuda_modules(options)
    parts = 1 if options.emulated else PARTS
    only = ["--only=matches ref: linear Q4_K"] if options.emulated else []
    found = []
    if tool("compute-sanitizer") and not options.emulated:
        for each, prefix in SANITIZED:
            found.append((f"{each}, {prefix}", [tool("compute-sanitizer"), f"--tool={each}", "--error-exitcode=9", tests,
                                                "--backend=cuda", f"--modules={modules}", f"--only={prefix}"], "sanitizer"))
    devices = [("cuda", modules)] + ([("vulkan", vulkan)] if vulkan else [])
    for backend, folder in devices:
        for numerics, more in (("exact", []), ("fast", ["--fast"])):
            for part in range(1, parts + 1):
                found.append((f"{backend} suite, {numerics}, part {part} of {parts}",
                              [tests, f"--backend={backend}", f"--modules={folder}", f"--seed={seed}", f"--part={part}/{parts}",
                               *more, *only], "suite"))
        for name in MODELS[:1] if options.emulated else MODELS:
            found.append((f"{backend} model {name}", [options.build / "tests/model/test_reference",
                                                      "brief" if options.emulated else "decoder", name, backend, folder], "model"))
    return found


def failed_names(output):
    """Of the tests that a runner called failed, each once."""
    found = re.findall(r"^\[ +FAILED +\] (.+)$", output, re.MULTILINE)
    return list(dict.fromkeys(name for name in found if not re.match(r"\d+ test", name)))


def last_begun(output):
    begun = re.findall(r"^\[ RUN +\] (.+)$", output, re.MULTILINE)
    return begun[-1] if begun else "its start"


def run_check(name, command, kind, clock):
    """A row of the table, and the names of what failed. What a failed check said goes to the terminal."""
    start = time.monotonic()
    status, out, err = finish(command, min(LIMITS[kind], clock.left()))
    output = out + err
    failed = failed_names(output)
    if status is None:
        verdict, failed = "NOT FINISHED", [*failed, f"stopped in {last_begun(output)}"]
    elif status == 0:
        verdict, failed = "ok", []
    elif kind == "sanitizer" and REFUSED in output:
        verdict, failed = "not possible on this machine", []
    else:
        verdict, failed = "FAILED", failed or [f"ended with {status}"]
    lines = [line for line in output.splitlines() if not re.match(r"\[ +(OK|RUN|PASSED) ", line)]
    say(f"{name}: {verdict}" + ("\n" + "\n".join(lines)[-3000:] if verdict.isupper() else ""))
    return (name, verdict, f"{time.monotonic() - start:.1f} s"), [f"{name}: {each}" for each in failed]


def check(options, clock):
    seed = options.seed or secrets.randbits(48)
    say(f"seed {seed}")
    build(options, targets_of(options, "tests/backend/test_backend", "tests/model/test_reference", "tests/gpu/bench_steps"), clock)
    vulkan, why = build_vulkan(options, clock)
    say(f"built in {clock.passed():.0f} s; Vulkan: {why}")
    todo = checks(options, seed, vulkan)
    with concurrent.futures.ThreadPoolExecutor(max(1, min(len(todo), (os.cpu_count() or 2) - 1))) as pool:
        done = list(pool.map(lambda each: run_check(*each, clock), todo))
    table(("check", "verdict", "time"), [row for row, _ in done])
    if not tool("compute-sanitizer"):
        print("compute-sanitizer: not on this machine")
    print(f"Vulkan: {'on ' if vulkan else 'left out: '}{why}")
    failed = [name for _, names in done for name in names]
    print(f"{len(done) - sum(1 for _, names in done if names)} of {len(done)} checks passed in {clock.passed():.0f} s, seed {seed}"
          + ("" if not failed else f"; failed (--seed {seed} repeats):"))
    for name in failed:
        print(f"  {name}")
    return 1 if failed else 0
