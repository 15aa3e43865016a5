import collections
import os
import pickle
import struct

import numpy as np
import pytest

from common.errors import UserError
from datasets import plain_pickles


def python2_string(data):
    return b"T" + struct.pack("<I", len(data)) + data  # BINSTRING


def as_python2_wrote_it(shape, data, kind=b"u1", fortran=b"\x89"):
    """A pickle of {'data': array, 'labels': [3, 1]}, opcode by opcode as Python 2 and NumPy 1 wrote CIFAR's."""
    sizes = b"".join(b"J" + struct.pack("<i", size) for size in shape)
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n"
        + (b"(cnumpy\nndarray\nK\x00\x85" + python2_string(b"b") + b"tR")
        + (b"(K\x01(" + sizes + b"t")
        + (b"cnumpy\ndtype\n(" + python2_string(kind) + b"K\x00K\x01tR")
        + (b"(K\x03" + python2_string(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb")
        + (fortran + python2_string(data) + b"tb")
    )
    return b"\x80\x02}(" + python2_string(b"data") + array + python2_string(b"labels") + b"](K\x03K\x01eu."


def test_python_2_arrays_are_bytes():
    read = plain_pickles.loads(as_python2_wrote_it((2, 3), b"abcdef"), "batch")
    assert read == {b"data": plain_pickles.Bytes((2, 3), b"abcdef"), b"labels": [3, 1]}
    # The pickle is what it says: Python and NumPy read the same array from it.
    array = pickle.loads(as_python2_wrote_it((2, 3), b"abcdef"), encoding="bytes")[b"data"]
    assert (array.shape, array.tobytes()) == ((2, 3), b"abcdef")


@pytest.mark.parametrize("protocol", range(2, 6))
def test_arrays_of_any_protocol(protocol):
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    if protocol == 5:  # hands the array's bytes to a function of NumPy's, which is not called
        with pytest.raises(UserError, match=r"_frombuffer, which is no plain value"):
            plain_pickles.loads(pickle.dumps(array, protocol), "batch")
    else:
        read = plain_pickles.loads(pickle.dumps({"data": array, "names": ["a"]}, protocol), "batch")
        assert read == {"data": plain_pickles.Bytes((2, 3), bytes(range(6))), "names": ["a"]}


class RunsACommand:
    def __reduce__(self):
        return os.system, ("touch pwned",)


class Evaluates:
    def __reduce__(self):
        return eval, ("open('pwned', 'w')",)


MALICIOUS = {
    "a command": pickle.dumps({b"data": RunsACommand()}, 2),
    "code": pickle.dumps([Evaluates()], 4),
    "another function of NumPy": b"cnumpy.f2py.capi_maps\nload_f2cmap_file\n(Vpwned\ntR.",
    "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile\x93.",
    "any class": pickle.dumps(collections.OrderedDict(), 2),
    "an instance": b"(ios\nsystem\n.",
    "a registered extension": b"\x80\x02\x82\x01.",
}


@pytest.mark.parametrize("what", MALICIOUS)
def test_nothing_is_called(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^batch (is not read: it names|is damaged)"):
        plain_pickles.loads(MALICIOUS[what], "batch")
    assert list(tmp_path.iterdir()) == []


def test_a_command_is_named():
    with pytest.raises(
        UserError, match=rf"batch is not read: it names {os.system.__module__}.system, which is no plain"
    ):
        plain_pickles.loads(MALICIOUS["a command"], "batch")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is damaged"),
        (b"hello", "is damaged"),
        (as_python2_wrote_it((2, 3), b"abcdef")[:-4], "is damaged"),
        (as_python2_wrote_it((2, 3), b"abc"), r"an array of shape \(2, 3\) in it has 3 bytes"),
        (as_python2_wrote_it((-2, -3), b"abcdef"), r"an array of shape"),
        (as_python2_wrote_it((2, 3), b"abcdef", b"O8"), "an array in it is not one of unsigned bytes"),
        (as_python2_wrote_it((2, 3), b"abcdef", fortran=b"\x88"), "an array in it is not one of unsigned bytes"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", "it remembers its value number 2147483647 at byte 3"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "is damaged"),
        (b"(" * 100_000, "is damaged"),
    ],
)
def test_damage_is_told(data, message):
    with pytest.raises(UserError, match=message):
        plain_pickles.loads(data, "batch")
