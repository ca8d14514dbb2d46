"""The verb ``dataset``: an ensemble of this package, or the user's own NEMO runs, become one store of states."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from warmstart import files, parameters
from warmstart.check import METRICS
from warmstart.data import store as stores
from warmstart.engine.nemo.folders import Run, find, read_run
from warmstart.engine.verdict import Verdict, judge
from warmstart.errors import UserError, require_path
from warmstart.grid import Grid
from warmstart.variables import STATE_VARIABLES, VARIABLES

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


def dataset(
    runs: str | Path | Sequence[str | Path],
    output: str | Path,
    overwrite: bool = False,
    transient: bool = True,
    engine: str | None = None,
) -> pd.DataFrame:
    """Gather finished runs into one zarr store: states, parameters, grid, split by member.

    The folder says by its content which engine made it. Of NEMO, each folder in `runs` is a run: a mesh (or one for all in
    `runs` itself), ``namelist_cfg`` and ``namelist_ref``, restarts or output. Its states are the restarts, or the output
    of one frequency, whichever are more; drift and verdict follow from these states; a snapshot is of the phase
    ``equilibrium`` if it lies in the years for which the verdict is *equilibrium* or *near*. A run that cannot be used is
    skipped with its reason. Parameters are those that the namelists of all runs hold. The table lies beside the store,
    ending in ``.csv``.

    Parameters
    ----------
    runs : folder that ``warmstart simulate`` wrote, a folder of NEMO runs, one of them, or several of these of NEMO.
    output : the store to write, ``states.zarr``.
    overwrite : whether an existing store may be replaced.
    transient : whether to take the snapshots on the way to equilibrium too.
    engine : ``"nemo"`` or ``"veros"``; None goes by the content.

    Returns
    -------
    One row a member: ``member split snapshots equilibrium first_year last_year drift verdict`` and parameters; years in
    model years, drift in K/century. For NEMO also ``run source skipped``, and rows for the runs that were skipped.

    Raises
    ------
    UserError
        If there is nothing to take; the message says what was skipped and why.

    Examples
    --------
    >>> dataset("no-such-folder", "states.zarr")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-folder does not exist; give the folder that 'warmstart simulate' wrote, or NEMO runs
    """
    output = Path(output)
    places = [require_path(p) for p in ([runs] if isinstance(runs, str | Path) else runs)]
    for place in places:
        if not place.is_dir():
            what = "is no folder" if place.exists() else "does not exist"
            raise UserError(f"{place} {what}; give the folder that 'warmstart simulate' wrote, or NEMO runs")
    if engine not in (None, "nemo", "veros"):
        raise UserError(f"unknown engine '{engine}'; expected 'nemo' or 'veros'")
    folders = [] if engine == "veros" else _nemo_folders(places, engine)
    if folders:
        for path in (output, output.with_suffix(".csv")):
            files.refuse_existing(path, overwrite)
        where = Path(", ".join(map(str, places))) if len(places) < 4 else places[0].parent
        return _gather_nemo(folders, where, output, overwrite, transient)
    if engine == "nemo":
        raise UserError(f"{', '.join(map(str, places))}: no runs of NEMO there; expected folders with namelist_cfg, "
                        "mesh_mask.nc, restarts or output")  # fmt: skip
    if len(places) != 1:
        raise UserError(
            "several folders are for runs of NEMO; of 'warmstart simulate' give the one that it wrote"
        )
    return stores.dataset(places[0], output, overwrite=overwrite, transient=transient)


def _nemo_folders(places: list[Path], engine: str | None) -> list[Path]:
    """Runs of NEMO in all places; none where 'warmstart simulate' wrote."""
    found: dict[Path, None] = {}
    for place in places:
        own = (place / "plan.yaml").exists() or any(
            (p / "status.yaml").exists() for p in place.glob("member_*")
        )
        if engine == "nemo" or not own:
            found |= dict.fromkeys(find(place))
    return list(found)


def _gather_nemo(
    folders: list[Path], runs: Path, output: Path, overwrite: bool, transient: bool
) -> pd.DataFrame:
    """Take what can be taken of each run and say what cannot."""
    rows: dict[Path, dict[str, Any]] = {
        folder: {"run": name, "member": number, "source": "", "skipped": ""}
        for folder, name, number in zip(folders, _names(folders), _numbers(folders), strict=True)
    }
    found: dict[Path, Run] = {}
    for folder in folders:
        try:
            found[folder] = read_run(folder)
        except UserError as error:
            rows[folder]["skipped"] = str(error)
    members: list[stores.Member] = []
    mesh = _commonest([run.grid for run in found.values()])
    for folder, run in found.items():
        try:
            if mesh is not None and run.grid.fingerprint != mesh.fingerprint:
                raise UserError(f"on another grid than most runs: {run.grid!r}; they are on {mesh!r}")
            members.append(_member(run, rows[folder]["member"], transient))
        except UserError as error:
            rows[folder]["skipped"] = str(error)
            continue
        rows[folder] |= {"source": run.source, **run.values}
        for note in run.notes:
            log.info("%s: %s", folder.name, note)
    skipped = {row["run"]: row["skipped"] for row in rows.values() if row["skipped"]}
    for name, why in skipped.items():
        log.warning("%s skipped: %s", name, why)
    if not any(m.chosen.size for m in members):
        raise UserError(f"{runs}: nothing to take: " + "; ".join(f"{n}: {why}" for n, why in skipped.items()))
    _say_incomplete([row for row in rows.values() if not row["skipped"]])
    with files.replacing(output.with_suffix(".csv"), overwrite) as temporary:
        table = _table(stores.store(members, runs, output, overwrite), list(rows.values()))
        table.to_csv(temporary, index=False)
    return table


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
    digits = [folder.name.removeprefix("member_") for folder in folders]
    named = all(d.isdigit() and d != f.name for d, f in zip(digits, folders, strict=True))
    return [int(d) for d in digits] if named and len({*digits}) == len(digits) else list(range(len(folders)))


def _member(run: Run, index: int, transient: bool) -> stores.Member:
    """What a run contributes to the store."""
    series = _series(run)
    verdict = judge(series)
    phase = _phase(series["year"].values, verdict)

    def source() -> xr.Dataset:
        ds = run.open()
        return ds.drop_vars("time", errors="ignore").assign_coords(
            phase=("time", phase.astype(object), {"long_name": "transient or equilibrium"})
        )

    chosen = np.flatnonzero((phase == "equilibrium") | transient)
    return stores.Member(
        index=index, path=run.folder, grid=run.grid, chosen=chosen, drift=verdict.drift, verdict=verdict.verdict,
        values=run.values, forcing=(), version=f"NEMO {run.version}", source=source,
    )  # fmt: skip


def _phase(years: np.ndarray, verdict: Verdict) -> np.ndarray:
    """The years that were judged to be in equilibrium, or near it, and those before."""
    settled = verdict.verdict != "drifting"
    return np.where(settled & (years >= years[-1] - verdict.years), "equilibrium", "transient")


def _series(run: Run) -> xr.Dataset:
    """Deep temperature and transports of every state, one state in memory at a time."""
    rows = []
    with run.open() as ds:
        for i in range(ds.sizes["time"]):
            state = (
                ds[list(STATE_VARIABLES)].isel(time=[i]).drop_vars(["time", "year"], errors="ignore").load()
            )
            _require_finite(state, run.grid, f"year {float(ds['year'][i]):g}")
            rows.append({n: float(METRICS[n].function(state, run.grid).values[0]) for n in SERIES})
        years = ds["year"].values
    columns = {n: ("time", np.array([row[n] for row in rows])) for n in SERIES}
    return xr.Dataset(columns, {"year": ("time", years)})


def _require_finite(state: xr.Dataset, grid: Grid, when: str) -> None:
    for name in STATE_VARIABLES:
        sea = grid.mask(VARIABLES[name].point, VARIABLES[name].three_d).values
        holes = int((~np.isfinite(state[name].values) & sea).sum())
        if holes:
            raise UserError(f"{name} is not finite at {holes} of {int(sea.sum())} points at sea in {when}")


def _say_incomplete(taken: list[dict[str, Any]]) -> None:
    """Name the parameters that some runs have and others lack: the store can hold none of them."""
    for name in parameters.PARAMETERS:
        lacking = [row["run"] for row in taken if name not in row]
        if 0 < len(lacking) < len(taken):
            log.warning("%s is not in the store: unknown for %s", name, ", ".join(lacking[:5]))


def _table(table: pd.DataFrame, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The store's table, with the folders, where the states came from, every parameter, and the runs that were skipped."""
    front = pd.DataFrame(rows)
    known = [name for name in parameters.PARAMETERS if name in front]
    merged = front.merge(table.drop(columns=known, errors="ignore"), on="member", how="left")
    for name in ("snapshots", "equilibrium"):
        merged[name] = merged[name].fillna(0).astype("int64")
    merged["split"] = merged["split"].fillna("")
    merged["verdict"] = merged["verdict"].fillna("skipped")
    first = ["run", "member", "source"]
    return merged[[*first, *(c for c in merged if c not in {*first, *known, "skipped"}), *known, "skipped"]]
