"""The chain from logits to a token."""

from __future__ import annotations

import ctypes as c
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from . import _ffi
from ._ffi import check, lib

if TYPE_CHECKING:
    from ._tokenizer import Tokenizer

_E_INVALID = -1
_hosts: dict[int, Any] = {}  # callbacks of samplers in Python, until the library lets go of the last copy


@_ffi.NOTIFY
def _let_go(user: int) -> None:
    _hosts.pop(user, None)


class Sampler:
    """Samplers in the order they are added: `Sampler(seed=1).add("top-k", k=40).add("temperature", temp=0.8)`.
    Sessions keep a copy, so one may be given to many."""

    def __init__(self, seed: int = 0):
        self._runtime, self._handle = c.c_void_p(), c.c_void_p()
        check(lib.llm_runtime_create(None, c.byref(self._runtime)))
        check(lib.llm_sampler_create(self._runtime, c.byref(self._handle)))
        self.seed(seed)

    def __del__(self) -> None:
        lib.llm_sampler_destroy(getattr(self, "_handle", None))
        lib.llm_runtime_destroy(getattr(self, "_runtime", None))

    @staticmethod
    def names() -> list[str]:
        """The samplers that add() knows."""
        names: list[str] = []
        while (name := lib.llm_sampler_name_at(len(names))) is not None:
            names.append(name.decode())
        return names

    def add(self, name: str, **params: Any) -> Sampler:
        """Parameters are numbers, booleans, texts, or lists of ints or floats. Keys keep their names, with `_`
        as in the library."""
        kept: list[Any] = []
        array = (_ffi.Param * max(1, len(params)))()
        for slot, (key, value) in zip(array, params.items()):
            _ffi.fill_param(slot, key, value, kept)
        check(lib.llm_sampler_add(self._handle, _ffi.text(name), array, len(params)))
        return self

    def add_function(self, apply: Callable[[Any], int | None], *, accept: Callable[[int], Any] | None = None,
                     reset: Callable[[], Any] | None = None) -> Sampler:
        """A sampler in Python. `apply` sees an array of candidates with `.id` and `.logit`; it may change logits
        (-inf removes a candidate) and may pick one by returning its index. What it raises comes out of the call
        that sampled. All copies of the chain share the functions."""

        def call(_: int, candidates: Any, count: int, chosen: Any) -> int:
            picked = apply((_ffi.Candidate * count).from_address(c.addressof(candidates.contents)))
            if picked is not None:
                chosen[0] = picked
            return _ffi.OK

        host = _ffi.SamplerClass(
            apply=_ffi.callback(_ffi.APPLY, call, _E_INVALID), destroy=_let_go,
            accept=_ffi.callback(_ffi.ACCEPT, accept and (lambda _, token: accept(token))),
            reset=_ffi.callback(_ffi.NOTIFY, reset and (lambda _: reset())))
        key = id(host)
        _hosts[key] = host
        status = lib.llm_sampler_add_host(self._handle, c.byref(host), key)
        if status < 0:
            del _hosts[key]
        check(status)
        return self

    def seed(self, seed: int) -> None:
        """The same seed, model and prompt give the same text."""
        check(lib.llm_sampler_seed(self._handle, seed))

    def reset(self) -> None:
        """Starts a new generation."""
        check(lib.llm_sampler_reset(self._handle))

    def pick(self, logits: Iterable[float], history: Iterable[int] = (),
             tokenizer: Tokenizer | None = None) -> int:
        """A token for raw logits, outside of any session, and accepts it."""
        values, n_logits = _ffi.float_array(logits)
        ids, n_ids = _ffi.ids_array(history)
        token = c.c_int32()
        check(lib.llm_sampler_pick(self._handle, tokenizer._handle if tokenizer else None, values, n_logits, ids,
                                   n_ids, c.byref(token)))
        return token.value
