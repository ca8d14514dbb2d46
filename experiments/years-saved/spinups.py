"""Spin-ups of held-out members by the verb, and how far they are from the true equilibrium in each year.

python experiments/years-saved/spinups.py states.zarr -w work/years-saved

Writes `spinups_SPLIT.csv` beside this file: a row a member and year, in standard deviations of the ensemble, and `cycles_SPLIT.csv`: what the verb said
at the end of each stretch beside what was true. Interrupted, the same command continues.
"""

import argparse
import logging
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from forecasts import write_table
from members import header, members, mesh

from warmstart.equilibrium.correction import sizes
from warmstart.equilibrium.distance import TRACERS
from warmstart.generator.checkpoint import locate
from warmstart.io.files import open_dataset
from warmstart.verbs.spinup import spinup
from warmstart.verbs.verify import reference_spread

HERE = Path(__file__).parent
log = logging.getLogger("spinups")
GENERATOR = "dino-4deg"


def main() -> None:
    """Spin each member up, then compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("-w", "--work", type=Path, required=True)
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--years", type=int, default=40)
    parser.add_argument("--cycles", type=int, default=2)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    made, grid = header(options.store), mesh(options.store)
    spread, _ = reference_spread(locate(GENERATOR), grid)
    options.work.mkdir(parents=True, exist_ok=True)
    years, cycles = [], []
    for member in members(options.store, (options.split,)):
        place = options.work / f"member_{member.number:03d}"
        said = spinup(
            place, member.values, GENERATOR, years=options.years, cycles=options.cycles, extrapolate=True,
            say=lambda line, number=member.number: log.info("member %d: %s", number, line),
        )  # fmt: skip
        truth, began = member.truth[list(TRACERS)].mean("sample"), 0.0
        for row in said.itertuples():
            folder = place / (f"cycle_{row.cycle}" if row.cycle != "proof" else row.cycle)
            with open_dataset(folder / "states.nc") as ds:
                states = ds[list(TRACERS)].load()
            for index, year in enumerate(states["year"].values):
                error = sizes(states.isel(time=index) - truth, spread, grid)
                found = {f"{of} {label}": value for label, own in error.items() for of, value in own.items()}
                years.append(
                    {"member": member.number, "cycle": row.cycle, "year": round(began + float(year), 3)}
                    | found
                )
            cycles.append(
                {
                    "member": member.number,
                    "cycle": row.cycle,
                    "years": row.years,
                    "true": years[-1]["both all"],
                }
                | {
                    "estimated": row.distance,
                    "low": row.low,
                    "high": row.high,
                    "probability": row.probability,
                }
                | {"inside": int(np.clip(years[-1]["both all"], row.low, row.high) == years[-1]["both all"])}
            )
            began = row.years
        write_table(pd.DataFrame(years).round(4), HERE / f"spinups_{options.split}.csv", made)
        write_table(pd.DataFrame(cycles).round(4), HERE / f"cycles_{options.split}.csv", made)


if __name__ == "__main__":
    main()
