"""The C library as ctypes sees it: structures, prototypes, and turning statuses into exceptions."""

from __future__ import annotations

import ctypes as c
import os
import pathlib
import sys
from typing import Any

_NAMES = {"darwin": "libllm.0.dylib", "win32": "llm-0.dll"}


def _load() -> c.CDLL:
    name = _NAMES.get(sys.platform, "libllm.so.0")
    chosen = os.environ.get("LIBLLM_LIBRARY")
    bundled = pathlib.Path(__file__).resolve().parent / name
    return c.CDLL(chosen or (str(bundled) if bundled.exists() else name))


lib = _load()

OK, DONE = 0, 1
E_BUFFER = -15


class Error(Exception):
    """What the library refused: `code` is one of its pinned numbers, `name` the number's name."""

    def __init__(self, code: int, message: str):
        self.code = code
        self.name = lib.llm_status_name(code).decode()
        super().__init__(f"{message} [{self.name}]")


def check(status: int) -> int:
    if status < 0:
        raise Error(status, lib.llm_last_error().decode("utf-8", "replace"))
    return status


class Sized(c.Structure):
    """Structures whose first field tells their size."""

    def __init__(self, **fields: Any):
        super().__init__(**fields)
        self.struct_size = c.sizeof(self)


PROGRESS = c.CFUNCTYPE(c.c_int32, c.c_void_p, c.c_uint64, c.c_uint64)
LOG = c.CFUNCTYPE(None, c.c_void_p, c.c_uint32, c.c_char_p)


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
    "llm_model_open": (c.c_int32, [_P, _TEXT, _ref(ModelParams), _OUT]),
    "llm_model_open_memory": (c.c_int32, [_P, _P, _U64, _ref(ModelParams), _OUT]),
    "llm_model_release": (None, [_P]),
    "llm_model_get_info": (c.c_int32, [_P, _ref(ModelInfo)]),
    "llm_model_metadata_at": (c.c_int32, [_P, _U64, _U64, _ref(Metadata)]),
    "llm_model_plan": (c.c_int32, [_P, _ref(EngineParams), _U32, _ref(MemoryPlan)]),
    "llm_model_tokenizer": (c.c_int32, [_P, _OUT]),
    "llm_engine_create": (c.c_int32, [_P, _ref(EngineParams), _OUT]),
    "llm_engine_release": (None, [_P]),
    "llm_tokenizer_release": (None, [_P]),
    "llm_tokenizer_encode": (c.c_int32, [_P, _TEXT, _U64, _U32, _IDS, _U64, _OUT64]),
    "llm_tokenizer_decode": (c.c_int32, [_P, _IDS, _U64, _U32, _TEXT, _U64, _OUT64]),
    "llm_tokenizer_count": (_U32, [_P]),
    "llm_tokenizer_special": (c.c_int32, [_P, _U32]),
    "llm_sampler_create": (c.c_int32, [_P, _OUT]),
    "llm_sampler_destroy": (None, [_P]),
    "llm_sampler_add": (c.c_int32, [_P, _TEXT, c.POINTER(Param), _U32]),
    "llm_sampler_seed": (c.c_int32, [_P, _U64]),
    "llm_session_create": (c.c_int32, [_P, _ref(SessionParams), _OUT]),
    "llm_session_destroy": (None, [_P]),
    "llm_session_feed": (c.c_int32, [_P, _IDS, _U64, _ref(FeedParams)]),
    "llm_session_feed_text": (c.c_int32, [_P, _TEXT, _ref(FeedParams)]),
    "llm_session_sync": (c.c_int32, [_P, _IDS, _U64, _ref(FeedParams), _OUT64]),
    "llm_session_rewind": (c.c_int32, [_P, _U64]),
    "llm_session_fork": (c.c_int32, [_P, _OUT]),
    "llm_session_length": (_U64, [_P]),
    "llm_session_tokens": (c.c_int32, [_P, _U64, _IDS, _U64, _OUT64]),
    "llm_session_next": (c.c_int32, [_P, _ref(Piece)]),
    "llm_session_logits": (c.c_int32, [_P, c.POINTER(_FLOATS), _OUT32]),
    "llm_session_set_stops": (c.c_int32, [_P, c.POINTER(_TEXT), _U32, _U32]),
    "llm_session_ticket": (c.c_int32, [_P, _OUT64]),
    "llm_session_cancel": (c.c_int32, [_P, _U64]),
    "llm_session_save": (c.c_int32, [_P, _TEXT]),
    "llm_session_load": (c.c_int32, [_P, _TEXT]),
    "llm_embed": (c.c_int32, [_P, _P, _IDS, _U64, _FLOATS, _U32, _OUT32]),
}

for _name, (_result, _arguments) in _PROTOTYPES.items():
    _function = getattr(lib, _name)
    _function.restype = _result
    _function.argtypes = _arguments


def ids_array(ids: Any) -> tuple[Any, int]:
    """Token ids as a C array, with their number."""
    listed = [int(i) for i in ids]
    return (c.c_int32 * max(1, len(listed)))(*listed), len(listed)
