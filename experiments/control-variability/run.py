"""How far a control is from its own snapshots when it is run on, at two time steps: where the threshold of `verify` comes from.

python experiments/control-variability/run.py WORK 7 63 0 12

Restarts the last snapshot of members of data/dino-4deg as `verify` does, and runs 60 years with its phases, the tracers' step
once 2 days (as `verify` runs) and once 1 day (as the snapshots were made). Writes distances.csv and thresholds.csv beside this file; runs are kept in WORK,
and the same command continues. Units: standard deviations of the ensemble. About 25 minutes of CPU.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1]))

from forecasts import write_table
from members import made_with

from warmstart.engines.base import Job
from warmstart.engines.veros import Configuration
from warmstart.engines.veros.phases import cautious, time_steps, verify_phases
from warmstart.ensemble import member
from warmstart.equilibrium import distance
from warmstart.io import files
from warmstart.ocean import parameters
from warmstart.ocean.constants import DAY
from warmstart.scores.verification import settled
from warmstart.verbs.restart import restart

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
YEARS = 60
RUNS = {2.0 * DAY: "run, 2 days", DAY: "run, 1 day"}
TRACERS = list(distance.TRACERS)


def run(number: int, step: float, work: Path) -> xr.Dataset:
    """States of the run of one member with one step of the tracers [s]."""
    path = ROOT / "data" / "dino-4deg" / f"member_{number:03d}.nc"
    folder = work / f"m{number:03d}"
    folder.mkdir(parents=True, exist_ok=True)
    with files.open_dataset(path) as ds:
        values = {k: float(v) for k, v in parameters.extract(ds, parameters.PARAMETERS).items()}
        if not (folder / "restarts").exists():
            last = files.write_dataset(
                folder / "state.nc", ds.isel(time=-1).load(), files.open_grid(path), overwrite=True
            )
            restart(last, folder / "restarts")
    phases, name = verify_phases(YEARS, resolution=4.0), "run"
    if step < time_steps(4.0).accelerated[1]:
        phases, name = cautious(phases, 4.0), "run_1d"
    job = Job(
        engine="veros", configuration=Configuration(resolution=4.0, levels=18), parameters=values, phases=phases,
        start=str(folder / "restarts" / "000.h5"), folder=folder / name,
    )  # fmt: skip
    status = member.run_member(job.model_dump(mode="json"))
    if status["state"] != "finished":
        sys.exit(f"member {number}: {status}")
    return files.open_dataset(folder / name / "states.nc").load()


def measure(number: int, work: Path) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Distances of the runs of one member year by year, and thresholds from three sets of states."""
    path = ROOT / "data" / "dino-4deg" / f"member_{number:03d}.nc"
    grid = files.open_grid(path)
    with files.open_dataset(ROOT / "src/warmstart/pretrained/dino-4deg/normalizer.nc") as ds:
        spread = xr.Dataset({name: ds[f"{name}_spread"] for name in TRACERS}).load()
    with files.open_dataset(path) as ds:
        snapshots = ds[TRACERS].isel(time=np.flatnonzero(ds["phase"].values == "equilibrium")).load()
    rows, own = [], {"snapshots": snapshots}
    for step in RUNS:
        states = run(number, step, work)
        own[RUNS[step]] = states.isel(time=settled(states))
        means = {"snapshots": snapshots, "years_1_to_20": own[RUNS[step]]}
        found = {
            name: distance.distance(states, chosen.mean("time"), spread, grid)["distance"].values
            for name, chosen in means.items()
        }
        for i, year in enumerate(states["year"].values):
            far = {f"to_{name}": round(float(values[i]), 5) for name, values in found.items()}
            rows.append(
                {"member": number, "tracer_step_days": step / DAY, "year": round(float(year), 4), **far}
            )
    thresholds = []
    for name, states in own.items():
        pairs = distance.own_distances(states, spread, grid)
        level = round(distance.threshold(pairs), 5)
        thresholds.append(
            {"member": number, "states": name, "count": states.sizes["time"], "threshold": level}
        )
    return rows, thresholds


def main() -> None:
    """Run and measure the members that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("members", type=int, nargs="+")
    given = parser.parse_args()
    found = [measure(number, given.work) for number in given.members]
    for name, place in (("distances.csv", 0), ("thresholds.csv", 1)):
        table = pd.DataFrame([row for one in found for row in one[place]])
        write_table(table, HERE / name, made_with())


if __name__ == "__main__":
    main()
