"""The binding as its users use it, on the tiny reference model of the repository and, where an environment
variable names the folder, on a real one."""

import ctypes
import gc
import os
import pathlib
import re
import threading

import pytest

import libllm
from libllm import _ffi, _sampler

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
    sizes = {_ffi.Limits: 48, _ffi.RuntimeParams: 136, _ffi.DeviceInfo: 208, _ffi.MemoryUse: 32, _ffi.ModelParams: 48,
             _ffi.Reader: 32, _ffi.ModelInfo: 144, _ffi.Metadata: 64, _ffi.TensorInfo: 72, _ffi.StepInfo: 280,
             _ffi.MemoryPlan: 104, _ffi.EngineParams: 48, _ffi.EngineStats: 72, _ffi.SessionParams: 56, _ffi.Piece: 48,
             _ffi.FeedParams: 48, _ffi.SamplerClass: 48, _ffi.Candidate: 8, _ffi.TokenInfo: 32, _ffi.FormatInfo: 32,
             _ffi.Param: 24, _ffi.Alternative: 8}
    assert {s: ctypes.sizeof(s) for s in sizes} == sizes


def test_every_function_is_there():
    """Python holds on to objects itself, knows what a dictionary has, and loads one library."""
    needless = {"llm_model_retain", "llm_engine_retain", "llm_tokenizer_retain", "llm_model_metadata_find",
                "llm_format_find", "llm_version"}
    declared = set()
    for header in (DATA.parents[2] / "include" / "llm").glob("*.h"):
        declared |= set(re.findall(r"LLM_API [^;]*?(llm_\w+)\(", header.read_text()))
    assert set(_ffi._PROTOTYPES) == declared - needless


def test_sources(model):
    with model.session() as session:
        session.feed(PROMPT)
        wanted = session.next().token
    data = (DATA / "llama.gguf").read_bytes()
    with open(DATA / "llama.gguf", "rb") as file:
        opened = [libllm.Model(file.fileno()), libllm.Model.from_bytes(bytes(bytearray(data))),
                  libllm.Model.from_reader(len(data), lambda offset, size: data[offset:offset + size]),
                  libllm.Model(DATA / "llama.gguf", read=True, log=lambda level, line: None)]
    for other in opened:
        session = other.session()
        other.close()  # the session keeps what it needs
        del other
        gc.collect()
        session.feed(PROMPT)
        assert session.next().token == wanted
    opened.clear()

    def broken(offset, size):
        raise OSError("the cable is out")

    with pytest.raises(OSError, match="cable"):
        libllm.Model.from_reader(len(data), broken)
    with pytest.raises(ValueError):
        libllm.Model.from_reader(len(data), lambda offset, size: b"")


def test_header_first():
    with libllm.Model(DATA / "llama.gguf", header_only=True, cache_type="f32", page_tokens=64) as model:
        assert model.plan()[0]["page_tokens"] == 64
        assert model.plan(cache_type="f16", page_tokens=64)[0]["cache_page"] * 2 == model.plan()[0]["cache_page"]
        assert model.steps[0].device == "cpu:0"
        assert model.tensors[0].bytes > 0
        with pytest.raises(libllm.Error) as early:
            model.session()
        assert early.value.name == "LLM_E_STATE"
        model.load()
        with model.session() as session:
            session.feed(PROMPT)
        assert model.stats["rows"] == len(PROMPT)
        assert model.memory["bytes"] > 0
        model.trim()
        assert model.stats["pages_cached"] == 0
    with pytest.raises(TypeError):
        libllm.Model(DATA / "llama.gguf", page_token=64)


def test_nul_is_no_end(model):
    with model.session() as session, pytest.raises(ValueError):
        session.feed("a\0b")
    with pytest.raises(ValueError):
        model.session(stop="a\0b")
    with pytest.raises(ValueError):
        libllm.Model("a\0b.gguf")


def test_feeding_can_be_stopped():
    def stop(done, total):
        raise KeyboardInterrupt

    with libllm.Model(DATA / "llama.gguf", max_rows=16) as model, model.session() as session:
        with pytest.raises(KeyboardInterrupt):
            session.feed(PROMPT * 4, progress=stop)
        assert len(session) == 16
        with pytest.raises(libllm.Error) as cancelled:
            session.sync(PROMPT * 5, progress=lambda done, total: True)
        assert cancelled.value.name == "LLM_E_CANCELLED"


def test_embedding_rows(model):
    with model.session() as session:
        session.feed_embeddings([0.25] * (2 * model.info.width))
        session.feed(PROMPT)
        assert session.tokens == [-1, -1] + PROMPT
        with pytest.raises(ValueError):
            session.feed_embeddings([0.5] * (model.info.width + 1))


def test_saved_as_bytes(model):
    with model.session() as session, model.session() as other:
        session.feed(PROMPT)
        other.load(session.save())
        assert other.tokens == PROMPT
        assert other.next().token == session.next().token
        with pytest.raises(libllm.Error):
            other.load(b"no session")


def test_settings_change(model):
    with model.session() as session:
        session.feed(PROMPT)
        first = session.next().token
        session.rewind(len(PROMPT))
        session.set_sampler(libllm.Sampler().add("logit-bias", tokens=[first], bias=[float("-inf")]))
        assert session.next().token != first
        session.set_sampler(None)
        session.set_stops([], 1)
        session.rewind(len(PROMPT))
        assert session.next().token == first
        assert session.next() is None


def test_sampler_in_python(model):
    taken = []

    def second_best(candidates):
        order = sorted(range(len(candidates)), key=lambda i: -candidates[i].logit)
        return order[1]

    sampler = libllm.Sampler().add_function(second_best, accept=taken.append)
    with model.session(sampler=sampler) as session:
        del sampler, second_best
        gc.collect()
        session.feed(PROMPT)
        logits = list(session.logits())
        token = session.next().token
        assert token == sorted(range(len(logits)), key=lambda i: -logits[i])[1]
        assert taken == [token]
    gc.collect()
    assert not _sampler._hosts  # the library has let go of it

    def broken(candidates):
        raise ZeroDivisionError

    with model.session(sampler=libllm.Sampler().add_function(broken)) as session:
        session.feed(PROMPT)
        with pytest.raises(ZeroDivisionError):
            session.next()


def test_own_loop():
    assert "top-k" in libllm.Sampler.names()
    sampler = libllm.Sampler(3)
    assert sampler.pick([0.0, 2.0, 1.0]) == 1
    sampler.add("penalties", repeat=3.0)
    sampler.add("greedy")
    sampler.reset()
    assert sampler.pick([0.0, 2.0, 1.0], [1]) == 2


def test_writer(model, tmp_path):
    path = tmp_path / "copy.gguf"
    with libllm.Writer(path) as writer:
        writer.copy_metadata(model, without=["general.name"])
        writer.set("general.name", "copy")
        writer.set("test.words", ["a", "b"])
        writer.set("test.numbers", [1, 2, 3])
        for tensor in model.tensors:
            writer.tensor(tensor.name, "f32", tensor.dims)
        for index, tensor in enumerate(model.tensors):
            values = model.tensor_values(index)
            with pytest.raises(ValueError):
                writer.values(values, [1.0] * (tensor.dims[0] + 1))
            writer.values(values, [1.0] * tensor.dims[0])
    with libllm.Model(path) as copy:
        assert copy.metadata["test.words"] == ["a", "b"]
        assert copy.metadata["test.numbers"] == [1, 2, 3]
        assert [t.dims for t in copy.tensors] == [t.dims for t in model.tensors]
        assert list(copy.tensor_values(1)) == list(model.tensor_values(1))
        assert list(copy.tensor_values(1, 4, 2)) == list(model.tensor_values(1))[4:6]
    with pytest.raises(RuntimeError), libllm.Writer(tmp_path / "given-up.gguf"):
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["copy.gguf"]


def test_formats():
    known = {f.name: f for f in libllm.formats()}
    assert (known["q8_0"].block, known["q8_0"].bytes) == (32, 34)
    assert len(libllm.encode("q8_0", [0.5] * 64)) == 68
    assert libllm.encode("f32", [1.0]) == b"\0\0\x80\x3f"
    with pytest.raises(ValueError):
        libllm.encode("q4_k", [0.5] * 256, [1.0])


def test_devices():
    assert libllm.devices()[0].id == "cpu:0"


@pytest.mark.skipif("LIBLLM_TESTDATA" not in os.environ, reason="needs LIBLLM_TESTDATA")
def test_text_of_a_real_model():
    folder = pathlib.Path(os.environ["LIBLLM_TESTDATA"]) / "models" / "stories260K"
    with libllm.Model(folder / "stories260K-f32-v3.gguf") as stories:
        tokenizer = stories.tokenizer
        ids = tokenizer.encode("Once upon a time", special=False)
        assert tokenizer.decode(ids) == "Once upon a time"
        text = "".join(stories.generate("Once upon a time", max_tokens=30))
        assert text.startswith(", there was a little girl named Lily.")
        token = tokenizer.token(tokenizer.bos)
        assert token.is_control and tokenizer.special("bos") == tokenizer.bos
        stopped = "".join(stories.generate("Once upon a time", max_tokens=60, stop="Lily"))
        assert stopped == ", there was a little girl named "
