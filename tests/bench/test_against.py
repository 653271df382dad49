#!/usr/bin/env python3
"""The comparison with other programs, with a stand-in for one.

    test_against.py FOLDER-OF-PROGRAMS"""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAMS = pathlib.Path(sys.argv[1])
AGAINST = pathlib.Path(__file__).with_name("against.py")
# Prompts at 100 tokens per second, decoding at 7; less at a depth.
STAND_IN = """#!/usr/bin/env python3
import json, os, sys
if "--help" in sys.argv:
    print("  -n, --n-gen <n>\\n  -d, --n-depth <n>")
    sys.exit()
value = {a: b for a, b in zip(sys.argv, sys.argv[1:])}
assert os.path.getsize(value["-m"]) > 1000 and value["-o"] == "json" and value["-ctk"] == "f16"
slower = 2 if "-d" in value else 1
tests = [(int(value["-p"]), 0, 100 / slower), (0, int(value["-n"]), 7 / slower)]
print(json.dumps([{"n_prompt": p, "n_gen": n, "avg_ts": rate} for p, n, rate in tests if p + n > 0]))
"""


class Against(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="llm-against-")
        self.addCleanup(self.scratch.cleanup)
        self.peer = pathlib.Path(self.scratch.name) / "llama-bench"
        self.peer.write_text(STAND_IN)
        self.peer.chmod(0o755)

    def compare(self, *more):
        done = subprocess.run(
            [sys.executable, AGAINST, "--programs", PROGRAMS, "--against", self.peer, "--shapes", "tiny,layers=1,vocab=300",
             "--formats", "q8_0", "--rounds", "1", "--prompt", "8", "--tokens", "2", *more], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_a_table_with_both(self):
        lines = self.compare("--tests", "prompt decode@16").splitlines()
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
        self.assertEqual(cells[0], ["shape", "format", "test", "libllm", "llama.cpp", "× llama.cpp", "% libllm", "% llama.cpp"])
        for row, test, theirs in ((cells[2], "prompt", 100.0), (cells[3], "decode@16", 3.5)):
            self.assertEqual(row[:3], ["tiny,layers=1,vocab=300", "q8_0", test])
            self.assertEqual(float(row[4]), theirs)
            self.assertAlmostEqual(float(row[5]), float(row[3]) / theirs, delta=0.02 * float(row[5]))
        self.assertEqual(len(cells), 4)

    def test_json_has_the_limits_and_models_are_kept(self):
        found = json.loads(self.compare("--tests", "decode", "--json", "--keep", self.scratch.name))
        self.assertGreater(found["limits"]["read_bytes_s"], 1e8)
        rates = found["results"][0]["rates"]
        self.assertEqual(rates["llama.cpp"], 7)
        self.assertGreater(rates["libllm"], 0)
        self.assertEqual([path.suffix for path in pathlib.Path(self.scratch.name).iterdir()].count(".gguf"), 1)

    def test_only_benchmarks_are_taken(self):
        self.peer.write_text("#!/bin/sh\necho nothing\n")
        done = subprocess.run([sys.executable, AGAINST, "--against", self.peer], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("is no llama-bench", done.stderr)


if __name__ == "__main__":
    ended = unittest.main(argv=sys.argv[:1], exit=False, verbosity=2)
    sys.exit(0 if ended.result.wasSuccessful() else 1)
