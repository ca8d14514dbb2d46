"""Two runs of one member, the second from the restart that the first left: one history of states, yearly numbers and costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.io import files
from warmstart.ocean import parameters
from warmstart.ocean.grid import Grid

#: What both runs add to.
COUNTED = ("years", "cpu_seconds", "blow_ups", "shifts")


def with_transients(own: xr.Dataset, path: Path, mesh: Grid) -> xr.Dataset:
    """Add the states on the way of another run with the same parameters, of the years that there are none of.

    Parameters
    ----------
    own : states along ``time``.
    path : member file of the other run.
    mesh : that both must be on.

    Returns
    -------
    The states of both, in the order of their years.

    Raises
    ------
    UserError
        If the mesh or a parameter of the other run is another.

    Examples
    --------
    >>> with_transients(states, "data/dino-4deg/member_000.nc", mesh)  # doctest: +SKIP
    """
    files.open_grid(path).require_same(mesh, str(path))
    with files.open_dataset(path) as opened:
        other = opened.load()
    mine, theirs = parameters.extract(own), parameters.extract(other)
    if any(not np.isclose(mine[n], theirs[n], rtol=1e-6) for n in mine):
        raise UserError(f"{path} is of other parameters; expected another run of the same member")
    new = (other.phase == "transient").values & ~other.year.isin(own.year.values).values
    names = [n for n in own.data_vars if "time" in own[n].dims]
    merged = xr.concat(
        [own[names], other.isel(time=new)[names].drop_encoding().drop_vars("time", errors="ignore")], "time"
    )
    out = own.drop_dims("time").merge(merged.sortby("year"), combine_attrs="override")
    out.attrs = own.attrs
    return out


def join_states(earlier: Path, later: xr.Dataset, mesh: Grid) -> xr.Dataset:
    """States of a continued member: the earlier run's on the way, the later run's at equilibrium.

    Parameters
    ----------
    earlier : member file whose restart the later run started from.
    later : its states along ``time``, years counted from its start.
    mesh : that both must be on.

    Returns
    -------
    The states; years count from the start of the earlier run.

    Raises
    ------
    UserError
        As :func:`with_transients`.

    Examples
    --------
    >>> join_states("data/dino-4deg/member_013.nc", states, mesh)  # doctest: +SKIP
    """
    with files.open_dataset(earlier, "series") as series:
        before = float(series.year[-1])
    settled = later.isel(time=(later.phase == "equilibrium").values)
    moved = settled.assign_coords(year=settled.year.copy(data=settled.year.values + before))
    return with_transients(moved, earlier, mesh)


def join_series(earlier: xr.Dataset, later: xr.Dataset) -> xr.Dataset:
    """Yearly numbers of both runs; shifts of the deep ocean stay where they were.

    Parameters
    ----------
    earlier, later : along ``time`` with the coordinate ``year``, each from its own start; the first row of `later` is
        of its start if its year is 0, and left out.

    Returns
    -------
    One series; years count from the start of `earlier`. A number that the earlier run defined otherwise (another ``long_name``)
    is NaN in its years: the change of definition must not pass for a trend.

    Examples
    --------
    >>> one = xr.Dataset({"thetao_deep": ("time", [1.0, 2.0])}, {"year": ("time", [1.0, 2.0])})
    >>> join_series(one, one).year.values.tolist()
    [1.0, 2.0, 3.0, 4.0]
    """
    later = later.isel(time=(later.year > 0).values)
    names = [n for n in earlier.data_vars if n in later and n != "stretch"]
    year = later.year.copy(data=later.year.values + float(earlier.year[-1]))
    moved = later[names].assign_coords(year=year)
    kept = earlier[names]
    for name in names:
        if kept[name].attrs.get("long_name") != moved[name].attrs.get("long_name"):
            unknown = np.full(kept[name].shape, np.nan)
            kept = kept.assign({name: (kept[name].dims, unknown, moved[name].attrs)})
    if "stretch" in earlier:
        own = later["stretch"].values if "stretch" in later else np.zeros(later.sizes["time"], "int32")
        kept = kept.assign(stretch=earlier["stretch"])
        moved["stretch"] = ("time", own + int(earlier["stretch"][-1]))
    out = xr.concat([kept, moved], "time", combine_attrs="override")
    if "stretch" in earlier:
        out["stretch"].attrs = _shifts(earlier, later)
    return out


def join_counts(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """Attributes of the file: what both runs cost together; everything else as the later run says, the start as the earlier.

    Examples
    --------
    >>> join_counts({"start": "rest", "years": 300.0}, {"start": "member_001.nc", "years": 100.0})
    {'start': 'rest, continued', 'years': 400.0}
    """
    sums = {n: later[n] + earlier[n] for n in COUNTED if n in later and n in earlier}
    start = str(earlier["start"]).removesuffix(", continued")
    return later | sums | {"start": f"{start}, continued"}


def _shifts(earlier: xr.Dataset, later: xr.Dataset) -> dict[str, Any]:
    """Attributes of the stretches of both."""
    attrs = dict(earlier["stretch"].attrs)
    told = [np.atleast_1d(attrs.get("shift_years", np.nan))]
    if "stretch" in later:
        told.append(
            np.atleast_1d(later["stretch"].attrs.get("shift_years", np.nan)) + float(earlier.year[-1])
        )
    years = np.concatenate(told).astype(float)
    known = years[np.isfinite(years)].tolist()
    return attrs | {"shift_years": known or [float("nan")]}
