"""Folders of NEMO runs that a user has: mesh, namelists, restarts and output of each, and the states they hold."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from warmstart.engines.nemo import header, mesh
from warmstart.engines.nemo.configuration import Settings, settings
from warmstart.engines.nemo.namelist import CFG
from warmstart.engines.nemo.state import open_state
from warmstart.errors import UserError
from warmstart.ocean.grid import Grid
from warmstart.ocean.parameters import Parameter
from warmstart.ocean.variables import OPTIONAL_VARIABLES, STATE_VARIABLES

STATES = (header.RESTART, header.XIOS, header.IOIPSL, header.CMIP)
_FREQUENCY = re.compile(r"_(\d+(?:ts|s|mi|h|d|mo|m|y))_")
_LATER_PIECE = re.compile(r"piece (?!0 )")


@dataclass(frozen=True, eq=False)
class NemoRun:
    """One run of NEMO.

    Attributes
    ----------
    folder : where it lies.
    grid : its mesh.
    paths : the files that its states are taken from.
    source : what these are: ``restart``, or output and its frequency.
    years : model years of the states, shape ``(time,)``.
    mean_years : length of the interval that a state is a mean over [years]; 0 for instants.
    variables : those of a state that it holds.
    settings : what it was made with.
    version : of NEMO, as far as the files show it.
    notes : what else lies there and was not taken, and why.
    """

    folder: Path
    grid: Grid
    paths: tuple[Path, ...]
    source: str
    years: np.ndarray
    mean_years: float
    variables: tuple[str, ...]
    settings: Settings
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
    if (folder / CFG).exists():
        return True
    return any(_kind(p).name in header.NEMO for p in folder.glob("*.nc*") if p.is_file())


def read_run(folder: Path, name: Iterable[Parameter] = ()) -> NemoRun:
    """Read what a run holds; of restarts and outputs of several frequencies the one with the most states is taken.

    Parameters
    ----------
    folder : with ``mesh_mask.nc`` (or that in the folder above), restarts or output; ``namelist_cfg`` or ``parameters.yaml`` say its
        parameters.
    name : entries of its namelist that are parameters too.

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
    made = settings(folder, name=name, required=False)
    usable: dict[str, tuple[np.ndarray, float, tuple[str, ...]]] = {}
    notes = [f"{parameter}: {note}" for parameter, note in made.notes.items()]
    useless = []
    for source, paths in groups.items():
        try:
            with open_state(paths, grid) as ds:
                held = tuple(v for v in STATE_VARIABLES if v in ds)
                years, mean = ds["year"].values, float(ds["year"].attrs.get("mean_years", 0.0))
        except UserError as error:
            useless.append(f"{source}: {error}")
            continue
        missing = [v for v in STATE_VARIABLES if v not in (*held, *OPTIONAL_VARIABLES)]
        if missing:
            useless.append(f"{source}: no {', no '.join(missing)}")
        elif np.isnan(years).any():
            useless.append(f"{source}: states without a date")
        else:
            usable[source] = years, mean, held
    if not usable:
        raise UserError("; ".join(useless))
    best = max(usable, key=lambda n: (len(usable[n][2]), len(usable[n][0])))
    notes += useless
    notes += [
        f"{n}: fewer states ({len(y)}) or variables ({len(v)}) than {best}"
        for n, (y, _, v) in usable.items()
        if n != best
    ]
    return NemoRun(folder, grid, tuple(groups[best]), best, *usable[best], made, versions[best], tuple(notes))


def states_of(folder: Path, grid: Grid | None = None) -> tuple[list[Path], Grid, dict[str, float]]:
    """Choose the files of a run whose states shall be looked at: of restarts and outputs of several frequencies those with the most.

    Parameters
    ----------
    folder : as for :func:`read_run`, but without a namelist, or with some variables only, it is a run too.
    grid : its mesh; None takes the one that lies there.

    Returns
    -------
    The files of one state or series, their mesh, and the parameters that the namelists hold.

    Raises
    ------
    UserError
        With the reason why there is nothing to take.

    Examples
    --------
    >>> states_of(Path("no-such-folder"))
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-folder holds no restart and no output of NEMO
    """
    groups = _groups(folder)[0]
    if not groups:
        raise UserError(f"{folder} holds no restart and no output of NEMO")
    grid = grid or _mesh(folder)
    count: dict[str, tuple[int, int]] = {}
    notes = []
    for name, paths in groups.items():
        try:
            with open_state(paths, grid) as ds:
                count[name] = (sum(v in ds for v in STATE_VARIABLES), ds.sizes.get("time", 1))
        except UserError as error:
            notes.append(f"{name}: {error}")
    if not count:
        raise UserError("; ".join(notes))
    try:
        values = settings(folder, required=False).values
    except UserError:
        values = {}
    return groups[max(count, key=lambda n: count[n])], grid, values


def _groups(folder: Path) -> tuple[dict[str, list[Path]], dict[str, str]]:
    """Files of states by what they are: restarts, output of each frequency; and the versions they show."""
    groups: dict[str, list[Path]] = defaultdict(list)
    versions: dict[str, str] = {}
    for path in sorted(p for p in folder.glob("*.nc*") if p.is_file()):
        what = _kind(path)
        # of a file in pieces the first stands for all; a restart without a date is somebody's initial state
        if what.name not in STATES or any(_LATER_PIECE.match(d) for d in what.detail):
            continue
        if what.name == header.RESTART and any("only" in d for d in what.detail):
            continue
        match = _FREQUENCY.search(path.name)
        often = f", every {match[1]}" if match else ""
        name = what.name if what.name == header.RESTART else what.name + often
        groups[name].append(path)
        versions.setdefault(name, what.version)
    return dict(groups), versions


def _kind(path: Path) -> header.FileKind:
    """What a file is; one that cannot be read says so when it is used."""
    try:
        return header.recognise(path)
    except UserError:
        guess = (
            header.RESTART
            if "restart" in path.name
            else header.XIOS
            if "grid_" in path.name
            else header.OTHER
        )
        return header.FileKind(guess, "unreadable")


def _mesh(folder: Path) -> Grid:
    """The mesh of a run: its own, or the one that the runs beside it share."""
    try:
        path = mesh.find(folder)
    except UserError as error:
        if "holds no mesh" not in str(error):
            raise
        path = mesh.find(folder.parent, f"{folder} holds no mesh")
    return mesh.open_grid(path)
