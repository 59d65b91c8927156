"""Archives of arrays that are damaged, foreign, or claim to hold more data than they do."""

import contextlib
import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_learning.cli.main import main
from feature_learning.errors import CheckpointError, StoreError
from feature_learning.files import archives
from feature_learning.inference import checkpoints
from feature_learning.sweeps.densities import read_npz
from feature_learning.sweeps.weights import read_weights


def packed(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def declaring(shape, name="x.npy", **more):
    """An archive with one array of a few bytes whose header speaks of ``shape``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for other, values in more.items():
            with archive.open(f"{other}.npy", "w") as file:
                np.lib.format.write_array(file, values)
        with archive.open(name, "w") as file:
            header = {"descr": "<f8", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.write(bytes(80))
    return buffer.getvalue()


def test_arrays_come_back_as_they_were():
    arrays = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": np.array([True, False]),
        "c": np.zeros((0, 4), np.float32),
        "d": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
        "e": np.array(3),
    }
    found = archives.read(packed(**arrays))
    assert found.keys() == arrays.keys()
    for name, values in arrays.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        declaring((10**12,)),
        declaring((2**40, 2**40)),
        declaring((9,)),
        declaring((-10,)),
        packed(a=np.array([{}], dtype=object)),
        declaring((10,), name="x.txt")[:-30],
    ],
    ids=["empty", "text", "terabytes", "overflow", "short", "negative", "objects", "cut"],
)
def test_what_is_no_archive_of_sound_arrays_is_refused(content, tmp_path):
    path = tmp_path / "file.npz"
    path.write_bytes(content)
    for source in (content, path):
        with pytest.raises(ValueError, match=r".+"):
            archives.read(source)
    with pytest.raises(StoreError, match=r"file\.npz"):
        read_weights(path)
    with pytest.raises(StoreError, match=r"file\.npz"):
        read_npz(path)
    with pytest.raises(CheckpointError, match=r"file\.npz is damaged"):
        checkpoints.read(path)


@given(at=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_changed_byte_gives_an_archive_or_an_error(at, byte):
    content = bytearray(packed(a=np.arange(30.0), b=np.ones((2, 2), np.float32)))
    content[at % len(content)] = byte
    try:
        found = archives.read(bytes(content))
    except ValueError:
        return
    assert all(values.size <= 30 for values in found.values())


@pytest.mark.parametrize("fingerprint", [[], None, "text", 3])
def test_a_checkpoint_whose_header_is_of_another_kind_is_damaged(tmp_path, fingerprint):
    header = {"format": checkpoints.FORMAT, "fingerprint": fingerprint, "arrays": []}
    path = tmp_path / "c.npz"
    for content in (header, [header], fingerprint):
        text = np.frombuffer(json.dumps(content).encode(), np.uint8)
        path.write_bytes(packed(header=text))
        for act in (lambda: checkpoints.read(path), lambda: checkpoints.load(path, {})):
            with pytest.raises(CheckpointError, match="damaged"):
                act()


def test_diagnose_refuses_an_archive_that_promises_too_much(tmp_path, capfd):
    path = tmp_path / "c.npz"
    path.write_bytes(declaring((10**12,), header=np.zeros(3, np.uint8)))
    assert main(["diagnose", str(path)]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "c.npz is damaged" in err


def test_a_file_that_cannot_be_read_is_another_matter_than_a_damaged_one(tmp_path):
    with pytest.raises(OSError, match="missing"):
        archives.read(tmp_path / "missing.npz")


@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_of_an_uncompressed_archive_is_no_traceback(at, bit):
    buffer = io.BytesIO()
    np.savez(buffer, a=np.arange(3.0), b=np.ones((2, 2), np.float32))
    content = bytearray(buffer.getvalue())
    content[at % len(content)] ^= 1 << bit
    with contextlib.suppress(ValueError):
        archives.read(bytes(content))


@pytest.mark.parametrize("header", ["(", " x = 1", "{'descr': '<f8'", "[", '"""'])
def test_a_header_that_is_no_python_is_refused(header):
    buffer = io.BytesIO()
    text = header.encode().ljust(117) + b"\n"
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("a.npy", "w") as file:
        file.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(ValueError, match=r".+"):
        archives.read(buffer.getvalue())
