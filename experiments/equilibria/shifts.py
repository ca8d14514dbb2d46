"""How the deep ocean of each run was brought to rest: drift at the end of every stretch, and the shift that followed.

python experiments/equilibria/shifts.py runs/member_* -o experiments/equilibria/shifts.csv

A row a stretch of 60 years: model year, rate of change over its last 30 years below 2000 m and of the fastest level under the taper
[K/century], and the shift of the mean below 2000 m that was made then [K]; empty where none was.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1]))

from forecasts import write_table
from member_files import finished_status, start_of
from records import made_with

from warmstart.engines.series import PROFILES
from warmstart.equilibrium import acceleration
from warmstart.io.config import read_yaml
from warmstart.io.files import open_dataset, open_grid


def main() -> None:
    """Read the runs, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished members")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the table")
    options = parser.parse_args()
    table = pd.concat([stretches(run) for run in options.runs], ignore_index=True)
    write_table(table, options.output, made_with())


def stretches(run: Path) -> pd.DataFrame:
    """The stretches of one run."""
    status, job = finished_status(run), read_yaml(run / "job.yaml")
    phase = next(p for p in job["phases"] if p.get("acceleration"))
    how = acceleration.Acceleration(**phase["acceleration"])
    begin = next((p["until_day"] / 360 for p in job["phases"] if p["name"] == "upper ocean"), 0.0)
    mesh = open_grid(run / "states.nc")
    levels = acceleration.Levels(mesh.gdept_1d.values, mesh.volume.values.sum(axis=(1, 2)))
    with open_dataset(run / "series.nc") as opened:
        series = opened.load()
    rows = []
    for end in np.arange(begin, float(series.year[-1]) + 0.5, how.stretch_years):
        rate = 100.0 * rate_of(series, end - how.window_years, end) * np.tile(levels.taper, 2)
        # a shift is dated by its last part
        made = [
            s["deep_K"] for s in status.get("shifts") or () if end <= s["year"] <= end + how.ramp_years - 1
        ]
        rows.append(
            {
                "member": int(run.name.removeprefix("member_")),
                "start": start_of(run),
                "year": end,
                "drift_K_per_century": levels.deep_mean(rate),
                "fastest_level_K_per_century": float(np.abs(rate[: levels.depth.size]).max()),
                "shift_deep_K": made[0] if made else np.nan,
            }
        )
    return pd.DataFrame(rows)


def rate_of(series: xr.Dataset, begin: float, end: float) -> np.ndarray:
    """Rate of change of the profiles over some years, ``(2 nz,)`` [K/year, 1e-3/year]."""
    some = series.isel(time=np.flatnonzero((series.year > begin) & (series.year <= end)))
    profiles = np.concatenate([some[name].transpose("time", ...).values for name in PROFILES], axis=1)
    return acceleration.measure(some.year.values, profiles).rate


if __name__ == "__main__":
    main()
