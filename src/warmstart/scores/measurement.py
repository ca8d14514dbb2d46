"""Metrics of states: states on their mesh, refused where numbers would be wrong, and every metric for every sample.

Units, shapes and time axes are compared with the variables table and the mesh before anything is computed, so that a
mistake is one clear line and not a plausible number.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import xarray as xr

from warmstart.equilibrium.approach import SHORTEST_YEARS
from warmstart.equilibrium.verdict import WINDOW_YEARS
from warmstart.errors import UserError
from warmstart.ocean.grid import Grid
from warmstart.ocean.parameters import PARAMETERS
from warmstart.ocean.sea import holes
from warmstart.ocean.variables import DIAGNOSTICS, VARIABLES, carried
from warmstart.physics.balance import saltless
from warmstart.physics.cache import sharing
from warmstart.physics.cgrid import require_fit
from warmstart.physics.density import equation_of_state, own_equation
from warmstart.scores.metrics import DENSITY, DRIFTS, METRICS, SELDOM, Metric

logger = logging.getLogger(__name__)
#: Every variable that a metric may ask for.
KNOWN = VARIABLES | DIAGNOSTICS
#: What the median over the sea can be, above what its coldest or freshest hundredth cannot lie, and what it is in if it
#: does [units of the variables table].
LIKELY = {"thetao": (-3.0, 34.0, 26.0, "K or degF"), "so": (2.0, 60.0, 60.0, "kg/kg")}

#: Models with a rigid lid whose meshes do not say ``rigid_lid``.
LIDDED = ("veros DINO",)
#: Memory that one batch of samples may take [bytes].
BATCH = 128 * 2**20

#: Each metric for every sample, ``(sample,)``.
Values: TypeAlias = dict[str, xr.DataArray]


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
        """Whether the depth-integrated flow may have divergence: not under a rigid lid, as the mesh says it, nor of a generated state."""
        mesh = self.grid.ds.attrs
        model = str(mesh.get("engine", "none"))
        lid = mesh.get("rigid_lid", f"{model} {mesh.get('configuration')}" in LIDDED)
        return model not in ("none", "unknown") and not lid and "generator" not in self.states.attrs

    def close(self) -> None:
        """Close the files."""
        if self.opened is not None:
            self.opened.close()


def subject_of(ds: xr.Dataset, grid: Grid, name: str = "a Dataset") -> Subject:
    """Put states on their mesh, all leading dimensions in one, ``sample``, and refuse what does not fit together.

    Parameters
    ----------
    ds : states ``(..., [z,] y, x)``.
    grid : their mesh.
    name : what to call them in messages and headers.

    Raises
    ------
    UserError
        If there is no state, variables lie along different times, or units are others than those of the variables table, by
        label or by value.

    Examples
    --------
    >>> subject_of(*ws.basin(nx=6, ny=8, nz=4)).states.thetao.dims
    ('sample', 'z', 'y', 'x')
    """
    held = carried(ds)
    names = [*(name for name in KNOWN if name in ds), *(name for name in held if name not in KNOWN)]
    if not held:
        raise UserError(f"{name} holds no state: expected variables among {', '.join(VARIABLES)}")
    if empty := [str(d) for d, n in ds[names].sizes.items() if n == 0]:
        raise UserError(f"{name} holds no state: {', '.join(empty)} has length 0")
    for known in names:
        require_fit(ds, grid, known)
    _require_one_time(ds[names])
    for known in names:
        _require_likely(ds[known], grid)
    lead = [str(d) for d in ds[names].dims if d not in ("z", "y", "x")]
    times = _times(ds, lead)
    labels = [c for c in ("split", "phase", "member", "year") if c in ds and set(ds[c].dims) <= set(lead)]
    labels += [n for n in PARAMETERS if n in ds and set(ds[n].dims) <= set(lead)]
    others = [c for c in ds.coords if c not in labels]
    flat = ds[names + labels].reset_coords(labels).drop_vars(others, errors="ignore")
    if not lead:
        flat = flat.expand_dims("sample")
    elif len(lead) > 1:
        flat = flat.stack(row=lead, create_index=False).rename(row="sample").transpose("sample", ...)
    elif lead != ["sample"]:
        flat = flat.rename({lead[0]: "sample"})
    return Subject(flat, grid, times, name, [], None, lead == ["time"])


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
        lengths = {n: ", ".join(f"{d}: {ds.sizes[d]}" for d in lead) for n, lead in leads.items()}
        found = ", ".join(f"{n} ({said})" for n, said in lengths.items())
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
    units, found = VARIABLES[name].units, f"hardly any of the sea is below {least:.4g}"
    if not low <= middle <= high:
        found = f"half of the sea is {'above' if middle > high else 'below'} {middle:.4g}"
    raise UserError(f"{name} says {units} but {found}: it looks like {other}; convert it to {units}")


def normal(subject: Subject) -> np.ndarray:
    """Numbers of the states of a reference that say what is normal: training split and equilibrium, where it says so.

    Raises
    ------
    UserError
        If there is none.

    Examples
    --------
    >>> normal(subject_of(*ws.basin(nx=6, ny=8, nz=4)))
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


def _warn_holes(states: xr.Dataset, grid: Grid, first: int) -> None:
    """Say in one line a variable ``(sample, [z,] y, x)`` where the sea holds values that are not finite, or no salt."""
    for name, found in holes(states, grid).items():
        if found.any():
            sample, *place = np.argwhere(found.values)[0]
            where = ", ".join(f"{d}={i}" for d, i in zip(found.dims[1:], place, strict=True))
            text = "%s holds no finite value at %d wet points, the first in state %d at %s"
            logger.warning(text, name, int(found.sum()), first + sample, where)
    if "so" in states and (zero := saltless(states, grid)).any():
        text = "so is exactly 0 at %d wet points, as on land: is the mesh that of the same run?"
        logger.warning(text, int(zero.sum()))


def warn_turned(grid: Grid) -> None:
    """Say where the rows of a mesh are no latitudes, so that zonal and meridional have another meaning.

    Examples
    --------
    >>> warn_turned(ws.basin(nx=6, ny=8, nz=4)[1])
    """
    lat = grid.gphit.transpose("y", "x").values
    if lat.shape[0] > 1 and np.ptp(lat, axis=1).max() > np.abs(np.diff(lat, axis=0)).max():
        text = "rows of this mesh are no circles of latitude: zonal and meridional mean along its rows and columns"
        logger.warning(text)


def split_by_needs(
    names: list[str], subject: Subject, known: Mapping[str, Metric]
) -> tuple[list[str], dict[str, str]]:
    """Metrics that the states have the variables for, and what each of the others lacks; refuses to do none."""
    ds = subject.states
    # a drift is of a metric that must be there
    names = list(dict.fromkeys(DRIFTS.get(name, name) for name in names))
    lacks = {name: [n for n in known[name].needs if n not in ds] for name in names}
    skipped = {name: "needs " + ", ".join(missing) for name, missing in lacks.items() if missing}
    said = [name for name in skipped if not set(lacks[name]) <= set(SELDOM)]
    if said:
        logger.warning("skipped: %s", "; ".join(f"{name} ({skipped[name]})" for name in said))
    usable = [name for name in names if name not in skipped]
    if not usable:
        lacking = "; ".join(f"{name} {why}" for name, why in skipped.items()) or "name a metric"
        raise UserError(f"{subject.name} lacks what is asked for: {lacking}")
    return usable, skipped


def measure(
    subject: Subject, names: list[str], known: Mapping[str, Metric], strict: bool = False, said: bool = False
) -> tuple[Values, dict[str, str]]:
    """Every metric for every sample, a batch of samples in memory at a time; why the others cannot be computed."""
    ds, grid = subject.states, subject.grid
    variables = [name for name in dict.fromkeys((*KNOWN, *carried(ds))) if name in ds]
    count = ds.sizes["sample"]
    unknown = _unknown_equation(subject)
    size = max(1, int(BATCH // max(ds[variables].nbytes / max(count, 1), 1)))
    parts: dict[str, list[xr.DataArray]] = {name: [] for name in names}
    failed: dict[str, str] = {}
    for start in range(0, count, size):
        batch = ds[variables].isel(sample=slice(start, start + size)).load().astype("float64")
        if said:
            _warn_holes(batch, grid, start)
        with sharing():
            for name in (n for n in names if n not in failed):
                try:
                    found = known[name].function(batch, grid)
                    said_of = {"comment": unknown} if unknown and name in DENSITY else {}
                    parts[name].append(found.assign_attrs(said_of))
                except UserError as error:
                    if strict:
                        raise
                    failed[name] = str(error)
    for name, why in failed.items():
        logger.warning("skipped: %s (%s)", name, why)
    done = {name: part for name, part in parts.items() if name not in failed}
    return {n: xr.concat(p, "sample", combine_attrs="override") for n, p in done.items()}, failed


def _unknown_equation(subject: Subject) -> str:
    """Why densities of these states mean little; empty where their equation of state is known."""
    own = own_equation(subject.states, subject.grid)
    if own is None:
        return (
            "equation of state unknown (no namelist beside the files says it): the value is by that of DINO"
        )
    try:
        equation_of_state(own)
    except UserError as error:
        return str(error)
    return ""


def trend_of(subject: Subject, values: Values, of: str) -> xr.DataArray | None:
    """Trend of a metric along a run per century, of its last state; NaN with the reason where the run is too short."""
    if of not in values or "year" not in subject.states:
        return None
    years = np.asarray(np.broadcast_to(subject.states["year"].values, subject.states.sizes["sample"]), float)
    if not np.isfinite(years).all() or np.ptp(years) == 0:
        return None
    units, what = values[of].attrs["units"], values[of].attrs["long_name"]
    attrs = {
        "units": f"{'K' if units == 'degC' else units} century-1",
        "long_name": f"trend of {what} over the last {WINDOW_YEARS:g} years",
    }
    trend = np.nan
    late = years > years.max() - WINDOW_YEARS
    whole, series = _yearly(years[late], values[of].values[late])
    if len(whole) < 3 or np.ptp(whole) < SHORTEST_YEARS:
        attrs["comment"] = (
            f"{np.ptp(years):.3g} years: a trend over less than {SHORTEST_YEARS:g} years, or 3 of its years, says nothing of equilibrium"
        )
    elif np.isfinite(series).all():
        trend = float(np.polyfit(whole - whole.mean(), series, 1)[0]) * 100.0
    filled = np.full(len(years), np.nan)
    filled[years.argmax()] = trend
    return xr.DataArray(filled, dims="sample", attrs=attrs)


def _yearly(years: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over years where there are several records in one: a season is no trend."""
    order = np.argsort(years)
    years, values = years[order], values[order]
    if len(years) < 2 or np.median(np.diff(years)) > 0.99:
        return years, values
    number = np.floor(years - years[0] + 1e-6).astype(int)
    full = [n for n in np.unique(number) if (number == n).sum() >= 0.9 * np.bincount(number).max()]
    return (
        np.array([years[number == n].mean() for n in full]), np.array([values[number == n].mean() for n in full])
    )  # fmt: skip


def holes_of(subject: Subject, values: Values) -> np.ndarray:
    """Whether each state has a hole in the sea: then a value that is not known is the fault of the state, not of the mesh."""
    if "missing_values" in values:
        return np.asarray(values["missing_values"].values > 0)
    if not any(np.isnan(found.values).any() for found in values.values()):
        return np.zeros(subject.states.sizes["sample"], bool)
    return np.asarray(measure(subject, ["missing_values"], METRICS)[0]["missing_values"].values > 0)
