#!/usr/bin/env python3
"""llm-synth and llm-quantize: every storage format is written, read back and computed with.

    test_making.py FOLDER-OF-PROGRAMS [FOLDER-OF-TEST-DATA]"""
import json
import math
import signal
import struct
import subprocess
import time

from rig import PROGRAMS, Case, main, model, run, scratch, testdata

FORMATS = """f32 f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q5_k q6_k iq1_s iq1_m iq2_xxs iq2_xs iq2_s
    iq3_xxs iq3_s iq4_nl iq4_xs tq1_0 tq2_0 mxfp4 nvfp4 f8_e4m3 e4m3""".split()
MIXTURES = "q3_k_s q3_k_m q3_k_l q4_k_s q4_k_m q5_k_s q5_k_m".split()
SHAPE = "tiny,layers=1,vocab=300,ff=256"


def tensors(path):
    listed = json.loads(run("llm-inspect", path, "--json").out)
    return {t["name"]: t["format"] for t in listed["tensors"]}


def metadata(path):
    return json.loads(run("llm-inspect", path, "--json").out)["metadata"]


class Synth(Case):
    def test_every_format_runs(self):
        for form in FORMATS + MIXTURES:
            with self.subTest(form):
                path = model(SHAPE, form)
                if form in FORMATS:
                    self.assertEqual(tensors(path)["blk.0.ffn_up.weight"], form)
                out = self.succeeds("llm-run", path, "-p", "a", "-n", "3", "--ids").out
                self.assertGreater(len(out.split()), 0)

    def logits(self, path):
        out = scratch("made.f32")
        self.succeeds("llm-logits", path, "--tokens", "1,5,9,200,30", "--out", out)
        data = out.read_bytes()
        return struct.unpack(f"<{len(data) // 4}f", data)

    def test_activations_stay_sane(self):
        for shape in ("tiny", "tiny,layers=12,tied=1", "tiny,experts=4,ff=128",
                      "tiny,arch=mamba2,layers=2"):
            with self.subTest(shape):
                values = self.logits(model(shape, "q8_0"))
                spread = math.sqrt(sum(v * v for v in values) / len(values))
                self.assertTrue(0.1 < spread < 10, spread)

    def test_shapes(self):
        for shape, key, value in (
                ("tiny,width=512,heads=4,kv=1", "llama.attention.key_length", 128),
                ("160M,layers=1,vocab=300", "llama.embedding_length", 768),
                ("moe,layers=1,vocab=300,ff=64", "llama.expert_used_count", 2),
                ("mamba2,layers=1,vocab=300,width=128", "mamba2.ssm.inner_size", 256),
                ("arch=llama,width=128,layers=3,heads=4,kv=2,ff=768,vocab=4096", "llama.block_count", 3)):
            with self.subTest(shape):
                self.assertEqual(metadata(model(shape, "q8_0"))[key], value)

    def test_seeds(self):
        one, same, other = (scratch(f"seed-{i}.gguf") for i in range(3))
        for path, seed in ((one, 5), (same, 5), (other, 6)):
            self.succeeds("llm-synth", SHAPE, "q4_k", path, "--seed", seed)
        self.assertTrue(one.read_bytes() == same.read_bytes())
        self.assertFalse(one.read_bytes() == other.read_bytes())

    def test_rows_that_are_no_blocks(self):
        odd = tensors(model("tiny,layers=1,vocab=300,width=96,heads=3,kv=3,ff=300", "q4_k"))
        self.assertEqual(odd["blk.0.ffn_up.weight"], "q8_0")
        self.assertEqual(odd["blk.0.ffn_down.weight"], "f16")
        self.assertEqual(odd["blk.0.ffn_norm.weight"], "f32")

    def test_mistakes(self):
        out = scratch("none.gguf")
        for shape in ("huge", "tiny,depth=3", "tiny,layers=0", "tiny,layers=x", "tiny,vocab=100",
                      "tiny,heads=3,kv=2", "tiny,experts=2,used=3", "tiny,arch=mamba2,inner=100",
                      "tiny,arch=rnn"):
            with self.subTest(shape):
                self.refuses(2, "llm-synth", shape, "q8_0", out)
        self.refuses(2, "llm-synth", "tiny", "q9_0", out, says="q9_0")
        self.refuses(2, "llm-synth", "tiny", "i32", out, says="i32")
        self.assertFalse(out.exists())


class Quantize(Case):
    def quantize(self, *args, path=None):
        out = scratch("quantized.gguf")
        self.succeeds("llm-quantize", path or model(SHAPE, "f32"), out, *args)
        return out

    def test_every_format(self):
        for form in FORMATS + MIXTURES:
            with self.subTest(form):
                made = tensors(self.quantize(form))
                if form in FORMATS:
                    self.assertEqual(made["blk.0.attn_q.weight"], form)
                self.assertEqual(made["blk.0.attn_norm.weight"], "f32")
                self.assertEqual(made["output_norm.weight"], "f32")

    def test_metadata_is_kept(self):
        before, after = metadata(model(SHAPE, "f32")), metadata(self.quantize("q8_0"))
        self.assertEqual((before.pop("general.file_type"), after.pop("general.file_type")), (0, 7))
        self.assertEqual(after, before)

    def test_f32_is_exact(self):
        self.assertEqual(tensors(self.quantize("f32")), tensors(model(SHAPE, "f32")))
        half = scratch("half.gguf")
        half.write_bytes(self.quantize("f16").read_bytes())
        back = scratch("back.gguf")
        back.write_bytes(self.quantize("f32", path=half).read_bytes())
        # what is f16 already comes through unharmed
        self.assertTrue(self.quantize("f16", path=back).read_bytes() == half.read_bytes())

    def test_mixture(self):
        made = tensors(self.quantize("q4_k_m", path=model("tiny,layers=8,vocab=300", "f16")))
        self.assertEqual(made["output.weight"], "q6_k")
        self.assertEqual(made["token_embd.weight"], "q4_k")
        downs = [made[f"blk.{i}.ffn_down.weight"] for i in range(8)]
        # the first and last eighth, and every third between
        self.assertEqual(downs, [{True: "q6_k", False: "q4_k"}[i in (0, 3, 6, 7)] for i in range(8)])

    def test_exceptions(self):
        made = tensors(self.quantize("q4_0", "--output", "q6_k", "--embedding", "f16", "--keep",
                                     "blk.*.attn_v.weight=f32", "--keep", "*ffn_*=q8_0", "-t", "3"))
        self.assertEqual(made["output.weight"], "q6_k")
        self.assertEqual(made["token_embd.weight"], "f16")
        self.assertEqual(made["blk.0.attn_v.weight"], "f32")
        self.assertEqual(made["blk.0.ffn_down.weight"], "q8_0")
        self.assertEqual(made["blk.0.ffn_norm.weight"], "f32")  # a pattern means matrices
        self.assertEqual(made["blk.0.attn_q.weight"], "q4_0")

    def test_threads_change_nothing(self):
        one = self.quantize("q5_k").read_bytes()
        self.assertTrue(self.quantize("q5_k", "-t", "3").read_bytes() == one)

    def test_any_architecture(self):
        made = tensors(self.quantize("q8_0", path=model("tiny,arch=mamba2,layers=2", "f16")))
        self.assertEqual(made["blk.1.ssm_in.weight"], "q8_0")
        self.assertEqual(made["blk.1.ssm_conv1d.weight"], "f32")
        self.assertEqual(made["blk.1.ssm_a"], "f32")

    def test_summary(self):
        result = self.succeeds("llm-quantize", model(SHAPE, "f32"), scratch("sum.gguf"), "q8_0")
        self.assertRegex(result.err, r"\A\d+ tensors, [\d.]+ [KMG]?i?B before, [\d.]+ [KMG]?i?B after: "
                                     r"8\.[5-9]\d bits per weight, in [\d.]+ s\n\Z")

    def test_mistakes(self):
        out, f32 = scratch("none.gguf"), model(SHAPE, "f32")
        self.refuses(2, "llm-quantize", f32, out, "q9_0", says="q9_0")
        self.refuses(2, "llm-quantize", f32, out, "q8_0", "--output", "q9_0", says="q9_0")
        self.refuses(2, "llm-quantize", f32, out, "q8_0", "--keep", "token_embd.weight", says="--keep")
        self.refuses(1, "llm-quantize", f32, out, "q8_0", "--keep", "nothing*=f32", says="nothing*")
        self.assertEqual(list(out.parent.glob(out.name + "*")), [])  # and nothing half-written

    def test_interrupts_leave_nothing(self):
        out = scratch("stopped.gguf")
        program = subprocess.Popen([PROGRAMS / "llm-quantize", model("tiny,layers=1,width=256,vocab=8192", "f32"),
                                    out, "iq2_xs"])
        while not list(out.parent.glob(out.name + "*")):  # it has begun to write
            self.assertIsNone(program.poll())
            time.sleep(0.01)
        program.send_signal(signal.SIGINT)
        self.assertEqual(program.wait(timeout=120), 128 + signal.SIGINT)
        self.assertEqual(list(out.parent.glob(out.name + "*")), [])

    def test_real_model_stays_itself(self):
        path = testdata("models/stories260K/stories260K-f32-v3.gguf")
        greedy = ["-p", "Once upon a time", "-n", "20", "--temp", "0"]
        wanted = self.succeeds("llm-run", path, *greedy).out
        self.assertEqual(self.succeeds("llm-run", self.quantize("q8_0", path=path), *greedy).out, wanted)


if __name__ == "__main__":
    main()
