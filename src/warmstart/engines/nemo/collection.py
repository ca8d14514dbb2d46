"""An ensemble of NEMO runs that a user has: what each contributes to a store, and the runs that cannot be used."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from warmstart.engines.base import Gathered
from warmstart.engines.nemo.configuration import is_package_equation, named
from warmstart.engines.nemo.folders import NemoRun, find, read_run
from warmstart.equilibrium.verdict import Verdict, judge
from warmstart.errors import UserError
from warmstart.ocean import parameters
from warmstart.ocean.grid import Grid
from warmstart.ocean.parameters import Parameter
from warmstart.ocean.sea import require_whole
from warmstart.scores.metrics import METRICS
from warmstart.store import members as members_

log = logging.getLogger(__name__)

#: Metrics along a run: what its verdict is made of.
SERIES = (
    "thetao_mean",
    "so_mean",
    "thetao_deep",
    "channel_transport",
    "overturning_north",
    "overturning_abyssal",
)


def collect(places: Sequence[Path], options: Mapping[str, Any], transient: bool) -> Gathered:
    """Take what can be taken of each run of NEMO and say what cannot.

    Parameters
    ----------
    places : runs, or folders of runs.
    options : ``parameter``, ``equilibrium`` and ``equilibrium_from`` of :func:`warmstart.verbs.dataset.dataset`.
    transient : whether to take the snapshots on the way to equilibrium too.

    Returns
    -------
    The members, and what makes the table with a row for each run, those that were skipped too.

    Raises
    ------
    UserError
        If there is nothing to take, or an option has no such value.

    Examples
    --------
    >>> collect([Path("no-such-folder")], {}, True)
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-folder: no runs of NEMO there; expected folders with namelist_cfg, ...
    """
    folders = list(dict.fromkeys(folder for place in places for folder in find(place)))
    if not folders:
        raise UserError(f"{', '.join(map(str, places))}: no runs of NEMO there; expected folders with namelist_cfg, "
                        "mesh_mask.nc, restarts or output")  # fmt: skip
    told = _told(options.get("equilibrium"), options.get("equilibrium_from"))
    name = [named(text) for text in options.get("parameter") or ()]
    where = ", ".join(map(str, places)) if len(places) < 4 else str(places[0].parent)
    rows: dict[Path, dict[str, Any]] = {
        folder: {"run": called, "member": number, "source": "", "skipped": ""}
        for folder, called, number in zip(folders, _names(folders), _numbers(folders), strict=True)
    }
    found: dict[Path, NemoRun] = {}
    for folder in folders:
        try:
            found[folder] = read_run(folder, name)
        except UserError as error:
            rows[folder]["skipped"] = str(error)
    members: list[members_.Member] = []
    mesh = _commonest([run.grid for run in found.values()])
    for folder, run in found.items():
        try:
            if mesh is not None and run.grid.fingerprint != mesh.fingerprint:
                raise UserError(f"on another grid than most runs: {run.grid!r}; they are on {mesh!r}")
            members.append(_member(run, rows[folder]["member"], transient, told))
        except UserError as error:
            rows[folder]["skipped"] = str(error)
            continue
        rows[folder] |= {"source": run.source, **run.settings.values}
        for note in run.notes:
            log.info("%s: %s", folder.name, note)
    taken = {folder: run for folder, run in found.items() if not rows[folder]["skipped"]}
    _say_notes(taken)
    described = _described(taken)
    skipped = {row["run"]: row["skipped"] for row in rows.values() if row["skipped"]}
    for run_name, why in skipped.items():
        log.warning("%s skipped: %s", run_name, why)
    if not any(m.chosen.size for m in members):
        raise UserError(
            f"{where}: nothing to take: " + "; ".join(f"{n}: {why}" for n, why in skipped.items())
        )
    names = [*parameters.PARAMETERS, *described]
    _say_incomplete([row for row in rows.values() if not row["skipped"]], names)
    codes = {run.settings.code for run in taken.values()}
    about = {
        "equilibrium_records": _say_told(told),
        "equation_of_state": codes.pop() if len(codes) == 1 else "",
        "equation_of_state_detail": _equation(taken),
        "mean_years": max(run.mean_years for run in taken.values()),
    }
    return Gathered(members, about=about, table=lambda table: _table(table, list(rows.values()), names))


def _told(equilibrium: str | None, begin: float | str | None) -> float | None:
    """Model year from which on records are equilibrium, minus infinity for all; None where that is to be judged."""
    if equilibrium not in (None, "all") or None not in (equilibrium, begin):
        raise UserError(
            f"equilibrium = {equilibrium!r}: expected 'all', or a model year as equilibrium_from, not both"
        )
    if begin is None:
        return None if equilibrium is None else -math.inf
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*(?:y|yr|years?)?\s*", str(begin))
    if match is None:
        raise UserError(f"equilibrium_from = {begin!r}: expected a model year, for example 50y")
    return float(match[1])


def _say_told(told: float | None) -> str:
    """What the store says of its phases."""
    if told is None:
        return "judged: years for which the verdict of the run is equilibrium or near"
    return "told: all records" if told == -math.inf else f"told: records from model year {told:g} on"


def _names(folders: list[Path]) -> list[str]:
    """What to call the runs: their folders, with the folder above where two have one name."""
    names = [folder.name for folder in folders]
    return names if len({*names}) == len(names) else [str(folder) for folder in folders]


def _commonest(grids: list[Grid]) -> Grid | None:
    """The mesh that most runs are on, of equals the first."""
    prints = [grid.fingerprint for grid in grids]
    return max(grids, key=lambda g: prints.count(g.fingerprint)) if grids else None


def _numbers(folders: list[Path]) -> list[int]:
    """Numbers of the members: those in their names (``member_007``) if all have one, else their places."""
    matches = [re.fullmatch(r"member_(\d+)", folder.name) for folder in folders]
    digits = [match[1] for match in matches if match]
    return [int(d) for d in digits] if len({*digits}) == len(folders) else list(range(len(folders)))


def _say_notes(taken: dict[Path, NemoRun]) -> None:
    """Say once what stands behind the values of parameters, and which runs it is said of."""
    runs: dict[str, list[str]] = {}
    for folder, run in taken.items():
        for name, note in run.settings.notes.items():
            runs.setdefault(f"{name}: {note}", []).append(folder.name)
    for note, names in runs.items():
        log.warning("%s (%s)", note, ", ".join(names[:5]) + (" …" if len(names) > 5 else ""))


def _described(taken: dict[Path, NemoRun]) -> dict[str, Parameter]:
    """Parameters that are not in the table; they have to mean the same in all runs."""
    described: dict[str, Parameter] = {}
    for folder, run in taken.items():
        for name, p in run.settings.described.items():
            first = described.setdefault(name, p)
            if (first.units, first.namelist) != (p.units, p.namelist):
                raise UserError(
                    f"{folder.name}: {name} is in {p.units}, in other runs in {first.units}; give it the same everywhere"
                )
    return described


def _equation(taken: dict[Path, NemoRun]) -> str:
    """The equation of state of the runs; said where it is not the one that densities are computed by."""
    found = {run.settings.equation: folder.name for folder, run in taken.items()}
    if len(found) > 1:
        equation = "; ".join(f"{name}: {e}" for e, name in found.items())
        log.warning("the runs have several equations of state: %s", equation)
    elif not is_package_equation(equation := next(iter(found))):
        log.warning(
            "equation of state: %s; stability and densities are computed here by S-EOS with DINO's numbers",
            equation,
        )
    return equation


def _member(run: NemoRun, index: int, transient: bool, told: float | None) -> members_.Member:
    """What a run contributes to the store."""
    series = _series(run)
    verdict = judge(series)
    phase = _phase(series["year"].values, verdict, told)
    if told is not None and not (phase == "equilibrium").any():
        log.warning(
            "%s has no record from model year %g on: none of it is equilibrium", run.folder.name, told
        )

    def source() -> xr.Dataset:
        ds = run.open()
        return ds.drop_vars("time", errors="ignore").assign_coords(
            phase=("time", phase.astype(object), {"long_name": "transient or equilibrium"})
        )

    chosen = np.flatnonzero((phase == "equilibrium") | transient)
    return members_.Member(
        index=index, path=run.folder, grid=run.grid, chosen=chosen, drift=verdict.drift, verdict=verdict.verdict,
        values=run.settings.values, forcing=(), version=f"NEMO {run.version}", source=source,
        variables=run.variables, described=run.settings.described,
    )  # fmt: skip


def _phase(years: np.ndarray, verdict: Verdict, told: float | None) -> np.ndarray:
    """The years that are said or judged to be in equilibrium, or near it, and those before."""
    if told is not None:
        return np.where(years >= told, "equilibrium", "transient")
    settled = verdict.verdict != "drifting"
    return np.where(settled & (years >= years[-1] - verdict.years), "equilibrium", "transient")


def _series(run: NemoRun) -> xr.Dataset:
    """Deep temperature and transports of every state, one state in memory at a time."""
    rows = []
    with run.open() as ds:
        for i in range(ds.sizes["time"]):
            state = ds[list(run.variables)].isel(time=[i]).drop_vars(["time", "year"], errors="ignore").load()
            require_whole(state, run.grid, f"year {float(ds['year'][i]):g}: ")
            rows.append({n: _metric(n, state, run.grid) for n in SERIES})
        years = ds["year"].values
    columns = {n: ("time", np.array([row[n] for row in rows])) for n in SERIES}
    return xr.Dataset(columns, {"year": ("time", years)})


def _metric(name: str, state: xr.Dataset, grid: Grid) -> float:
    """A metric of a single state; NaN where the ocean has no such thing: no channel, no depth of 2000 m."""
    try:
        return float(METRICS[name].function(state, grid).values[0])
    except UserError as error:
        log.debug("%s: %s", name, error)
        return math.nan


def _say_incomplete(taken: list[dict[str, Any]], names: list[str]) -> None:
    """Name the parameters that some runs have and others lack: the store can hold none of them."""
    for name in names:
        lacking = [row["run"] for row in taken if name not in row]
        if 0 < len(lacking) < len(taken):
            log.warning("%s is not in the store: unknown for %s", name, ", ".join(lacking[:5]))


def _table(table: pd.DataFrame, rows: list[dict[str, Any]], names: list[str]) -> pd.DataFrame:
    """The store's table, with the folders, where the states came from, every parameter, and the runs that were skipped."""
    front = pd.DataFrame(rows)
    known = [name for name in names if name in front]
    merged = front.merge(table.drop(columns=known, errors="ignore"), on="member", how="left")
    for name in ("snapshots", "equilibrium"):
        merged[name] = merged[name].fillna(0).astype("int64")
    merged["split"] = merged["split"].fillna("")
    merged["verdict"] = merged["verdict"].fillna("skipped")
    first = ["run", "member", "source"]
    return merged[[*first, *(c for c in merged if c not in {*first, *known, "skipped"}), *known, "skipped"]]
