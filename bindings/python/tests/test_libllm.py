"""The binding as its users use it, on the tiny reference model of the repository and, where an environment
variable names the folder, on a real one."""

import ctypes
import os
import pathlib
import threading

import pytest

import libllm
from libllm import _ffi

DATA = pathlib.Path(__file__).resolve().parents[3] / "tests" / "model" / "data"
PROMPT = [13, 41, 32, 33, 47, 45, 58, 17, 35, 13]


def reference(name, key):
    for line in (DATA / f"{name}.ref").read_text().splitlines():
        if line.startswith(key + " "):
            return [int(word) for word in line.split()[1:]]
    raise KeyError(key)


@pytest.fixture(scope="module")
def model():
    with libllm.Model(DATA / "llama.gguf") as opened:
        yield opened


def test_version():
    assert libllm.version().count(".") == 2


def test_info_and_metadata(model):
    assert model.info.architecture == "llama"
    assert model.info.makes_text
    assert model.metadata["general.architecture"] == "llama"
    assert model.metadata["llama.block_count"] == model.info.n_layers


def test_generates_what_the_reference_does(model):
    greedy = reference("llama", "greedy")
    with model.session(max_tokens=len(greedy)) as session:
        session.feed(reference("llama", "tokens"))
        made = []
        while (piece := session.next()) is not None:
            made.append(piece.token)
        assert made == greedy
        assert session.finish == "length"
        assert session.tokens[-len(greedy):] == greedy


def test_logits(model):
    numpy = pytest.importorskip("numpy")
    with model.session() as session:
        session.feed(PROMPT)
        logits = session.logits()
        assert logits.shape == (model.info.n_vocab,)
        assert session.next().token == int(numpy.argmax(logits))


def test_probabilities(model):
    with model.session(top_n=3) as session:
        session.feed(PROMPT)
        piece = session.next()
        assert len(piece.top) == 3
        assert piece.top[0] == (piece.token, piece.logprob)
        assert piece.top[0][1] >= piece.top[1][1] >= piece.top[2][1]


def test_fork_rewind_sync_save(model, tmp_path):
    with model.session() as session:
        session.feed(PROMPT)
        first = session.next().token
        fork = session.fork()
        assert fork.next().token == session.next().token
        fork.rewind(len(PROMPT))
        assert fork.next().token == first
        session.save(tmp_path / "state")
        fork.load(tmp_path / "state")
        assert fork.tokens == session.tokens
        assert fork.sync(PROMPT + [first]) > 0
        fork.close()


def test_sampler(model):
    def sample(seed):
        sampler = libllm.Sampler(seed).add("top-k", k=30).add("temperature", temp=1.2)
        with model.session(sampler=sampler, max_tokens=20) as session:
            session.feed(PROMPT)
            while session.next() is not None:
                pass
            return session.tokens

    assert sample(1) == sample(1)
    assert len({tuple(sample(seed)) for seed in range(4)}) > 1
    with pytest.raises(libllm.Error) as refused:
        libllm.Sampler().add("top-k", q=1)
    assert refused.value.name == "LLM_E_INVALID"


def test_cancel(model):
    with model.session() as session:
        session.feed(PROMPT)
        session.start()
        assert session.next() is not None
        stopper = threading.Thread(target=session.cancel)
        stopper.start()
        stopper.join()
        assert session.next() is None
        assert session.finish == "cancel"


def test_errors(model, tmp_path):
    with pytest.raises(libllm.Error) as missing:
        libllm.Model(tmp_path / "absent.gguf")
    assert missing.value.name == "LLM_E_NOT_FOUND"
    assert "absent.gguf" in str(missing.value)
    (tmp_path / "broken.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    with pytest.raises(libllm.Error) as broken:
        libllm.Model(tmp_path / "broken.gguf")
    assert broken.value.name == "LLM_E_FORMAT"
    with model.session() as session, pytest.raises(libllm.Error):
        session.feed([1 << 20])
    with pytest.raises(libllm.Error):
        model.tokenizer


def test_progress_can_cancel(tmp_path):
    with pytest.raises(libllm.Error) as cancelled:
        libllm.Model(DATA / "llama.gguf", progress=lambda done, total: True)
    assert cancelled.value.name == "LLM_E_CANCELLED"


def test_structures_have_the_sizes_of_the_headers():
    """Fields are only ever appended, so a size that differs means this file is behind the headers."""
    sizes = {_ffi.ModelParams: 48, _ffi.SessionParams: 56, _ffi.Piece: 48, _ffi.FeedParams: 48,
             _ffi.EngineParams: 48, _ffi.Param: 24, _ffi.Metadata: 64}
    assert {s: ctypes.sizeof(s) for s in sizes} == sizes


@pytest.mark.skipif("LIBLLM_TESTDATA" not in os.environ, reason="needs LIBLLM_TESTDATA")
def test_text_of_a_real_model():
    folder = pathlib.Path(os.environ["LIBLLM_TESTDATA"]) / "models" / "stories260K"
    with libllm.Model(folder / "stories260K-f32-v3.gguf") as stories:
        tokenizer = stories.tokenizer
        ids = tokenizer.encode("Once upon a time", special=False)
        assert tokenizer.decode(ids) == "Once upon a time"
        text = "".join(stories.generate("Once upon a time", max_tokens=30))
        assert text.startswith(", there was a little girl named Lily.")
        stopped = "".join(stories.generate("Once upon a time", max_tokens=60, stop="Lily"))
        assert stopped == ", there was a little girl named "
