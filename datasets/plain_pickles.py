"""Pickles that hold plain values and arrays of bytes, read without running anything that they name.

`pickle.loads` calls whatever a pickle says; a downloaded one can run a program. Here nothing outside this module is
called: the names by which a pickle rebuilds a NumPy array lead to stand-ins that keep its bytes and shape, every
other name is refused.
"""

import io
import math
import pickle
import pickletools
from typing import Any, NamedTuple

from common.errors import UserError


class Bytes(NamedTuple):
    """An array of unsigned bytes, row-major."""

    shape: tuple[int, ...]
    data: bytes


def loads(data: bytes, what: str) -> Any:
    """Returns the value of a pickle: numbers, bytes, texts, lists, tuples, dicts, None, and `Bytes` for an array.

    Texts of Python 2 are bytes.

    Args:
        data: the pickle.
        what: its name, for errors.

    Raises:
        UserError: it is damaged, or names something that plain values do not need.
    """
    # Made anew for each pickle: one that changes them (it can set attributes of what it may name) changes them for
    # itself alone.
    stand_ins = _stand_ins()

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            try:
                return stand_ins[module, name]
            except KeyError:
                raise UserError(
                    f"{what} is not read: it names {module}.{name}, which is no plain value; a pickle can run any "
                    "program, so take the archive from its publisher"
                ) from None

    try:
        _check_memo(data)
        return _plain(Unpickler(io.BytesIO(data), encoding="bytes").load(), stand_ins["numpy", "ndarray"])
    except UserError:
        raise
    except Exception as error:  # whatever a damaged pickle leads to: UnpicklingError, EOFError, KeyError, ...
        raise UserError(f"{what} is damaged ({error or type(error).__name__}); download or copy it again") from error


def _check_memo(data: bytes) -> None:
    """Refuses a pickle that numbers what it remembers beyond all need: the reader makes room for the largest number."""
    for opcode, argument, position in pickletools.genops(data):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > position:
            raise ValueError(f"it remembers its value number {argument} at byte {position}")


def _stand_ins() -> dict[tuple[str, str], Any]:
    class Array:
        state: Any = None

        def __setstate__(self, state: Any) -> None:
            self.state = state

    class Dtype:
        def __init__(self, kind: Any = None, *_: Any):
            self.kind = kind

        def __setstate__(self, _: Any) -> None:
            pass

    def reconstruct(*_: Any) -> Array:
        return Array()

    def encode(text: str, encoding: str = "latin-1") -> bytes:  # how Python 3 writes bytes in an old protocol
        return text.encode("latin-1")

    names = {("numpy", "ndarray"): Array, ("numpy", "dtype"): Dtype, ("_codecs", "encode"): encode}
    return names | {(f"numpy.{core}.multiarray", "_reconstruct"): reconstruct for core in ("core", "_core")}


def _plain(value: Any, array: type) -> Any:
    """Turns the stand-ins for arrays, where they are the value or right inside it, into `Bytes`."""
    if isinstance(value, array):
        return _bytes(value.state)
    if isinstance(value, dict):
        return {key: _bytes(item.state) if isinstance(item, array) else item for key, item in value.items()}
    return value


def _bytes(state: Any) -> Bytes:
    _, shape, dtype, fortran, data = state
    kind = getattr(dtype, "kind", None)
    if kind not in (b"u1", "u1", b"|u1", "|u1") or fortran or not isinstance(data, bytes):
        raise ValueError("an array in it is not one of unsigned bytes")
    if not all(isinstance(size, int) and size >= 0 for size in shape) or math.prod(shape) != len(data):
        raise ValueError(f"an array of shape {shape} in it has {len(data)} bytes")
    return Bytes(tuple(shape), data)
