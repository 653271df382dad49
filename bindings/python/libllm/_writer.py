"""Making model files, and the formats their weights can be stored in."""

from __future__ import annotations

import ctypes as c
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _ffi
from ._ffi import check, lib

if TYPE_CHECKING:
    from ._model import Model


@dataclass(frozen=True)
class Format:
    """A storage format: `block` values take `bytes` bytes."""

    name: str
    block: int
    bytes: int
    can_encode: bool
    can_decode: bool


def formats() -> list[Format]:
    """The storage formats that the library knows."""
    raw = _ffi.FormatInfo()
    return [Format(raw.name.decode(), raw.block, raw.bytes, bool(raw.can_encode), bool(raw.can_decode))
            for _ in _ffi.each(lambda i: lib.llm_format_at(i, c.byref(raw)))]


def _importance(weights: Iterable[float] | None, wanted: int) -> Any:
    if weights is None:
        return None
    array, n = _ffi.float_array(weights)
    if n != wanted:
        raise ValueError(f"{n} weights of importance where {wanted} belong")
    return array


def encode(format: str, values: Iterable[float], importance: Iterable[float] | None = None) -> bytes:
    """Values in a storage format; `importance` holds a weight for each."""
    array, n = _ffi.float_array(values)
    weights, size = _importance(importance, n), c.c_uint64()
    status = lib.llm_format_encode(_ffi.text(format), array, n, weights, None, 0, c.byref(size))
    if status != _ffi.E_BUFFER:
        check(status)
    blocks = c.create_string_buffer(size.value + 1)
    check(lib.llm_format_encode(_ffi.text(format), array, n, weights, blocks, size, c.byref(size)))
    return blocks.raw[: size.value]


class Writer:
    """Metadata and the descriptions of all tensors first, then their data in the same order. The file appears with
    finish(), which leaving a `with` without an exception calls."""

    def __init__(self, path: str | os.PathLike[str], container: str = "gguf"):
        self._runtime, self._handle = c.c_void_p(), c.c_void_p()
        self._formats = {f.name: f for f in formats()}
        self._wanted: list[list[int]] = []  # of each tensor: width, bytes to come, block
        check(lib.llm_runtime_create(None, c.byref(self._runtime)))
        check(lib.llm_writer_create(self._runtime, _ffi.path(path), _ffi.text(container), c.byref(self._handle)))

    def close(self) -> None:
        """Gives the file up unless it is finished."""
        lib.llm_writer_destroy(getattr(self, "_handle", None))
        lib.llm_runtime_destroy(getattr(self, "_runtime", None))
        self._handle = self._runtime = c.c_void_p()

    __del__ = close

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        try:
            if kind is None and self._handle:
                self.finish()
        finally:
            self.close()

    def set(self, key: str, value: Any) -> None:
        """Metadata: a number, a truth value, a text, or a list of ints, floats or texts."""
        if isinstance(value, (list, tuple)) and value and all(isinstance(i, str) for i in value):
            texts, n = _ffi.text_array(value)
            check(lib.llm_writer_strings(self._handle, _ffi.text(key), texts, n))
            return
        kept: list[Any] = []
        param = _ffi.Param()
        _ffi.fill_param(param, key, value, kept)
        check(lib.llm_writer_set(self._handle, c.byref(param)))

    def copy_metadata(self, model: Model, without: Iterable[str] = ()) -> None:
        """All metadata of a model as it is there, but for some keys."""
        raw, left_out = _ffi.Metadata(), {_ffi.text(key) for key in without}
        for index in _ffi.each(lambda i: lib.llm_model_metadata_at(model._open(), i, 0, c.byref(raw))):
            if raw.key not in left_out:
                check(lib.llm_writer_copy(self._handle, model._open(), index))

    def tensor(self, name: str, format: str, dims: Iterable[int]) -> None:
        """Announces a tensor; the first of `dims` lies contiguous."""
        listed = [int(d) for d in dims]
        array = (c.c_uint64 * max(1, len(listed)))(*listed)
        check(lib.llm_writer_tensor(self._handle, _ffi.text(name), _ffi.text(format), len(listed), array))
        kind = self._formats[format]
        self._wanted.append([listed[0], math.prod(listed) // kind.block * kind.bytes, kind.block, kind.bytes])

    def values(self, values: Iterable[float], importance: Iterable[float] | None = None) -> None:
        """Encodes whole rows of the tensor whose turn it is; `importance` holds a weight for each column."""
        array, n = _ffi.float_array(values)
        width, _, block, size = self._wanted[0] if self._wanted else (0, 0, 1, 0)
        check(lib.llm_writer_values(self._handle, array, n, _importance(importance, width)))
        self._took(n // block * size)

    def bytes(self, data: bytes) -> None:
        """Data that is encoded already; any pieces, also over the ends of tensors."""
        check(lib.llm_writer_bytes(self._handle, data, len(data)))
        self._took(len(data))

    def _took(self, size: int) -> None:
        while size > 0:
            part = min(size, self._wanted[0][1])
            self._wanted[0][1] -= part
            size -= part
            if self._wanted[0][1] == 0:
                self._wanted.pop(0)

    def finish(self) -> None:
        """Completes the file and puts it under its name."""
        check(lib.llm_writer_finish(self._handle))
        self.close()
