"""What a report is made of: each path is recognised by its content, whatever it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pandas as pd
import xarray as xr

from warmstart.engines.recognition import open_bare, open_grid, recognise
from warmstart.errors import UserError, reading, require_path, shortened
from warmstart.io.config import read_yaml
from warmstart.io.files import open_dataset
from warmstart.ocean import parameters
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import STATE_VARIABLES
from warmstart.scores.metric_table import read_metrics
from warmstart.scores.verification import COLUMNS
from warmstart.store.members import BLEW_UP, find_members, labels_of
from warmstart.store.members import Member as Found
from warmstart.store.reader import declared_ranges, open_store

EXPECTED = (
    "expected states (NetCDF or zarr), a metrics CSV of check, the NetCDF or CSV of verify, a runs folder, a folder of "
    "member files, a generator folder, or a folder that holds some of these"
)


@dataclass(frozen=True)
class States:
    """States with their mesh.

    Attributes
    ----------
    path : of the file.
    ds : leading dim ``sample``, then ``(z, y, x)``; not loaded.
    grid : the mesh.
    """

    path: Path
    ds: xr.Dataset
    grid: Grid

    def one(self, index: int) -> xr.Dataset:
        """Load one state, dims ``(z, y, x)``.

        Raises
        ------
        UserError
            If the file is damaged.
        """
        names = [name for name in STATE_VARIABLES if name in self.ds]
        with reading(self.path, "the file is damaged or cut off, write it again"):
            return self.ds[names].isel(sample=index).load()


@dataclass(frozen=True)
class Simulation:
    """One simulation of an ensemble.

    Attributes
    ----------
    index : Sobol index.
    split : train, validation or test.
    values : its parameters.
    facts : years, drift and verdict, as far as known.
    state : its last state and the year of it, dims ``(z, y, x)``; None while there is none.
    series : its time series; None where there is none.
    own : its parameters that are not in the table.
    """

    index: int
    split: str
    values: dict[str, float]
    facts: dict[str, Any]
    state: xr.Dataset | None
    series: xr.Dataset | None
    own: Mapping[str, parameters.Parameter] = field(default_factory=dict)


@dataclass(frozen=True)
class Ensemble:
    """Simulations on one mesh, from a runs folder, member files or a store."""

    path: Path
    grid: Grid | None
    members: tuple[Simulation, ...]
    ranges: dict[str, tuple[float, float]]

    @property
    def known(self) -> dict[str, parameters.Parameter]:
        """The parameters of its simulations: those of the table, and their own."""
        return parameters.PARAMETERS | {n: p for m in self.members for n, p in m.own.items()}


@dataclass(frozen=True)
class Inputs:
    """Everything that was recognised; None where it was not given.

    Attributes
    ----------
    generated, control : states.
    metrics : table of ``check``.
    verify, verify_table : what ``verify`` wrote.
    ensemble : runs or a store.
    card : text of the generator's card, and its configuration.
    paths : what was read, by kind.
    """

    generated: States | None = None
    control: States | None = None
    metrics: pd.DataFrame | None = None
    verify: xr.Dataset | None = None
    verify_table: pd.DataFrame | None = None
    ensemble: Ensemble | None = None
    card: tuple[str, Mapping[str, Any]] | None = None
    paths: dict[str, Path] = field(default_factory=dict)


def read(paths: Sequence[str | Path], control: str | Path | None = None) -> Inputs:
    """Recognise and open the inputs of a report.

    Parameters
    ----------
    paths : files and folders, each of any kind; at most one of a kind.
    control : states file of the true equilibrium, whatever else it looks like.

    Raises
    ------
    UserError
        If a path is missing, unreadable or of no kind that a report knows, or two are of the same kind.

    Examples
    --------
    >>> read(["no-such-file.nc"])
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-file.nc does not exist; expected states (NetCDF or zarr), ...
    """
    found: dict[str, tuple[Path, Any]] = {}
    if control is not None:
        found["control"] = Path(control), _states(Path(control))
    for path in map(Path, paths):
        for kind, where, content in _recognised(path):
            kind = "control" if kind == "states" else kind
            if kind in found:
                both = f"{found[kind][0]} and {where} are both {_WORDS[kind]}"
                raise UserError(f"{both}; a report takes one of a kind")
            found[kind] = where, content
    content = {kind: what for kind, (_, what) in found.items()}
    inputs = Inputs(paths={kind: where for kind, (where, _) in found.items()}, **content)
    if inputs.generated is not None and inputs.control is not None:
        inputs.generated.grid.require_same(inputs.control.grid, str(inputs.control.path))
    if inputs.verify is not None and inputs.verify_table is None:
        beside = found["verify"][0].with_suffix(".csv")
        if beside.is_file() and (table := _table(beside)) is not None:
            return replace(inputs, verify_table=table)
    return inputs


_WORDS = {
    "generated": "generated states", "control": "states that no generator made", "metrics": "metrics",
    "verify": "verifications", "verify_table": "tables of a verification", "ensemble": "ensembles", "card": "generators",
}  # fmt: skip


def _recognised(path: Path) -> list[tuple[str, Path, Any]]:
    """Kind, path and content of a file, or of each known thing in a folder."""
    if not require_path(path).exists():
        raise UserError(f"{path} does not exist; {EXPECTED}")
    one = _recognise(path)
    if one is not None:
        return [(one[0], path, one[1])]
    inside = sorted(path.glob("[!.]*")) if path.is_dir() else []
    known = [(kind[0], p, kind[1]) for p in inside if (kind := _recognise(p, quiet=True)) is not None]
    if not known:
        raise UserError(f"cannot tell what {path} is; {EXPECTED}")
    return known


def _recognise(path: Path, quiet: bool = False) -> tuple[str, Any] | None:
    """Kind and content of one path; None if it is no kind that a report knows."""
    if path.is_dir() and (path / "weights.safetensors").exists():
        return "card", _card(path)
    if path.is_dir() and any(path.glob("member_*")):
        if any(path.glob("member_*.nc")):
            return "ensemble", _collection(path)
        if any(path.glob("member_*/job.yaml")):
            return "ensemble", _runs(path)
        if not quiet:
            raise UserError(
                f"{path} holds member_* but neither runs of 'warmstart simulate' (member_*/job.yaml) nor member files "
                "(member_*.nc); make a store of other runs first, with 'warmstart dataset', and report on that"
            )
    if path.suffix == ".csv":
        table = _table(path)
        return ("verify_table", table) if table is not None else ("metrics", read_metrics(path))
    if (path.is_dir() and not (path / "zarr.json").exists()) or (
        quiet and path.suffix not in (".nc", ".zarr")
    ):
        return None
    if path.is_file() and (found := recognise(path)).engine is not None and "states" in found.kind.holds:
        return "states", _states(path)
    ds = open_dataset(path)
    if "start" in ds.dims:
        return "verify", _verification(ds.load(), path)
    if "thetao" not in ds:
        return None
    if "split" in ds.variables and "member" in ds.variables and np.unique(ds["member"].values).size > 1:
        return "ensemble", _store(path)
    return "generated" if "generator" in ds.attrs or "seed" in ds.variables else "states", _states(path)


def _verification(ds: xr.Dataset, path: Path) -> xr.Dataset:
    """The results of a verification, if their axes are those that ``verify`` writes."""
    starts = ds["start"].values.tolist() if "start" in ds.coords else []
    named = (
        all(isinstance(s, str | bytes) for s in starts) and len(set(map(str, starts))) == ds.sizes["start"]
    )
    days = ds["day"] if "day" in ds.variables else xr.DataArray("")
    dated = days.dims == ("time",) and days.dtype.kind in "fiu" and np.isfinite(days.values).all()
    if not (named and dated):
        raise UserError(
            f"{path} does not name each of its starts and the day of each record; expected the NetCDF file of verify"
        )
    return ds


def _table(path: Path) -> pd.DataFrame | None:
    """The table of a verification; None if the file is another table."""
    try:
        table = pd.read_csv(path, comment="#", dtype={"note": str, "unit": str, "bound": str})
    except (ValueError, OSError, OverflowError, pd.errors.ParserError):
        return None
    missing = set(COLUMNS) - set(table.columns)
    if missing == {"bound"}:
        raise UserError(
            f"{path} was written by an earlier version: it does not say which values are bounds; verify again"
        )
    if missing:
        return None
    nameless = np.flatnonzero(table[["start", "metric"]].isna().any(axis=1))
    if nameless.size:
        raise UserError(f"{path}: row {nameless[0] + 1} names no start or no metric; verify again")
    value = pd.to_numeric(table["value"], errors="coerce")
    wordy = np.flatnonzero(value.isna() & table["value"].notna())
    if wordy.size:
        found = table["value"].iloc[wordy[0]]
        raise UserError(
            f"{path}: row {wordy[0] + 1}: the value {shortened(str(found))!r} is no number; verify again"
        )
    table = table.assign(value=value).astype({"start": str, "metric": str})
    return table.fillna({"note": "", "unit": "", "bound": ""})


def _states(path: Path) -> States:
    ds = open_bare(path)
    if "thetao" not in ds and "so" not in ds:
        raise UserError(f"{path} holds no state: expected variables {', '.join(STATE_VARIABLES)}")
    lead = [d for d in ds[[n for n in STATE_VARIABLES if n in ds]].dims if d not in ("z", "y", "x")]
    if len(lead) > 1:
        raise UserError(
            f"{path} has states along {' and '.join(map(str, lead))}; expected one dimension, sample or time"
        )
    if empty := [str(d) for d, n in ds[[n for n in STATE_VARIABLES if n in ds]].sizes.items() if n == 0]:
        raise UserError(
            f"{path} holds no state: {', '.join(empty)} has length 0; give a file with one at least"
        )
    labels = [n for n in ("year", "phase", "split", "member", *parameters.carried(ds)) if n in ds.variables]
    if odd := [n for n in labels if ds[n].dims not in ((), tuple(lead))]:
        raise UserError(
            f"{path}: {odd[0]} lies along {', '.join(map(str, ds[odd[0]].dims))}; expected one value a state, or one for all"
        )
    ds = ds.rename({lead[0]: "sample"}) if lead and lead[0] != "sample" else ds
    return States(path, ds if lead else ds.expand_dims("sample"), open_grid(path))


def _card(folder: Path) -> tuple[str, Mapping[str, Any]]:
    card = folder / "README.md"
    config = read_yaml(folder / "config.yaml") if (folder / "config.yaml").exists() else {}
    return card.read_text(encoding="utf-8", errors="replace") if card.exists() else "", config


def _store(path: Path) -> Ensemble:
    """The members of a store, each with its last state."""
    open_store(path).close()  # refused here if its members have no labels
    states = _states(path)
    ds, members = states.ds, []
    own = _own(ds)
    with reading(path, "expected a store made by 'warmstart dataset'"):
        for index in np.unique(ds["member"].values):
            rows = np.flatnonzero(ds["member"].values == index)
            last = int(rows[-1])
            one = ds.isel(sample=last)
            facts = {
                n: one[n].values.item() for n in ("year", "drift", "verdict", "phase") if n in one.variables
            }
            values = {n: float(v) for n, v in parameters.extract(one).items()}
            members.append(
                Simulation(int(index), str(one["split"].values), values, facts, states.one(last), None, own)
            )
    return Ensemble(path, states.grid, tuple(members), declared_ranges(ds))


def _runs(folder: Path) -> Ensemble:
    """The members of a runs folder, finished or not."""
    members = tuple(_run(path.parent) for path in sorted(folder.glob("member_*/job.yaml")))
    first = next(iter(sorted(folder.glob("member_*/states.nc"))), None)
    return Ensemble(folder, open_grid(first) if first else None, members, _spans(folder))


def _spans(folder: Path) -> dict[str, tuple[float, float]]:
    """Ranges of the parameters that the plan of an ensemble varied; none without a plan."""
    path = folder / "plan.yaml"
    if not path.exists():
        return {}
    try:
        return {n: (float(a), float(b)) for n, (a, b) in (read_yaml(path).get("ranges") or {}).items()}
    except (AttributeError, TypeError, ValueError) as error:
        advice = "expected parameter names with [lowest, highest]; take the plan that was run"
        raise UserError(f"{path}: ranges: {advice}") from error


def _collection(folder: Path) -> Ensemble:
    """The members of a collection of member files, and finished runs beside them; those that blew up have no state."""
    found, blown = find_members(folder)
    members = [_run(m.path.parent) if m.path.name == "states.nc" else _member_file(m) for m in found]
    for b in blown:
        facts = {"year": b.year, "verdict": BLEW_UP}
        members.append(Simulation(b.index, b.split, b.values, facts, None, None))
    members.sort(key=lambda m: m.index)
    return Ensemble(folder, found[0].grid, tuple(members), _spans(folder))


def _member_file(member: Found) -> Simulation:
    """A member file: its last state, its series, and what it says of itself."""
    states = _states(member.path)
    facts = {
        "year": float(np.ravel(states.ds["year"].values)[-1]), "drift": member.drift, "verdict": member.verdict, "state": "finished",
    }  # fmt: skip
    with netCDF4.Dataset(member.path) as file:
        kept = "series" in file.groups
    series = open_dataset(member.path, group="series").load() if kept else None
    state, own = states.one(-1), member.described
    return Simulation(member.index, member.split, member.values, facts, state, series, own)


def _own(ds: xr.Dataset) -> dict[str, parameters.Parameter]:
    """Parameters that a Dataset carries and that are not in the table."""
    return {n: p for n, p in parameters.carried(ds).items() if n not in parameters.PARAMETERS}


def _run(folder: Path) -> Simulation:
    """A member from its job, its status, its last state and its series."""
    state = series = None
    own: dict[str, parameters.Parameter] = {}
    year: dict[str, float] = {}
    if (folder / "states.nc").exists():
        states = _states(folder / "states.nc")
        own = _own(states.ds)
        state = states.one(-1)
        year = (
            {"year": float(np.ravel(states.ds["year"].values)[-1])} if "year" in states.ds.variables else {}
        )
    if (folder / "series.nc").exists():
        series = open_dataset(folder / "series.nc").load()
    with reading(folder, "job.yaml or status.yaml holds what no run wrote: take them as they were"):
        job, status = read_yaml(folder / "job.yaml"), folder / "status.yaml"
        facts = read_yaml(status) if status.exists() else {"state": "not started"}
        facts |= {"drift": facts.pop("drift_K_per_century", None)} | year
        facts |= {n: float(facts[n]) for n in ("years", "drift") if facts.get(n) is not None}
        number, known = job.get("member"), parameters.PARAMETERS | own
        index = int(folder.name.rpartition("_")[2] if number is None else number)
        values = {n: float(v) for n, v in job.get("parameters", {}).items() if n in known}
    split = labels_of(folder)[1] or parameters.split_of(index)
    return Simulation(index, split, values, facts, state, series, own)


def training_ranges(inputs: Inputs) -> tuple[str, dict[str, tuple[float, float]]]:
    """Range of each varied parameter, and what to call it: of the generator, of the ensemble, or of the table.

    Examples
    --------
    >>> training_ranges(Inputs())[0]
    'Range of the table'
    """
    if inputs.card is not None and inputs.card[1].get("parameters"):
        seen: Mapping[str, Any] = inputs.card[1]["parameters"]
        return "Training range", {
            n: (float(p["low"]), float(p["high"])) for n, p in seen.items() if p.get("varies", True)
        }
    if inputs.ensemble is not None and inputs.ensemble.ranges:
        return "Training range", inputs.ensemble.ranges
    return "Range of the table", {n: (p.low, p.high) for n, p in parameters.PARAMETERS.items()}


def control_state(inputs: Inputs) -> xr.Dataset | None:
    """The state to compare with: the last equilibrium snapshot of the control, of the same parameters if there are several.

    Examples
    --------
    >>> control_state(Inputs()) is None
    True
    """
    return None if inputs.control is None else inputs.control.one(control_index(inputs))


def control_index(inputs: Inputs) -> int:
    """Number of that state in its file; -1 without a control.

    Examples
    --------
    >>> control_index(Inputs())
    -1
    """
    if inputs.control is None:
        return -1
    ds = inputs.control.ds
    usable = np.ones(ds.sizes["sample"], bool)
    if "phase" in ds.variables and (ds["phase"].values == "equilibrium").any():
        usable &= np.broadcast_to(ds["phase"].values == "equilibrium", usable.shape)
    if inputs.generated is not None:
        same = usable.copy()
        for close in _alike(inputs.generated.ds, ds).values():
            same &= np.broadcast_to(close, same.shape)
        usable = same if same.any() else usable
    return int(np.flatnonzero(usable)[-1])


def differing_parameters(inputs: Inputs) -> list[str]:
    """Names of parameters in which the control differs from the first generated state.

    Examples
    --------
    >>> differing_parameters(Inputs())
    []
    """
    if inputs.control is None or inputs.generated is None:
        return []
    index = control_index(inputs)
    alike = _alike(inputs.generated.ds, inputs.control.ds)
    return [n for n, close in alike.items() if not np.ravel(close)[index if np.size(close) > 1 else 0]]


def _alike(generated: xr.Dataset, control: xr.Dataset) -> dict[str, Any]:
    """Whether states of the control have the parameters of the first generated one, for each parameter of both."""
    wanted, own = parameters.extract(generated), parameters.extract(control)
    first = {n: np.ravel(values)[0] for n, values in wanted.items() if n in own}
    return {n: np.isclose(own[n], value, rtol=1e-5, atol=1e-9) for n, value in first.items()}
