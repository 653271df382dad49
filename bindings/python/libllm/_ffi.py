"""The C library as ctypes sees it: structures, prototypes, and turning statuses into exceptions."""

from __future__ import annotations

import ctypes as c
import os
import pathlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

_NAMES = {"darwin": "libllm.0.dylib", "win32": "llm-0.dll"}


def _load() -> c.CDLL:
    name = _NAMES.get(sys.platform, "libllm.so.0")
    chosen = os.environ.get("LIBLLM_LIBRARY")
    bundled = pathlib.Path(__file__).resolve().parent / name
    return c.CDLL(chosen or (str(bundled) if bundled.exists() else name))


lib = _load()

OK, DONE = 0, 1
E_NOT_FOUND, E_BUFFER = -6, -15


class Error(Exception):
    """What the library refused: `code` is one of its pinned numbers, `name` the number's name."""

    def __init__(self, code: int, message: str):
        self.code = code
        self.name = lib.llm_status_name(code).decode()
        super().__init__(f"{message} [{self.name}]")


_pending = threading.local()


def check(status: int) -> int:
    raised, _pending.raised = getattr(_pending, "raised", None), None
    if raised is not None:
        raise raised
    if status < 0:
        raise Error(status, lib.llm_last_error().decode("utf-8", "replace"))
    return status


def text(value: str | None) -> bytes | None:
    """A text for the library, which would take a NUL in it for its end."""
    if value is not None and "\0" in value:
        raise ValueError("a text with a NUL in it")
    return None if value is None else value.encode()


def path(value: str | os.PathLike[str]) -> bytes:
    encoded = os.fsencode(value)
    if b"\0" in encoded:
        raise ValueError("a path with a NUL in it")
    return encoded


class Sized(c.Structure):
    """Structures whose first field tells their size."""

    def __init__(self, **fields: Any):
        super().__init__(**fields)
        self.struct_size = c.sizeof(self)


PROGRESS = c.CFUNCTYPE(c.c_int32, c.c_void_p, c.c_uint64, c.c_uint64)
READ = c.CFUNCTYPE(c.c_int32, c.c_void_p, c.c_uint64, c.c_void_p, c.c_uint64)
LOG = c.CFUNCTYPE(None, c.c_void_p, c.c_uint32, c.c_char_p)


def callback(kind: Any, function: Callable[..., int | None] | None, on_failure: int | None = None) -> Any:
    """A Python function as the library calls it, on the thread of the call it was given to; check() lets what
    it raises out of that call."""
    if function is None:
        return kind(0)

    def call(*arguments: Any) -> int | None:
        try:
            return function(*arguments)
        except BaseException as raised:  # also KeyboardInterrupt: nothing may pass through C
            _pending.raised = raised
            return on_failure

    return kind(call)


def progress(function: Callable[[int, int], bool | None] | None) -> Any:
    return callback(PROGRESS, None if function is None else lambda _, done, total: int(bool(function(done, total))), 1)


class Allocator(c.Structure):
    _fields_ = [("user", c.c_void_p), ("alloc", c.c_void_p), ("free", c.c_void_p)]


class Limits(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("parts", c.c_uint32), ("header_bytes", c.c_uint64),
                ("string_bytes", c.c_uint64), ("array_items", c.c_uint64), ("pairs", c.c_uint64),
                ("tensors", c.c_uint64)]


class RuntimeParams(Sized):
    _fields_ = [("struct_size", c.c_uint32), ("threads", c.c_uint32), ("allocator", Allocator), ("log", LOG),
                ("log_user", c.c_void_p), ("parallel", c.c_void_p), ("parallel_user", c.c_void_p),
                ("module_folder", c.c_char_p), ("limits", Limits), ("cpu_features_masked", c.c_uint64),
                ("kernel_cache", c.c_char_p)]


class DeviceInfo(Sized):
    _fields_ = [("struct_size", c.c_uint32), ("threads", c.c_uint32), ("id", c.c_char * 40),
                ("name", c.c_char * 128), ("uuid", c.c_uint8 * 16), ("memory_total", c.c_uint64),
                ("memory_free", c.c_uint64)]


class ModelParams(Sized):
    _fields_ = [("struct_size", c.c_uint32), ("load", c.c_uint32), ("source", c.c_uint32),
                ("context", c.c_uint32), ("devices", c.c_char_p), ("budget", c.c_uint64),
                ("progress", PROGRESS), ("progress_user", c.c_void_p)]


class MemoryUse(Sized):
    _fields_ = [("struct_size", c.c_uint32), ("reserved", c.c_uint32), ("bytes", c.c_uint64),
                ("peak", c.c_uint64), ("allocations", c.c_uint64)]


class Reader(Sized):
    _fields_ = [("struct_size", c.c_uint32), ("reserved", c.c_uint32), ("size", c.c_uint64), ("read", READ),
                ("user", c.c_void_p)]


class TensorInfo(Sized):
    _fields_ = [("struct_size", c.c_uint32), ("n_dims", c.c_uint32), ("name", c.c_char_p), ("format", c.c_char_p),
                ("dims", c.c_uint64 * 4), ("bytes", c.c_uint64), ("file_offset", c.c_uint64)]


class StepInfo(Sized):
    _fields_ = [("struct_size", c.c_uint32), ("segment", c.c_uint32), ("device", c.c_char * 40),
                ("text", c.c_char * 216), ("flops", c.c_uint64), ("weight_bytes", c.c_uint64)]


class EngineStats(Sized):
    _fields_ = [("struct_size", c.c_uint32), ("exact", c.c_uint32), ("runs", c.c_uint64), ("rows", c.c_uint64),
                ("shared_rows", c.c_uint64), ("reused_tokens", c.c_uint64), ("pages_total", c.c_uint64),
                ("pages_free", c.c_uint64), ("pages_cached", c.c_uint64), ("device_bytes", c.c_uint64)]


class TokenInfo(Sized):
    _fields_ = [("struct_size", c.c_uint32), ("is_control", c.c_uint32), ("is_end", c.c_uint32),
                ("reserved", c.c_uint32), ("text", c.c_void_p), ("text_size", c.c_uint64)]


class FormatInfo(Sized):
    _fields_ = [("struct_size", c.c_uint32), ("block", c.c_uint32), ("bytes", c.c_uint32),
                ("can_encode", c.c_uint32), ("can_decode", c.c_uint32), ("reserved", c.c_uint32),
                ("name", c.c_char_p)]


class Candidate(c.Structure):
    _fields_ = [("id", c.c_int32), ("logit", c.c_float)]


APPLY = c.CFUNCTYPE(c.c_int32, c.c_void_p, c.POINTER(Candidate), c.c_uint64, c.POINTER(c.c_uint64))
ACCEPT = c.CFUNCTYPE(None, c.c_void_p, c.c_int32)
NOTIFY = c.CFUNCTYPE(None, c.c_void_p)


class SamplerClass(Sized):
    _fields_ = [("struct_size", c.c_uint32), ("reserved", c.c_uint32), ("apply", APPLY), ("accept", ACCEPT),
                ("reset", NOTIFY), ("clone", c.c_void_p), ("destroy", NOTIFY)]


class ModelInfo(Sized):
    _fields_ = [("struct_size", c.c_uint32), ("loaded", c.c_uint32), ("architecture", c.c_char * 64),
                ("n_vocab", c.c_uint32), ("n_layers", c.c_uint32), ("width", c.c_uint32),
                ("context_train", c.c_uint32), ("context", c.c_uint32), ("has_tokenizer", c.c_uint32),
                ("makes_text", c.c_uint32), ("reserved", c.c_uint32), ("parameters", c.c_uint64),
                ("file_bytes", c.c_uint64), ("n_tensors", c.c_uint64), ("n_metadata", c.c_uint64),
                ("n_steps", c.c_uint64)]


class Metadata(Sized):
    _fields_ = [("struct_size", c.c_uint32), ("kind", c.c_uint32), ("is_array", c.c_uint32),
                ("reserved", c.c_uint32), ("count", c.c_uint64), ("key", c.c_char_p), ("text", c.c_void_p),
                ("text_size", c.c_uint64), ("integer", c.c_int64), ("number", c.c_double)]


class MemoryPlan(Sized):
    _fields_ = [("struct_size", c.c_uint32), ("page_tokens", c.c_uint32), ("device", c.c_char * 40),
                ("weights", c.c_uint64), ("workspace", c.c_uint64), ("cache_fixed", c.c_uint64),
                ("cache_page", c.c_uint64), ("cache_sequence", c.c_uint64), ("cache_full", c.c_uint64),
                ("mapped", c.c_uint64)]


class EngineParams(Sized):
    _fields_ = [("struct_size", c.c_uint32), ("flags", c.c_uint32), ("context", c.c_uint32),
                ("page_tokens", c.c_uint32), ("max_rows", c.c_uint32), ("max_sequences", c.c_uint32),
                ("max_outputs", c.c_uint32), ("state_interval", c.c_uint32), ("cache_type", c.c_char_p),
                ("cache_budget", c.c_uint64)]


class SessionParams(Sized):
    _fields_ = [("struct_size", c.c_uint32), ("set_mask", c.c_uint32), ("engine", c.c_void_p),
                ("context", c.c_uint32), ("max_tokens", c.c_uint32), ("sampler", c.c_void_p),
                ("stops", c.POINTER(c.c_char_p)), ("n_stops", c.c_uint32), ("top_n", c.c_uint32),
                ("salt", c.c_uint64)]


class Alternative(c.Structure):
    _fields_ = [("id", c.c_int32), ("logprob", c.c_float)]


class Piece(Sized):
    _fields_ = [("struct_size", c.c_uint32), ("finish", c.c_uint32), ("text", c.c_void_p), ("size", c.c_uint64),
                ("token", c.c_int32), ("logprob", c.c_float), ("top", c.POINTER(Alternative)),
                ("n_top", c.c_uint32), ("reserved", c.c_uint32)]


class FeedParams(Sized):
    _fields_ = [("struct_size", c.c_uint32), ("encode_flags", c.c_uint32), ("chunk", c.c_uint32),
                ("reserved", c.c_uint32), ("logits", c.POINTER(c.c_float)), ("logits_capacity", c.c_uint64),
                ("progress", PROGRESS), ("progress_user", c.c_void_p)]


class _Value(c.Union):
    _fields_ = [("i", c.c_int64), ("f", c.c_double), ("s", c.c_char_p), ("p", c.c_void_p)]


class Param(c.Structure):
    _fields_ = [("key", c.c_char_p), ("kind", c.c_uint32), ("count", c.c_uint32), ("value", _Value)]


KIND_INT, KIND_FLOAT, KIND_BOOL, KIND_STRING, KIND_TOKENS, KIND_FLOATS = 1, 2, 3, 4, 5, 6

_P, _U32, _U64, _TEXT = c.c_void_p, c.c_uint32, c.c_uint64, c.c_char_p
_OUT, _OUT64, _OUT32 = c.POINTER(_P), c.POINTER(_U64), c.POINTER(_U32)
_IDS = c.POINTER(c.c_int32)
_FLOATS = c.POINTER(c.c_float)


def _ref(structure: type) -> Any:
    return c.POINTER(structure)


# name: (result, arguments); None as the result means nothing is returned.
_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "llm_version_string": (_TEXT, []),
    "llm_last_error": (_TEXT, []),
    "llm_status_name": (_TEXT, [c.c_int32]),
    "llm_runtime_create": (c.c_int32, [_ref(RuntimeParams), _OUT]),
    "llm_runtime_destroy": (None, [_P]),
    "llm_runtime_device_at": (c.c_int32, [_P, _U32, _ref(DeviceInfo)]),
    "llm_runtime_memory": (c.c_int32, [_P, _ref(MemoryUse)]),
    "llm_model_open": (c.c_int32, [_P, _TEXT, _ref(ModelParams), _OUT]),
    "llm_model_open_memory": (c.c_int32, [_P, _P, _U64, _ref(ModelParams), _OUT]),
    "llm_model_open_fd": (c.c_int32, [_P, c.c_int32, _ref(ModelParams), _OUT]),
    "llm_model_open_callbacks": (c.c_int32, [_P, _ref(Reader), _ref(ModelParams), _OUT]),
    "llm_model_load": (c.c_int32, [_P, PROGRESS, _P]),
    "llm_model_release": (None, [_P]),
    "llm_model_get_info": (c.c_int32, [_P, _ref(ModelInfo)]),
    "llm_model_metadata_at": (c.c_int32, [_P, _U64, _U64, _ref(Metadata)]),
    "llm_model_tensor_at": (c.c_int32, [_P, _U64, _ref(TensorInfo)]),
    "llm_model_tensor_values": (c.c_int32, [_P, _U64, _U64, _U64, _FLOATS]),
    "llm_model_step_at": (c.c_int32, [_P, _U64, _ref(StepInfo)]),
    "llm_model_plan": (c.c_int32, [_P, _ref(EngineParams), _U32, _ref(MemoryPlan)]),
    "llm_model_tokenizer": (c.c_int32, [_P, _OUT]),
    "llm_engine_create": (c.c_int32, [_P, _ref(EngineParams), _OUT]),
    "llm_engine_release": (None, [_P]),
    "llm_engine_get_stats": (c.c_int32, [_P, _ref(EngineStats)]),
    "llm_engine_trim": (c.c_int32, [_P]),
    "llm_tokenizer_release": (None, [_P]),
    "llm_tokenizer_encode": (c.c_int32, [_P, _TEXT, _U64, _U32, _IDS, _U64, _OUT64]),
    "llm_tokenizer_decode": (c.c_int32, [_P, _IDS, _U64, _U32, _TEXT, _U64, _OUT64]),
    "llm_tokenizer_count": (_U32, [_P]),
    "llm_tokenizer_special": (c.c_int32, [_P, _U32]),
    "llm_tokenizer_token": (c.c_int32, [_P, c.c_int32, _ref(TokenInfo)]),
    "llm_sampler_create": (c.c_int32, [_P, _OUT]),
    "llm_sampler_destroy": (None, [_P]),
    "llm_sampler_add": (c.c_int32, [_P, _TEXT, c.POINTER(Param), _U32]),
    "llm_sampler_add_host": (c.c_int32, [_P, _ref(SamplerClass), _P]),
    "llm_sampler_seed": (c.c_int32, [_P, _U64]),
    "llm_sampler_reset": (c.c_int32, [_P]),
    "llm_sampler_pick": (c.c_int32, [_P, _P, _FLOATS, _U32, _IDS, _U64, _IDS]),
    "llm_sampler_name_at": (_TEXT, [_U32]),
    "llm_session_create": (c.c_int32, [_P, _ref(SessionParams), _OUT]),
    "llm_session_destroy": (None, [_P]),
    "llm_session_feed": (c.c_int32, [_P, _IDS, _U64, _ref(FeedParams)]),
    "llm_session_feed_text": (c.c_int32, [_P, _TEXT, _ref(FeedParams)]),
    "llm_session_feed_embeddings": (c.c_int32, [_P, _FLOATS, _U64, _ref(FeedParams)]),
    "llm_session_sync": (c.c_int32, [_P, _IDS, _U64, _ref(FeedParams), _OUT64]),
    "llm_session_rewind": (c.c_int32, [_P, _U64]),
    "llm_session_fork": (c.c_int32, [_P, _OUT]),
    "llm_session_length": (_U64, [_P]),
    "llm_session_tokens": (c.c_int32, [_P, _U64, _IDS, _U64, _OUT64]),
    "llm_session_next": (c.c_int32, [_P, _ref(Piece)]),
    "llm_session_logits": (c.c_int32, [_P, c.POINTER(_FLOATS), _OUT32]),
    "llm_session_set_sampler": (c.c_int32, [_P, _P]),
    "llm_session_set_stops": (c.c_int32, [_P, c.POINTER(_TEXT), _U32, _U32]),
    "llm_session_ticket": (c.c_int32, [_P, _OUT64]),
    "llm_session_cancel": (c.c_int32, [_P, _U64]),
    "llm_session_save": (c.c_int32, [_P, _TEXT]),
    "llm_session_load": (c.c_int32, [_P, _TEXT]),
    "llm_session_save_memory": (c.c_int32, [_P, _P, _U64, _OUT64]),
    "llm_session_load_memory": (c.c_int32, [_P, _P, _U64]),
    "llm_embed": (c.c_int32, [_P, _P, _IDS, _U64, _FLOATS, _U32, _OUT32]),
    "llm_format_at": (c.c_int32, [_U32, _ref(FormatInfo)]),
    "llm_format_encode": (c.c_int32, [_TEXT, _FLOATS, _U64, _FLOATS, _P, _U64, _OUT64]),
    "llm_writer_create": (c.c_int32, [_P, _TEXT, _TEXT, _OUT]),
    "llm_writer_destroy": (None, [_P]),
    "llm_writer_set": (c.c_int32, [_P, c.POINTER(Param)]),
    "llm_writer_strings": (c.c_int32, [_P, _TEXT, c.POINTER(_TEXT), _U64]),
    "llm_writer_copy": (c.c_int32, [_P, _P, _U64]),
    "llm_writer_tensor": (c.c_int32, [_P, _TEXT, _TEXT, _U32, c.POINTER(_U64)]),
    "llm_writer_values": (c.c_int32, [_P, _FLOATS, _U64, _FLOATS]),
    "llm_writer_bytes": (c.c_int32, [_P, _TEXT, _U64]),
    "llm_writer_finish": (c.c_int32, [_P]),
}

for _name, (_result, _arguments) in _PROTOTYPES.items():
    _function = getattr(lib, _name)
    _function.restype = _result
    _function.argtypes = _arguments


def ids_array(ids: Any) -> tuple[Any, int]:
    """Token ids as a C array, with their number."""
    listed = [int(i) for i in ids]
    return (c.c_int32 * max(1, len(listed)))(*listed), len(listed)


def float_array(values: Any) -> tuple[Any, int]:
    """Floats as a C array, with their number; what is one already, such as a numpy array, is not copied."""
    try:
        flat = memoryview(values).cast("B").cast("f") if memoryview(values).format == "f" else None
        if flat is not None and not flat.readonly and len(flat) > 0:
            return (c.c_float * len(flat)).from_buffer(flat), len(flat)
    except TypeError:  # no buffer, or one with gaps
        pass
    listed = [float(i) for i in values]
    return (c.c_float * max(1, len(listed)))(*listed), len(listed)


def numbers(values: Any, n: int) -> Any:
    """A copy of C floats: a numpy array, or a list without numpy."""
    try:
        import numpy
    except ImportError:
        return list(values[:n])
    pointer = c.cast(values, _FLOATS)
    return numpy.ctypeslib.as_array(pointer, (n,)).copy() if n > 0 else numpy.zeros(0, numpy.float32)


def text_array(texts: Any) -> tuple[Any, int]:
    encoded = [text(t) for t in texts]
    return (c.c_char_p * max(1, len(encoded)))(*encoded), len(encoded)


def fill_param(slot: Param, key: str, value: Any, kept: list[Any]) -> None:
    """`kept` holds on to the arrays that the parameter points to."""
    slot.key = text(key)
    if isinstance(value, bool):
        slot.kind, slot.value.i = KIND_BOOL, int(value)
    elif isinstance(value, int):
        slot.kind, slot.value.i = KIND_INT, value
    elif isinstance(value, float):
        slot.kind, slot.value.f = KIND_FLOAT, value
    elif isinstance(value, str):
        slot.kind, slot.value.s = KIND_STRING, text(value)
    else:
        items = list(value)
        floats = any(isinstance(i, float) for i in items)
        array = ((c.c_float if floats else c.c_int32) * max(1, len(items)))(*items)
        kept.append(array)
        slot.kind = KIND_FLOATS if floats else KIND_TOKENS
        slot.count, slot.value.p = len(items), c.cast(array, c.c_void_p)


def each(call: Callable[[int], int]) -> Iterator[int]:
    """The indices that `call`, which fills a structure, knows."""
    index = 0
    while (status := call(index)) == OK:
        yield index
        index += 1
    if status != E_NOT_FOUND:
        check(status)
