"""The time axis of NEMO files: dates in the model's calendar, whatever the file calls it, and model years."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from warmstart.engine.nemo.names import role

#: Calendars as IOIPSL and others write them -> as CF and cftime know them.
CALENDARS = {"360d": "360_day", "360": "360_day", "365d": "noleap", "366d": "all_leap", "gregorian": "standard",
             "365_day": "noleap"}  # fmt: skip
AXES = ("time_counter", "time", "time_centered", "t")
DAY = 86400.0


@dataclass(frozen=True, eq=False)
class Times:
    """When the records of a file are.

    Attributes
    ----------
    dates : cftime dates, shape ``(time,)``; None where the file has none.
    years : model years since the first of January of year 1, NaN where unknown.
    bounds : begin and end of each mean [seconds, as `seconds`]; None where the file has none.
    seconds : the dates as seconds since year 1 in the same calendar, to compare them.
    mean : whether records are means over time; None where the file does not say.
    """

    dates: np.ndarray | None
    years: np.ndarray
    bounds: np.ndarray | None
    seconds: np.ndarray
    mean: bool | None


def read_times(ds: xr.Dataset, records: int) -> Times:
    """Read the time axis of a file.

    Parameters
    ----------
    ds : the file, times not decoded.
    records : number of records of its fields.

    Returns
    -------
    Dates of output files from their time axis, of restarts from ``ndastp`` (whose day has ended).

    Examples
    --------
    >>> ds = xr.Dataset({"ndastp": 11230.0, "adatrj": 360.0})
    >>> read_times(ds, 1).years.tolist()
    [1.0]
    """
    axis = next((n for n in AXES if n in ds.variables and "since" in str(ds[n].attrs.get("units", ""))), None)
    if axis is not None:
        return _decoded(ds, axis)
    if "ndastp" in ds.variables and float(ds["ndastp"]) > 0:
        return _restart(ds)
    unknown = np.full(records, np.nan)
    steps = next((ds[n].values for n in AXES if n in ds.variables and ds[n].shape == (records,)), None)
    return Times(
        None, unknown, None, np.arange(records) * 1.0 if steps is None else steps.astype(float), _is_mean(ds)
    )


def _decoded(ds: xr.Dataset, axis: str) -> Times:
    import cftime

    attrs = ds[axis].attrs
    calendar = str(attrs.get("calendar", "standard")).strip().lower()
    calendar = CALENDARS.get(calendar, calendar)
    values = np.atleast_1d(ds[axis].values).astype("float64")
    dates = np.atleast_1d(cftime.num2date(values, attrs["units"], calendar, only_use_cftime_datetimes=True))
    seconds = _seconds(dates, calendar)
    bounds = None
    name = attrs.get("bounds")
    if name in ds.variables and ds[name].shape == (values.size, 2):
        offsets = ds[name].values.astype("float64") - values[:, None]
        bounds = seconds[:, None] + offsets * _unit_seconds(str(attrs["units"]))
    mean = _is_mean(ds)
    if mean is None and bounds is not None:
        mean = bool(np.any(bounds[:, 1] > bounds[:, 0]))
    return Times(dates, seconds / (DAY * _year_days(calendar)), bounds, seconds, mean)


def _restart(ds: xr.Dataset) -> Times:
    """A restart is written at the end of the day ``ndastp``, or at ``ntime`` of it."""
    import cftime

    number = int(ds["ndastp"])
    year, month, day = number // 10000, number // 100 % 100, number % 100
    elapsed = float(ds["adatrj"]) if "adatrj" in ds.variables else np.nan
    clock = int(ds["ntime"]) if "ntime" in ds.variables else 0
    after = (clock // 100 * 3600.0 + clock % 100 * 60.0) or DAY
    possible = ["360_day", "noleap", "standard"] if day <= 30 else ["noleap", "standard"]
    starts = [
        (c, float(_seconds(np.array([cftime.datetime(year, month, day, calendar=c)]), c)[0]))
        for c in possible
        if not (c != "360_day" and month == 2 and day > 28)
    ]
    # a run that began in year 1 tells its calendar by the days since then
    fitting = [(c, s) for c, s in starts if abs((s + after) / DAY - elapsed) < 1.0]
    calendar, start = (fitting or starts)[0]
    seconds = np.array([start + after])
    dates = np.atleast_1d(cftime.num2date(seconds, "seconds since 0001-01-01", calendar))
    return Times(dates, seconds / (DAY * _year_days(calendar)), None, seconds, False)


def _seconds(dates: np.ndarray, calendar: str) -> np.ndarray:
    import cftime

    return np.asarray(cftime.date2num(dates, "seconds since 0001-01-01", calendar), dtype="float64")


def _year_days(calendar: str) -> float:
    return {"360_day": 360.0, "noleap": 365.0, "all_leap": 366.0, "julian": 365.25}.get(calendar, 365.2425)


def _unit_seconds(units: str) -> float:
    word = units.split()[0].lower().rstrip("s")
    return {"second": 1.0, "sec": 1.0, "minute": 60.0, "hour": 3600.0, "day": DAY}.get(word, 1.0)


def _is_mean(ds: xr.Dataset) -> bool | None:
    """Whether the fields are means: from the operation that XIOS or IOIPSL notes, or from CF's cell methods."""
    for var in ds.variables.values():
        if not any(role(str(d)) == "time" for d in var.dims) or var.ndim < 3:
            continue
        said = f"{var.attrs.get('online_operation', '')} {var.attrs.get('cell_methods', '')}".lower()
        if "ave" in said or "time: mean" in said:
            return True
        if "inst" in said or "time: point" in said:
            return False
    return None


def coordinate(times: Times, chosen: Any) -> xr.Dataset:
    """Coordinates ``time`` and ``year`` of some records.

    Parameters
    ----------
    times : of a file.
    chosen : indices of the records.

    Returns
    -------
    A Dataset of coordinates, dims ``(time,)``; no ``time`` where the file has no dates.

    Examples
    --------
    >>> coordinate(read_times(xr.Dataset({"ndastp": 11230.0, "adatrj": 360.0}), 1), [0]).year.item()
    1.0
    """
    about = {"units": "years", "long_name": "model years since 1 January of year 1"}
    coords: dict[str, Any] = {"year": ("time", times.years[chosen], about)}
    if times.dates is not None:
        coords["time"] = ("time", times.dates[chosen], {"standard_name": "time"})
    return xr.Dataset(coords=coords)
