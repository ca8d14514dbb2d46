"""The time axis of NEMO files: dates in the model's calendar, whatever the file calls it, and model years."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from warmstart.engines.nemo.dimensions import role
from warmstart.errors import UserError, reading

#: Calendars as IOIPSL and others write them -> as CF and cftime know them.
CALENDARS = {"360d": "360_day", "360": "360_day", "360day": "360_day", "365d": "noleap", "365": "noleap",
             "365day": "noleap", "365_day": "noleap", "no_leap": "noleap", "366d": "all_leap", "366_day": "all_leap",
             "leap": "standard", "gregorian": "standard", "": "standard", "none": "standard"}  # fmt: skip
#: Units of time that are as long as the calendar says -> in months.
MONTHS = {"month": 1.0, "mon": 1.0, "year": 12.0, "yr": 12.0, "common_year": 12.0}
_UNITS = re.compile(r"\s*(\w+)\s+since\s+(([+-]?\d+)\S*.*?)\s*", re.IGNORECASE)
#: What CF's cell methods or XIOS call a mean over the time between records, and an instant.
_METHOD = re.compile(r"\b(?:time\w*|t)\s*:\s*(\w+)", re.IGNORECASE)
_INSTANT = ("point", "inst")
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
    year_days : length of the calendar's year [days]; None where the file has no dates.
    """

    dates: np.ndarray | None
    years: np.ndarray
    bounds: np.ndarray | None
    seconds: np.ndarray
    mean: bool | None
    year_days: float | None = None


def read_times(ds: xr.Dataset, records: int) -> Times:
    """Read the time axis of a file.

    Parameters
    ----------
    ds : the file, times not decoded.
    records : number of records of its fields.

    Returns
    -------
    Dates of output files from their time axis, of restarts from ``ndastp`` (whose day has ended).

    Raises
    ------
    UserError
        If the axis says no dates.

    Examples
    --------
    >>> read_times(xr.Dataset({"ndastp": 11230.0, "adatrj": 360.0}), 1).years.tolist()
    [1.0]
    """
    where = f"the times of {ds.encoding.get('source', 'the file')}"
    with reading(where, "expected dates of a calendar of CF or ndastp of NEMO"):
        if (axis := time_axis(ds)) is not None:
            return _decoded(ds, axis)
        if "ndastp" in ds.variables and float(ds["ndastp"]) > 0:
            return _restart(ds)
        steps = (ds[n].values for n in AXES if n in ds.variables and ds[n].shape == (records,))
        seconds = next(steps, np.arange(records)).astype(float)
        return Times(None, np.full(records, np.nan), None, seconds, _is_mean(ds))


def time_axis(ds: xr.Dataset) -> str | None:
    """Name of the variable that says the dates; None where there is none.

    Examples
    --------
    >>> time_axis(xr.Dataset({"time": ("time", [0.5], {"units": "days since 1850-01-01"})}))
    'time'
    """
    attrs = {str(n): v.attrs for n, v in ds.variables.items() if v.ndim < 2}
    dated = [n for n, held in attrs.items() if "since" in str(held.get("units", ""))]
    others = [n for n in dated if attrs[n].get("standard_name") == "time" or attrs[n].get("axis") == "T"]
    return next((n for n in (*AXES, *others) if n in dated), None)


def _decoded(ds: xr.Dataset, axis: str) -> Times:
    attrs = ds[axis].attrs
    calendar = str(attrs.get("calendar", "standard")).strip().lower()
    calendar = CALENDARS.get(calendar, calendar)
    values = np.atleast_1d(ds[axis].values).astype("float64")
    units = str(attrs["units"])
    dates = _dates(values, units, calendar, axis)
    seconds = _seconds(dates, calendar)
    bounds = None
    edges = ds[attrs["bounds"]].values if attrs.get("bounds") in ds.variables else np.zeros(0)
    if edges.size == 2 * values.size:
        try:
            flat = _dates(edges.astype("float64").ravel(), units, calendar, axis)
            bounds = _seconds(flat, calendar).reshape(-1, 2)
        except (UserError, ValueError):
            bounds = None  # of no use, as some programs leave them
    mean = _is_mean(ds)
    if mean is None and bounds is not None:
        mean = bool(np.any(bounds[:, 1] > bounds[:, 0]))
    length = _year_days(calendar)
    return Times(dates, seconds / (DAY * length), bounds, seconds, mean, length)


def _dates(values: np.ndarray, units: str, calendar: str, axis: str) -> np.ndarray:
    """Dates in a calendar, also of months and years since, and from a year 0."""
    import cftime

    match = _UNITS.fullmatch(units)
    if match is None or not np.isfinite(values).all():
        what = f"has the units '{units}'" if match is None else "holds values that are no numbers"
        raise UserError(f"the time axis {axis} {what}; expected for example 'days since 1850-01-01'")
    word = match[1].lower()
    word = word if word in MONTHS else word.rstrip("s")
    zero = True if int(match[3]) < 1 else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a year 0, which CF does not know
            if word not in MONTHS:
                found = cftime.num2date(
                    values, units, calendar, only_use_cftime_datetimes=True, has_year_zero=zero
                )
                return np.atleast_1d(found)
            start = cftime.num2date(0, f"days since {match[2]}", calendar, has_year_zero=zero)
            return np.array([_later(start, float(v) * MONTHS[word]) for v in values])
    except (ValueError, OverflowError, TypeError) as error:
        raise UserError(
            f"the time axis {axis} cannot be read: '{units}', calendar '{calendar}' ({error}); expected for example "
            "'days since 1850-01-01' and a calendar of CF"
        ) from error


def _later(start: Any, months: float) -> Any:
    """A date some months of the calendar later, a part of a month as that part of its days."""
    import datetime

    def first(number: int) -> Any:
        year, month = divmod(start.year * 12 + start.month - 1 + number, 12)
        return start.replace(year=year, month=month + 1, day=1)

    whole = int(np.floor(months))
    length = first(whole + 1) - first(whole)
    return first(whole) + datetime.timedelta(days=start.day - 1) + length * (months - whole)


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

    zero = bool(dates[0].has_year_zero) if len(dates) else None
    units = "seconds since 0001-01-01"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        return np.asarray(cftime.date2num(dates, units, calendar, has_year_zero=zero), dtype="float64")


def _year_days(calendar: str) -> float:
    return {"360_day": 360.0, "noleap": 365.0, "all_leap": 366.0, "julian": 365.25}.get(calendar, 365.2425)


def _is_mean(ds: xr.Dataset) -> bool | None:
    """Whether the fields are means, as far as they say."""
    fields = (v for v in ds.variables.values() if v.ndim > 2 and any(role(str(d)) == "time" for d in v.dims))
    said = [sampling(var.attrs) for var in fields]
    return next((mean for mean in said if mean is not None), None)


def sampling(attrs: Mapping[Any, Any]) -> bool | None:
    """Whether a field is a mean over time (or a sum or extreme), by the operation that XIOS or IOIPSL notes, or CF's cell methods.

    Returns
    -------
    False for an instant, None where it says nothing.

    Examples
    --------
    >>> sampling({"cell_methods": "area: mean where sea time: mean"}), sampling({"online_operation": "inst(x)"})
    (True, False)
    """
    operation = str(attrs.get("online_operation", "")).strip().lower()
    methods = [m.lower() for m in _METHOD.findall(str(attrs.get("cell_methods", "")))]
    for said in ([operation] if operation else []) + methods:
        return not said.startswith(_INSTANT)
    return None


def means(said: Iterable[bool | None]) -> tuple[str, ...]:
    """What the fields of a file are, in words; none where they say nothing.

    Examples
    --------
    >>> means([None, True, False]), means([None])
    (('means over time and instants',), ())
    """
    found = {mean for mean in said if mean is not None}
    words = ["means over time"] * (True in found) + ["instants"] * (False in found)
    return (" and ".join(words),) if found else ()


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
    about: dict[str, Any] = {"units": "years", "long_name": "model years since 1 January of year 1"}
    if times.bounds is not None and len(times.bounds) and times.mean is not False:
        length = float(np.median(times.bounds[:, 1] - times.bounds[:, 0]))
        if length > 0 and times.year_days:
            about["mean_years"] = round(length / (DAY * times.year_days), 6)
    coords: dict[str, Any] = {"year": ("time", times.years[chosen], about)}
    if times.dates is not None:
        coords["time"] = ("time", times.dates[chosen], {"standard_name": "time"})
    return xr.Dataset(coords=coords)
