"""Outputs: the one place that decides what may be replaced, and that replaces it whole or not at all.

What the product makes, it marks: NetCDF and HDF5 files by the attribute ``warmstart_version``, text by a comment, a folder by
a list of what it holds, a zarr store by its own metadata, and a file that must stay as it is by its hash in the text file
beside it. Only what bears such a mark is ever replaced.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import importlib.metadata
import inspect
import json
import os
import pwd
import re
import shutil
import stat
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from warmstart.errors import UserError

ATTRIBUTE = "warmstart_version"  #: of NetCDF and HDF5 files that the product made
CONTENTS = ".warmstart"  #: file in a folder that the product made: what it put there, a path a line
LOCK = "lock"  #: file in a folder where an output is made, held by the process that makes it
#: There, the folders of what is made, and of what it replaces until it is in its place.
NEW, OLD = "new", "old"
STORE = ("zarr.json", ".zgroup", ".zarray")  #: any of these makes a folder a part of a zarr store
#: Any of these makes a folder one thing, of which no part is replaced.
WHOLE = ("weights.safetensors", "restarts.yaml")
LISTED = "sha256"  #: what a line says that lists a file beside it
FULL = (errno.ENOSPC, errno.EDQUOT)  #: no space left on the device, quota exceeded
MARGIN = 2**18  #: left for logs and messages [bytes]
HEAD = 2**14  #: how far into a text its mark is looked for [bytes]
_TEXT_MARK = re.compile(rb'(?:\A|\n)(?:(?:#|!|<!--) made by warmstart \S|# warmstart_version: ")')
_CHUNK = re.compile(r"c(/\d+)*")

P = ParamSpec("P")
R = TypeVar("R")


def version() -> str:
    """Version of the installed package."""
    try:
        return importlib.metadata.version("warmstart")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def mark(comment: str = "#") -> str:
    """Give the line that marks a text as made by the product, without its end; `comment` begins a comment there.

    Examples
    --------
    >>> mark("!").startswith("! made by warmstart ")
    True
    """
    return f"{comment} made by warmstart {version()}"


def require_free(
    path: str | Path,
    overwrite: bool = False,
    inputs: Iterable[Any] = (),
    folder: bool | None = None,
    ours: bool = False,
) -> Path:
    """Refuse an output that must not or cannot be written: before the work, not after it. Nothing is changed.

    Parameters
    ----------
    path : the file or folder to make.
    overwrite : whether an existing `path` may be replaced, if it bears the mark of the product.
    inputs : what the same command reads: paths, or Datasets that were opened from one; others are passed over.
    folder : whether a folder is to be made; None where either may be.
    ours : whether the caller has recognised what is there as made by the product although it bears no mark.

    Returns
    -------
    `path` with its folder resolved.

    Raises
    ------
    UserError
        If `path` exists and `overwrite` is false, or it was not made by the product; if it is no name of its own (``.``, ``..``,
        empty), a mount point, the home, the working folder or one above it, a symbolic link, no plain file or folder, an input,
        a folder that holds an input, or a part of a store; if its folder does not exist or cannot be written to.

    Examples
    --------
    >>> require_free("no-such-folder/a.nc")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: cannot write no-such-folder/a.nc: the folder no-such-folder does not exist; make it first
    """
    place = _place(path)
    _refuse_input(path, place, inputs)
    status = _status(path, place)
    if status is None:
        if folder is False and str(path).endswith(os.sep):
            raise UserError(f"{path} is the name of a folder; expected that of a file")
        return place
    if folder is not None and stat.S_ISDIR(status.st_mode) != folder:
        there, wanted = ("file", "folder") if folder else ("folder", "file")
        raise UserError(f"{path} is a {there}, and a {wanted} is to be written; choose another output")
    stranger = None if ours else foreign(place)
    if stranger is not None and overwrite:
        raise UserError(_strange(path, place, stranger))
    if not overwrite:
        more = "" if stranger is not None else " or allow replacing it with --overwrite (overwrite=True)"
        raise UserError(f"{path} exists; choose another output{more}")
    return place


def require_work(path: str | Path, notes: Collection[str], inputs: Iterable[Any] = ()) -> Path:
    """Refuse a folder that a command cannot work in over several calls. Nothing is changed.

    Parameters
    ----------
    path : the folder, or a link to one; it need not exist.
    notes : names of files of which any says that the folder is the product's; none where it may hold anything.
    inputs : as of :func:`require_free`.

    Returns
    -------
    `path`, resolved.

    Raises
    ------
    UserError
        As :func:`require_free`, or if the folder holds something but none of `notes`.

    Examples
    --------
    >>> require_work("no-such-folder", ["plan.yaml"]).name
    'no-such-folder'
    """
    place = _place(path)
    if place.is_symlink() and place.is_dir():  # of a scratch disk, say; nothing takes the place of the link
        place = Path(os.path.realpath(place))
    _refuse_input(path, place, inputs, within=True)
    status = _status(path, place)
    if status is None:
        return place
    if not stat.S_ISDIR(status.st_mode):
        raise UserError(f"{path} is a file, and a folder is to be written; choose another output")
    found = sorted(name for name in os.listdir(place) if name != ".lock")
    noted = [place / name for name in notes if name in found]
    # a plan that the user keeps in a folder does not make the folder the product's
    read = [note for note in noted if any(_same(note, source) for source in _sources(inputs))]
    if found and notes and not any(note not in read or _bears_mark(note) for note in noted):
        some = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        raise UserError(
            f"{path} exists and holds {some} but no {' or '.join(notes)}; choose an empty or a new folder"
        )
    return place


def _place(path: str | Path) -> Path:
    """The folder of an output, resolved, with its name; refused if it has no name of its own or cannot be written."""
    text = os.fspath(path)
    name = text.rstrip(os.sep).rsplit(os.sep, 1)[-1]
    if not text.strip():
        raise UserError("the name of the output is empty (a variable that is not set?); give a name")
    if name in ("", ".", ".."):
        raise UserError(f"'{text}' is no output: expected the name of a file or folder of its own")
    if "\0" in text:
        raise UserError(f"{text!r} is no name of a file: it holds a character NUL")
    if text.startswith("~") and os.path.expanduser(text) != text:
        raise UserError(
            f"'{text}': the shell has not replaced '~', which would be a folder of that name; write the path in full"
        )
    parent = Path(text).parent
    try:
        os.lstat(text.rstrip(os.sep))
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write {text!r}: {getattr(error, 'strerror', error)}") from error
    if not parent.is_dir():
        what = "is no folder" if parent.exists() else "does not exist; make it first"
        raise UserError(f"cannot write {path}: the folder {parent} {what}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UserError(f"cannot write {path}: the folder {parent} cannot be written to")
    return Path(os.path.realpath(parent)) / name


def _status(path: str | Path, place: Path) -> os.stat_result | None:
    """What is at a place, None if nothing; refused if it is nothing that a command may replace, whatever it holds."""
    for parent in place.parents:
        if any((parent / name).is_file() for name in STORE):
            raise UserError(f"{path} lies inside the zarr store {parent}; choose another output")
        listed = (parent / CONTENTS).is_file() and place.relative_to(parent).as_posix() in _listed(parent)
        whole = parent == place.parent and any((parent / name).is_file() for name in WHOLE)
        if listed or (whole and os.path.lexists(place)):
            raise UserError(
                f"{path} is a part of {parent}, which is replaced as a whole; choose another output"
            )
    what = next((what for what, one in _untouchable() if _same(place, one)), None)
    if what is None and os.path.ismount(place):
        what = "a mount point"
    if what is not None:
        raise UserError(f"{path} is {what}, which is never replaced; choose another output")
    try:
        status = os.lstat(place)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(status.st_mode):
        raise UserError(
            f"{path} is a symbolic link to {os.readlink(place)}; give the file or folder itself, or another output"
        )
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise UserError(f"{path} is no plain file and no folder; choose another output")
    return status


def _untouchable() -> Iterator[tuple[str, Path]]:
    """Folders that no output ever takes the place of."""
    yield "the home", Path(os.path.expanduser("~"))
    with contextlib.suppress(KeyError):
        yield "the home", Path(pwd.getpwuid(os.getuid()).pw_dir)
    with contextlib.suppress(FileNotFoundError):
        here = Path.cwd()
        yield "the working folder", here
        yield from (("a folder that holds the working folder", parent) for parent in here.parents)


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one file or folder, by whatever name, link or case."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other)


def _refuse_input(path: str | Path, place: Path, inputs: Iterable[Any], within: bool = False) -> None:
    """Refuse an output that is read by the same command, or, unless `within`, that holds what is."""
    for source in _sources(inputs):
        if _same(place, source):
            raise UserError(f"{path} is an input of the same command ({source}); choose another output")
        if not within and any(_same(place, parent) for parent in Path(os.path.realpath(source)).parents):
            raise UserError(f"{path} holds {source}, an input of the same command; choose another output")


def _sources(inputs: Any) -> Iterator[Path]:
    """The existing files and folders among what a command was given: paths, and Datasets that were opened from one."""
    if isinstance(inputs, str | Path):
        with contextlib.suppress(OSError, ValueError):
            if os.fspath(inputs) and os.path.lexists(inputs):
                yield Path(inputs)
    elif isinstance(inputs, list | tuple | set | frozenset):
        for one in inputs:
            yield from _sources(one)
    else:
        encoding = getattr(inputs, "encoding", None)
        if isinstance(encoding, dict) and encoding.get("source"):
            yield from _sources(str(encoding["source"]))


def _strange(path: str | Path, place: Path, stranger: Path) -> str:
    what = "bears no mark of warmstart" if stranger == place else f"holds {stranger.relative_to(place)}"
    if place.is_dir() and stranger == place:
        what = "does not say what warmstart put there"
    elif place.is_dir():
        what += ", which warmstart did not put there"
    return (
        f"{path} {what}: it may be yours, and is not replaced, with --overwrite neither. Choose another output, or remove it by "
        "hand (what an older version made may bear no mark)"
    )


def foreign(path: Path) -> Path | None:
    """Find the first file at an existing `path` or below that bears no mark and is listed nowhere; None where there is none.

    An empty folder holds nothing foreign.

    Examples
    --------
    >>> foreign(Path(__file__)) == Path(__file__)
    True
    """
    if not path.is_dir():
        return None if _bears_mark(path) or _is_listed_beside(path) else path
    held = sorted(_walk(path))
    if not held:
        return None
    if not any((path / name).is_file() for name in (CONTENTS, STORE[0])):
        return path
    listed = _listed(path)
    return next((path / name for name in held if name not in listed), None)


def _walk(folder: Path) -> Iterator[str]:
    """Everything in a folder and below it that is no folder: files, links, devices."""
    for here, names, files in os.walk(folder):
        links = [name for name in names if os.path.islink(os.path.join(here, name))]
        for name in (*files, *links):
            yield Path(here, name).relative_to(folder).as_posix()


@dataclass(frozen=True)
class _Listed:
    """Names that belong to a folder: a list of files, and arrays whose chunks have numbers."""

    root: Path
    names: Collection[str] = ()
    arrays: Collection[str] = ()

    def __contains__(self, name: str) -> bool:
        if os.path.islink(self.root / name):
            return False
        head, _, tail = name.partition("/c")
        return name in self.names or (head in self.arrays and bool(_CHUNK.fullmatch(f"c{tail}")))


def _listed(folder: Path) -> _Listed:
    """What the product put into a folder; of a zarr store what its metadata name, if they bear the mark."""
    try:
        if (folder / CONTENTS).is_file():
            first, *names = (folder / CONTENTS).read_text(encoding="utf-8").splitlines()
            return _Listed(folder, {CONTENTS, *names} if _TEXT_MARK.match(first.encode()) else ())
        about = json.loads((folder / STORE[0]).read_text(encoding="utf-8"))
        if ATTRIBUTE in about["attributes"]:
            nodes = about["consolidated_metadata"]["metadata"]
            arrays = {name for name, node in nodes.items() if node["node_type"] == "array"}
            return _Listed(folder, {STORE[0], *(f"{name}/{STORE[0]}" for name in nodes)}, arrays)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return _Listed(folder)


def _bears_mark(path: Path) -> bool:
    """Whether a file says that the product made it."""
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD)
        if head.startswith(b"\x89HDF"):
            import h5py

            with h5py.File(path, "r", locking=False) as file:
                return ATTRIBUTE in file.attrs or "warmstart" in file
        if head.startswith(b"CDF"):
            import netCDF4

            with netCDF4.Dataset(path) as classic:
                return ATTRIBUTE in classic.ncattrs()
    except (OSError, RuntimeError, KeyError, ValueError):
        return False
    return bool(_TEXT_MARK.search(head))


def _is_listed_beside(path: Path) -> bool:
    """Whether a marked namelist beside a file lists it as it is."""
    for beside in path.parent.glob("*.namelist"):
        with contextlib.suppress(OSError, ValueError):
            if beside.is_file() and _bears_mark(beside):
                lines = beside.read_text(encoding="utf-8").splitlines()
                known = [line.split(maxsplit=3) for line in lines if line.startswith(f"! {LISTED} ")]
                if any(words[3:] == [path.name] for words in known):
                    return _digest(path) in {words[2] for words in known if words[3:] == [path.name]}
    return False


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def list_beside(files: Iterable[Path]) -> str:
    """Give the lines with which a namelist lists `files` beside it that cannot bear a mark of their own and have to stay as they are.

    Comment lines, the mark first.

    Examples
    --------
    >>> list_beside([]).startswith("! made by warmstart")
    True
    """
    return "".join(
        f"{line}\n" for line in [mark("!"), *(f"! {LISTED} {_digest(path)} {path.name}" for path in files)]
    )


@dataclass(frozen=True)
class _Work:
    """The folder where an output is made, its open lock, and the folder around it when the work began."""

    staging: Path
    lock: int
    around: os.stat_result


_held: dict[Path, _Work] = {}  #: what this process is making, by its place
_guard = threading.RLock()


@contextlib.contextmanager
def held(place: Path) -> Iterator[Path]:
    """Hold the lock of a place while the block lasts, so that a second command on it is refused; once in a process is enough.

    Parameters
    ----------
    place : from :func:`require_free` or :func:`require_work`.

    Yields
    ------
    A folder of this process alone, beside the place; it is removed when the block ends.

    Raises
    ------
    UserError
        If another process holds it.

    Examples
    --------
    >>> import tempfile
    >>> with held(Path(tempfile.mkdtemp()) / "a.txt") as folder:
    ...     folder.name
    '.a.txt.warmstart'
    """
    with _guard:
        known = _held.get(place)
        if known is None:
            staging = place.parent / _staging_name(place.name)
            _held[place] = _Work(staging, _lock(place, staging), staging.parent.stat())
    if known is not None:
        yield known.staging
        return
    try:
        yield staging
    finally:
        with _guard:
            work = _held.pop(place)
            _remove_staging(place, work)
            os.close(work.lock)


def abandon() -> None:
    """Remove what this process is making, for one that ends at once; the output stays as it was.

    Examples
    --------
    >>> import tempfile
    >>> with held(Path(tempfile.mkdtemp()) / "a.txt") as folder:
    ...     abandon()
    ...     folder.exists()
    False
    """
    for place, work in list(_held.items()):
        _remove_staging(place, work)


def _remove_staging(place: Path, work: _Work) -> None:
    lock = work.staging / LOCK
    with contextlib.suppress(OSError):
        if os.path.lexists(lock) and not os.path.samestat(os.fstat(work.lock), os.lstat(lock)):
            return  # ours was moved away, and this is that of another process
    if work.staging.is_symlink():
        return  # ours was moved away, and somebody's link has its name: what it leads to is not ours
    _empty(place, work.staging)
    with contextlib.suppress(OSError):
        lock.unlink(missing_ok=True)
        work.staging.rmdir()
        if not os.path.samestat(work.around, place.parent.lstat()):
            # the folder around was moved away; a library that makes folders as it needs them made this one
            place.parent.rmdir()


def _staging_name(name: str) -> str:
    """Name of the folder where an output is made, no longer than a name may be."""
    if len(os.fsencode(name)) <= 200:
        return f".{name}.warmstart"
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()}.warmstart"


def _lock(place: Path, staging: Path) -> int:
    """Make the folder where an output is made, or take over what a killed process left, and lock it."""
    while True:
        try:
            with contextlib.suppress(FileExistsError):
                staging.mkdir()
            _refuse_taken(place, staging)
            lock = os.open(staging / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError:  # the process that had it has just removed it, or somebody the folder
            if not staging.parent.is_dir():
                raise
            continue
        except OSError as error:
            if error.errno in FULL:
                raise UserError(_is_full(place.parent)) from error
            raise UserError(f"cannot write {place}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise UserError(
                f"another command is writing {place}; wait for it or stop it, or choose another output"
            ) from None
        except OSError:
            pass  # a file system without locks
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), os.lstat(staging / LOCK)):
                if os.fstat(lock).st_size == 0:
                    with contextlib.suppress(OSError):
                        os.write(lock, f"{mark()}: here an output is made; removed at its end\n".encode())
                _empty(place, staging)
                for name in (NEW, OLD):
                    (staging / name).mkdir()
                return lock
        os.close(lock)


def _refuse_taken(place: Path, staging: Path) -> None:
    """Refuse a folder of somebody else where ours should be."""
    lock = staging / LOCK
    if staging.is_dir() and not staging.is_symlink() and not lock.is_symlink():
        with contextlib.suppress(FileNotFoundError):
            names = os.listdir(staging)
            # empty: its process is just making or removing it, or the disk was full
            if not names or (
                LOCK in names and (not lock.stat().st_size or _TEXT_MARK.match(lock.read_bytes()))
            ):
                return
        if not staging.is_dir():
            return
    raise UserError(f"cannot write {place}: {staging} is in the way; move it away, or choose another output")


def _empty(place: Path, staging: Path) -> None:
    """Remove what was being made; put back what was to be replaced by it and was not."""
    old = staging / OLD / place.name
    if os.path.lexists(old) and not os.path.lexists(place):
        old.rename(place)
    for name in (NEW, OLD):
        shutil.rmtree(staging / name, ignore_errors=True)


@contextlib.contextmanager
def replacing(
    path: str | Path,
    overwrite: bool = False,
    inputs: Iterable[Any] = (),
    folder: bool | None = None,
    ours: bool = False,
) -> Iterator[Path]:
    """Give a temporary path beside `path` and rename it when the block succeeds.

    Parameters
    ----------
    path, overwrite, inputs, folder, ours : as of :func:`require_free`.

    Yields
    ------
    A path that does not exist yet; write a file or a folder there. A file says by itself that the product made it, or is
    listed beside; to a folder the list of its contents is added here.

    Raises
    ------
    UserError
        As :func:`require_free` and :func:`held`, or if the disk is full.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
    >>> with replacing(target) as temporary:
    ...     _ = temporary.write_text("whole or not at all")
    >>> target.read_text()
    'whole or not at all'
    """
    place = require_free(path, overwrite, inputs, folder, ours)
    with held(place) as staging:
        temporary = staging / NEW / place.name
        try:
            yield temporary
            if not os.path.lexists(temporary):
                raise FileNotFoundError(errno.ENOENT, "nothing was written", str(temporary))
            _list_contents(temporary)
            if not (staging / LOCK).is_file():
                raise FileNotFoundError(errno.ENOENT, "moved away", str(place.parent))
            # again: somebody may have put something there in the meantime
            _put(temporary, require_free(path, overwrite, inputs, temporary.is_dir(), ours))
        except (OSError, RuntimeError) as error:
            if getattr(error, "errno", None) in FULL:
                raise UserError(_is_full(place.parent)) from error
            if not (staging / LOCK).is_file():
                raise UserError(
                    f"cannot write {path}: the folder {place.parent} is no longer there; put it back, then give the same "
                    "command again"
                ) from error
            require_room(place.parent)  # libraries of NetCDF and HDF5 do not say what failed
            raise


def _list_contents(folder: Path) -> None:
    """Write down what a new folder holds; a zarr store says it by itself."""
    if folder.is_dir() and not (folder / STORE[0]).is_file():
        names = sorted(_walk(folder))
        (folder / CONTENTS).write_text("".join(f"{line}\n" for line in [mark(), *names]), encoding="utf-8")


def join(path: Path) -> None:
    """Add a file to what its folder, which the product made, says that it holds: the folder can be replaced with it.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "a"
    >>> with replacing(folder) as temporary:
    ...     temporary.mkdir()
    >>> (folder / "more.txt").touch()
    >>> join(folder / "more.txt")
    >>> foreign(folder) is None
    True
    """
    with (path.parent / CONTENTS).open("a", encoding="utf-8") as contents:
        contents.write(f"{path.name}\n")


def _put(temporary: Path, place: Path) -> None:
    """Rename what was written to its name; a folder that is there goes out of the way, and comes back if that fails."""
    if not place.is_dir():
        os.replace(temporary, place)
        return
    old = temporary.parent.with_name(OLD) / place.name
    place.rename(old)
    try:
        os.replace(temporary, place)
    except BaseException:
        old.rename(place)
        raise


def remove(path: str | Path) -> None:
    """Remove an output of an earlier command, a file or folder, if it is there and the product made all of it.

    Raises
    ------
    UserError
        As :func:`require_free`.

    Examples
    --------
    >>> remove("no-such-file.nc")
    """
    place = require_free(path, overwrite=True)
    with held(place) as staging:
        if os.path.lexists(place):
            place.rename(staging / NEW / place.name)


def clear(folder: Path, known: str) -> None:
    """Remove what the product left in a folder that it works in, if there is nothing else in it.

    Parameters
    ----------
    folder : from :func:`require_work`.
    known : regular expression of what the product writes there: paths below the folder. What is listed needs none.

    Raises
    ------
    UserError
        If something else is there; then nothing is removed.

    Examples
    --------
    >>> clear(Path("no-such-folder"), "a.nc")
    """
    for here, _, _ in os.walk(folder):
        tidy(Path(here))
    names = sorted(_walk(folder))
    for name in names:
        path, own = folder / name, re.fullmatch(known, name) is not None
        above = next((p for p in path.parents if (p / CONTENTS).is_file()), None)
        if above is not None and above.is_relative_to(folder):
            own = path.relative_to(above).as_posix() in _listed(above)
        if path.is_symlink() or not own:
            raise UserError(
                f"{folder} holds {name}, which warmstart did not put there; move it away, or choose another output"
            )
    for name in names:
        (folder / name).unlink()
    for here, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(here)


def tidy(folder: Path) -> None:
    """Remove what killed processes were just making in a folder, unless another is at work on it.

    Examples
    --------
    >>> tidy(Path("no-such-folder"))
    """
    for staging in folder.glob(".*.warmstart"):
        name = staging.name[1:].removesuffix(".warmstart")
        with contextlib.suppress(UserError, OSError):
            if (staging / LOCK).is_file() and _staging_name(name) == staging.name:
                with held(Path(os.path.realpath(folder)) / name):
                    pass


def writes(
    folder: bool | None = None,
    beside: Callable[[dict[str, Any]], list[Path]] = lambda given: [],
    work: Callable[[dict[str, Any]], tuple[Path, Collection[str]]] | None = None,
    name: str = "output",
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a verb claim its output before it works, and hold it until it ends.

    Every argument that may be a path, by its annotation, is an input of the verb: no output replaces it.

    Parameters
    ----------
    folder : as of :func:`require_free`.
    beside : gives further files that the verb makes, from its arguments.
    work : gives the folder that it works in and its notes, as of :func:`require_work`.
    name : of the argument that is the output; it may be None.

    Returns
    -------
    Decorator of a function with that argument and ``overwrite``.

    Examples
    --------
    >>> @writes()
    ... def copy(source: "str | Path", output: "str | Path", overwrite: bool = False) -> None: ...
    >>> copy(__file__, __file__, overwrite=True)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: ... is an input of the same command (...); choose another output
    """

    def decorate(verb: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(verb)
        read = [
            argument
            for argument, parameter in signature.parameters.items()
            if argument not in (name, "folder")
            and any(word in str(parameter.annotation) for word in ("Path", "Source"))
        ]

        @functools.wraps(verb)
        def claiming(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            if given[name] is None:
                return verb(*args, **kwargs)
            inputs = [given[argument] for argument in read]
            with contextlib.ExitStack() as stack:
                stack.enter_context(held(require_free(given[name], given["overwrite"], inputs, folder)))
                for path in beside(given):
                    stack.enter_context(held(require_free(path, given["overwrite"], inputs, False)))
                if work is not None:
                    place, notes = work(given)
                    stack.enter_context(held(require_work(place, notes, inputs)))
                return verb(*args, **kwargs)

        return claiming

    return decorate


def require_room(folder: str | Path, size: int = 0) -> None:
    """Refuse to begin what does not fit on the disk: some libraries crash where it is full.

    Parameters
    ----------
    folder : where it will be written.
    size : of what will be written [bytes].

    Raises
    ------
    UserError
        If less than `size` and a quarter of a mebibyte for messages is left.

    Examples
    --------
    >>> require_room(".", size=2**70)
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: the disk of . is full: ... MiB are left; free some space, then give the same command again
    """
    if Path(folder).is_dir() and shutil.disk_usage(folder).free < size + MARGIN:
        raise UserError(_is_full(Path(folder)))


def _is_full(folder: Path) -> str:
    left = shutil.disk_usage(folder).free / 2**20
    return f"the disk of {folder} is full: {left:.1f} MiB are left; free some space, then give the same command again"
