"""Damage of HDF5 files, NetCDF-4 among them, that its library does not refuse but reads for ever."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from warmstart.errors import UserError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
HEAP = b"GCOL\x01\0\0\0"  #: a global heap: references and texts of variable length
HEADER = 16  #: of a heap, and of each object in it [bytes]
ENDS = 2**24  #: how much of either end of a file is looked at [bytes]


def require_sound(path: Path) -> None:
    """Refuse a file whose heaps hold an object without a size: the library would never come to its end.

    Parameters
    ----------
    path : any file; only HDF5 is looked at, 16 MiB at either end, where the heaps of NetCDF files lie.

    Raises
    ------
    UserError
        If it is damaged so.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     require_sound(Path(file.name))
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for begin, end in {(0, min(ENDS, size)), (max(size - ENDS, 0), size)}:
                at = content.find(HEAP, begin, end)
                while at >= 0:
                    if not _has_end(content, at, size):
                        raise UserError(
                            f"cannot read {path}: a table of references in it is overwritten; the file is damaged: copy it again"
                        )
                    at = content.find(HEAP, at + 1, end)


def _has_end(content: mmap.mmap, at: int, size: int) -> bool:
    """Whether the objects of a heap lead to its end."""
    if at + HEADER > size:
        return True
    (length,) = struct.unpack_from("<Q", content, at + 8)
    place, end = at + HEADER, min(at + length, size)
    while place + HEADER <= end:
        number, _, _, held = struct.unpack_from("<HHIQ", content, place)
        # the first has its own header in its size; others are filled up to eight bytes
        step = held if number == 0 else HEADER + (held + 7) // 8 * 8
        if step == 0:
            return False
        place += step
    return True
