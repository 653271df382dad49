#!/usr/bin/env python3
"""llm-run MODEL --device vulkan, as a user runs it and under the validation layer: every architecture
and every storage format says what the processor says.

    test_whole.py FOLDER-OF-PROGRAMS FOLDER-OF-MODULES architectures|formats|sampling"""
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "programs"))
import rig  # noqa: E402
from test_making import FORMATS  # noqa: E402

MODULES = sys.argv[2]
REFERENCES = HERE.parent / "model" / "data"
STRING, ARRAY, ALIGNMENT = 8, 9, 32
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


# --- reference models with words ------------------------------------------------------------------


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def skip_value(data, at, kind):
    if kind == STRING:
        return at + 8 + struct.unpack_from("<Q", data, at)[0]
    if kind != ARRAY:
        return at + SIZES[kind]
    kind, count = struct.unpack_from("<IQ", data, at)
    at += 12
    for _ in range(count):
        at = skip_value(data, at, kind)
    return at


def with_words(data, words):
    """The model file whose tokens are these words, each a character, in place of no vocabulary."""
    tensors, keys = struct.unpack_from("<QQ", data, 8)
    kept, at = [], 24
    for _ in range(keys):
        size = struct.unpack_from("<Q", data, at)[0]
        name, end = data[at + 8:at + 8 + size], at + 8 + size
        end = skip_value(data, end + 4, struct.unpack_from("<I", data, end)[0])
        if not name.startswith(b"tokenizer."):
            kept.append(data[at:end])
        at = end
    infos = at
    for _ in range(tensors):
        at = skip_value(data, at, STRING)
        at += 4 + 8 * struct.unpack_from("<I", data, at)[0] + 12
    for name, value in ("model", "gpt2"), ("pre", "gpt-2"):
        kept.append(text("tokenizer.ggml." + name) + struct.pack("<I", STRING) + text(value))
    for name, values in ("tokens", words), ("merges", []):
        kept.append(text("tokenizer.ggml." + name) + struct.pack("<IIQ", ARRAY, STRING, len(values))
                    + b"".join(map(text, values)))
    head = data[:16] + struct.pack("<Q", len(kept)) + b"".join(kept) + data[infos:at]
    return head + bytes(-len(head) % ALIGNMENT) + data[at + -at % ALIGNMENT:]


def reference(path):
    """The case's file with a vocabulary, its context, prompt as text and greedy ids."""
    case = dict(line.split(" ", 1) for line in path.read_text().splitlines())
    words = [chr(ord("!") + i) for i in range(int(case["columns"]))]
    made = rig.scratch(path.stem + ".gguf")
    made.write_bytes(with_words((REFERENCES / case["model"]).read_bytes(), words))
    prompt = "".join(words[int(i)] for i in case["tokens"].split())
    return made, case["context"], prompt, case["greedy"].split()


# --- the tests ------------------------------------------------------------------------------------


class Whole(rig.Case):
    def on(self, device, name, *args):
        more = {"under": [sys.executable, HERE / "validated.py"]} if device == "vulkan" else {}
        return self.succeeds(name, *args, "--device", device, "--modules", MODULES, **more)

    def ids(self, device, *args):
        return self.on(device, "llm-run", *args, "--temp", "0", "--ids").out.decode().split()

    def logits(self, device, path, tokens):
        out = rig.scratch("whole.f32")
        self.on(device, "llm-logits", path, "--tokens", ",".join(tokens), "--out", out)
        return [v for v, in struct.iter_unpack("<f", out.read_bytes())]


class Architectures(Whole):
    def test_reference_text(self):
        """Token for token what transformers made of the same weights."""
        cases = [p for p in sorted(REFERENCES.glob("*.ref")) if "greedy " in p.read_text()]
        self.assertGreater(len(cases), 15)
        for path in cases:
            with self.subTest(path.stem):
                model, context, prompt, greedy = reference(path)
                found = self.ids("vulkan", model, "-p", prompt, "-n", len(greedy), "--ctx", context)
                self.assertEqual(found, greedy)


class Formats(Whole):
    PROMPT, MADE = "the night was", 12
    EXACT = 5e-6  # the table of tests/backend/tolerances.c for whole models
    COARSE = 1.9e-2  # the same where the processor rounds activations

    def agree(self, path, prompt, found, wanted):
        """The same tokens up to where the best two are closer than what rounding may move them."""
        for i, (a, b) in enumerate(zip(found, wanted)):
            if a != b:
                logits = self.logits("ref", path, prompt + wanted[:i])[-self.columns:]
                gap = abs(logits[int(a)] - logits[int(b)])
                self.assertLess(gap, 2 * self.COARSE * max(map(abs, logits)), f"token {i}")
                return

    def check(self, path):
        prompt = self.succeeds("llm-tokenize", path, stdin=self.PROMPT.encode()).out.decode().split()
        wanted = self.logits("ref", path, prompt)
        found = self.logits("vulkan", path, prompt)
        self.assertEqual(len(found), len(wanted))
        error = max(abs(a - b) for a, b in zip(found, wanted)) / max(map(abs, wanted))
        self.assertLess(error, self.EXACT)
        self.columns = len(wanted) // len(prompt)
        both = [self.ids(d, path, "-p", self.PROMPT, "-n", self.MADE) for d in ("vulkan", "cpu")]
        self.assertEqual(len(both[0]), self.MADE)
        self.agree(path, prompt, *both)

    def test_every_format(self):
        for form in [*FORMATS, "q4_k_m"]:
            with self.subTest(form):
                self.check(rig.model("tiny,layers=1,vocab=300,ff=256", form))


class Sampling(Whole):
    """The device brings home the best logits only; what is drawn from them is the same."""

    def same(self, path, *args):
        found, wanted = (self.on(device, "llm-run", path, "-p", "Once more", "--ids", *args).out.split()
                         for device in ("vulkan", "ref"))
        self.assertGreater(len(wanted), 8)
        self.assertEqual(found, wanted)

    def test_written_text(self):
        demo = HERE.parent.parent / "examples" / "demo-model" / "demo.gguf"
        for more in (["--temp", "0"], ["--seed", "5"], ["--seed", "6", "--top-k", "128", "--temp", "2"],
                     ["--seed", "7", "--top-k", "0"], ["--seed", "8", "--repeat-penalty", "1.3"]):
            with self.subTest(more):
                self.same(demo, "-n", "16", *more)

    def test_large_vocabulary(self):
        """The best of so many take three passes."""
        large = rig.model("tiny,layers=1,vocab=40000,ff=256", "q8_0")
        for more in ["--temp", "0"], ["--seed", "5", "--top-k", "100"]:
            with self.subTest(more):
                self.same(large, "-n", "10", *more)


def load_tests(loader, _tests, _pattern):
    kind = {"architectures": Architectures, "formats": Formats,
            "sampling": Sampling}[sys.argv[3]]
    return loader.loadTestsFromTestCase(kind)


if __name__ == "__main__":
    rig.main()
