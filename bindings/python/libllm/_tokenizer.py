"""Text to ids and back."""

from __future__ import annotations

import ctypes as c
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import _ffi
from ._ffi import check, lib

_SPECIALS = ["bos", "eos", "eot", "eom", "unk", "sep", "pad", "cls", "mask"]
_NO_SPECIAL, _LITERAL, _SHOW_SPECIAL = 1, 2, 1


@dataclass(frozen=True)
class Token:
    """`text` as it stands in the vocabulary; `is_end`: it ends a generation."""

    text: bytes
    is_control: bool
    is_end: bool


class Tokenizer:
    """A model's tokenizer. Usable from any thread; keeps its model alive."""

    def __init__(self, handle: c.c_void_p, model: Any):
        self._handle, self._model = handle, model  # the model's bytes may be Python's

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            lib.llm_tokenizer_release(self._handle)

    def __len__(self) -> int:
        return lib.llm_tokenizer_count(self._handle)

    def encode(self, text: str | bytes, *, special: bool = True, literal: bool = False) -> list[int]:
        """Ids of a text. `special`: add BOS and the like by the model's own rules; `literal`: special tokens
        written in the text are just text."""
        data = text.encode() if isinstance(text, str) else bytes(text)
        flags = (0 if special else _NO_SPECIAL) | (_LITERAL if literal else 0)
        count = c.c_uint64(len(data) + 16)  # few schemes make more; then they say how many
        status = _ffi.E_BUFFER
        while status == _ffi.E_BUFFER:
            room = count.value
            ids = (c.c_int32 * room)()
            status = lib.llm_tokenizer_encode(self._handle, data, len(data), flags, ids, room, c.byref(count))
        check(status)
        return list(ids[: count.value])

    def decode_bytes(self, ids: Iterable[int], *, show_special: bool = False) -> bytes:
        array, n = _ffi.ids_array(ids)
        size, flags = c.c_uint64(), _SHOW_SPECIAL if show_special else 0
        status = lib.llm_tokenizer_decode(self._handle, array, n, flags, None, 0, c.byref(size))
        if status != _ffi.E_BUFFER:
            check(status)
        text = c.create_string_buffer(size.value + 1)
        check(lib.llm_tokenizer_decode(self._handle, array, n, flags, text, size.value, c.byref(size)))
        return text.raw[: size.value]

    def decode(self, ids: Iterable[int], *, show_special: bool = False) -> str:
        """The text of ids; bytes that are no UTF-8 become U+FFFD."""
        return self.decode_bytes(ids, show_special=show_special).decode("utf-8", "replace")

    def token(self, token: int) -> Token:
        """An entry of the vocabulary."""
        raw = _ffi.TokenInfo()
        check(lib.llm_tokenizer_token(self._handle, token, c.byref(raw)))
        return Token(c.string_at(raw.text, raw.text_size), bool(raw.is_control), bool(raw.is_end))

    @property
    def bos(self) -> int | None:
        return self._special(0)

    @property
    def eos(self) -> int | None:
        return self._special(1)

    def special(self, name: str) -> int | None:
        """One of bos, eos, eot, eom, unk, sep, pad, cls, mask."""
        return self._special(_SPECIALS.index(name))

    def _special(self, which: int) -> int | None:
        token = lib.llm_tokenizer_special(self._handle, which)
        return None if token < 0 else token
