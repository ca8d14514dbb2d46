"""The one error that a user can cause: what was wrong, what was expected, what to do."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

#: Longest message [characters].
LONGEST = 2000
#: What the libraries that read files raise where bytes are damaged or say something else than is expected.
DAMAGE = (
    OSError, ValueError, LookupError, RuntimeError, TypeError, AttributeError, ArithmeticError, EOFError, MemoryError,
    NotImplementedError, AssertionError, zlib.error,
)  # fmt: skip
#: Longest path, and longest name in it [bytes].
PATH, NAME = 4096, 255


class UserError(ValueError):
    """A mistake in what the user asked for or handed over.

    The message says what was wrong, what was expected and what to do; a very long one is shortened in the middle. The command
    line prints it without a traceback and exits with code 2; in Python it is an ordinary ``ValueError``.

    Examples
    --------
    >>> raise UserError("wind_stress is not a parameter; did you mean wind_stress_south?")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: wind_stress is not a parameter; did you mean wind_stress_south?
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(shortened(str(message)))


def shortened(text: str, longest: int = LONGEST) -> str:
    r"""Shorten a text in the middle to so many characters, and write out what would not show on a screen; lines are kept.

    Examples
    --------
    >>> shortened("a" * 50, 20)
    'aaaaaaaaaaaaa … aaaa'
    >>> shortened("a\0b")
    'a\\x00b'
    """
    if len(text) > longest:
        text = f"{text[: longest * 3 // 4 - 2]} … {text[len(text) - longest // 4 + 1 :]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


@contextlib.contextmanager
def reading(what: object, advice: str) -> Iterator[None]:
    """Turn what a library raises on damaged or foreign content into a sentence.

    Parameters
    ----------
    what : the file, and what in it is read.
    advice : what was expected and what to do.

    Raises
    ------
    UserError
        In place of everything in :data:`DAMAGE`.

    Examples
    --------
    >>> with reading("a.nc", "copy it again"):
    ...     raise RuntimeError("NetCDF: HDF error")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: cannot read a.nc: NetCDF: HDF error; copy it again
    """
    try:
        yield
    except UserError:
        raise
    except DAMAGE as error:
        raise UserError(f"cannot read {shortened(str(what), 500)}: {reason(error)}; {advice}") from error


def reason(error: BaseException) -> str:
    """What an error says, in one short line.

    Examples
    --------
    >>> reason(KeyError("thetao"))
    "KeyError 'thetao'"
    """
    said = shortened(" ".join(str(error).split()), 400).rstrip(".")
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return said if said and not isinstance(error, LookupError) else f"{type(error).__name__} {said}".strip()


def require_path(path: str | Path) -> Path:
    """Refuse what cannot be the name of a file, that is there or shall be made, on any system.

    Raises
    ------
    UserError
        If it holds a NUL, a name in it is too long, it leads in a circle, or its folder may not be looked into.

    Examples
    --------
    >>> require_path("a" * 300)
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: the name aaa…aaa is too long: a file's name has at most 255 bytes; give a shorter one
    """
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"{reason(ValueError(repr(path)))} is no path; give the name of a file or folder")
    path = Path(path)
    name = str(path)
    if "\0" in name:
        raise UserError(f"the path {name!r} holds a NUL character; give another name")
    try:
        sizes = [len(os.fsencode(part)) for part in path.parts]
    except UnicodeEncodeError as error:
        raise UserError(
            f"the path {name!r} cannot be a file's name: {error.reason}; give another name"
        ) from error
    if long := next((part for part, size in zip(path.parts, sizes, strict=True) if size > NAME), ""):
        raise UserError(
            f"the name {long[:3]}…{long[-3:]} is too long: a file's name has at most {NAME} bytes; give a shorter one"
        )
    if sum(sizes) + len(sizes) >= PATH:
        raise UserError(
            f"the path {name[:20]}…{name[-20:]} is too long: at most {PATH} bytes; give a shorter one"
        )
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise UserError(f"cannot look at {path}: {error.strerror}; give another path") from error
    return path


def require_installed(module: str, extra: str, what: str) -> None:
    """Refuse what needs an extra that is not installed.

    Parameters
    ----------
    module : a package that the extra brings.
    extra : name of the extra.
    what : that needs it.

    Raises
    ------
    UserError
        With the command that installs it.

    Examples
    --------
    >>> require_installed("no_such_package", "report", "report")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: report needs no_such_package, which is not installed; pip install 'warmstart[report]'
    """
    try:
        found = importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        raise UserError(f"{what} needs {module}, which is not installed; pip install 'warmstart[{extra}]'")
