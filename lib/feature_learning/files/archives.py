"""NumPy archives of whatever origin, read without trust: no pickles, no array larger than its file.

The header of an array says how large it is, and NumPy makes room for it before it reads on: a few
damaged bytes could ask for a terabyte. So the headers are compared with what follows them first.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read(source: Path | bytes) -> dict[str, NDArray[Any]]:
    """All arrays of an archive, by name.

    Parameters
    ----------
    source : Path or bytes
        A file, or its content.

    Raises
    ------
    ValueError
        If it is no archive of arrays, or a damaged one; with the reason in a few words.
    OSError
        If the file cannot be read.
    """
    try:
        content = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        with content, zipfile.ZipFile(content) as archive:
            return {
                member.filename.removesuffix(".npy"): _array(archive, member)
                for member in archive.infolist()
            }
    except OSError as error:
        if error.filename is not None:
            raise
        raise ValueError(str(error)) from error
    except zipfile.BadZipFile as error:
        raise ValueError("no archive of arrays, or a part of one") from error
    except Exception as error:  # whatever the decoders of a damaged part come upon
        raise ValueError(str(error) or type(error).__name__) from error


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, kind = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, _, kind = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"{member.filename} is of version {version}")
        if kind.hasobject:
            raise ValueError(f"{member.filename} holds objects, not numbers")
        size = kind.itemsize
        for length in shape:
            size *= length
        if file.tell() + size != member.file_size:
            raise ValueError(f"{member.filename} is not as long as it says")
    with archive.open(member) as file:
        found: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return found
