"""The namelist entries with which NEMO starts from a restart that somebody else made."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart.errors import UserError

log = logging.getLogger(__name__)

DAYS = 360  #: length of the year of NEMO's ``nn_leapy = 30`` [days]
LAST_YEAR = 9999  #: of a date of eight digits
FIRST_OF_JANUARY = 10101  #: ``nn_date0`` of the first day of year 1


def start_entries(restart: str | Path, euler: bool = True, date: int = FIRST_OF_JANUARY) -> dict[str, Any]:
    """List the entries of ``&namrun`` that start from a restart.

    Parameters
    ----------
    restart : the restart file; of pieces, the name without the number of the process.
    euler : whether the first step is an Euler step, as it has to be where before-fields equal now-fields.
    date : date of the first step, yyyymmdd; it sets the season of the forcing, the file's own date is not used.

    Returns
    -------
    Entries and values, in the order to print.

    Examples
    --------
    >>> start_entries("restart_in.nc")["cn_ocerst_in"]
    'restart_in'
    """
    refuse_date(date)
    return {
        "ln_rstart": True,
        "nn_rstctl": 0,
        "ln_1st_euler": bool(euler),
        "nn_it000": 1,
        "nn_date0": int(date),
        "cn_ocerst_in": Path(restart).name.removesuffix(".nc"),
        "cn_ocerst_indir": ".",
    }


def refuse_date(date: int) -> None:
    """Refuse what is no date.

    Raises
    ------
    UserError
        If month or day is out of range.

    Examples
    --------
    >>> refuse_date(10101)
    """
    month, day = date // 100 % 100, date % 100
    if date < 101 or not 1 <= month <= 12 or not 1 <= day <= 31:
        raise UserError(f"date {date}: expected yyyymmdd, for example 00010101 for 1 January of year 1")


def date_of(state: xr.Dataset) -> int | None:
    """Date of the first step after a state: from its ``year`` coordinate; a generated state is one of 1 January.

    Parameters
    ----------
    state : one state; ``year`` counts model years of 360 days, ``seed`` marks what was generated.

    Returns
    -------
    yyyymmdd; None for a state that has neither.

    Examples
    --------
    >>> date_of(xr.Dataset(coords={"year": 620.5}))
    6210701
    """
    year = float(state["year"]) if "year" in state.variables and state["year"].ndim == 0 else np.nan
    if not np.isfinite(year):
        return FIRST_OF_JANUARY if "seed" in state.variables else None
    whole, day = divmod(round(year * DAYS), DAYS)
    return 10000 * (whole % LAST_YEAR + 1) + 100 * (day // 30 + 1) + day % 30 + 1


def day_after(date: int) -> int:
    """The next day, in months of 30 days as DINO counts (``nn_leapy = 30``).

    Examples
    --------
    >>> day_after(41230), day_after(50102)
    (50101, 50103)
    """
    year, month, day = date // 10000, date // 100 % 100, date % 100
    if day < 30:
        return date + 1
    return (year + 1) * 10000 + 101 if month == 12 else year * 10000 + (month + 1) * 100 + 1


def namelist_lines(entries: Mapping[str, Any]) -> str:
    """Write entries of ``&namrun`` as the lines to put into ``namelist_cfg``.

    Parameters
    ----------
    entries : from :func:`start_entries`.

    Returns
    -------
    Lines, each with what it is for.

    Examples
    --------
    >>> print(namelist_lines(start_entries("restart_in.nc")).splitlines()[1])
       ln_rstart       = .true.        ! start from a restart
    """
    lines = ["&namrun"]
    for name, value in entries.items():
        note = _NOTES[name]
        if name == "ln_1st_euler":
            note += f" (NEMO up to 4.0: nn_euler = {0 if value else 1})"
        lines.append(f"   {name:<15} = {_fortran(name, value):<13} ! {note}")
    return "\n".join([*lines, "/", ""])


_NOTES = {
    "ln_rstart": "start from a restart",
    "nn_rstctl": "time step and date from this namelist, not from the file",
    "ln_1st_euler": "Euler for the first step",
    "nn_it000": "first time step; nn_itend is yours to set",
    "nn_date0": "date of the first step: the season of the forcing",
    "cn_ocerst_in": "name of the restart without .nc",
    "cn_ocerst_indir": "folder of the restart",
}


def _fortran(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return ".true." if value else ".false."
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:08d}" if name == "nn_date0" else str(value)


def patch_namelist(namelist: str | Path, target: str | Path, entries: Mapping[str, Any]) -> None:
    """Copy a namelist and set entries of ``&namrun``; comments and everything else stay.

    Parameters
    ----------
    namelist : the user's ``namelist_cfg``.
    target : the copy to write.
    entries : names and values. ``ln_1st_euler`` becomes ``nn_euler`` in a namelist that has that entry (NEMO up to 4.0).

    Raises
    ------
    UserError
        If there is no such file, it is no namelist, or f90nml is not installed.

    Examples
    --------
    >>> patch_namelist("namelist_cfg", "copy", {"ln_rstart": True})
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: namelist namelist_cfg does not exist; give the namelist_cfg of the run
    """
    groups = read_namelist(namelist)
    entries = dict(entries)
    if "nn_euler" in groups.get("namrun", {}) and "ln_1st_euler" in entries:
        entries["nn_euler"] = 0 if entries.pop("ln_1st_euler") else 1
    import f90nml

    _say_length(namelist, groups.get("namrun", {}), entries)
    f90nml.patch(str(namelist), {"namrun": entries}, str(target))


def _say_length(namelist: str | Path, run: Mapping[str, Any], entries: Mapping[str, Any]) -> None:
    """Warn where a new first step would make the run longer or shorter than it was."""
    known = {"nn_it000", "nn_itend"} <= set(run) and all(
        isinstance(run[n], int) for n in ("nn_it000", "nn_itend")
    )
    if (
        known
        and "nn_it000" in entries
        and "nn_itend" not in entries
        and run["nn_it000"] != entries["nn_it000"]
    ):
        log.warning(
            "%s ran %d steps (nn_it000 = %d to nn_itend = %d); from nn_it000 = %d it needs nn_itend = %d for as many: set it",
            namelist, run["nn_itend"] - run["nn_it000"] + 1, run["nn_it000"], run["nn_itend"], entries["nn_it000"],
            run["nn_itend"] - run["nn_it000"] + entries["nn_it000"],
        )  # fmt: skip


def read_namelist(namelist: str | Path) -> dict[str, Any]:
    """Read a Fortran namelist: groups of entries, names in lower case.

    Raises
    ------
    UserError
        If there is no such file, it is no namelist, or f90nml is not installed.

    Examples
    --------
    >>> read_namelist("namelist_cfg")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: namelist namelist_cfg does not exist; give the namelist_cfg of the run
    """
    namelist = Path(namelist)
    if not namelist.is_file():
        raise UserError(f"namelist {namelist} does not exist; give the namelist_cfg of the run")
    try:
        import f90nml
    except ModuleNotFoundError as error:
        raise UserError("reading namelists needs f90nml; install it") from error
    try:
        if not re.search(r"^\s*&\w+", namelist.read_text(errors="replace"), re.MULTILINE):
            raise UserError(f"{namelist} is no namelist: it has no &group; give the namelist_cfg of the run")
        return {str(k): v for k, v in f90nml.read(str(namelist)).items()}
    except (ValueError, IndexError, KeyError, StopIteration, AttributeError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{namelist} cannot be read as a namelist: {error}; check its syntax") from error
