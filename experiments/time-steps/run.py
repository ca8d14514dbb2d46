"""Which time steps are stable on a mesh? A restart, 30 days with equal steps, then month by month with each pair that is asked for.

python data/refine.py data/dino-4deg/member_062.nc restarts --resolution 2 --levels 18
python experiments/time-steps/run.py restarts/member_062.h5 data/dino-4deg/member_062.nc --resolution 2 --levels 18 1800,2 1350,1.25

Pairs: step of momentum [s], of tracers [days]. Prints a row a pair: months run, the month in which it blew up, fastest current, time a step.
"""

import argparse
import math
import sys
import time
from pathlib import Path

import pandas as pd

from warmstart.engines import dino, series
from warmstart.engines.base import Job
from warmstart.engines.veros import Configuration, diagnostics, environment
from warmstart.engines.veros.arrays import read_restart
from warmstart.engines.veros.phases import spinup_phases
from warmstart.engines.veros.run import MAX_SPEED, build_step
from warmstart.errors import UserError
from warmstart.io.files import open_dataset
from warmstart.ocean.constants import DAY
from warmstart.ocean.parameters import extract

STEP = 1800.0  #: of the 30 days that turn temperature and salinity into a moving ocean [s]


def main() -> None:
    """Try each pair from the same adjusted state."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("restart", type=Path)
    parser.add_argument("member", type=Path, help="a file with the parameters")
    parser.add_argument("pairs", nargs="+", help="momentum [s],tracers [days]")
    parser.add_argument("--resolution", type=float, required=True)
    parser.add_argument("--levels", type=int, required=True)
    parser.add_argument("--months", type=int, default=36)
    options = parser.parse_args()
    with open_dataset(options.member) as ds:
        values = {name: float(value) for name, value in extract(ds).items()}
    configuration = Configuration(resolution=options.resolution, levels=options.levels)
    job = Job(
        engine="veros", configuration=configuration, parameters=values, start=str(options.restart), folder=Path(),
        phases=spinup_phases(1, 0, resolution=options.resolution),
    )  # fmt: skip
    environment.configure()
    import jax

    grid, step = dino.grid(options.resolution, options.levels), build_step(job)
    started = step.unpack(read_restart(options.restart)[0])
    started = step.advance(started, step.theta(values, STEP, STEP), round(30 * DAY / STEP))
    rows = []
    for momentum, tracer in (map(float, pair.split(",")) for pair in options.pairs):
        carry, theta = started, step.theta(values, momentum, tracer * DAY)
        fastest, blown, begun, month = 0.0, "", time.monotonic(), 0
        for month in range(1, options.months + 1):
            carry = jax.block_until_ready(step.advance(carry, theta, round(30 / tracer)))
            speed = series.series_row(diagnostics.newest(carry), grid)["speed_max"]
            if not (math.isfinite(speed) and speed <= MAX_SPEED):
                blown = str(month)
                break
            fastest = max(fastest, speed)
        milliseconds = (time.monotonic() - begun) / (month * round(30 / tracer)) * 1e3
        rows.append({
            "member": options.member.stem.removeprefix("member_"), "dt_momentum": momentum, "dt_tracer_days": tracer, "months": month,
            "blown_up_in_month": blown, "speed_max": round(fastest, 2), "ms_per_step": round(milliseconds),
        })  # fmt: skip
    pd.DataFrame(rows).to_csv(sys.stdout, index=False)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"Error: {error}")
