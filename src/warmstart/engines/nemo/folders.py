"""Folders of NEMO runs that a user has: mesh, namelists, restarts and output of each, and the states they hold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from warmstart.engines.base import Kind, Results
from warmstart.engines.nemo import header, mesh
from warmstart.engines.nemo.configuration import Settings, settings
from warmstart.engines.nemo.namelist import CFG
from warmstart.engines.nemo.state import open_state
from warmstart.errors import UserError
from warmstart.ocean.grid import Grid
from warmstart.ocean.parameters import PARAMETERS, Parameter
from warmstart.ocean.variables import OPTIONAL_VARIABLES, STATE_VARIABLES

STATES = (
    header.RESTART,
    header.XIOS,
    header.IOIPSL,
    header.CMIP,
)  #: kinds of files that states are taken from
_FREQUENCY = re.compile(r"_(\d+(?:ts|s|mi|h|d|mo|m|y))_")
_LATER_PIECE = re.compile(r"piece (?!0 )")


class _Source(NamedTuple):
    """Files of one kind and frequency, and what states they hold."""

    paths: tuple[Path, ...]
    version: str
    variables: tuple[str, ...]
    years: np.ndarray
    mean_years: float


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
    return any(_kind(p).maker for p in folder.glob("*.nc*") if p.is_file())


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
    groups = _groups(folder)
    grid = _mesh(folder)
    made = settings(folder, name=name, required=False)
    found, useless = _sources(groups, grid)
    for source, held in list(found.items()):
        missing = [v for v in STATE_VARIABLES if v not in (*held.variables, *OPTIONAL_VARIABLES)]
        if missing or np.isnan(held.years).any():
            why = f"no {', no '.join(missing)}" if missing else "states without a date"
            useless.append(f"{source}: {why}")
            del found[source]
    best = _best(found, useless)
    notes = [f"{parameter}: {note}" for parameter, note in made.notes.items()] + useless
    notes += [
        f"{n}: fewer states ({len(s.years)}) or variables ({len(s.variables)}) than {best}"
        for n, s in found.items()
        if n != best
    ]
    paths, version, variables, years, mean = found[best]
    return NemoRun(folder, grid, paths, best, years, mean, variables, made, version, tuple(notes))


def states_of(folder: Path, grid: Grid | None = None) -> Results:
    """Choose the files of a run whose states shall be looked at: of restarts and outputs of several frequencies those with the most.

    Parameters
    ----------
    folder : as for :func:`read_run`, but without a namelist, or with some variables only, it is a run too.
    grid : its mesh; None takes the one that lies there.

    Returns
    -------
    The files of one state or series, where their mesh is, and the parameters that the namelists hold.

    Raises
    ------
    UserError
        With the reason why there is nothing to take.
    """
    groups = _groups(folder)
    found, useless = _sources(groups, grid or _mesh(folder))
    best = _best(found, useless)
    try:
        values = settings(folder, required=False).values
    except UserError:
        values = {}
    return Results(found[best].paths, None if _has_mesh(folder) else folder.parent, values)


def describe(runs: list[Path]) -> list[str]:
    """Say what runs hold, without opening their states.

    Parameters
    ----------
    runs : folders, from :func:`find`.

    Returns
    -------
    Lines: how many there are; of each its files, its parameters and its equation of state.

    Examples
    --------
    >>> describe([])
    ['0 run of NEMO']
    """
    lines = [f"{len(runs)} run{'s' * (len(runs) > 1)} of NEMO"]
    for folder in runs:
        lines += ["", f"{folder.name}"]
        for file in sorted(p for p in folder.glob("*.nc*") if p.is_file()):
            try:
                lines.append(f"  {file.name:<44} {header.recognise(file)}")
            except UserError as error:
                lines.append(f"  {file.name:<44} {error}")
        if not (folder / CFG).exists():
            continue
        try:
            made = settings(folder)
        except UserError as error:
            lines.append(f"  {CFG:<44} {error}")
            continue
        for name, value in made.values.items():
            units = (PARAMETERS.get(name) or made.described[name]).units
            note = f" ({made.notes[name]})" if name in made.notes else ""
            lines.append(f"  {name:<44} {value:g} {units}{note}")
        lines += [f"  {n:<44} unknown: {why}" for n, why in made.unknown.items() if PARAMETERS[n].namelist]
        lines.append(f"  {'equation of state':<44} {made.equation}")
    return lines


def _groups(folder: Path) -> dict[str, tuple[list[Path], str]]:
    """Files of states by what they are, restarts or output of each frequency, and the version that the first shows."""
    groups: dict[str, tuple[list[Path], str]] = {}
    for path in sorted(p for p in folder.glob("*.nc*") if p.is_file()):
        what = _kind(path)
        # of a file in pieces the first stands for all; a restart without a date is somebody's initial state
        if what.name not in STATES or any(_LATER_PIECE.match(d) for d in what.detail):
            continue
        if what.name == header.RESTART and any("only" in d for d in what.detail):
            continue
        match = _FREQUENCY.search(path.name)
        often = f", every {match[1]}" if match and what.name != header.RESTART else ""
        groups.setdefault(what.name + often, ([], what.version))[0].append(path)
    if not groups:
        raise UserError(f"{folder} holds no restart and no output of NEMO")
    return groups


def _sources(groups: dict[str, tuple[list[Path], str]], grid: Grid) -> tuple[dict[str, _Source], list[str]]:
    """What the files hold, and why some cannot be opened."""
    found, useless = {}, []
    for name, (paths, version) in groups.items():
        try:
            with open_state(paths, grid) as ds:
                held = tuple(v for v in STATE_VARIABLES if v in ds)
                mean = float(ds["year"].attrs.get("mean_years", 0.0))
                found[name] = _Source(tuple(paths), version, held, ds["year"].values, mean)
        except UserError as error:
            useless.append(f"{name}: {error}")
    return found, useless


def _best(found: dict[str, _Source], useless: list[str]) -> str:
    """The source with the most variables, then the most states."""
    if not found:
        raise UserError("; ".join(useless))
    return max(found, key=lambda n: (len(found[n].variables), len(found[n].years)))


def _kind(path: Path) -> Kind:
    """What a file is; one that cannot be read says so when it is used."""
    try:
        return header.recognise(path)
    except UserError:
        names = {"restart": header.RESTART, "grid_": header.XIOS}
        guess = next((kind for part, kind in names.items() if part in path.name), header.OTHER)
        return Kind(guess, maker="NEMO" if guess != header.OTHER else "", version="unreadable")


def _has_mesh(folder: Path) -> bool:
    return any(p.is_file() for pattern in mesh.MESHES for p in folder.glob(pattern)) or bool(
        mesh.split(folder)
    )


def _mesh(folder: Path) -> Grid:
    """The mesh of a run: its own, or the one that the runs beside it share."""
    if _has_mesh(folder):
        return mesh.open_grid(mesh.find(folder))
    return mesh.open_grid(mesh.find(folder.parent, f"{folder} holds no mesh"))
