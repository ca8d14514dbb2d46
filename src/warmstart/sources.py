"""Which runs a user means: files, folders of a run, folders of runs; each run is looked at alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import xarray as xr

from warmstart.engine.nemo import folders, mesh
from warmstart.errors import UserError, require_path
from warmstart.opening import is_zarr, open_state
from warmstart.subject import Mesh, Source, mesh_of

logger = logging.getLogger(__name__)

#: The states in a folder that ``warmstart simulate`` wrote.
STATES = "states.nc"


class Run(NamedTuple):
    """States of one run.

    Attributes
    ----------
    name : what to call it; empty where there is only one source.
    source : its file, files or Dataset.
    grid : its mesh; None where the source carries it.
    parameters : what its namelists say.
    """

    name: str
    source: Source
    grid: Mesh | None
    parameters: dict[str, float]


def runs_of(states: Source, grid: Mesh | None = None) -> list[Run]:
    """Tell the runs apart.

    Parameters
    ----------
    states : states in memory, a file or store, or several; a folder of a run of NEMO or Veros, or a folder of such. Files of NEMO that
        lie in one folder are of one run, where they fit together.
    grid : the mesh of all; None takes that of each.

    Returns
    -------
    The runs, in the order given; those of a folder by name.

    Raises
    ------
    UserError
        If a path does not exist, or a folder holds no run.

    Examples
    --------
    >>> [run.name for run in runs_of(["no-such-file.nc"])]
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-file.nc does not exist; give an existing NetCDF file, zarr store or folder of a run
    """
    if isinstance(states, xr.Dataset):
        return [Run("", states, grid, {})]
    paths = [require_path(p) for p in ([states] if isinstance(states, str | Path) else states)]
    if not paths:
        raise UserError("no file given; give at least one states file")
    found: list[Run] = []
    files: dict[Path, list[Path]] = {}
    for path in paths:
        if not path.exists():
            raise UserError(
                f"{path} does not exist; give an existing NetCDF file, zarr store or folder of a run"
            )
        if path.is_dir() and not is_zarr(path):
            found += _of_folder(path, grid)
        else:
            files.setdefault(path.absolute().parent, []).append(path)
    for group in files.values():
        found += _of_files(group, grid)
    if len(found) == 1:
        return [found[0]._replace(name="")]
    return [run._replace(name=name) for run, name in zip(found, _distinct(found), strict=True)]


def _of_folder(folder: Path, grid: Mesh | None) -> list[Run]:
    """The runs in a folder: itself, or the folders and member files in it."""
    if (folder / STATES).is_file():
        return [Run(str(folder), folder / STATES, grid, {})]
    own = sorted(p for p in folder.glob(f"*/{STATES}")) + sorted(folder.glob("member_*.nc"))
    if own:
        return [Run(str(p.parent if p.name == STATES else p.with_suffix("")), p, grid, {}) for p in own]
    runs = []
    for place in (places := folders.find(folder)):
        try:
            paths, _, values = folders.states_of(place)
        except UserError as error:
            if len(places) == 1:
                raise
            logger.warning("%s left out: %s", place, error)
            continue
        shared = folder if grid is None and not _has_mesh(place) else grid
        runs.append(Run(str(place), list(map(str, paths)) if len(paths) > 1 else paths[0], shared, values))
    if not runs:
        raise UserError(
            f"{folder} holds no run: expected {STATES}, restarts or output of NEMO with their mesh, or folders of such"
        )
    return runs


def _has_mesh(folder: Path) -> bool:
    try:
        mesh.find(folder)
    except UserError:
        return False
    return True


def _of_files(paths: list[Path], grid: Mesh | None) -> list[Run]:
    """Files of one folder: one run where they make one state, else one each where each is a state."""
    if len(paths) == 1:
        return [Run(str(paths[0].with_suffix("")), paths[0], grid, {})]
    together: Sequence[str | Path] = [str(p) for p in paths]
    try:
        open_state(together, None if grid is None else mesh_of(grid)).close()
    except UserError:
        if not all(_is_whole(path, grid) for path in paths):
            raise
        return [Run(str(p.with_suffix("")), p, grid, {}) for p in paths]
    return [Run(str(paths[0].parent), together, grid, {})]


def _is_whole(path: Path, grid: Mesh | None) -> bool:
    """Whether a file alone holds temperature and salinity."""
    try:
        with open_state(path, None if grid is None else mesh_of(grid)) as ds:
            return "thetao" in ds and "so" in ds
    except UserError:
        return False


def _distinct(runs: list[Run]) -> list[str]:
    """The shortest endings of their paths that tell them apart."""
    parts = [Path(run.name).absolute().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(p[-length:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{run.name} ({i})" for i, run in enumerate(runs)]
