"""Run language models inside your program.

    import libllm
    with libllm.Model("model.gguf") as model:
        for piece in model.generate("The sky is"):
            print(piece, end="", flush=True)
"""

from ._ffi import Error, lib as _lib
from ._model import Device, Model, ModelInfo, Step, Tensor, devices
from ._sampler import Sampler
from ._session import Piece, Session
from ._tokenizer import Token, Tokenizer
from ._writer import Format, Writer, encode, formats

__all__ = ["Device", "Error", "Format", "Model", "ModelInfo", "Piece", "Sampler", "Session", "Step", "Tensor", "Token",
           "Tokenizer", "Writer", "devices", "encode", "formats", "version"]


def version() -> str:
    """The version of the C library that is loaded."""
    return _lib.llm_version_string().decode()
