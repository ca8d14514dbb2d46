"""spinup: from parameters to a restart at equilibrium, by short runs and corrections between them."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from warmstart import engines
from warmstart.engines.base import MOST_YEARS, Job
from warmstart.engines.manifest import content_hash
from warmstart.engines.recognition import open_bare, open_grid
from warmstart.ensemble import member
from warmstart.equilibrium import acceleration, distance
from warmstart.equilibrium.correction import Correction, late_rates, sizes
from warmstart.errors import UserError, require_path
from warmstart.generator.constraints.bounds import bound
from warmstart.generator.constraints.stability import stabilise
from warmstart.io import files, outputs
from warmstart.io.config import build, dump_yaml, read_yaml
from warmstart.ocean import parameters as table
from warmstart.ocean.constants import YEAR
from warmstart.ocean.grid import Grid
from warmstart.verbs.generate import generate
from warmstart.verbs.verify import reference_spread

if TYPE_CHECKING:
    from warmstart.engines.base import Engine

log = logging.getLogger(__name__)

#: What the folder remembers, so that the same command continues and another one does not.
REQUEST = "spinup.yaml"
#: What is left at the end: the restart, its state, a row a cycle.
RESTART, STATES, HISTORY = "restart.h5", "states.nc", "spinup.csv"
#: Beside a generator: how much of a Newton step to take there (:class:`warmstart.equilibrium.correction.Correction`).
CORRECTION = "correction.yaml"
#: Bounds of the interval of a distance.
INTERVAL = (0.05, 0.95)
NEWTON_YEARS = 1.0  #: that an engine runs for the seasons of a Newton step, and drops
#: Of the last stretch, which is run without correction.
PROOF = "proof"


@dataclass
class Cycle:
    """A row of the history: what a stretch of running showed, and what was done then.

    Attributes
    ----------
    cycle : its number, or ``proof``.
    years : run so far, this stretch and the year of each Newton step included [model years].
    drift : of temperature at the end, mean over the volume, by range of depth [K/century].
    salinity_drift : likewise [1e-3/century].
    distance, low, high : to equilibrium before a correction, with the bounds between which it lies nine times in ten; NaN where it
        cannot be told [standard deviations of the ensemble].
    deep_distance : of temperature and salinity below 2000 m, and of the layers from 500 m on.
    probability : that the distance is no larger than the target [1].
    correction : size of what was added then, by range of depth: of temperature [K] and salinity [1e-3].
    """

    cycle: str
    years: float
    drift: dict[str, float]
    salinity_drift: dict[str, float]
    distance: float = math.nan
    low: float = math.nan
    high: float = math.nan
    deep_distance: dict[str, float] = field(default_factory=dict)
    probability: float = math.nan
    correction: dict[str, float] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """The row of a table, a number a column."""
        row: dict[str, Any] = {}
        for name, value in asdict(self).items():
            row |= (
                {f"{name} {key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value}
            )
        return row


@dataclass(frozen=True)
class Known:
    """What a spin-up works with.

    Attributes
    ----------
    model : the engine.
    grid : its mesh.
    values : a value for each parameter of the engine.
    spread : what distances are measured in, dims ``(z,)``.
    correction : how much of a Newton step to take; None where nobody has learned it.
    """

    model: Engine
    grid: Grid
    values: dict[str, float]
    spread: xr.Dataset
    correction: Correction | None


def spinup(
    output: str | Path,
    parameters: Mapping[str, Any] | None = None,
    generator: str | Path = "dino-4deg",
    start: str | Path | None = None,
    years: int = 40,
    cycles: int = 3,
    target: float = 0.1,
    probability: float = 0.9,
    proof: int = 20,
    extrapolate: bool = False,
    engine: str = engines.DEFAULT,
    say: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Bring an ocean model to equilibrium: start near it, run some decades, correct, and run again; then prove it.

    The first start is the state that the generator expects (``generate(expected=True)``), or one of yours. After each stretch the drift
    of the last years says, in the circulation that the model has, where temperature and salinity would come to rest. Of this Newton step as
    much is taken as was right for members of the ensemble that the generator had not seen, and the same members say how far the
    equilibrium still is and how surely. When that is near enough, or after the last cycle, a stretch without correction shows
    the drift that is left. Interrupted, the same call continues, to the same bits.

    An engine that can tell no Newton step, or a generator without a correction, gets the sequence method for the profiles of the deep
    ocean instead (:mod:`warmstart.equilibrium.acceleration`); the distance is then not told.

    Parameters
    ----------
    output : folder for everything; made if it does not exist. At the end it holds the restart (``restart.h5``), its state (``states.nc``),
        and a row a cycle (``spinup.csv``).
    parameters : name to number in the units of the parameters table, or text with a unit; the rest as in the reference.
    generator : folder, or name of a shipped one. It gives the start, the unit of distances, and the correction.
    start : a state to start from instead of the expected one: a states file with one state or a restart, on the mesh of the generator.
    years : length of a stretch [model years], 4 at least.
    cycles : stretches with a correction, at most.
    target : distance to equilibrium that is wanted [standard deviations of the ensemble].
    probability : with which the distance is to be no larger, 0.5 to 0.999.
    proof : length of the stretch without correction at the end [model years], 4 at least.
    extrapolate : accept parameters outside the training range, with a warning.
    engine : name of an engine that this package runs.
    say : called with a line of text at each step; None logs it.

    Returns
    -------
    A row a cycle, the proof last: columns ``cycle``, ``years`` (so far) [model years], ``drift …`` [K/century] and ``salinity_drift …``
    [1e-3/century] by depth, ``distance`` with ``low`` and ``high`` (nine in ten) [standard deviations], ``deep_distance …`` by depth and
    tracer, ``probability`` of the target, ``correction …`` by depth.

    Raises
    ------
    UserError
        If a parameter is unknown or out of range, the start is of another mesh, a number makes no sense, the folder holds something else,
        the engine is not there, or a stretch blows up twice.

    Examples
    --------
    >>> spinup("run", {"wind_stress_south": "0.3 Pa"}, years=2)
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: years is 2; expected 4 to 1,000,000 model years, so that a drift can be told
    """
    say = say or log.info
    for name, number in (("years", years), ("proof", proof)):
        if not 4 <= number <= MOST_YEARS:
            raise UserError(
                f"{name} is {number}; expected 4 to {MOST_YEARS:,} model years, so that a drift can be told"
            )
    if not 0 <= cycles <= 100:
        raise UserError(f"cycles is {cycles}; expected 0 to 100")
    if not (math.isfinite(target) and target > 0):
        raise UserError(
            f"target is {target:g}; expected a distance above 0, in standard deviations of the ensemble"
        )
    if not 0.5 <= probability <= 0.999:
        raise UserError(f"probability is {probability:g}; expected 0.5 to 0.999")
    model = engines.find(engine)
    model.require("spinup")
    from warmstart.generator.checkpoint import load, locate

    given = [generator] if start is None else [generator, require_path(start)]
    place = outputs.require_work(output, (REQUEST,), given)
    loaded = load(generator)
    first = _first(loaded, parameters, start, extrapolate)
    known = _known(model, loaded, first, locate(generator), str(start or generator))
    with outputs.held(place):
        request = {
            "parameters": known.values, "generator": loaded.hash, "engine": engine,
            "start": None if start is None else content_hash(Path(start)),
            "years": years, "cycles": cycles, "target": target, "probability": probability, "proof": proof,
        }  # fmt: skip
        _claim(place, request)
        if known.correction is not None:
            left = f"{known.correction.error_left:.0%} of the error below 500 m"
            log.info("a correction left %s of members that it was not learned from", left)
        history = _cycles(known, first, place, request, say)
        files.write_csv(place / HISTORY, history, overwrite=True)
    return history


def _first(
    loaded: Any, parameters: Mapping[str, Any] | None, start: str | Path | None, extrapolate: bool
) -> xr.Dataset:
    """The state to start from, dims ``(z, y, x)``, with its parameters."""
    if start is None:
        return generate(loaded, parameters or {}, extrapolate=extrapolate, expected=True).isel(sample=0)
    from warmstart.generator.request import ask

    loaded.grid.require_same(open_grid(start), str(start))
    with open_bare(start) as ds:
        state = ds.load()
    lead = [d for d in state[distance.expected(state, str(start))[0]].dims if d not in ("z", "y", "x")]
    if any(state.sizes[d] != 1 for d in lead):
        raise UserError(f"{start} holds {state.sizes[lead[0]]} states; expected one to start from")
    carried = {name: float(np.ravel(v)[0]) for name, v in table.extract(state).items()}
    wanted = ask(loaded, {**carried, **(parameters or {})}, extrapolate=extrapolate).values or {}
    state = state.isel(dict.fromkeys(lead, 0)).drop_vars(list(wanted), errors="ignore")
    return table.attach(state, wanted)


def _known(model: Engine, loaded: Any, first: xr.Dataset, folder: Path, where: str) -> Known:
    """What the spin-up works with."""
    grid = loaded.grid
    model.configuration_of(grid, where)
    values = {n: p.default for n, p in model.parameters.items()}
    values |= {n: float(np.ravel(v)[0]) for n, v in table.extract(first).items() if n in values}
    model.refuse_unusable(first, grid, where)
    spread, _ = reference_spread(folder, grid)
    beside = folder / CORRECTION
    if not (folder / "normalizer.nc").is_file():  # a second network in the folder of another
        beside = folder.resolve().parent / CORRECTION
    learned = build(Correction, read_yaml(beside), str(beside)) if beside.is_file() else None
    return Known(model, grid, values, spread, learned)


def _claim(place: Path, request: dict[str, Any]) -> None:
    """Take the folder: continue the same spin-up, refuse another."""
    path = place / REQUEST
    if path.exists():
        former = read_yaml(path)
        if differing := [key for key in request if former.get(key) != request[key]]:
            raise UserError(
                f"{place} holds another spin-up ({', '.join(differing)} differ); choose another output, or remove that folder"
            )
        return
    place.mkdir(parents=True, exist_ok=True)
    dump_yaml(request, path)


def _cycles(
    known: Known, state: xr.Dataset, place: Path, asked: Mapping[str, Any], say: Callable[[str], None]
) -> pd.DataFrame:
    """Run and correct until the equilibrium is near enough, then run without correction."""
    rows: list[Cycle] = []
    past: list[acceleration.Stretch] = []
    restart: Path | None = None
    for number in range(1, asked["cycles"] + 1):
        folder = place / f"cycle_{number}"
        _run(known, state, restart, folder, asked["years"])
        row, step = _look(known, folder, f"{number}", asked, rows)
        rows.append(row)
        if row.probability >= asked["probability"]:
            say(_said(row, asked))
            restart = folder / RESTART
            break
        state = _corrected(known, folder, step, row, past)
        say(_said(row, asked))
    folder = place / PROOF
    _run(known, state, restart, folder, asked["proof"])
    row, _ = _look(known, folder, PROOF, asked, rows)
    rows.append(row)
    say(_said(row, asked))
    _keep(known, folder, place)
    return pd.DataFrame([row.row() for row in rows])


def _run(known: Known, state: xr.Dataset, restart: Path | None, folder: Path, years: int) -> None:
    """Bring a stretch to its end, from a state or going on from a restart."""
    model, configuration = known.model, known.model.configuration_of(known.grid, str(folder))
    folder.mkdir(exist_ok=True)
    if restart is None:
        restart = folder / "start.h5"
        if not restart.exists():
            with outputs.replacing(restart, folder=False) as temporary:
                model.write_restart(state, known.grid, temporary, {})
    job = Job(
        engine=model.name, configuration=configuration, parameters=known.values, start=str(restart.resolve()),
        folder=folder.resolve(), phases=model.cycle_phases(years, configuration),
    )  # fmt: skip
    status = member.run_member(job.model_dump(mode="json"))
    if status["state"] != "finished":
        why = status.get("message") or f"see {folder / 'engine.log'}"
        raise UserError(
            f"{folder.name} did not come to its end: {why}. Try shorter stretches (--years), or start from a state that is nearer"
        )


def _look(
    known: Known, folder: Path, name: str, asked: Mapping[str, Any], rows: list[Cycle]
) -> tuple[Cycle, xr.Dataset | None]:
    """What a stretch showed: its drift, and the step that its equilibrium is away."""
    with files.open_dataset(folder / "states.nc") as ds:
        rates, last = late_rates(ds.load()), float(ds["year"].values[-1])
    drift = {n: _by_depth(100.0 * rates[n], known.grid) for n in distance.TRACERS}
    path = folder / "newton_step.nc"
    spent = last + path.is_file() * NEWTON_YEARS + (rows[-1].years if rows else 0.0)
    row = Cycle(name, spent, drift["thetao"], drift["so"])
    if known.correction is None or not path.is_file():
        return row, None
    with files.open_dataset(path) as ds:
        step = known.correction.taken(ds[list(distance.TRACERS)].load(), known.spread, known.grid)
    size = sizes(step, known.spread, known.grid)
    overall = known.correction.estimates["all"]["both"]
    row.low, row.distance, row.high = (
        overall.quantile(size["all"]["both"], p) for p in (INTERVAL[0], 0.5, INTERVAL[1])
    )
    row.probability = overall.probability(size["all"]["both"], asked["target"])
    for label in [label for label in size if label != "all"]:
        for of in distance.TRACERS:
            found = known.correction.estimates[label][of].quantile(size[label][of], 0.5)
            row.deep_distance[f"{of} {label}"] = found
    return row, step


def _corrected(
    known: Known, folder: Path, step: xr.Dataset | None, row: Cycle, past: list[acceleration.Stretch]
) -> xr.Dataset:
    """The state at the end of a stretch, moved to where its equilibrium is expected, within bounds and stable."""
    with files.open_dataset(folder / "states.nc") as ds:
        states = ds.load()
    if step is None:
        step = _sequence(known, states, past)
    state = states.isel(time=-1).reset_coords(drop=True)
    row.correction = {
        f"{n} {label}": size
        for n in distance.TRACERS
        for label, size in _by_depth(step[n] ** 2, known.grid, root=True).items()
    }
    moved = {n: state[n] + step[n].astype("float64") for n in distance.TRACERS}
    attrs = {n: state[n].attrs for n in moved}
    state = state.assign({n: values.assign_attrs(attrs[n]) for n, values in moved.items()})
    state, _ = bound(state, known.grid)
    state, _ = stabilise(state, known.grid)
    return state


def _sequence(known: Known, states: xr.Dataset, past: list[acceleration.Stretch]) -> xr.Dataset:
    """The step of the sequence method: a shift of each level, by the drift and the age of the deep ocean."""
    volume, grid = known.grid.volume.where(known.grid.tmask > 0, 0.0), known.grid
    total = volume.sum(("y", "x"))
    year = states["year"].values
    late = np.flatnonzero((year > year[-1] / 2) & (year % 1.0 == 0))
    profiles = [
        (
            (states[n].isel(time=late).fillna(0.0) * volume).sum(("y", "x")) / total.where(total > 0, 1.0)
        ).values
        for n in distance.TRACERS
    ]
    past.append(acceleration.measure(year[late], np.concatenate(profiles, 1)))
    levels = acceleration.Levels(grid.gdept_1d.values, total.values)
    mixing = known.values.get("vertical_diffusivity", acceleration.SCALE_DEPTH**2 / (300.0 * YEAR * 86400.0))
    shift = acceleration.next_shift(past, levels, acceleration.relaxation_years(mixing))
    parts = dict(zip(distance.TRACERS, np.split(shift, 2), strict=True))
    return xr.Dataset({n: xr.DataArray(v, dims="z") * (grid.tmask > 0) for n, v in parts.items()})


def _by_depth(values: xr.DataArray, grid: Grid, root: bool = False) -> dict[str, float]:
    """Mean over the volume of each range of depth."""
    found = {}
    for label, (low, high) in distance.DEPTHS.items():
        weight = grid.volume.where((grid.gdept_0 >= low) & (grid.gdept_0 < high) & (grid.tmask > 0), 0.0)
        if float(weight.sum()) > 0:
            mean = float((values.fillna(0.0) * weight).sum() / weight.sum())
            found[label] = math.sqrt(mean) if root else mean
    return found


def _said(row: Cycle, asked: Mapping[str, Any]) -> str:
    """A line on a stretch."""
    drift, salty = (
        ", ".join(f"{value:+.{digits}f} {label}" for label, value in found.items() if label != "all")
        for found, digits in ((row.drift, 3), (row.salinity_drift, 4))
    )
    words = [
        f"cycle {row.cycle}" if row.cycle != PROOF else PROOF,
        f"year {row.years:g}",
        f"drift [K/century] {drift}",
        f"of salinity [1e-3/century] {salty}",
    ]
    if math.isfinite(row.distance):
        words.append(
            f"distance {row.distance:.2f} ({row.low:.2f} to {row.high:.2f}), within {asked['target']:g} with probability {row.probability:.2f}"
        )
    else:
        words.append("distance not told: no correction was learned for this generator and engine")
    return "; ".join(words)


def _keep(known: Known, folder: Path, place: Path) -> None:
    """Leave the last restart and its state in the folder itself."""
    with outputs.replacing(place / RESTART, overwrite=True, folder=False) as temporary:
        shutil.copyfile(folder / RESTART, temporary)
    with files.open_dataset(folder / "states.nc") as ds:
        last = ds.isel(time=[-1]).load()
    files.write_dataset(place / STATES, last, known.grid, overwrite=True)
