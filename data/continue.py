"""Continue members from the restart that their file holds and judge them again: does each keep its verdict?

python data/continue.py data/dino-4deg/member_003.nc data/dino-4deg/member_010.nc --years 50

Runs at 3600 s / 1 day, the time steps of the states in the file; the new years are appended to the series in the file, and
the last 200 years are judged. Exit code 1 if a verdict is lost. Two minutes of one core a member of 50 years at 4 degrees.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import xarray as xr

from warmstart.engine.base import CAUTIOUS, YEAR, Configuration, Job, Phase, save_job
from warmstart.engine.verdict import Verdict, judge
from warmstart.errors import UserError
from warmstart.files import open_dataset, open_grid
from warmstart.parameters import extract

RANK = ("drifting", "near", "equilibrium")


def run(member: Path, years: int, folder: Path) -> xr.Dataset:
    """Continue a member and return the series of the new years, day 0 left out."""
    mesh = open_grid(member)
    with open_dataset(member) as ds:
        values = {name: float(value) for name, value in extract(ds).items()}
    phase = Phase(name="continued", until_day=years * YEAR, dt_momentum=CAUTIOUS[0], dt_tracer=CAUTIOUS[1])
    configuration = Configuration(resolution=float(mesh.ds.attrs["resolution"]), levels=mesh.shape[0])
    job = Job(
        engine="veros", configuration=configuration, parameters=values, start=str(member.resolve()), folder=folder,
        phases=(phase,),
    )  # fmt: skip
    save_job(job, folder / "job.yaml")
    command = [sys.executable, "-m", "warmstart.engine.veros", str(folder / "job.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(
            f"{member.name} could not be continued (exit code {done.returncode}): {done.stderr[-500:]}"
        )
    with open_dataset(folder / "series.nc") as series:
        return series.load().isel(time=slice(1, None))


def continued(stored: xr.Dataset, new: xr.Dataset) -> Verdict:
    """Judge a stored series with the new years after it; a shift in the past stays where it was."""
    names = [n for n in stored.data_vars if n in new and n != "stretch"]
    new = new[names].assign_coords(year=new.year + float(stored.year[-1]))
    if "stretch" in stored:
        new["stretch"] = ("time", np.full(new.sizes["time"], int(stored["stretch"][-1])))
    return judge(xr.concat([stored[[*names, *({"stretch"} & set(stored))]], new], "time"))


def main() -> int:
    """Continue each member; the number of verdicts that were lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("members", nargs="+", type=Path)
    parser.add_argument("--years", type=int, default=50)
    options = parser.parse_args()
    lost = 0
    for member in options.members:
        with open_dataset(member, "series") as opened:
            stored = opened.load()
        before = judge(stored)
        with tempfile.TemporaryDirectory() as folder:
            new = run(member, options.years, Path(folder))
        after = continued(stored, new)
        kept = RANK.index(after.verdict) >= RANK.index(before.verdict)
        lost += not kept
        jump = float(new.thetao_deep[0] - stored.thetao_deep[-1])
        print(
            f"{member.name}: {before.verdict} ({before.drift:+.4f} K/century) -> {after.verdict} "
            f"({after.drift:+.4f} K/century) after {options.years} years; first year {jump:+.5f} K below 2000 m: "
            f"{'kept' if kept else 'LOST'}",
            flush=True,
        )
    return lost


if __name__ == "__main__":
    try:
        sys.exit(min(main(), 1))
    except UserError as error:
        sys.exit(f"Error: {error}")
