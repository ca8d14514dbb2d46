"""Continue members from the restart that their file holds and judge them again: does each keep its verdict?

python data/continue.py data/dino-4deg/member_003.nc data/dino-4deg/member_010.nc --years 50
python data/continue.py data/dino-4deg/member_013.nc --years 100 --output longer
python data/continue.py data/dino-4deg/member_014.nc --years 400 --output longer --relaxation 450

Runs at the time steps of the states in the file (3600 s / 1 day at 4 degrees); the new years are appended to the series in the file, and
the last 200 years are judged. Exit code 1 if a verdict is lost. Two minutes of one core a member of 50 years at 4 degrees.

With `--output` the longer member is written there: the new years are a spin-up of its own, accelerated, and the last 20 at
those time steps, from which the four states come; those on the way stay those of the file. A folder of runs that is given by
`--runs` is kept, and a member that was interrupted there goes on.

With `--relaxation` the deep ocean is shifted after 40 years by its rate times so many years, and again while it drifts, and
the member ends when its last 200 years have been an equilibrium for 50; `--years` is the cap.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))

from forecasts import write_table
from member_files import join_series, write_member_file
from records import made_with

from warmstart.equilibrium.acceleration import Acceleration
from warmstart.ocean.constants import YEAR
from warmstart.engines.base import Job, Phase, save_job
from warmstart.engines.veros import Configuration
from warmstart.engines.veros.phases import spinup_phases, time_steps
from warmstart.equilibrium.verdict import judge
from warmstart.errors import UserError
from warmstart.io.files import open_dataset, open_grid
from warmstart.io.outputs import require_free
from warmstart.ocean.parameters import extract

SETTLE_YEARS = 20
RANK = ("drifting", "near", "equilibrium")


def phases(years: int, settle: bool, relaxation: float | None, resolution: float) -> tuple[Phase, ...]:
    """What is run; arguments as of :func:`run`, and the spacing of the mesh [degrees]."""
    if not settle:
        momentum, tracer = time_steps(resolution).cautious
        return (Phase(name="continued", until_day=years * YEAR, dt_momentum=momentum, dt_tracer=tracer),)
    adjust, spinup, settled = spinup_phases(years - SETTLE_YEARS, SETTLE_YEARS, resolution=resolution)
    if relaxation is not None:
        how = Acceleration(stretch_years=40, window_years=30, relaxation_years=relaxation)
        spinup = spinup.model_copy(update={"until": "equilibrium", "acceleration": how})
    return adjust, spinup, settled


def run(
    member: Path, years: int, folder: Path, settle: bool = False, relaxation: float | None = None
) -> xr.Dataset:
    """Continue a member and return the series of the new years.

    Parameters
    ----------
    member : its file.
    years : how long.
    folder : of the run; one that was interrupted goes on.
    settle : whether the run is a spin-up with 20 years of settling at its end, and not one at short time steps.
    relaxation : time scale of the deep ocean by which it is shifted on the way to equilibrium [years]; None: it is not.
    """
    mesh = open_grid(member)
    with open_dataset(member) as ds:
        values = {name: float(value) for name, value in extract(ds).items()}
    configuration = Configuration(resolution=float(mesh.ds.attrs["resolution"]), levels=mesh.shape[0])
    job = Job(
        engine="veros", configuration=configuration, parameters=values, start=str(member.resolve()), folder=folder,
        phases=phases(years, settle, relaxation, configuration.resolution),
    )  # fmt: skip
    save_job(job, folder / "job.yaml")
    command = [sys.executable, "-m", "warmstart.engines.veros", str(folder / "job.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(
            f"{member.name} could not be continued (exit code {done.returncode}): {done.stderr[-500:]}"
        )
    with open_dataset(folder / "series.nc") as series:
        return series.load()


@contextlib.contextmanager
def folder_of(member: Path, runs: Path | None) -> Iterator[Path]:
    """The folder in which a member is run: kept in `runs`, or gone afterwards."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = (runs or Path(scratch)) / member.stem
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def main() -> int:
    """Continue each member; the number of verdicts that were lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("members", nargs="+", type=Path, help="member files")
    parser.add_argument(
        "--years", type=int, default=50, help="to run on; with --relaxation at most (default: 50)"
    )
    parser.add_argument("--output", type=Path, help="folder for the longer member files")
    parser.add_argument("--runs", type=Path, help="folder in which the runs are kept")
    parser.add_argument("--relaxation", type=float, help="time scale of the deep ocean, for shifts [years]")
    parser.add_argument("--table", type=Path, help="result table to write as well (CSV)")
    options = parser.parse_args()
    if options.relaxation is not None and (options.output is None or options.relaxation <= 0):
        raise UserError("--relaxation expects a time of more than 0 years, and --output")
    if options.output is not None and options.years <= SETTLE_YEARS:
        raise UserError(f"--years {options.years} is no spin-up; expected more than {SETTLE_YEARS}")
    if options.output is not None and not options.output.is_dir():
        raise UserError(f"{options.output} is no folder; make the folder of the longer member files first")
    lost, rows = 0, []
    for member in options.members:
        if options.output is not None:
            require_free(options.output / member.name)
        with open_dataset(member, "series") as opened:
            stored = opened.load()
        before = judge(stored)
        with folder_of(member, options.runs) as folder:
            settle = options.output is not None
            new = run(member, options.years, Path(folder), settle, options.relaxation)
            if options.output is not None:
                write_member_file(folder, options.output / member.name, continues=member)
        after = judge(join_series(stored, new))
        kept = RANK.index(after.verdict) >= RANK.index(before.verdict)
        lost += not kept
        jump = float(new.thetao_deep[1] - stored.thetao_deep[-1])
        print(
            f"{member.name}: {before.verdict} ({before.drift:+.4f} K/century) -> {after.verdict} "
            f"({after.drift:+.4f} K/century) after {float(new.year[-1]):.0f} years; first year {jump:+.5f} K below 2000 m: "
            f"{'kept' if kept else 'LOST'}",
            flush=True,
        )
        rows.append({
            "member": int(member.stem.removeprefix("member_")),
            "verdict": before.verdict, "drift_K_per_century": round(before.drift, 4),
            "verdict_after": after.verdict, "drift_after_K_per_century": round(after.drift, 4),
            "years": round(float(new.year[-1])), "first_year_K": round(jump, 5),
            "trends": " ".join(after.moving), "file": "published",
        })  # fmt: skip
    if options.table is not None:
        write_table(pd.DataFrame(rows), options.table, made_with())
    return lost


if __name__ == "__main__":
    try:
        sys.exit(min(main(), 1))
    except UserError as error:
        sys.exit(f"Error: {error}")
