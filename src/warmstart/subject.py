"""What ``check`` looks at: states of any origin and their mesh, refused where numbers would be wrong.

Units, shapes and time axes are compared with the variables table and the mesh before anything is computed, so that a
mistake is one clear line and not a plausible number.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import xarray as xr

from warmstart.errors import UserError, require_path
from warmstart.grid import Grid
from warmstart.opening import open_grid, open_state
from warmstart.parameters import PARAMETERS
from warmstart.physics.balance import saltless
from warmstart.physics.cgrid import require_fit
from warmstart.variables import DIAGNOSTICS, VARIABLES

logger = logging.getLogger(__name__)

#: Whatever holds states.
Source: TypeAlias = str | Path | Sequence[str | Path] | xr.Dataset
#: Whatever holds a mesh; several files where it is split.
Mesh: TypeAlias = str | Path | Sequence[str | Path] | xr.Dataset | Grid
#: Every variable that a metric may ask for.
KNOWN = VARIABLES | DIAGNOSTICS
#: What the median over the sea can be, above what its coldest or freshest hundredth cannot lie, and what it is in if it
#: does [units of the variables table].
LIKELY = {"thetao": (-3.0, 34.0, 26.0, "K or degF"), "so": (2.0, 60.0, 60.0, "kg/kg")}


class Subject(NamedTuple):
    """States on their mesh.

    Attributes
    ----------
    states : Dataset ``(sample, [z,] y, x)`` with variables of :data:`KNOWN`, the labels ``split phase member year`` and the parameters.
    grid : the mesh.
    times : date, year or number of each sample.
    name : what to call it in messages and headers.
    files : where it comes from; empty for what was handed over in memory.
    along_time : whether the states are those of one run, one after the other.
    opened : what to close when the states are no longer needed; None for what was handed over.
    """

    states: xr.Dataset
    grid: Grid
    times: list[str]
    name: str
    files: list[Path]
    opened: xr.Dataset | None = None
    along_time: bool = False

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """Parameters of each state, as far as it carries them."""
        size = self.states.sizes["sample"]
        return {n: np.broadcast_to(self.states[n].values, size) for n in PARAMETERS if n in self.states}

    @property
    def free_surface(self) -> bool:
        """Whether the depth-integrated flow may have divergence: not that of DINO in Veros, nor of a generated state."""
        mesh = self.grid.ds.attrs
        lid = mesh.get("engine") == "veros" and mesh.get("configuration") == "DINO"
        return mesh.get("engine") in ("nemo", "veros") and not lid and "generator" not in self.states.attrs

    def close(self) -> None:
        """Close the files."""
        if self.opened is not None:
            self.opened.close()


def read(source: Source, grid: Mesh | None = None) -> Subject:
    """Open states and their mesh, and refuse what does not fit together.

    Parameters
    ----------
    source : states file, ``states.zarr``, restart or output of NEMO (several files of one run as a list), or a Dataset
        ``(..., [z,] y, x)``.
    grid : mesh, its Dataset or a file that carries one; None takes the one in `source`.

    Returns
    -------
    The states, all leading dimensions in one, ``sample``.

    Raises
    ------
    UserError
        If there is no state or no mesh, they belong to different grids, variables lie along different times, or units
        are others than those of the variables table, by label or by value.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> read(*basin(nx=6, ny=8, nz=4)).states.thetao.dims
    ('sample', 'z', 'y', 'x')
    """
    ds, mesh, files = _opened(source, grid)
    names = [name for name in KNOWN if name in ds]
    if not any(name in VARIABLES for name in names):
        raise UserError(f"{name_of(source)} holds no state: expected variables among {', '.join(VARIABLES)}")
    if empty := [str(d) for d, n in ds[names].sizes.items() if n == 0]:
        raise UserError(f"{name_of(source)} holds no state: {', '.join(empty)} has length 0")
    for name in names:
        require_fit(ds, mesh, name)
    _require_one_time(ds[names])
    for name in names:
        _require_likely(ds[name], mesh)
    lead = [str(d) for d in ds[names].dims if d not in ("z", "y", "x")]
    times = _times(ds, lead)
    labels = [c for c in ("split", "phase", "member", "year") if c in ds and set(ds[c].dims) <= set(lead)]
    labels += [n for n in PARAMETERS if n in ds and set(ds[n].dims) <= set(lead)]
    flat = (
        ds[names + labels]
        .reset_coords(labels)
        .drop_vars([c for c in ds.coords if c not in labels], errors="ignore")
    )
    if not lead:
        flat = flat.expand_dims("sample")
    elif len(lead) > 1:
        flat = flat.stack(row=lead, create_index=False).rename(row="sample").transpose("sample", ...)
    elif lead != ["sample"]:
        flat = flat.rename({lead[0]: "sample"})
    return Subject(flat, mesh, times, name_of(source), files, ds if files else None, lead == ["time"])


def _opened(source: Source, grid: Mesh | None) -> tuple[xr.Dataset, Grid, list[Path]]:
    if isinstance(source, xr.Dataset):
        if grid is None:
            raise UserError("a Dataset carries no mesh; hand over grid as well")
        return source, mesh_of(grid), []
    paths = [require_path(p) for p in ([source] if isinstance(source, str | Path) else source)]
    if not paths:
        raise UserError("no file given; give at least one states file")
    mesh = _mesh(paths[0], grid)
    return open_state(paths if len(paths) > 1 else paths[0], mesh, diagnostics=True), mesh, paths


def mesh_of(grid: Mesh) -> Grid:
    """Open a mesh, whatever holds it."""
    if isinstance(grid, Grid):
        return grid
    return Grid(grid) if isinstance(grid, xr.Dataset) else open_grid(grid)


def _mesh(path: Path, grid: Mesh | None) -> Grid:
    """The mesh handed over, else the file's own; refuses to choose between two that differ."""
    if grid is None:
        return open_grid(path)
    mesh = mesh_of(grid)
    try:
        own = open_grid(path)
    except UserError:
        return mesh
    mesh.require_same(own, str(path))
    return own


def _times(ds: xr.Dataset, lead: list[str]) -> list[str]:
    """When each state is: its date, else its year, else its number."""
    for name in ("time", "year"):
        if len(lead) == 1 and name in ds.coords and ds[name].dims == (lead[0],):
            return [str(value).replace("T", " ").split(".000")[0] for value in ds[name].values]
    return [str(i) for i in range(int(np.prod([ds.sizes[d] for d in lead], dtype=int)))]


def _require_one_time(ds: xr.Dataset) -> None:
    """Refuse variables that lie along different times."""
    leads = {str(n): tuple(d for d in da.dims if d not in ("z", "y", "x")) for n, da in ds.data_vars.items()}
    if len({frozenset(lead) for lead in leads.values()}) > 1:
        found = ", ".join(
            f"{n} ({', '.join(f'{d}: {ds.sizes[d]}' for d in lead)})" for n, lead in leads.items()
        )
        raise UserError(f"time axes differ: {found}; give all variables at the same times")


def _require_likely(da: xr.DataArray, grid: Grid) -> None:
    """Refuse a temperature or salinity whose numbers are those of another unit than it says."""
    name = str(da.name)
    if name not in LIKELY or not da.size:
        return
    first = da.isel({d: 0 for d in da.dims if d not in ("z", "y", "x")})
    values = first.values[grid.mask("T").transpose(*first.dims).values]
    values = values[np.isfinite(values)]
    if not values.size:
        return
    least, middle = (float(v) for v in np.quantile(values, (0.01, 0.5)))
    low, high, floor, other = LIKELY[name]
    if low <= middle <= high and least <= floor:
        return
    units = VARIABLES[name].units
    found = (
        f"half of the sea is {'above' if middle > high else 'below'} {middle:.4g}"
        if not low <= middle <= high
        else f"hardly any of the sea is below {least:.4g}"
    )
    raise UserError(f"{name} says {units} but {found}: it looks like {other}; convert it to {units}")


def normal(subject: Subject) -> np.ndarray:
    """Which states of a reference say what is normal: its training split and equilibrium snapshots, where it says so.

    Parameters
    ----------
    subject : the reference.

    Returns
    -------
    Numbers of the samples.

    Raises
    ------
    UserError
        If there is none.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> normal(read(*basin(nx=6, ny=8, nz=4)))
    array([0])
    """
    ds = subject.states
    keep = np.ones(ds.sizes["sample"], bool)
    for label, value in (("split", "train"), ("phase", "equilibrium")):
        if label in ds:
            keep &= np.array([str(v) == value for v in np.broadcast_to(ds[label].values, keep.shape)])
    if not keep.any():
        raise UserError(
            f"{subject.name} has no equilibrium snapshot of a training member; give another reference"
        )
    return np.flatnonzero(keep)


def warn_holes(states: xr.Dataset, grid: Grid, first: int = 0) -> None:
    """Say in one line a variable where the sea holds values that are not finite, or no salt.

    Parameters
    ----------
    states : ``(sample, [z,] y, x)``, in memory.
    grid : their mesh.
    first : number of the first sample.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> warn_holes(state.expand_dims("sample"), grid)
    """
    for name in (n for n in VARIABLES if n in states):
        table = VARIABLES[name]
        wet = grid.mask(table.point, table.three_d)
        values = states[name].transpose("sample", *table.dims).values
        holes = ~np.isfinite(values) & wet.transpose(*table.dims).values
        if holes.any():
            sample, *place = np.argwhere(holes)[0]
            where = ", ".join(f"{d}={i}" for d, i in zip(table.dims, place, strict=True))
            logger.warning(
                "%s holds no finite value at %d wet points, the first in state %d at %s",
                name,
                holes.sum(),
                first + sample,
                where,
            )
    if "so" in states and (zero := saltless(states, grid)).any():
        logger.warning(
            "so is exactly 0 at %d wet points, as on land: is the mesh that of the same run?", int(zero.sum())
        )


def warn_turned(grid: Grid) -> None:
    """Say where the rows of a mesh are no latitudes, so that zonal and meridional have another meaning.

    Parameters
    ----------
    grid : the mesh.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> warn_turned(basin(nx=6, ny=8, nz=4)[1])
    """
    lat = grid.gphit.transpose("y", "x").values
    if lat.shape[0] > 1 and np.ptp(lat, axis=1).max() > np.abs(np.diff(lat, axis=0)).max():
        logger.warning(
            "rows of this mesh are no circles of latitude: zonal and meridional mean along its rows and columns"
        )


def name_of(source: object) -> str:
    """What to call a source in messages and headers.

    Examples
    --------
    >>> name_of(["a.nc", "b.nc"]), name_of(None)
    ('a.nc, b.nc', 'none')
    """
    if source is None:
        return "none"
    if isinstance(source, list | tuple):
        return ", ".join(str(p) for p in source)
    return str(source) if isinstance(source, str | Path) else f"a {type(source).__name__}"
