#!/usr/bin/env python3
"""The programs as a user meets them: help, mistakes, missing things, streams, figures.

    test_programs.py FOLDER-OF-PROGRAMS [FOLDER-OF-TEST-DATA]"""
import json
import os
import pathlib
import pty
import re
import struct
import subprocess
import time
import unittest

from rig import NAMES, PROGRAMS, Case, main, model, run, scratch, testdata

DEMO = pathlib.Path(__file__).resolve().parents[2] / "examples/demo-model/demo.gguf"
COMPUTING = ["llm-bench", "llm-inspect", "llm-logits", "llm-perplexity", "llm-run"]
PROSE = """The old man had been sitting by the window for a long time when his daughter came into the room
and told him that the carriage was at the door. He did not answer at once, but looked at her with a smile
as if he had only now understood what she was saying, and then, rising slowly, he took his hat and went out
with her into the cold morning air. The horses were standing quietly before the steps, and the coachman, who
had known the family for thirty years, took off his cap and asked whether they would go by the lower road."""
WORDS = {  # what each needs besides options
    "llm-bench": ["MODEL"],
    "llm-inspect": ["MODEL"],
    "llm-logits": ["MODEL", "--tokens", "1,2", "--out", "logits"],
    "llm-perplexity": ["MODEL", "-f", "TEXT"],
    "llm-quantize": ["MODEL", "OUT", "q8_0"],
    "llm-run": ["MODEL", "-p", "x", "-n", "1"],
    "llm-synth": ["tiny", "q8_0", "OUT"],
    "llm-tokenize": ["MODEL"],
}


def words(name, path):
    """A proper call on a model."""
    text = scratch("text.txt")
    text.write_text("Now is the winter of our discontent. " * 40)
    replace = {"MODEL": path, "OUT": scratch("out.gguf"), "TEXT": text, "logits": scratch("logits")}
    return [replace.get(word, word) for word in WORDS[name]]


class Usage(Case):
    def test_help(self):
        for name in NAMES:
            with self.subTest(name):
                result = self.succeeds(name, "--help")
                self.assertEqual(result.err, "")
                text = result.out.decode()
                self.assertTrue(text.startswith(f"usage: {name} "), text)
                self.assertIn("--help", text)
                self.assertGreater(len(text), 200)
                self.assertLess(max(map(len, text.splitlines())), 121)

    def test_help_names_the_options(self):
        options = {
            "llm-run": "-p -f -n --temp --top-k --top-p --min-p --repeat-penalty --seed --stop -t --ctx "
                       "--ids --device --budget",
            "llm-tokenize": "--no-special --decode",
            "llm-logits": "--tokens --out -t --split --cache --device --budget",
            "llm-perplexity": "-f --ctx --json --device --budget",
            "llm-inspect": "--plan --memory --ctx --json --device --budget",
            "llm-bench": "-p -n -t -r --depth --json --device --budget",
            "llm-quantize": "--keep --output --embedding",
            "llm-synth": "--seed",
        }
        for name in NAMES:
            listed = [line.split()[0] for line in run(name, "--help").out.decode().splitlines()
                      if line.startswith("  -")]
            for option in options[name].split():
                self.assertIn(option, listed, name)

    def test_mistakes(self):
        for name in NAMES:
            with self.subTest(name):
                self.refuses(2, name)
                self.refuses(2, name, "--nonsense", says="--nonsense")
                self.refuses(2, name, *words(name, model()), "one more", says="one more")
        for name in COMPUTING:
            with self.subTest(name):
                self.refuses(2, name, *words(name, model()), "-t")
                self.refuses(2, name, *words(name, model()), "-t", "many", says="'many'")
                self.refuses(2, name, *words(name, model()), "--budget", "12Q", says="'12Q'")
        tiny = model()
        self.refuses(2, "llm-run", tiny, "-p", "a", "-f", "b")
        self.refuses(2, "llm-run", tiny, "-p", "a", "-n", "-1")
        self.refuses(2, "llm-run", tiny, "-p", "a", "-n", "1.5")
        self.refuses(2, "llm-run", tiny, "-p", "a", "--top-p", "2", says="at most 1")
        self.refuses(2, "llm-logits", tiny, "--out", scratch("x"), says="--tokens")
        self.refuses(2, "llm-logits", tiny, "--tokens", "1,x", "--out", scratch("x"), says="'x'")
        self.refuses(2, "llm-logits", tiny, "--tokens", "", "--out", scratch("x"))
        self.refuses(2, "llm-logits", tiny, "--tokens", "1,2", "--split", "0", "--out", scratch("x"))
        self.refuses(2, "llm-bench", tiny, "-p", "0", "-n", "0")

    def test_missing_files(self):
        for name in NAMES:
            if name == "llm-synth":
                continue
            with self.subTest(name):
                missing = scratch("no-such\nfile.gguf")  # a message stays one line
                self.refuses(1, name, *words(name, missing), says="no-such")
                self.refuses(1, name, *words(name, scratch("")))
        self.refuses(1, "llm-run", model(), "-f", scratch("nothing.txt"), says="nothing.txt")
        self.refuses(1, "llm-perplexity", model(), "-f", scratch("nothing.txt"), says="nothing.txt")
        self.refuses(1, "llm-logits", model(), "--tokens", "1", "--out", scratch("no/folder/logits"))
        self.refuses(1, "llm-synth", "tiny", "q8_0", scratch("no/folder/x.gguf"))
        self.refuses(1, "llm-quantize", model(), scratch("no/folder/x.gguf"), "q8_0")

    def test_damaged_files(self):
        whole = model().read_bytes()
        damaged = scratch("damaged.gguf")
        for size in (0, 3, 100, len(whole) // 2, len(whole) - 1):
            damaged.write_bytes(whole[:size])
            for name in NAMES:
                if name == "llm-synth" or (name == "llm-tokenize" and size > 20000):
                    continue
                with self.subTest(name, size=size):
                    self.refuses(1, name, *words(name, damaged), says="damaged.gguf")

    def test_devices(self):
        for name in COMPUTING:
            for device in ("nonsense", "cuda:0", "cpu:77", ""):
                with self.subTest(name, device=device):
                    self.refuses(1, name, *words(name, model()), "--device", device)
        for device in ("cpu", "cpu:0", "ref"):
            self.succeeds("llm-run", *words("llm-run", model()), "--device", device)

    def test_budgets(self):
        for name in COMPUTING:
            if name == "llm-inspect":
                continue
            with self.subTest(name):
                self.refuses(1, name, *words(name, model()), "--budget", "1K", says="budget")
                self.succeeds(name, *words(name, model()), "--budget", "64M")


class Streams(Case):
    TEXTS = [b"", b" ", b"Hello, world!\n", b"a\0b\0", b"\xff\xfe\x80 broken \xe2\x82", b"\r\n\t x",
             "naïve — 数 😀 e\u0301".encode(), bytes(range(256)) * 3]

    def round_trip(self, path, text):
        ids = self.succeeds("llm-tokenize", path, "--no-special", stdin=text).out
        self.assertRegex(ids, rb"\A(\d+( \d+)*)?\n\Z")
        return self.succeeds("llm-tokenize", path, "--no-special", "--decode", stdin=ids).out

    def test_tokenize_round_trip(self):
        for text in self.TEXTS:
            with self.subTest(text[:20]):
                self.assertEqual(self.round_trip(model(), text), text)

    def test_tokenize_round_trip_of_byte_pairs(self):
        path = testdata("vocab/ggml-vocab-gpt-2.gguf")
        for text in self.TEXTS:
            with self.subTest(text[:20]):
                self.assertEqual(self.round_trip(path, text), text)

    def test_tokenize_specials(self):
        path = model()
        plain = self.succeeds("llm-tokenize", path, "--no-special", stdin=b"ab").out
        full = self.succeeds("llm-tokenize", path, stdin=b"ab").out
        self.assertEqual(full, b"1 " + plain)
        written = self.succeeds("llm-tokenize", path, "--no-special", stdin=b"a</s>b").out
        self.assertIn(b" 2 ", written)
        shown = self.succeeds("llm-tokenize", path, "--decode", stdin=full).out
        self.assertEqual(shown, b"<s> ab")  # the blank that opens every text of such a vocabulary

    def test_decode_refuses_what_is_no_id(self):
        for text in (b"1 two 3", b"-1", b"1.5", b"99999999999", b"511 512"):
            with self.subTest(text):
                self.refuses(1, "llm-tokenize", model(), "--decode", stdin=text)
        self.assertEqual(self.succeeds("llm-tokenize", model(), "--decode", stdin=b"\n").out, b"")

    def test_vocabulary_only_files(self):
        path = testdata("vocab/ggml-vocab-bert-bge.gguf")
        self.succeeds("llm-tokenize", path, stdin=b"words")
        listed = json.loads(self.succeeds("llm-inspect", path, "--json").out)
        self.assertEqual(listed["metadata"]["general.architecture"], "bert")
        self.refuses(1, "llm-run", path, "-p", "words")
        self.refuses(1, "llm-inspect", path, "--plan")
        self.refuses(1, "llm-inspect", path, "--memory", "--json")

    def test_broken_stdin(self):
        def closed():
            os.close(0)

        self.refuses(1, "llm-tokenize", model(), stdin_from=None, preexec_fn=closed, says="stdin")
        self.refuses(1, "llm-run", model(), stdin_from=None, preexec_fn=closed, says="stdin")
        folder = os.open(scratch(""), os.O_RDONLY)
        self.refuses(1, "llm-tokenize", model(), stdin_from=folder, says="stdin")
        os.close(folder)

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full here")
    def test_full_stdout(self):
        calls = [("llm-tokenize", [], b"some text"), ("llm-run", ["-p", "x", "-n", "3"], b""),
                 ("llm-inspect", [], b""), ("llm-inspect", ["--help"], b"")]
        for name, more, stdin in calls:
            with self.subTest(name), open("/dev/full", "wb") as full:
                done = subprocess.run([PROGRAMS / name, model(), *more], input=stdin, stdout=full,
                                      stderr=subprocess.PIPE, timeout=60)
                self.assertEqual(done.returncode, 1)
                self.assertIn(b"stdout", done.stderr)

    def test_progress_only_on_a_terminal(self):
        call = words("llm-perplexity", model())
        quiet = self.succeeds("llm-perplexity", *call)
        self.assertEqual(quiet.err, "")
        master, slave = pty.openpty()
        child = subprocess.Popen([str(PROGRAMS / "llm-perplexity"), *map(str, call)], stderr=slave,
                                 stdout=subprocess.PIPE)
        out = child.communicate(timeout=60)[0]
        os.close(slave)
        seen = b""
        try:
            while part := os.read(master, 65536):
                seen += part
        except OSError:  # all was read, and nobody holds the other end
            pass
        os.close(master)
        self.assertEqual(out[:40], quiet.out[:40])  # the speed differs
        self.assertIn(b"\r", seen)
        self.assertIn(b"%", seen)
        self.assertTrue(seen.endswith(b"\r\x1b[K"), seen[-40:])


class Running(Case):
    def ids(self, *args, path=None, prompt="Once upon"):
        out = self.succeeds("llm-run", path or model(), "-p", prompt, "--ids", *args).out
        return out.split()

    def test_seeds(self):
        first = self.ids("-n", "24", "--seed", "7")
        self.assertEqual(len(first), 24)
        self.assertEqual(self.ids("-n", "24", "--seed", "7"), first)
        self.assertEqual(self.ids("-n", "24", "--seed", "7", "-t", "1"), first)
        self.assertNotEqual(self.ids("-n", "24", "--seed", "8"), first)
        greedy = self.ids("-n", "24", "--temp", "0")
        self.assertEqual(self.ids("-n", "24", "--temp", "0", "--seed", "9"), greedy)
        self.assertEqual(self.ids("-n", "24", "--top-k", "1", "--seed", "9"), greedy)

    def test_prompts(self):
        file = scratch("prompt.txt")
        file.write_bytes(b"Once upon")
        given = self.succeeds("llm-run", model(), "-p", "Once upon", "-n", "9").out
        self.assertEqual(self.succeeds("llm-run", model(), "-f", file, "-n", "9").out, given)
        self.assertEqual(self.succeeds("llm-run", model(), "-n", "9", stdin=b"Once upon").out, given)
        self.refuses(1, "llm-run", model(), "-n", "9", stdin=b"Once\0upon", says="NUL")

    def test_no_tokens(self):
        result = self.succeeds("llm-run", model(), "-p", "Once", "-n", "0")
        self.assertEqual(result.out, b"")
        self.assertIn("generated 0 tokens", result.err)

    def test_figures(self):
        result = self.succeeds("llm-run", model(), "-p", "Once", "-n", "9")
        self.assertRegex(result.err, r"\Aprompt \d+ tokens, [\d.]+/s; generated 9 tokens, [\d.]+/s; "
                                     r"first after \d+ ms; [\d.]+ [KMG]iB\n\Z")

    def test_stop(self):
        text = self.succeeds("llm-run", model(), "-p", "x", "-n", "40", "--temp", "0").out.decode()
        stop = text[len(text) // 2:][:4]
        short = self.succeeds("llm-run", model(), "-p", "x", "-n", "40", "--temp", "0", "--stop",
                              "never seen", "--stop", stop).out.decode()
        self.assertEqual(short, text[:text.index(stop)] + "\n")

    def test_context(self):
        made = self.ids("--ctx", "32", "--seed", "3")
        prompt = self.succeeds("llm-tokenize", model(), stdin=b"Once upon").out.split()
        self.assertIn(len(made) + len(prompt), (32, 33))  # the last token made need not be fed
        self.refuses(1, "llm-run", model(), "-p", "long " * 40, "--ctx", "32", says="context")

    def test_whole_characters(self):
        out = self.succeeds("llm-run", model(), "-p", "x", "-n", "60", "--temp", "3").out
        out.decode("utf-8")  # raises when a piece is broken


class Judging(Case):
    TOKENS = ",".join(str(3 + i * 7 % 500) for i in range(70))

    def logits(self, *args, form="q8_0"):
        path = scratch("logits.f32")
        self.succeeds("llm-logits", model(form=form), "--tokens", self.TOKENS, "--out", path, *args)
        return path.read_bytes()

    def test_logits_do_not_depend_on_the_split(self):
        for form in ("q8_0", "f32"):
            whole = self.logits(form=form)
            self.assertEqual(len(whole), 70 * 512 * 4)
            values = struct.unpack(f"<{len(whole) // 4}f", whole)
            self.assertTrue(all(abs(v) < 1e4 for v in values))
            self.assertGreater(max(values) - min(values), 1)
            for more in (["--split", "1"], ["--split", "7"], ["--split", "1,32,5"], ["-t", "1"]):
                with self.subTest(form, more=more):
                    self.assertTrue(self.logits(*more, form=form) == whole)

    def test_logits_know_the_cache(self):
        whole = self.logits()
        halves, bytes_ = self.logits("--cache", "f16"), self.logits("--cache", "e4m3")
        self.assertEqual(len({whole, halves, bytes_}), 3)
        self.assertTrue(self.logits("--cache", "f32") == whole)
        self.refuses(1, "llm-logits", model(), "--tokens", "1", "--out", scratch("x"), "--cache", "f7",
                     says="f7")

    def test_logits_refuse_ids_beyond_the_vocabulary(self):
        self.refuses(1, "llm-logits", model(), "--tokens", "5,512", "--out", scratch("x"), says="512")

    def test_inspect_json(self):
        listed = json.loads(self.succeeds("llm-inspect", model(), "--plan", "--memory", "--ctx", "256",
                                          "--json").out)
        self.assertEqual(set(listed), {"metadata", "tensors", "steps", "memory"})
        self.assertEqual(listed["metadata"]["llama.block_count"], 2)
        self.assertEqual(listed["metadata"]["tokenizer.ggml.tokens"]["count"], 512)
        tensors = {t["name"]: t for t in listed["tensors"]}
        self.assertEqual(tensors["token_embd.weight"]["dims"], [256, 512])
        self.assertEqual(tensors["token_embd.weight"]["bytes"], 256 * 512 // 32 * 34)
        self.assertTrue(all(step["device"] == "cpu:0" for step in listed["steps"]), listed["steps"][:1])
        self.assertEqual(sum(step["weight_bytes"] > 0 for step in listed["steps"]) > 4, True)
        memory = listed["memory"][0]
        self.assertEqual(set(memory), {"device", "weights", "workspace", "cache_fixed", "cache_page",
                                       "page_tokens", "cache_sequence", "cache_full", "mapped"})
        self.assertEqual(memory["page_tokens"], 32)
        # two layers, two heads of 64 for keys and values, f16
        self.assertEqual(memory["cache_page"], 32 * 2 * 2 * 2 * 64 * 2)

    def test_inspect_text(self):
        text = self.succeeds("llm-inspect", model(), "--plan", "--memory").out.decode()
        for part in ("general.architecture", "token_embd.weight", "segment 0 on cpu", "workspace"):
            self.assertIn(part, text)

    def test_bench_json(self):
        result = json.loads(self.succeeds("llm-bench", model(), "-p", "16", "-n", "4", "-r", "2", "-t",
                                          "1", "--depth", "32", "--json").out)
        for key in ("prompt_tok_s", "prompt_min", "prompt_max", "decode_tok_s", "decode_min",
                    "decode_max", "depth", "threads", "bytes_per_token", "read_bytes_s",
                    "decode_share"):
            self.assertIn(key, result)
        self.assertGreater(result["prompt_tok_s"], 0)
        self.assertLessEqual(result["decode_min"], result["decode_tok_s"])
        self.assertLessEqual(result["decode_tok_s"], result["decode_max"])
        self.assertEqual((result["depth"], result["threads"]), (32, 1))

    def test_perplexity_json(self):
        result = json.loads(self.succeeds("llm-perplexity", *words("llm-perplexity", model()), "--json",
                                          "--ctx", "128").out)
        self.assertEqual(set(result), {"bits_per_byte", "perplexity", "tokens", "bytes", "window",
                                       "tok_s"})
        # random weights know nothing: about as surprised as by one of 512 equally likely tokens
        self.assertTrue(200 < result["perplexity"] < 4000, result)
        self.assertEqual(result["window"], 128)
        short = scratch("short.txt")
        short.write_text("")
        self.refuses(1, "llm-perplexity", model(), "-f", short, says="few")
        self.refuses(1, "llm-perplexity", *words("llm-perplexity", model()), "--ctx", "100000",
                     says="context")


class Demo(Case):
    """The model that ships with the repository."""

    def test_it_writes(self):
        self.assertLess(DEMO.stat().st_size, 5_000_000)
        out = self.succeeds("llm-run", DEMO, "-p", "The night was", "-n", "100", "--seed", "1").out
        written = re.findall(r"[a-z]+", out.decode().lower())
        self.assertGreater(len(written), 40)
        common = sum(word in ("the", "and", "of", "to", "a", "in", "was", "he", "his", "that", "it",
                              "with", "had", "i", "not", "her", "she", "as", "at", "you")
                     for word in written)
        self.assertGreater(common, len(written) // 8)  # about a third of any English prose

    def test_it_knows_english(self):
        """Prose surprises it less than the same words turned around."""
        bits = []
        for name, text in (("prose", PROSE), ("turned", " ".join(reversed(PROSE.split())))):
            path = scratch(name + ".txt")
            path.write_text(text)
            bits.append(json.loads(self.succeeds("llm-perplexity", DEMO, "-f", path, "--json").out)
                        ["bits_per_byte"])
        self.assertLess(bits[0], 2.6)
        self.assertLess(bits[0] + 0.5, bits[1])


    def test_whole_numbers_do_not_cost_it_words(self):
        """Eight bits for activations change its perplexity by less than 0.2 %."""
        path = scratch("prose.txt")
        path.write_text(PROSE)
        found = [json.loads(self.succeeds("llm-perplexity", DEMO, "-f", path, "--json", "--device", device).out)
                 ["perplexity"] for device in ("ref", "cpu")]
        self.assertNotEqual(found[0], found[1])
        self.assertLess(abs(found[1] / found[0] - 1), 0.002, found)


class Times(Case):
    def test_headers_are_quick(self):
        begin = time.monotonic()
        self.succeeds("llm-inspect", model())
        self.assertLess(time.monotonic() - begin, 5)


if __name__ == "__main__":
    main()
