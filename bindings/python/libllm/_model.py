"""Model files."""

from __future__ import annotations

import ctypes as c
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from . import _ffi
from ._ffi import check, lib
from ._sampler import Sampler
from ._session import Progress, Session
from ._tokenizer import Tokenizer

_LOAD_ALL, _LOAD_HEADER, _LOAD_VOCAB = 0, 1, 2
_NO_SHARING, _UNFUSED, _FAST = 1, 2, 4


@dataclass(frozen=True)
class ModelInfo:
    architecture: str
    n_vocab: int
    n_layers: int
    width: int
    context: int
    parameters: int
    file_bytes: int
    makes_text: bool


@dataclass(frozen=True)
class Tensor:
    """The first of `dims` lies contiguous."""

    name: str
    format: str
    dims: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class Step:
    device: str
    segment: int
    text: str
    flops: int
    weight_bytes: int


@dataclass(frozen=True)
class Device:
    id: str
    name: str
    threads: int
    memory_total: int
    memory_free: int


def devices() -> list[Device]:
    """The devices that models can be placed on."""
    runtime, raw = c.c_void_p(), _ffi.DeviceInfo()
    check(lib.llm_runtime_create(None, c.byref(runtime)))
    try:
        return [Device(raw.id.decode(), raw.name.decode("utf-8", "replace"), raw.threads, raw.memory_total,
                       raw.memory_free)
                for _ in _ffi.each(lambda i: lib.llm_runtime_device_at(runtime, i, c.byref(raw)))]
    finally:
        lib.llm_runtime_destroy(runtime)


def _numbers(raw: Any) -> dict[str, Any]:
    """A structure of plain numbers and texts as a dictionary."""
    values = {name: getattr(raw, name) for name, _ in raw._fields_ if name not in ("struct_size", "reserved")}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


class Model:
    """An open model. Sessions made from it share one cache; close it (or leave the `with`) when done.

    `path` is a path or an open file descriptor. `progress(done, total)` is called while weights load, and may
    return True to cancel. With `header_only` nothing large is read before load(); with `vocabulary_only` there
    are metadata and tokenizer alone, of any architecture. `read` copies the file instead of mapping it.
    `log(level, line)` may be called on any thread."""

    def __init__(self, path: str | os.PathLike[str] | int, *, header_only: bool = False,
                 vocabulary_only: bool = False, progress: Progress | None = None, **options: Any):
        if isinstance(path, int):
            self._start(lambda *rest: lib.llm_model_open_fd(self._runtime, path, *rest), header_only,
                        vocabulary_only, progress, **options)
        else:
            name = _ffi.path(path)
            self._start(lambda *rest: lib.llm_model_open(self._runtime, name, *rest), header_only,
                        vocabulary_only, progress, **options)

    @classmethod
    def from_bytes(cls, data: bytes, *, header_only: bool = False, vocabulary_only: bool = False,
                   progress: Progress | None = None, **options: Any) -> Model:
        """From a file's bytes, which are not copied."""
        model = object.__new__(cls)
        model._start(lambda *rest: lib.llm_model_open_memory(model._runtime, data, len(data), *rest), header_only,
                     vocabulary_only, progress, keep=data, **options)
        return model

    @classmethod
    def from_reader(cls, size: int, read: Callable[[int, int], bytes], *, header_only: bool = False,
                    vocabulary_only: bool = False, progress: Progress | None = None, **options: Any) -> Model:
        """From a function that answers `read(offset, size)` of a file of `size` bytes; it may be called from any
        thread that uses the model."""

        def fill(_: int, offset: int, into: int, n: int) -> int:
            data = read(offset, n)
            if len(data) != n:
                raise ValueError(f"the reader gave {len(data)} bytes where {n} were wanted")
            c.memmove(into, data, n)
            return _ffi.OK

        model = object.__new__(cls)
        reader = _ffi.Reader(size=size, read=_ffi.callback(_ffi.READ, fill, 1))
        model._start(lambda *rest: lib.llm_model_open_callbacks(model._runtime, c.byref(reader), *rest),
                     header_only, vocabulary_only, progress, keep=reader, **options)
        return model

    def _start(self, opener: Callable[..., int], header_only: bool, vocabulary_only: bool,
               progress: Progress | None, *, devices: str | None = None, threads: int = 0, budget: int = 0,
               context: int = 0, read: bool = False, log: Callable[[int, str], Any] | None = None, keep: Any = None,
               **engine: Any) -> None:
        self._handle, self._runtime, self._engine = c.c_void_p(), c.c_void_p(), c.c_void_p()
        line = _ffi.LOG((lambda _, level, text: log(level, text.decode("utf-8", "replace"))) if log else 0)
        self._kept = keep, line  # as long as any session or tokenizer of this model
        self._shape = _engine_params(**engine)
        params = _ffi.ModelParams(
            load=_LOAD_VOCAB if vocabulary_only else _LOAD_HEADER if header_only else _LOAD_ALL, source=int(read),
            context=context, devices=_ffi.text(devices), budget=budget, progress=_ffi.progress(progress))
        check(lib.llm_runtime_create(c.byref(_ffi.RuntimeParams(threads=threads, log=line)), c.byref(self._runtime)))
        try:
            check(opener(c.byref(params), c.byref(self._handle)))
            if not (header_only or vocabulary_only):
                self.load()
        except BaseException:
            self.close()
            raise

    def load(self, progress: Progress | None = None) -> None:
        """Loads the weights of a model that was opened with `header_only`."""
        check(lib.llm_model_load(self._open(), _ffi.progress(progress), None))
        if not self._engine:
            check(lib.llm_engine_create(self._handle, c.byref(self._shape), c.byref(self._engine)))

    def close(self) -> None:
        lib.llm_engine_release(getattr(self, "_engine", None))
        lib.llm_model_release(getattr(self, "_handle", None))
        lib.llm_runtime_destroy(getattr(self, "_runtime", None))
        self._engine = self._handle = self._runtime = c.c_void_p()

    __del__ = close

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()

    def _open(self) -> c.c_void_p:
        if not self._handle:
            raise ValueError("the model is closed")
        return self._handle

    @property
    def info(self) -> ModelInfo:
        raw = _ffi.ModelInfo()
        check(lib.llm_model_get_info(self._open(), c.byref(raw)))
        return ModelInfo(raw.architecture.decode(), raw.n_vocab, raw.n_layers, raw.width, raw.context,
                         raw.parameters, raw.file_bytes, bool(raw.makes_text))

    @property
    def metadata(self) -> dict[str, Any]:
        """All metadata; arrays as lists."""
        pairs: dict[str, Any] = {}
        value = _ffi.Metadata()
        for index in _ffi.each(lambda i: lib.llm_model_metadata_at(self._open(), i, 0, c.byref(value))):
            key = value.key.decode("utf-8", "replace")
            pairs[key] = self._items(index, value) if value.is_array else _python_value(value)
        return pairs

    def _items(self, index: int, value: _ffi.Metadata) -> list[Any]:
        items = []
        for item in range(value.count):
            check(lib.llm_model_metadata_at(self._handle, index, item, c.byref(value)))
            items.append(_python_value(value))
        return items

    @property
    def tokenizer(self) -> Tokenizer:
        handle = c.c_void_p()
        check(lib.llm_model_tokenizer(self._open(), c.byref(handle)))
        return Tokenizer(handle, self)

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors of the file, in its order."""
        raw = _ffi.TensorInfo()
        return [Tensor(raw.name.decode("utf-8", "replace"), raw.format.decode(), tuple(raw.dims[: raw.n_dims]),
                       raw.bytes)
                for _ in _ffi.each(lambda i: lib.llm_model_tensor_at(self._open(), i, c.byref(raw)))]

    def tensor_values(self, index: int, first: int = 0, count: int | None = None) -> Any:
        """Values of the index-th tensor as floats: a numpy array, or a list without numpy."""
        raw = _ffi.TensorInfo()
        check(lib.llm_model_tensor_at(self._open(), index, c.byref(raw)))
        n = math.prod(raw.dims) - first if count is None else count
        values = (c.c_float * max(1, n))()
        check(lib.llm_model_tensor_values(self._open(), index, first, n, values))
        return _ffi.numbers(values, n)

    @property
    def steps(self) -> list[Step]:
        """What the devices will run."""
        raw = _ffi.StepInfo()
        return [Step(raw.device.decode(), raw.segment, raw.text.decode("utf-8", "replace"), raw.flops,
                     raw.weight_bytes)
                for _ in _ffi.each(lambda i: lib.llm_model_step_at(self._open(), i, c.byref(raw)))]

    def plan(self, **engine: Any) -> list[dict[str, Any]]:
        """The exact memory of each device: for this model's sessions, or for an engine of other parameters."""
        raw, shape = _ffi.MemoryPlan(), _engine_params(**engine) if engine else self._shape
        return [_numbers(raw)
                for _ in _ffi.each(lambda i: lib.llm_model_plan(self._open(), c.byref(shape), i, c.byref(raw)))]

    @property
    def stats(self) -> dict[str, int]:
        """What the sessions' engine has done so far and holds now."""
        raw = _ffi.EngineStats()
        check(lib.llm_engine_get_stats(self._engine, c.byref(raw)))
        return _numbers(raw)

    @property
    def memory(self) -> dict[str, int]:
        """Host memory that the model and all that was made from it hold."""
        raw = _ffi.MemoryUse()
        check(lib.llm_runtime_memory(self._runtime, c.byref(raw)))
        return _numbers(raw)

    def trim(self) -> None:
        """Gives back cache pages that are only kept for reuse."""
        check(lib.llm_engine_trim(self._engine))

    def session(self, **options: Any) -> Session:
        """A new timeline; options as Session takes them."""
        return Session(self, **options)

    def generate(self, prompt: str | Iterable[int], *, max_tokens: int | None = None,
                 sampler: Sampler | None = None, stop: str | Iterable[str] = ()) -> Iterator[str]:
        """Continues a text, piece by piece."""
        with self.session(max_tokens=max_tokens, sampler=sampler, stop=stop) as session:
            session.feed(prompt)
            yield from session.generate()

    def embed(self, what: str | Iterable[int]) -> list[float]:
        """The pooled embedding of a text or ids, for encoder models."""
        ids, n = _ffi.ids_array(self.tokenizer.encode(what) if isinstance(what, str) else what)
        width, count = self.info.width, c.c_uint32()
        values = (c.c_float * width)()
        check(lib.llm_embed(self._open(), self._engine, ids, n, values, width, c.byref(count)))
        return list(values[: count.value])


def _engine_params(*, cache_type: str | None = None, no_sharing: bool = False, unfused: bool = False,
                   fast: bool = False, **numbers: int) -> _ffi.EngineParams:
    """As llm_engine_params: page_tokens, max_rows, max_sequences, max_outputs, state_interval, cache_budget."""
    known = {name for name, kind in _ffi.EngineParams._fields_ if name not in ("struct_size", "flags", "cache_type")}
    if unknown := set(numbers) - known:
        raise TypeError(f"unexpected options: {', '.join(sorted(unknown))}")
    flags = no_sharing * _NO_SHARING | unfused * _UNFUSED | fast * _FAST
    return _ffi.EngineParams(flags=flags, cache_type=_ffi.text(cache_type), **numbers)


def _python_value(value: _ffi.Metadata) -> Any:
    if value.kind == _ffi.KIND_STRING:
        return c.string_at(value.text, value.text_size).decode("utf-8", "replace")
    if value.kind == _ffi.KIND_FLOAT:
        return value.number
    return bool(value.integer) if value.kind == _ffi.KIND_BOOL else value.integer
