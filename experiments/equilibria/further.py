"""Run a member on for some centuries at the time steps of a spin-up, nothing extrapolated, and tabulate runs century by century.

python experiments/equilibria/further.py run data/dino-4deg/member_003.nc runs/ensemble/member_003 --years 500
python experiments/equilibria/further.py run data/dino-4deg/member_003.nc runs/rest/further --start runs/rest/member_003/restart.h5 --years 500
python experiments/equilibria/further.py table 'from rest=runs/rest/member_003,runs/rest/further' ensemble=runs/ensemble/member_003
python experiments/equilibria/further.py snapshots runs/rest/member_004 experiments/equilibria/member_4_from_rest.csv

`run` takes parameters, and unless --start is given the state, of a member file. `table` writes undisturbed.csv beside this file: means of the
ten years that end each century of each run, given as its label and folders, one after the other, and its verdict at the end. `snapshots`
writes the deep temperature and the transports of every state that a run kept.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1]))

from forecasts import write_table
from member_files import join_series
from records import made_with
from verdicts import years_until

from warmstart.engines.base import Job, Phase, save_job
from warmstart.engines.veros import Configuration
from warmstart.engines.veros.phases import spinup_phases
from warmstart.equilibrium.verdict import judge
from warmstart.io.files import open_dataset, open_grid
from warmstart.ocean.constants import YEAR
from warmstart.ocean.parameters import extract
from warmstart.physics.budgets import DEEP, volume_mean
from warmstart.physics.transport import channel_transport, overturning

HERE = Path(__file__).parent
KNOWN = ("thetao_deep", "so_deep", "channel_transport", "overturning_north", "overturning_abyssal")
EVERY, MEAN = 100, 10  #: years


def run(member: Path, folder: Path, start: Path, years: int) -> int:
    """Run on; the exit code of the engine."""
    mesh = open_grid(member)
    with open_dataset(member) as ds:
        values = {name: float(value) for name, value in extract(ds).items()}
    configuration = Configuration(resolution=float(mesh.ds.attrs["resolution"]), levels=mesh.shape[0])
    spinup = next(
        p for p in spinup_phases(years, 0, resolution=configuration.resolution) if p.name == "spinup"
    )
    phase = Phase(
        name="further", until_day=years * YEAR, dt_momentum=spinup.dt_momentum, dt_tracer=spinup.dt_tracer
    )
    folder.mkdir(parents=True, exist_ok=True)
    job = Job(
        engine="veros", configuration=configuration, parameters=values, start=str(start.resolve()), folder=folder,
        phases=(phase,),
    )  # fmt: skip
    save_job(job, folder / "job.yaml")
    return subprocess.run(
        [sys.executable, "-m", "warmstart.engines.veros", str(folder / "job.yaml")]
    ).returncode


def table(runs: dict[str, list[Path]]) -> None:
    """A row a century and run."""
    rows = []
    for label, folders in runs.items():
        series = read(folders[0])
        for folder in folders[1:]:
            series = join_series(series, read(folder))
        found, years = judge(series), series.year.values
        for end in [*np.arange(EVERY, years[-1] + 1, EVERY), years[-1]]:
            last = series.isel(time=np.flatnonzero((years > end - MEAN) & (years <= end)))
            rows.append({"run": label, "year": end} | {n: float(last[n].mean()) for n in KNOWN})
        rows[-1] |= {
            "verdict": found.verdict, "drift": found.drift, "years_to_near": years_until(series, "near"),
            "years_to_equilibrium": years_until(series, "equilibrium"),
        }  # fmt: skip
    found = pd.DataFrame(rows).drop_duplicates(["run", "year"], keep="last").round(4)
    write_table(found, HERE / "undisturbed.csv", made_with())


def snapshots(folder: Path, output: Path) -> None:
    """A row a state of the run."""
    grid = open_grid(folder / "states.nc")
    with open_dataset(folder / "states.nc") as opened:
        states = opened.load()
    table = pd.DataFrame(
        {
            "year": states.year.values,
            "thetao_deep": volume_mean(states, grid, "thetao", depth=DEEP).values,
            "channel_transport": channel_transport(states, grid).values,
            "overturning_largest": overturning(states, grid).max(("z", "y")).values,
        }
    )
    write_table(table, output, made_with() | {"units": "degC below 2000 m, Sv, Sv"})


def read(folder: Path) -> xr.Dataset:
    """The series of a run."""
    with open_dataset(folder / "series.nc") as opened:
        return opened.load()


def main() -> int:
    """Run, or write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("run")
    one.add_argument("member", type=Path)
    one.add_argument("folder", type=Path)
    one.add_argument("--start", type=Path, help="a restart.h5 instead of the member's own")
    one.add_argument("--years", type=int, required=True)
    verbs.add_parser("table").add_argument("runs", nargs="+", help="LABEL=FOLDER[,FOLDER...]")
    kept = verbs.add_parser("snapshots")
    kept.add_argument("folder", type=Path)
    kept.add_argument("output", type=Path)
    options = parser.parse_args()
    if options.verb == "run":
        return run(options.member, options.folder, options.start or options.member, options.years)
    if options.verb == "snapshots":
        snapshots(options.folder, options.output)
        return 0
    pairs = (text.partition("=") for text in options.runs)
    table({label: [Path(f) for f in folders.split(",")] for label, _, folders in pairs})
    return 0


if __name__ == "__main__":
    sys.exit(main())
