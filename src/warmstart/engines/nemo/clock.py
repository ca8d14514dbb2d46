"""The namelist entries with which NEMO starts from a restart that somebody else made: its date, and the season of the forcing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import xarray as xr

from warmstart.engines.nemo import namelist as namelists
from warmstart.errors import UserError
from warmstart.ocean.season import ATTRIBUTE, DAYS, NONE, season

log = logging.getLogger(__name__)

LAST_YEAR = 9999  #: of a date of eight digits
FIRST_OF_JANUARY = 10101  #: ``nn_date0`` of the first day of year 1
MONTHS_OF_30 = "360_day"  #: calendar of DINO (``nn_leapy = 30``)
DAY = 86400.0
#: By ``nn_leapy``; where none is stated that of DINO.
CALENDARS: dict[float | None, str] = {None: MONTHS_OF_30, 0.0: "noleap", 1.0: "standard", 30.0: MONTHS_OF_30}


@dataclass(frozen=True)
class Clock:
    """How a run counts time.

    Attributes
    ----------
    step : time step [s]; None where it is not known.
    calendar : ``360_day``, ``noleap`` or ``standard``.
    """

    step: float | None = None
    calendar: str = MONTHS_OF_30


def clock_of(groups: Mapping[str, Mapping[str, Any]], step: float | None = None) -> Clock:
    """Read the clock of a run from its namelists.

    Parameters
    ----------
    groups : the namelists; empty if there are none.
    step : time step where they state none [s].

    Returns
    -------
    The clock; the calendar of DINO where they state none.

    Raises
    ------
    UserError
        If the time step does not divide a day, or there is no such calendar.

    Examples
    --------
    >>> clock_of({"namdom": {"rn_dt": 5400.0}, "namrun": {"nn_leapy": 0}})
    Clock(step=5400.0, calendar='noleap')
    """
    stated = namelists.number(groups, "namdom", "rn_Dt", "rn_rdt")
    if stated is not None:
        _require_step(stated)
    leap = namelists.number(groups, "namrun", "nn_leapy")
    if leap not in CALENDARS:
        raise UserError(
            f"nn_leapy = {leap:g}; expected 0 (365 days), 1 (leap years) or 30 (12 months of 30 days)"
        )
    return Clock(stated or step, CALENDARS[leap])


def _require_step(step: float) -> None:
    """Refuse a time step [s] with which NEMO stops."""
    if not step > 0 or abs(DAY / step - round(DAY / step)) > 1e-9:
        raise UserError(f"rn_Dt = {step:g} s does not divide a day of 86400 s; NEMO would stop")


def start_entries(
    restart: str | Path, euler: bool = True, date: int = FIRST_OF_JANUARY, clock: Clock = Clock()
) -> dict[str, Any]:
    """List the entries of ``&namrun`` that start from a restart.

    Parameters
    ----------
    restart : the restart file; of pieces, the name without the number of the process.
    euler : whether the first step is an Euler step, as it has to be where before-fields equal now-fields.
    date : date of the first step, yyyymmdd; the file's own date is not used.
    clock : of the run.

    Returns
    -------
    Entries and values, in the order to print. ``nn_it000`` is what sets the season: the analytic forcing of DINO and GYRE counts time steps.

    Raises
    ------
    UserError
        If there is no such date, or its first time step does not follow because the time step is not known.

    Examples
    --------
    >>> start_entries("restart_in.nc")["cn_ocerst_in"]
    'restart_in'
    >>> start_entries("restart_in.nc", date=10701, clock=Clock(10800.0))["nn_it000"]
    1441
    """
    return {
        "ln_rstart": True,
        "nn_rstctl": 0,
        "ln_1st_euler": bool(euler),
        "nn_it000": first_step(date, clock),
        "nn_date0": int(date),
        "cn_ocerst_in": Path(restart).name.removesuffix(".nc"),
        "cn_ocerst_indir": ".",
    }


def first_step(date: int, clock: Clock) -> int:
    """Number of the first time step of a date: 1 for a 1 January.

    Parameters
    ----------
    date : yyyymmdd.
    clock : of the run.

    Returns
    -------
    ``nn_it000``: DINO's forcing takes ``kt * rn_Dt`` less whole years as the time since 1 January.

    Raises
    ------
    UserError
        As :func:`start_entries`.

    Examples
    --------
    >>> first_step(6210101, Clock()), first_step(10701, Clock(5400.0))
    (1, 2881)
    """
    refuse_date(date, clock.calendar)
    year, month, day = _parts(date)
    begin, end = (cftime.datetime(year, *md, calendar=clock.calendar) for md in ((1, 1), (month, day)))
    days = int((end - begin).days)
    if days == 0:
        return 1
    if clock.step is None:
        raise UserError(
            f"date {date:08d}: NEMO takes the season from the number of the first time step, which needs rn_Dt; give the "
            "namelist_cfg of the run (--namelist) or a template, or start on a 1 January (--date 00010101)"
        )
    _require_step(clock.step)
    return round(days * DAY / clock.step) + 1


def _parts(date: int) -> tuple[int, int, int]:
    """Year, month and day of yyyymmdd."""
    return date // 10000, date // 100 % 100, date % 100


def refuse_date(date: int, calendar: str = MONTHS_OF_30) -> None:
    """Refuse what is no date yyyymmdd of a calendar.

    Examples
    --------
    >>> refuse_date(10101)
    """
    try:
        if not 10101 <= date <= 99991231:
            raise ValueError
        cftime.datetime(*_parts(date), calendar=calendar)
    except ValueError:
        months = " in months of 30 days" if calendar == MONTHS_OF_30 else ""
        raise UserError(
            f"date {date}: expected yyyymmdd{months}, for example 00010101 for 1 January of year 1"
        ) from None


def date_of(state: xr.Dataset, calendar: str = MONTHS_OF_30) -> tuple[int | None, str]:
    """Date of the first step after a state.

    Parameters
    ----------
    state : one state; ``year`` counts model years, the attribute ``season`` says what a generated state is of.
    calendar : of the run that shall start.

    Returns
    -------
    date : yyyymmdd; 1 January where the state is of no season; None where it says nothing of it.
    remark : what was assumed; empty if nothing was.

    Examples
    --------
    >>> date_of(xr.Dataset(coords={"year": 620.5}))
    (6210701, '')
    """
    year = float(state["year"]) if "year" in state.variables and state["year"].ndim == 0 else np.nan
    if np.isfinite(year):
        own = season([year], float(state["year"].attrs.get("mean_years", 0.0)))
        whole = int(np.floor(year + 0.5 / DAYS))
        number = whole % LAST_YEAR + 1
        if own.startswith(NONE):
            return number * 10000 + 101, _assumed(own.removeprefix(NONE))
        first = cftime.datetime(number, 1, 1, calendar=calendar)
        length = 365
        if number < LAST_YEAR:
            length = (cftime.datetime(number + 1, 1, 1, calendar=calendar) - first).days
        day = min(round((year - whole) * length), length - 1) if year > whole else 0
        found = first + timedelta(days=day)
        return found.year * 10000 + found.month * 100 + found.day, ""
    said = str(state.attrs.get(ATTRIBUTE, ""))
    if said and not said.startswith(NONE):
        month, day = (int(part) for part in said.split("-"))
        return 10000 + 100 * month + day, ""
    if said:
        return FIRST_OF_JANUARY, _assumed(said.removeprefix(NONE))
    if "seed" in state.variables:
        return FIRST_OF_JANUARY, _assumed("it does not say of which season its training states were")
    return None, ""


def _assumed(why: str) -> str:
    return (
        f"the state is of no season ({why}): started on 1 January, and the forcing begins in winter of the north; "
        "another date with --date"
    )


def day_after(date: int, calendar: str = MONTHS_OF_30) -> int:
    """The next day.

    Examples
    --------
    >>> day_after(41230), day_after(50102), day_after(51231, "noleap")
    (50101, 50103, 60101)
    """
    year, month, day = _parts(date)
    try:
        cftime.datetime(year, month, day + 1, calendar=calendar)
        return date + 1
    except ValueError:
        return (year + 1) * 10000 + 101 if month == 12 else year * 10000 + (month + 1) * 100 + 1


def namelist_lines(
    entries: Mapping[str, Any],
    physics: Mapping[str, Mapping[str, Any]] | None = None,
    remarks: Iterable[str] = (),
) -> str:
    """Write entries as the lines to put into ``namelist_cfg``.

    Parameters
    ----------
    entries : of ``&namrun``, from :func:`start_entries`.
    physics : of other groups: what the state needs.
    remarks : what to know beside them, as comments.

    Returns
    -------
    Lines, each with what it is for.

    Examples
    --------
    >>> print(namelist_lines(start_entries("restart_in.nc")).splitlines()[1])
       ln_rstart       = .true.        ! start from a restart
    """
    lines = [*(f"! {remark}" for remark in remarks), "&namrun"]
    for name, value in entries.items():
        note = _NOTES[name]
        if name == "ln_1st_euler":
            note += f" (NEMO up to 4.0: nn_euler = {0 if value else 1})"
        text = f"{value:08d}" if name == "nn_date0" else namelists.fortran(value)
        lines.append(f"   {name:<15} = {text:<13} ! {note}")
    lines.append("/")
    for group, held in (physics or {}).items():
        set_ = (f"   {name:<15} = {namelists.fortran(value)}" for name, value in held.items())
        lines += [f"&{group}", *set_, "/"]
    return "\n".join([*lines, ""])


_NOTES = {
    "ln_rstart": "start from a restart",
    "nn_rstctl": "time step and date from this namelist, not from the file",
    "ln_1st_euler": "Euler for the first step",
    "nn_it000": "first time step, counted from 1 January: the season of the forcing; nn_itend is yours to set",
    "nn_date0": "date of the first step",
    "cn_ocerst_in": "name of the restart without .nc",
    "cn_ocerst_indir": "folder of the restart",
}


def patch_start(
    namelist: str | Path,
    target: str | Path,
    entries: Mapping[str, Any],
    physics: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Copy a namelist and set the entries of a start; comments and everything else stay.

    Parameters
    ----------
    namelist, target : as for :func:`warmstart.engines.nemo.namelist.patch_namelist`.
    entries : of ``&namrun``. ``ln_1st_euler`` becomes ``nn_euler`` in a namelist that has that entry (NEMO up to 4.0).
    physics : of other groups.
    """
    run = namelists.read(namelist).get("namrun", {})
    entries = dict(entries)
    if "nn_euler" in run and "ln_1st_euler" in entries:
        entries["nn_euler"] = 0 if entries.pop("ln_1st_euler") else 1
    _say_length(namelist, run, entries)
    namelists.patch_namelist(namelist, target, {"namrun": entries, **(physics or {})})


def _say_length(namelist: str | Path, run: Mapping[str, Any], entries: Mapping[str, Any]) -> None:
    """Warn where a new first step would make the run longer or shorter than it was."""
    begin, end, new = run.get("nn_it000"), run.get("nn_itend"), entries.get("nn_it000")
    if not (isinstance(begin, int) and isinstance(end, int)) or new in (None, begin) or "nn_itend" in entries:
        return
    log.warning(
        "%s ran %d steps (nn_it000 = %d to nn_itend = %d); from nn_it000 = %d it needs nn_itend = %d for as many: set it",
        namelist, end - begin + 1, begin, end, new, end - begin + new,
    )  # fmt: skip
