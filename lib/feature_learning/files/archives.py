"""Safe reading of NumPy archives of any origin: no pickles, no array larger than its file.

The header of an array states its size, and NumPy allocates this memory before it reads on: a few
damaged bytes could request a terabyte. So each header is first compared with the length of its
file.
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
        If it is not an archive of arrays, or is damaged; the message gives the reason.
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
        raise ValueError("no archive of arrays, or an incomplete one") from error
    except Exception as error:  # decoders raise various errors on damaged content
        raise ValueError(str(error) or type(error).__name__) from error


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, kind = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, _, kind = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"{member.filename} has the unknown version {version}")
        if kind.hasobject:
            raise ValueError(f"{member.filename} holds objects, not numbers")
        size = kind.itemsize
        for length in shape:
            size *= length
        if file.tell() + size != member.file_size:
            raise ValueError(f"{member.filename} has another length than its header states")
    with archive.open(member) as file:
        found: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return found
