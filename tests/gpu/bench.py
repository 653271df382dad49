"""tests/gpu/run bench: what this card can do, and which shares of that models and kernels reach."""
import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from machine import ROOT, build, build_vulkan, cuda_modules, finish, say, table, targets_of, tool, without_library

FORMATS = ["q4_k_m", "bf16", "q8_0", "f8_e4m3"]  # of models, the one that matters most first
SIZES = {"q4_k_m": 4.9e9, "bf16": 16.1e9, "q8_0": 8.6e9, "f8_e4m3": 8.2e9}
DEPTHS, PROMPTS = [0, 2048, 32768], [512, 2048, 8192]
VULKAN = {"formats": ["q4_k_m", "q8_0", "bf16"], "depths": [0], "prompts": [512, 2048]}
MATRICES, CACHES = ["bf16", "q8_0", "q4_k", "q6_k", "f8_e4m3"], ["f16", "q8_0", "e4m3"]
# Parts in order of importance: seconds that each takes, as far as can be said beforehand, and may take.
PARTS = {"models": (150, 260), "attention": (25, 60), "matrices": (60, 150), "vulkan": (60, 120), "torch": (70, 120)}
LEAST = 10  # seconds left that a part is begun with
# (test, format, wanted share or ratio), from the aims of the backends
GOALS = [("decode at 0", "bf16", 0.85), ("decode at 0", "f8_e4m3", 0.85), ("decode at 0", "q8_0", 0.85), ("decode at 0", "q4_k_m", 0.85),
         ("prompt of 2048", "bf16", 0.70)]
VULKAN_GOALS = {"decode": 0.9, "prompt": 0.85}


class Bench:
    def __init__(self, options, clock):
        self.options, self.clock, self.notes, self.rows, self.profiles = options, clock, [], [], []
        self.limits, self.models, self.writers = {}, {}, {}
        self.small = options.emulated

    def note(self, text):
        """Said now and below the tables: what is missing there and why."""
        say(text)
        self.notes.append(text)

    def run(self, what, command, limit, environment=None):
        """The lines of JSON that a program prints until its time is over."""
        status, out, err = finish(command, min(limit, self.clock.left()), environment)
        if status != 0:
            self.note(f"{what}: " + ("its time was over" if status is None else (err.strip().splitlines() or ["failed"])[-1]))
        return [json.loads(line) for line in out.splitlines() if line.startswith("{") and line.endswith("}")]

    def add(self, part, device, form, found, test, value, unit):
        self.rows.append({"part": part, "device": device, "format": form, "shape": found.get("shape", ""), "rows": found.get("rows", ""),
                          "test": test, "value": value, "unit": unit, **self.share(found, value)})

    def share(self, found, value):
        """Of the limit that comes first, reading or multiplying."""
        reads, multiplies = found.get("bytes", 0) / self.limits["read_bytes_s"], 0
        if self.limits["bf16_ops_s"]:
            multiplies = found.get("flops", 0) / self.limits["bf16_ops_s"]
        least = max(reads, multiplies)
        seconds = found.get("seconds") or 1 / value
        return {"share": least / seconds if least else "", "of": "" if not least else "reading" if reads >= multiplies else "bf16"}

    # --- limits

    def part_limits(self, limit):
        if self.small:
            return {"card": "emulated", "copy_bytes_s": 1e9, "read_bytes_s": 1e9, "bf16_ops_s": 1e12, "int8_ops_s": 1e12}
        program = self.options.build / "roofline"
        for command in ([tool("nvcc"), "-std=c++17", "-O2", "-arch=native", "-o", program, ROOT / "tests/gpu/roofline.cu", "-ldl"], [program]):
            status, out, err = finish(command, limit)
            if status != 0:
                sys.exit(f"run: {command[0]}: {err[-2000:] or 'took too long'}")
        found = json.loads(out)
        if not found["bf16_ops_s"]:
            self.note("cuBLAS was not found: what multiplies has no share, and long prompts run without it")
        return found

    # --- models

    def begin_models(self, folder):
        """Files of random weights are written while the kernels are compiled, if there is room for all."""
        room = shutil.disk_usage(folder).free
        program = self.options.build / "examples/llm-synth"
        for form in self.formats():
            path = folder / f"{form}.gguf"
            if not self.small and SIZES[form] * 1.1 > room:
                self.note(f"{form}: no room for its model in {folder}")
                continue
            room -= SIZES[form]
            shape = "tiny,layers=1,vocab=300" if self.small else "8B"
            self.writers[form] = subprocess.Popen([program, shape, form, path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            self.models[form] = path

    def end_models(self):
        for writer in self.writers.values():
            writer.kill()
            writer.wait()

    def formats(self):
        return self.options.formats or FORMATS

    def model(self, form):
        """The file, when it is whole."""
        if form not in self.models:
            return None
        try:
            err = self.writers[form].communicate(timeout=max(self.clock.left(), 1))[1]
        except subprocess.TimeoutExpired:
            err = "not written in time"
        if self.writers[form].returncode == 0:
            return self.models[form]
        self.note(f"{form}: {(err.strip().splitlines() or ['no model'])[-1]}")
        del self.models[form]
        return None

    def bench_model(self, device, modules, form, prompts, depths, limit, *more):
        path = self.model(form)
        if path is None:
            return
        words = ["--rows=16", "--tokens=2", "--reps=1"] if self.small else ["--rows=2048", "--tokens=64", "--reps=3"]
        command = [self.options.build / "tests/gpu/bench_model", path, f"--device={device}", f"--modules={modules}",
                   "--prompts=" + ",".join(map(str, prompts)), "--depths=" + ",".join(map(str, depths)), *words, *more]
        for found in self.run(f"{device} {form}", command, limit):
            if found["test"] == "load":
                self.add("models", device, form, {}, "load", found["seconds"], "s")
            elif "steps" in found:
                self.profiles.append((form, found))
            else:
                test = f"decode at {found['at']}" if found["test"] == "decode" else f"prompt of {found['at']}"
                self.add("models", device, form, found, test, found["tok_s"], "tok/s")

    def part_models(self, limit):
        prompts, depths = ([16], [0]) if self.small else (PROMPTS, DEPTHS)
        for form in self.formats():
            self.bench_model("cuda", cuda_modules(self.options), form, prompts, depths, limit / 2, "--profile")
            say(f"{form} measured, {self.clock.left():.0f} s left")

    # --- kernels alone

    def steps(self, what, formats, limit, *more, part=None, environment=None):
        for form in formats:
            command = [self.options.build / "tests/gpu/bench_steps", what, "--backend=cuda", f"--modules={cuda_modules(self.options)}",
                       f"--formats={form}", *(["--small"] if self.small else []), *more]
            for found in self.run(f"{what} {form}", command, limit, environment):
                test = found["shape"] if what == "attn" else f"{found['rows']} rows"
                self.add(part or what, "cuda", form, found, test, found["seconds"] * 1e6, "us")

    def part_attention(self, limit):
        self.steps("attn", CACHES[:1] if self.small else CACHES, limit / 2)

    def part_matrices(self, limit):
        formats = MATRICES[2:3] if self.small else MATRICES
        self.steps("linear", formats, limit / 2)
        with tempfile.TemporaryDirectory() as folder:
            self.steps("linear", formats, limit / 4, "--rows=16" if self.small else "--rows=512,1024,2048,4096", part="own",
                       environment=without_library(folder))

    # --- others on the same card

    def part_vulkan(self, limit):
        folder, why = build_vulkan(self.options, self.clock)
        if folder is None:
            self.note(f"Vulkan left out: {why}")
            return
        say(f"Vulkan on {why}")
        prompts, depths = ([16], [0]) if self.small else (VULKAN["prompts"], VULKAN["depths"])
        for form in VULKAN["formats"]:
            if form in self.formats():
                self.bench_model("vulkan", folder, form, prompts, depths, limit / 2)

    def part_torch(self, limit):
        command = [sys.executable, ROOT / "tests/gpu/bench_torch.py", *(["--small"] if self.small else [])]
        for found in self.run("PyTorch", command, limit, dict(os.environ)):  # with libraries of its own
            test = f"decode at {found['at']}" if found["test"] == "decode" else f"prompt of {found['at']}"
            self.add("models", "torch", "bf16", found, test, found["tok_s"], "tok/s")

    # --- all

    def measure(self):
        wanted = [part for part in PARTS if part in self.options.parts]
        say("plan: " + ", ".join(f"{part} {PARTS[part][0]} s" for part in wanted) +
            f"; {sum(PARTS[part][0] for part in wanted)} s of {self.clock.left():.0f} s left")
        for part in wanted:
            if self.clock.left() < LEAST:
                self.note(f"{part} left out: no time was left")
                continue
            getattr(self, f"part_{part}")(PARTS[part][1])
            say(f"{part} done, {self.clock.left():.0f} s left")


# --- tables ---------------------------------------------------------------------------------------------------


def percent(share):
    return "" if share == "" else f"{share:.0%}"


def cell(rows, **wanted):
    """The row that has all this, or None."""
    return next((row for row in rows if all(row[key] == value for key, value in wanted.items())), None)


def shown(row):
    return "-" if row is None else f"{row['value']:.0f} {percent(row['share'])}".strip()


def model_table(rows):
    of_models = [row for row in rows if row["part"] == "models"]
    tests = [test for test in dict.fromkeys(row["test"] for row in of_models) if test != "load"]
    forms = list(dict.fromkeys(row["format"] for row in of_models if row["device"] == "cuda"))
    if not tests:
        return
    has_torch = any(row["device"] == "torch" for row in of_models)
    vulkan = [form for form in forms if cell(of_models, device="vulkan", format=form)]
    lines = []
    for test in tests:
        line = [test, *(shown(cell(of_models, device="cuda", format=form, test=test)) for form in forms)]
        if has_torch:
            line.append(shown(cell(of_models, device="torch", test=test)))
        for form in vulkan:
            ours, other = (cell(of_models, device=device, format=form, test=test) for device in ("vulkan", "cuda"))
            line.append(f"{ours['value'] / other['value']:.2f}" if ours and other else "-")
        lines.append(line)
    table(("tok/s, share of the limit", *forms, *(["PyTorch bf16"] if has_torch else []), *(f"Vulkan/CUDA {form}" for form in vulkan)), lines)
    print()


def step_table(rows, part, title):
    """Formats by tests; of several shapes the share of all together."""
    mine = [row for row in rows if row["part"] == part]
    tests = list(dict.fromkeys(row["test"] for row in mine))
    if not mine:
        return
    lines = []
    for form in dict.fromkeys(row["format"] for row in mine):
        line = [form]
        for test in tests:
            some = [row for row in mine if row["format"] == form and row["test"] == test and row["share"] != ""]
            seconds = sum(row["value"] for row in some)
            line.append(percent(sum(row["value"] * row["share"] for row in some) / seconds) if seconds else "-")
        lines.append(line)
    table((title, *tests), lines)
    print()


def profile_table(profiles, reads):
    """Where the device's time goes: milliseconds of each kind of step, and how fast its weights were read."""
    kinds = list(dict.fromkeys(step[0] for _, found in profiles for step in found["steps"]))
    lines = []
    for form, found in profiles:
        steps = {step[0]: step for step in found["steps"]}
        total = sum(step[2] for step in steps.values())
        line = [f"{form}, {found['test'].removeprefix('profile of a ')}, {found['rows']} rows at {found['at']}", f"{total / 1e6:.2f}"]
        for kind in kinds:
            _, _, ns, size = steps.get(kind, (kind, 0, 0, 0))
            fast = f" {size / (ns * 1e-9) / reads:.0%}" if ns and size and found["rows"] == 1 else ""
            line.append(f"{ns / 1e6:.2f}{fast}" if ns else "-")
        lines.append(line)
    if lines:
        table(("ms, share of reading", "all", *(kind.lower() for kind in kinds)), lines)
        print()


def goals(rows):
    """(what, wanted, found) of what was measured."""
    for test, form, wanted in GOALS:
        row = cell(rows, part="models", device="cuda", format=form, test=test)
        if row and row["share"] != "":
            yield f"{test}, {form}", wanted, row["share"]
    for row in rows:
        if row["part"] == "attn" and row["shape"] == "decode at 32768":
            yield f"attention, one token at 32768, {row['format']}", 0.8, row["share"]
        if row["part"] == "models" and row["device"] == "vulkan" and row["unit"] == "tok/s":
            other = cell(rows, part="models", device="cuda", format=row["format"], test=row["test"])
            if other:
                yield f"Vulkan over CUDA, {row['test']}, {row['format']}", VULKAN_GOALS[row["test"].split()[0]], row["value"] / other["value"]


def report(bench):
    limits, rows = bench.limits, bench.rows
    with open(bench.options.csv, "w", newline="", encoding="utf-8") as file:
        names = ("card", "part", "device", "format", "shape", "rows", "test", "value", "unit", "share", "of")
        out = csv.DictWriter(file, names)
        out.writeheader()
        for name, value in limits.items():
            if name != "card":
                out.writerow({"card": limits["card"], "part": "limits", "test": name, "value": value})
        out.writerows({"card": limits["card"], **row} for row in rows)
    profile_table(bench.profiles, limits["read_bytes_s"])
    step_table(rows, "linear", "matrices")
    step_table(rows, "own", "without cuBLASLt")
    step_table(rows, "attn", "attention")
    model_table(rows)
    for what, wanted, found in goals(rows):
        print(f"{'met' if found >= wanted else 'NOT MET':8}{what}: {found:.0%} of the {wanted:.0%} wanted")
    for text in bench.notes:
        print(f"missing: {text}")
    print(f"{limits['card']}: reads {limits['read_bytes_s'] / 1e9:.0f} GB/s, copies {limits['copy_bytes_s'] / 1e9:.0f} GB/s, "
          f"{limits['bf16_ops_s'] / 1e12:.0f} Tflop/s in bf16, {limits['int8_ops_s'] / 1e12:.0f} Tops/s in int8; "
          f"{bench.clock.passed():.0f} s; all in {bench.options.csv}")


def scratch():
    """Where all models have room: in memory before on a disk."""
    memory = pathlib.Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 1.2 * sum(SIZES.values())
    return memory if roomy else None


def bench(options, clock):
    state = Bench(options, clock)
    with tempfile.TemporaryDirectory(dir=options.scratch or scratch()) as folder:
        try:
            build(options, ["examples/llm-synth"], clock)
            if "models" in options.parts or "vulkan" in options.parts:
                state.begin_models(pathlib.Path(folder))
            build(options, targets_of(options, "tests/gpu/bench_model", "tests/gpu/bench_steps"), clock)
            say(f"built in {clock.passed():.0f} s")
            state.limits = state.part_limits(60)
            say(json.dumps(state.limits))
            state.measure()
        finally:
            state.end_models()
    report(state)
    return 0 if state.rows else 1
