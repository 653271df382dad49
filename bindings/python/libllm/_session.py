"""One timeline of tokens."""

from __future__ import annotations

import ctypes as c
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import _ffi
from ._ffi import check, lib
from ._sampler import Sampler

if TYPE_CHECKING:
    from ._model import Model

_FINISH = {1: "eos", 2: "stop", 3: "length", 4: "cancel"}
_SET_MAX_TOKENS = 1
Progress = Callable[[int, int], "bool | None"]


@dataclass
class Piece:
    """A generated token, and the text that became whole with it."""

    text: str
    token: int | None
    logprob: float | None = None
    top: list[tuple[int, float]] = field(default_factory=list)


class Session:
    """Feed it, generate from it, fork it, rewind it, save it. One thread at a time; only cancel() may come
    from elsewhere."""

    def __init__(self, model: Model, *, sampler: Sampler | None = None, max_tokens: int | None = None,
                 stop: str | Iterable[str] = (), top_n: int = 0, context: int = 0, salt: int = 0):
        texts, n_stops = _ffi.text_array([stop] if isinstance(stop, str) else stop)
        params = _ffi.SessionParams(
            set_mask=0 if max_tokens is None else _SET_MAX_TOKENS, engine=model._engine, context=context,
            max_tokens=max_tokens or 0, sampler=sampler._handle if sampler else None, stops=texts,
            n_stops=n_stops, top_n=top_n, salt=salt)
        self._model, self._top_n = model, top_n
        self._handle, self._ticket = c.c_void_p(), c.c_uint64()
        self.finish: str | None = None
        check(lib.llm_session_create(model._open(), c.byref(params), c.byref(self._handle)))

    def close(self) -> None:
        if getattr(self, "_handle", None):
            lib.llm_session_destroy(self._handle)
            self._handle = c.c_void_p()

    __del__ = close

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()

    def __len__(self) -> int:
        return lib.llm_session_length(self._handle)

    # --- the timeline -----------------------------------------------------------------------------

    def feed(self, what: str | Iterable[int], *, special: bool = True, literal: bool = False,
             progress: Progress | None = None) -> None:
        """Appends a text or ids. `progress(done, total)` is called with tokens, and may return True to cancel;
        `special` and `literal` mean what they do to Tokenizer.encode()."""
        params = _ffi.FeedParams(progress=_ffi.progress(progress))
        if isinstance(what, str):
            params.encode_flags = (0 if special else 1) | (2 if literal else 0)
            check(lib.llm_session_feed_text(self._handle, _ffi.text(what), c.byref(params)))
        else:
            ids, n = _ffi.ids_array(what)
            check(lib.llm_session_feed(self._handle, ids, n, c.byref(params)))

    def feed_embeddings(self, rows: Iterable[float], *, progress: Progress | None = None) -> None:
        """Appends rows of the model's width, one behind the other, in place of tokens."""
        params = _ffi.FeedParams(progress=_ffi.progress(progress))
        values, n = _ffi.float_array(rows)
        width = self._model.info.width
        if n % width != 0:
            raise ValueError(f"{n} values are no whole rows of {width}")
        check(lib.llm_session_feed_embeddings(self._handle, values, n // width, c.byref(params)))

    def sync(self, ids: Iterable[int], *, progress: Progress | None = None) -> int:
        """Makes the timeline exactly these ids; returns how many were not computed again."""
        params = _ffi.FeedParams(progress=_ffi.progress(progress))
        array, n = _ffi.ids_array(ids)
        reused = c.c_uint64()
        check(lib.llm_session_sync(self._handle, array, n, c.byref(params), c.byref(reused)))
        return reused.value

    def rewind(self, n_tokens: int) -> None:
        check(lib.llm_session_rewind(self._handle, n_tokens))

    def fork(self) -> Session:
        """A second session with the same timeline; nothing is copied until one of them writes."""
        other = object.__new__(Session)
        other._model, other._top_n, other.finish = self._model, self._top_n, self.finish
        other._handle, other._ticket = c.c_void_p(), c.c_uint64()
        check(lib.llm_session_fork(self._handle, c.byref(other._handle)))
        return other

    @property
    def tokens(self) -> list[int]:
        n = len(self)
        ids, count = (c.c_int32 * max(1, n))(), c.c_uint64()
        check(lib.llm_session_tokens(self._handle, 0, ids, n, c.byref(count)))
        return list(ids[: count.value])

    def logits(self) -> Any:
        """Logits behind the last token: a numpy array, or a list without numpy."""
        values, count = _ffi._FLOATS(), c.c_uint32()
        check(lib.llm_session_logits(self._handle, c.byref(values), c.byref(count)))
        return _ffi.numbers(values, count.value)

    # --- generating -------------------------------------------------------------------------------

    def next(self) -> Piece | None:
        """The next piece, or None when the generation has ended; `finish` then says why."""
        piece = _ffi.Piece()
        if check(lib.llm_session_next(self._handle, c.byref(piece))) == _ffi.DONE:
            self.finish = _FINISH[piece.finish]
            return None
        text = c.string_at(piece.text, piece.size).decode("utf-8", "replace") if piece.size else ""
        token = None if piece.token < 0 else piece.token
        top = [(piece.top[i].id, piece.top[i].logprob) for i in range(piece.n_top)]
        return Piece(text, token, piece.logprob if self._top_n else None, top)

    def generate(self) -> Iterator[str]:
        """Texts until the generation ends."""
        while (piece := self.next()) is not None:
            if piece.text:
                yield piece.text

    def set_sampler(self, sampler: Sampler | None) -> None:
        """Another sampler, with a fresh state; None: always the most likely token."""
        check(lib.llm_session_set_sampler(self._handle, sampler._handle if sampler else None))

    def set_stops(self, stop: str | Iterable[str], max_tokens: int | None = None) -> None:
        """Other texts that end a generation, and another bound for it."""
        texts, n = _ffi.text_array([stop] if isinstance(stop, str) else stop)
        check(lib.llm_session_set_stops(self._handle, texts, n, max_tokens or 0))

    def start(self) -> None:
        """Opens a new generation, which cancel() can stop."""
        check(lib.llm_session_ticket(self._handle, c.byref(self._ticket)))

    def cancel(self) -> None:
        """Stops the generation opened by start(), from any thread."""
        check(lib.llm_session_cancel(self._handle, self._ticket))

    # --- saving -----------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str] | None = None) -> bytes | None:
        """To a file, or as bytes without a path."""
        if path is not None:
            check(lib.llm_session_save(self._handle, _ffi.path(path)))
            return None
        size = c.c_uint64()
        status = lib.llm_session_save_memory(self._handle, None, 0, c.byref(size))
        if status != _ffi.E_BUFFER:
            check(status)
        data = c.create_string_buffer(size.value)
        check(lib.llm_session_save_memory(self._handle, data, size, c.byref(size)))
        return data.raw

    def load(self, saved: str | os.PathLike[str] | bytes) -> None:
        """What save() made: a path, or bytes."""
        if isinstance(saved, bytes):
            check(lib.llm_session_load_memory(self._handle, saved, len(saved)))
        else:
            check(lib.llm_session_load(self._handle, _ffi.path(saved)))
