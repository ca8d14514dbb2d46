"""Folders of NEMO runs that a user has: mesh, namelists, restarts and output of each, and the states they hold."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from warmstart.engine.nemo import kind, mesh, namelist
from warmstart.engine.nemo.state import open_state
from warmstart.errors import UserError
from warmstart.grid import Grid
from warmstart.variables import STATE_VARIABLES

STATES = (kind.RESTART, kind.XIOS, kind.IOIPSL, kind.CMIP)
_FREQUENCY = re.compile(r"_(\d+(?:ts|s|mi|h|d|mo|m|y))_")
_LATER_PIECE = re.compile(r"piece (?!0 )")


@dataclass(frozen=True, eq=False)
class Run:
    """One run of NEMO.

    Attributes
    ----------
    folder : where it lies.
    grid : its mesh.
    paths : the files that its states are taken from.
    source : what these are: ``restart``, or output and its frequency.
    years : model years of the states, shape ``(time,)``.
    values : its parameters.
    unknown : parameters that are not known, and why.
    version : of NEMO, as far as the files show it.
    notes : what else lies there and was not taken, and why.
    """

    folder: Path
    grid: Grid
    paths: tuple[Path, ...]
    source: str
    years: np.ndarray
    values: dict[str, float]
    unknown: dict[str, str]
    version: str
    notes: tuple[str, ...]

    def open(self) -> xr.Dataset:
        """Open its states, lazily."""
        return open_state(self.paths, self.grid)


def find(folder: str | Path) -> list[Path]:
    """Find the runs in a folder: itself, or the folders in it that hold NEMO's files.

    Parameters
    ----------
    folder : one run or a folder of runs.

    Returns
    -------
    Folders that hold a namelist or NetCDF files of NEMO, by name; empty if there are none.

    Examples
    --------
    >>> find("no-such-folder")
    []
    """
    folder = Path(folder)
    inside = sorted(p for p in folder.glob("*") if p.is_dir() and _looks_like_run(p))
    if inside:  # a mesh and a namelist beside the runs may serve all of them
        return inside
    return [folder] if _looks_like_run(folder) else []


def _looks_like_run(folder: Path) -> bool:
    """A namelist is enough; else a file that only NEMO writes."""
    if not folder.is_dir():
        return False
    if (folder / namelist.CFG).exists():
        return True
    return any(_kind(p).name in kind.NEMO for p in folder.glob("*.nc*") if p.is_file())


def read_run(folder: Path) -> Run:
    """Read what a run holds; of restarts and outputs of several frequencies the one with the most states is taken.

    Parameters
    ----------
    folder : with ``mesh_mask.nc`` (or that in the folder above), ``namelist_cfg``, restarts or output.

    Returns
    -------
    The run; its states are not read.

    Raises
    ------
    UserError
        With the reason why there is nothing to take.

    Examples
    --------
    >>> read_run(Path("no-such-folder"))
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-folder holds no restart and no output of NEMO
    """
    groups, versions = _groups(folder)
    if not groups:
        raise UserError(f"{folder} holds no restart and no output of NEMO")
    grid = _mesh(folder)
    values, unknown = namelist.parameters(folder)
    usable: dict[str, np.ndarray] = {}
    notes = []
    for name, paths in groups.items():
        try:
            with open_state(paths, grid) as ds:
                missing = [v for v in STATE_VARIABLES if v not in ds]
                years = ds["year"].values
        except UserError as error:
            notes.append(f"{name}: {error}")
            continue
        if missing:
            notes.append(f"{name}: no {', no '.join(missing)}")
        elif np.isnan(years).any():
            notes.append(f"{name}: states without a date")
        else:
            usable[name] = years
    if not usable:
        raise UserError("; ".join(notes))
    best = max(usable, key=lambda n: len(usable[n]))
    notes += [f"{n}: fewer states ({len(y)}) than {best}" for n, y in usable.items() if n != best]
    return Run(
        folder, grid, tuple(groups[best]), best, usable[best], values, unknown, versions[best], tuple(notes)
    )


def _groups(folder: Path) -> tuple[dict[str, list[Path]], dict[str, str]]:
    """Files of states by what they are: restarts, output of each frequency; and the versions they show."""
    groups: dict[str, list[Path]] = defaultdict(list)
    versions: dict[str, str] = {}
    for path in sorted(p for p in folder.glob("*.nc*") if p.is_file()):
        what = _kind(path)
        # of a file in pieces the first stands for all; a restart without a date is somebody's initial state
        if what.name not in STATES or any(_LATER_PIECE.match(d) for d in what.detail):
            continue
        if what.name == kind.RESTART and any("only" in d for d in what.detail):
            continue
        match = _FREQUENCY.search(path.name)
        often = f", every {match[1]}" if match else ""
        name = what.name if what.name == kind.RESTART else what.name + often
        groups[name].append(path)
        versions.setdefault(name, what.version)
    return dict(groups), versions


def _kind(path: Path) -> kind.Kind:
    """What a file is; one that cannot be read says so when it is used."""
    try:
        return kind.recognise(path)
    except UserError:
        guess = kind.RESTART if "restart" in path.name else kind.XIOS if "grid_" in path.name else kind.OTHER
        return kind.Kind(guess, "unreadable")


def _mesh(folder: Path) -> Grid:
    """The mesh of a run: its own, or the one that the runs beside it share."""
    try:
        path = mesh.find(folder)
    except UserError as error:
        if "holds no mesh" not in str(error):
            raise
        path = mesh.find(folder.parent, f"{folder} holds no mesh")
    return mesh.open_grid(path)
