"""Model files."""

from __future__ import annotations

import ctypes as c
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from . import _ffi
from ._ffi import Error, check, lib
from ._sampler import Sampler
from ._session import Session
from ._tokenizer import Tokenizer

_LOAD_ALL, _LOAD_HEADER, _LOAD_VOCAB = 0, 1, 2
_E_NOT_FOUND = -6


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


class Model:
    """An open model. Sessions made from it share one cache; close it (or leave the `with`) when done."""

    def __init__(self, path: str | os.PathLike[str], *, devices: str | None = None, threads: int = 0,
                 budget: int = 0, context: int = 0, cache_type: str | None = None,
                 vocabulary_only: bool = False,
                 progress: Callable[[int, int], bool | None] | None = None):
        self._handle, self._runtime, self._engine = c.c_void_p(), c.c_void_p(), c.c_void_p()
        wrapped = _ffi.PROGRESS((lambda _, done, total: int(bool(progress(done, total)))) if progress else 0)
        params = _ffi.ModelParams(load=_LOAD_VOCAB if vocabulary_only else _LOAD_ALL, context=context,
                                  devices=devices.encode() if devices else None, budget=budget,
                                  progress=wrapped)
        runtime = _ffi.RuntimeParams(threads=threads)
        check(lib.llm_runtime_create(c.byref(runtime), c.byref(self._runtime)))
        try:
            check(lib.llm_model_open(self._runtime, os.fsencode(path), c.byref(params), c.byref(self._handle)))
            if not vocabulary_only:
                shape = _ffi.EngineParams(cache_type=cache_type.encode() if cache_type else None)
                check(lib.llm_engine_create(self._handle, c.byref(shape), c.byref(self._engine)))
        except Error:
            self.close()
            raise

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
        value, index = _ffi.Metadata(), 0
        while (status := lib.llm_model_metadata_at(self._open(), index, 0, c.byref(value))) == _ffi.OK:
            key = value.key.decode("utf-8", "replace")
            pairs[key] = self._items(index, value) if value.is_array else _python_value(value)
            index += 1
        if status != _E_NOT_FOUND:
            check(status)
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
        return Tokenizer(handle)

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


def _python_value(value: _ffi.Metadata) -> Any:
    if value.kind == _ffi.KIND_STRING:
        return c.string_at(value.text, value.text_size).decode("utf-8", "replace")
    if value.kind == _ffi.KIND_FLOAT:
        return value.number
    return bool(value.integer) if value.kind == _ffi.KIND_BOOL else value.integer
