#!/usr/bin/env python3
"""tests/gpu/run without a GPU: both commands to their ends in the emulation, and what they make of failures.

    test_run.py BUILD-FOLDER"""
import contextlib
import csv
import io
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
BUILD = sys.argv[1]
sys.path.insert(0, str(HERE))

import bench  # noqa: E402
import check  # noqa: E402
from machine import Clock  # noqa: E402


def run(*words):
    return subprocess.run([sys.executable, HERE / "run", *words, "--emulated", "--built", "--build", BUILD], capture_output=True, text=True)


class Commands(unittest.TestCase):
    def test_check_ends_well_and_tells_its_seed(self):
        done = run("check", "--seed", "77")
        self.assertEqual(done.returncode, 0, done.stderr)
        last = done.stdout.splitlines()[-1]
        self.assertRegex(last, r"^3 of 3 checks passed in \d+ s, seed 77$")

    def test_bench_measures_every_part(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "found.csv"
            done = run("bench", "--csv", str(path), "--formats", "q8_0", "--parts", "models", "attention", "matrices")
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        found = {(row["part"], row["format"], row["test"]) for row in rows}
        for wanted in (("models", "q8_0", "decode at 0"), ("models", "q8_0", "prompt of 16"), ("linear", bench.MATRICES[2], "8 rows"),
                       ("own", bench.MATRICES[2], "16 rows"),
                       ("attn", bench.CACHES[0], "decode at 64")):
            self.assertIn(wanted, found)
        shares = [float(row["share"]) for row in rows if row["unit"] in ("tok/s", "us")]
        self.assertTrue(shares and all(share > 0 for share in shares))
        self.assertIn("decode at 0, q8_0", done.stdout)
        self.assertIn("glu_ffn", done.stdout)


class Failures(unittest.TestCase):
    def check(self, script, kind="suite"):
        with contextlib.redirect_stderr(io.StringIO()):
            return check.run_check("some", ["sh", "-c", script], kind, Clock(1))

    def test_names_of_failed_tests(self):
        row, names = self.check("echo '[  FAILED  ] matches ref: a'; echo '[   FAILED  ] pages: b'; echo '[  FAILED  ] 2 test(s), listed below:'; exit 2")
        self.assertEqual(row[:2], ("some", "FAILED"))
        self.assertEqual(names, ["some: matches ref: a", "some: pages: b"])
        self.assertEqual(self.check("exit 3")[1], ["some: ended with 3"])
        self.assertEqual(self.check("exit 0")[1], [])

    def test_what_hangs_is_stopped_and_named(self):
        check.LIMITS["brief"] = 1
        row, names = self.check("echo '[ RUN      ] first'; echo '[       OK ] first'; echo '[ RUN      ] second'; sleep 60", "brief")
        self.assertEqual(row[1], "NOT FINISHED")
        self.assertEqual(names, ["some: stopped in second"])

    def test_a_sanitizer_that_may_not(self):
        row, names = self.check(f"echo '{check.REFUSED}'; exit 1", "sanitizer")
        self.assertEqual((row[1], names), ("not possible on this machine", []))
        self.assertEqual(self.check("exit 9", "sanitizer")[0][1], "FAILED")


class Tables(unittest.TestCase):
    def test_others_beside_ours(self):
        def row(device, form, value, share):
            return {"part": "models", "device": device, "format": form, "shape": "", "rows": "", "test": "decode at 0", "value": value,
                    "unit": "tok/s", "share": share, "of": "reading"}

        rows = [row("cuda", "bf16", 200.0, 0.7), row("torch", "bf16", 150.0, 0.5), row("vulkan", "bf16", 190.0, 0.66)]
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            bench.model_table(rows)
        self.assertEqual(text.getvalue().splitlines()[1].split(), ["decode", "at", "0", "200", "70%", "150", "50%", "0.95"])
        self.assertEqual(list(bench.goals(rows)), [("decode at 0, bf16", 0.85, 0.7), ("Vulkan over CUDA, decode at 0, bf16", 0.9, 0.95)])


if __name__ == "__main__":
    ended = unittest.main(argv=sys.argv[:1], exit=False, verbosity=2)
    sys.exit(0 if ended.result.wasSuccessful() else 1)
