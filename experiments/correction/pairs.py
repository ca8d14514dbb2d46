"""Pairs to learn a correction from: what forty years of the model do to a start, and what was wrong with it.

python experiments/correction/pairs.py states.zarr -w work/correction

Each training member is predicted by a generator that has not seen it (the six trainings of `experiments/left-out`, whose work folder
serves here too). Veros runs from the expected state and from one draw at the member's parameters. Temperature and salinity of the
start, of means over ten years and of the end go to `pairs/member_NNN.nc` beside this file, as differences from the mean of the
member's equilibrium states. With --validation the validation members, too, are run from what the shipped generator says: it has not seen them, and no pair of a
training member comes from a generator that has. Interrupted, the same command continues; a run that is finished is not repeated.
"""

import argparse
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "left-out"))

from members import Member, members, mesh, resplit, trained
from records import made_with
from run import CONFIG, LEFT_OUT

from warmstart.engines.base import Phase
from warmstart.engines.veros import diagnostics, environment
from warmstart.engines.veros.arrays import fields_of_state
from warmstart.engines.veros.phases import cautious, verify_phases
from warmstart.generator.checkpoint import load
from warmstart.generator.draw import expect, sample
from warmstart.generator.model import Generator
from warmstart.generator.request import ask
from warmstart.io.files import open_dataset
from warmstart.io.outputs import ATTRIBUTE, replacing, version
from warmstart.ocean import parameters
from warmstart.ocean.constants import DAY, YEAR
from warmstart.ocean.grid import Grid
from warmstart.verbs.generate import generate

if TYPE_CHECKING:
    from warmstart.engines.veros.step import PureStep

HERE = Path(__file__).parent
log = logging.getLogger("pairs")

STARTS = ("expected", "draw")
TRACERS = {"thetao": ("temp", "K"), "so": ("salt", "1e-3")}
#: What the numbers are rounded to: an int16 holds both ranges, and a mean over many cells is far more precise.
SCALE = {"thetao": 2e-3, "so": 3e-4}
SHIPPED = "dino-4deg"
RESOLUTION, LEVELS = 4.0, 18
YEARS = 40
MAX_SPEED = 20.0  #: a velocity beyond is a blow-up [m s-1]
#: First and last year of each mean; both the same: that one state.
WINDOWS = {
    "start": (0, 0), "years 1-10": (1, 10), "years 11-20": (11, 20), "years 21-30": (21, 30), "years 31-40": (31, 40),
    "year 40": (40, 40),
}  # fmt: skip
Tracers = dict[str, np.ndarray]


def main() -> None:
    """Train, predict, run and write, one group of members after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("-w", "--work", type=Path, required=True, help="where generators and runs are kept")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "pairs", help="folder for the pairs")
    parser.add_argument("--groups", type=int, default=6)
    parser.add_argument("--validation", action="store_true", help="and validation members by the shipped one")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    made = made_with()
    (options.work / "runs").mkdir(parents=True, exist_ok=True)
    environment.configure()
    engine = Engine()
    for index in range(options.groups):
        store = left_out_store(options.store, options.work, index, options.groups)
        generator = trained(store, CONFIG, options.work / f"generator_{index}")
        pairs(engine, generator, store, LEFT_OUT, options, made | {"group": f"{index} of {options.groups}"})
    if options.validation:
        pairs(engine, load(SHIPPED), options.store, "validation", options, made | {"group": SHIPPED})


def pairs(
    engine: "Engine",
    generator: Generator,
    store: Path,
    split: str,
    options: argparse.Namespace,
    about: dict[str, str],
) -> None:
    """Run and write the members of a split, first from the expected state, then from a draw."""
    grid = mesh(store)
    for start in STARTS:
        for member in members(store, (split,)):
            kept = options.work / "runs" / f"{member.number:03d}_{start}.npz"
            if not kept.exists():
                simulate(engine, generator, member, start, grid, kept)
            said = about | {"generator": generator.hash, "split": split}
            write(options.work / "runs", member, grid, options.output, said)


def left_out_store(source: Path, work: Path, index: int, groups: int) -> Path:
    """The store in which every so manyth training member is left out, as `experiments/left-out` makes it."""
    store = work / f"store_{index}.zarr"
    if not store.exists():
        ds = open_dataset(source)
        split, member = ds["split"].values.copy(), ds["member"].values
        training = np.unique(member[split == "train"])
        split[np.isin(member, training[index::groups])] = LEFT_OUT
        resplit(source, store, split)
    return store


def predicted(generator: Generator, member: Member, start: str) -> xr.Dataset:
    """The start, dims ``(z, y, x)``: the mean of the generator under all constraints, or a draw."""
    known = {n: v for n, v in member.values.items() if n in generator.config.parameters}
    if start == "expected":
        asked = ask(generator, known, extrapolate=True)
        return sample(expect(generator, asked, "none"), range(1))[0][0]
    return generate(generator, known, n=1, seed=member.seed, extrapolate=True).isel(sample=0)


class Engine:
    """One compiled step for all runs."""

    def __init__(self) -> None:
        self._step: PureStep | None = None

    @property
    def step(self) -> "PureStep":
        """Built when the first run needs it."""
        if self._step is None:
            from warmstart.engines.veros.setup import make_setup
            from warmstart.engines.veros.step import PureStep

            self._step = PureStep(make_setup(RESOLUTION, LEVELS, parameters.defaults(), 1800.0, 1800.0))
        return self._step

    def integrate(
        self, state: xr.Dataset, values: dict[str, float], phases: tuple[Phase, ...], grid: Grid
    ) -> Iterator[Tracers]:
        """Temperature and salinity at the start and after each year; stops where the run blows up."""
        import jax

        carry, day = self.step.unpack(fields_of_state(state, grid)), 0.0
        yield tracers(carry)
        for phase in phases:
            theta = self.step.theta(values, phase.dt_momentum, phase.dt_tracer)
            while day < phase.until_day:
                stop = min(phase.until_day, (day // YEAR + 1) * YEAR)
                count = round((stop - day) * DAY / phase.dt_tracer)
                carry, day = jax.block_until_ready(self.step.advance(carry, theta, count)), stop
                if not day % YEAR:
                    if not sound(carry):
                        return
                    yield tracers(carry)


def tracers(carry: dict) -> Tracers:
    """Temperature and salinity, ``(z, y, x)``."""
    fields = diagnostics.newest(carry)
    return {name: fields[veros].astype("float32") for name, (veros, _) in TRACERS.items()}


def sound(carry: dict) -> bool:
    """Whether no velocity is beyond reason and all is finite."""
    fields = diagnostics.newest(carry)
    fast = max(np.abs(fields["u"]).max(), np.abs(fields["v"]).max())
    return bool(fast <= MAX_SPEED and all(np.isfinite(fields[v]).all() for v, _ in TRACERS.values()))


def simulate(
    engine: Engine, generator: Generator, member: Member, start: str, grid: Grid, kept: Path
) -> None:
    """Run the model from a start and keep a state of each year; smaller time steps where it blows up."""
    began, state = time.process_time(), predicted(generator, member, start)
    values = {name: member.values[name] for name in parameters.PARAMETERS}
    usual = verify_phases(YEARS, resolution=RESOLUTION)
    for phases in (usual, cautious(usual, RESOLUTION)):
        years = list(engine.integrate(state, values, phases, grid))
        if len(years) == YEARS + 1:
            break
    else:
        log.warning("member %d, %s: blown up twice, in year %d; left out", member.number, start, len(years))
        return
    found = {name: np.stack([year[name] for year in years]) for name in TRACERS}
    temporary = kept.with_suffix(".part")
    with temporary.open("wb") as file:
        np.savez(file, dt_tracer=phases[-1].dt_tracer, **found)
    temporary.rename(kept)
    log.info("member %d, %s: %.0f CPU s", member.number, start, time.process_time() - began)


def write(runs: Path, member: Member, grid: Grid, output: Path, about: dict[str, str]) -> None:
    """Write the pairs of a member, of the starts that are run; nothing if the file holds them."""
    path = output / f"member_{member.number:03d}.nc"
    found = {s: runs / f"{member.number:03d}_{s}.npz" for s in STARTS}
    done = [start for start in STARTS if found[start].exists()]
    if path.exists():
        with xr.open_dataset(path) as ds:
            if list(ds["start"].values) == done:
                return
    if not done:
        return
    held = {start: np.load(found[start]) for start in done}
    wet, dims = grid.tmask.values > 0, ("start", "window", "lev", "lat", "lon")
    out = xr.Dataset(coords={"start": done, "window": list(WINDOWS)})
    for name, (_, units) in TRACERS.items():
        true = member.truth[name].mean("sample").values
        error = np.stack([
            [held[start][name][first : last + 1].mean(0) - true for first, last in WINDOWS.values()]
            for start in done
        ])  # fmt: skip
        meaning = "difference from the mean of the equilibrium states of the member"
        out[f"{name}_error"] = (dims, np.where(wet, error, np.nan), {"units": units, "long_name": meaning})
    out["first_year"] = ("window", np.array([first for first, _ in WINDOWS.values()], "int32"))
    out["last_year"] = ("window", np.array([last for _, last in WINDOWS.values()], "int32"))
    out["dt_tracer"] = ("start", np.array([float(held[s]["dt_tracer"]) for s in done]), {"units": "s"})
    out["seed"] = ("start", np.array([member.seed if s == "draw" else -1 for s in done], "int32"))
    axes = {"lev": grid.gdept_1d.values, "lat": grid.gphit.values[:, 0], "lon": grid.glamt.values[0]}
    units = {"lev": "m", "lat": "degrees_north", "lon": "degrees_east"}
    out = out.assign_coords({n: (n, v.astype("float32"), {"units": units[n]}) for n, v in axes.items()})
    names = list(member.values)
    values = ("parameter", np.array([member.values[n] for n in names]), {"long_name": "value of a parameter"})
    out = out.assign_coords(parameter=names).assign(value=values)
    out["units"] = ("parameter", [parameters.get(n).units for n in names])
    out.attrs = about | {
        ATTRIBUTE: version(),
        "member": member.number,
        "windows": "means of the states at the end of each year; start and year 40 are one state",
    }
    packed = {
        f"{name}_error": {
            "dtype": "int16", "scale_factor": scale, "_FillValue": -32768, "zlib": True, "complevel": 9, "shuffle": True,
            "chunksizes": (1, len(WINDOWS), *wet.shape),
        }
        for name, scale in SCALE.items()
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, overwrite=True) as temporary:
        out.to_netcdf(temporary, engine="h5netcdf", encoding=packed)


if __name__ == "__main__":
    main()
