"""The chain from logits to a token."""

from __future__ import annotations

import ctypes as c
from typing import Any

from . import _ffi
from ._ffi import check, lib


class Sampler:
    """Samplers in the order they are added: `Sampler(seed=1).add("top-k", k=40).add("temperature", temp=0.8)`.
    Sessions keep a copy, so one may be given to many."""

    def __init__(self, seed: int = 0):
        self._runtime, self._handle = c.c_void_p(), c.c_void_p()
        check(lib.llm_runtime_create(None, c.byref(self._runtime)))
        check(lib.llm_sampler_create(self._runtime, c.byref(self._handle)))
        check(lib.llm_sampler_seed(self._handle, seed))

    def __del__(self) -> None:
        lib.llm_sampler_destroy(getattr(self, "_handle", None))
        lib.llm_runtime_destroy(getattr(self, "_runtime", None))

    def add(self, name: str, **params: Any) -> Sampler:
        """Parameters are numbers, booleans, texts, or lists of ints or floats. Keys keep their names, with `_`
        as in the library."""
        kept: list[Any] = []
        array = (_ffi.Param * max(1, len(params)))()
        for slot, (key, value) in zip(array, params.items()):
            slot.key = key.encode()
            _fill(slot, value, kept)
        check(lib.llm_sampler_add(self._handle, name.encode(), array, len(params)))
        return self


def _fill(slot: _ffi.Param, value: Any, kept: list[Any]) -> None:
    if isinstance(value, bool):
        slot.kind, slot.value.i = _ffi.KIND_BOOL, int(value)
    elif isinstance(value, int):
        slot.kind, slot.value.i = _ffi.KIND_INT, value
    elif isinstance(value, float):
        slot.kind, slot.value.f = _ffi.KIND_FLOAT, value
    elif isinstance(value, str):
        slot.kind, slot.value.s = _ffi.KIND_STRING, value.encode()
    else:
        items = list(value)
        floats = any(isinstance(i, float) for i in items)
        array = ((c.c_float if floats else c.c_int32) * max(1, len(items)))(*items)
        kept.append(array)
        slot.kind = _ffi.KIND_FLOATS if floats else _ffi.KIND_TOKENS
        slot.count, slot.value.p = len(items), c.cast(array, c.c_void_p)
