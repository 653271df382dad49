"""rig - runs the built programs as a user would, and makes the small models they are run with."""
import atexit
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAMS = pathlib.Path(sys.argv[1])
TESTDATA = sys.argv[2] if len(sys.argv) > 2 else ""
NAMES = sorted("llm-bench llm-inspect llm-logits llm-perplexity llm-quantize llm-run llm-synth "
               "llm-tokenize".split())
SCRATCH = pathlib.Path(tempfile.mkdtemp(prefix="llm-programs-"))
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)


class Result:
    def __init__(self, done):
        self.rc, self.out, self.err = done.returncode, done.stdout, done.stderr.decode()

    def __repr__(self):
        return f"exit {self.rc}, stdout {self.out[:200]!r}, stderr {self.err[:500]!r}"


def run(name, *args, stdin=b"", under=(), **more):
    """One program to its end, under another where that is asked for; never a shell."""
    command = [*map(str, under), str(PROGRAMS / name), *map(str, args)]
    feed = {} if "stdin_from" in more else {"input": stdin}
    if "stdin_from" in more:
        feed["stdin"] = more.pop("stdin_from")
    return Result(subprocess.run(command, capture_output=True, timeout=120, **feed, **more))


def scratch(name):
    return SCRATCH / name


def model(shape="tiny,layers=2,vocab=512", form="q8_0"):
    """A synthetic model, made once."""
    path = scratch(f"{shape}-{form}.gguf")
    if not path.exists():
        made = run("llm-synth", shape, form, path)
        assert made.rc == 0, made
    return path


def testdata(relative):
    """A file of the external test data: skips when there is none of it, fails when the file lacks."""
    if not TESTDATA:
        raise unittest.SkipTest("no external test data")
    path = pathlib.Path(TESTDATA) / relative
    if not path.exists():
        raise AssertionError(f"the test data lacks {relative}")
    return path


class Case(unittest.TestCase):
    def succeeds(self, name, *args, **more):
        result = run(name, *args, **more)
        self.assertEqual(result.rc, 0, result)
        return result

    def refuses(self, status, name, *args, says="", **more):
        """One clear line on stderr, nothing on stdout."""
        result = run(name, *args, **more)
        self.assertEqual(result.rc, status, result)
        self.assertEqual(result.out, b"", result)
        self.assertEqual(result.err.count("\n"), 1, result)
        self.assertTrue(result.err.startswith(name + ": "), result)
        self.assertIn(says, result.err)
        return result


def main():
    program = unittest.main(module="__main__", argv=sys.argv[:1], exit=False, verbosity=2)
    sys.exit(0 if program.result.wasSuccessful() else 1)
