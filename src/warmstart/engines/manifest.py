"""What a folder of restarts holds: its manifest, read and written."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from warmstart.errors import UserError, require_path
from warmstart.io.config import Config, load_yaml

#: Name of the manifest in a folder of restarts.
MANIFEST = "restarts.yaml"


class StatesFile(Config):
    """The states file that restarts were made from."""

    file: str
    sha256: str


class Fields(Config):
    """Which fields the state gave, which follow from it, which are zero, and which are those of the template."""

    given: tuple[str, ...]
    derived: tuple[str, ...]
    zeroed: tuple[str, ...]
    kept: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


class Sample(Config):
    """One restart file: which state it holds, the parameters to run it with, and for NEMO the date and what to know of them."""

    file: str
    sample: int
    seed: int | None = None
    year: float | None = None
    parameters: dict[str, float]
    date: int | None = None
    remarks: tuple[str, ...] = ()


class Manifest(Config):
    """What a folder of restarts holds: the content of its ``restarts.yaml``.

    ``configuration`` is what the engine has to be set up with, in its own terms.
    """

    engine: str
    configuration: dict[str, Any]
    grid: str
    states: StatesFile
    fields: Fields
    samples: tuple[Sample, ...]
    warmstart_version: str
    command: str
    created: str


def read_manifest(folder: str | Path) -> Manifest:
    """Read the manifest of a folder of restarts.

    Parameters
    ----------
    folder : what :func:`restart` made.

    Raises
    ------
    UserError
        If the folder holds no readable manifest, or a restart file it names is missing.

    Examples
    --------
    >>> read_manifest("no-such-folder")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-folder holds no restarts.yaml; give a folder made by 'warmstart restart'
    """
    folder = require_path(folder)
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{folder} holds no {MANIFEST}; give a folder made by 'warmstart restart'")
    manifest = load_yaml(folder / MANIFEST, Manifest)
    missing = [sample.file for sample in manifest.samples if not (folder / sample.file).is_file()]
    if missing:
        raise UserError(
            f"{folder} lacks {', '.join(missing)}, which {MANIFEST} names; make the restarts again"
        )
    return manifest


def fields_of(folder: str | Path) -> str:
    """Say where the fields of restarts came from, and for NEMO what to set in the namelist.

    Parameters
    ----------
    folder : what :func:`restart` made.

    Returns
    -------
    Text for the screen.

    Raises
    ------
    UserError
        As :func:`read_manifest`.
    """
    groups = read_manifest(folder).fields
    lines = [f"{name:<8} {' '.join(names)}" for name, names in groups if names]
    for path in sorted(Path(folder).glob("*.namelist"))[:1]:
        lines.append("set in namelist_cfg (of the first restart; each has its own beside it):")
        said = path.read_text(encoding="utf-8", errors="replace").splitlines()
        lines += [line for line in said if not line.startswith(("! sha256 ", "! made by"))]
    return "\n".join(lines)


def content_hash(path: str | Path) -> str:
    """Hash a file, or all files of a folder, by content.

    Parameters
    ----------
    path : a file, or a folder such as a zarr store.

    Returns
    -------
    SHA-256, hexadecimal.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a"
    >>> _ = path.write_text("same content, same hash")
    >>> content_hash(path) == content_hash(path)
    True
    """
    path = Path(path)
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()} {content_hash(file)}\n".encode())
    return digest.hexdigest()
