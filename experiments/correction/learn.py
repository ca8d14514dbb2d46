"""How much of a Newton step to take, learned from the pairs: the file that ships beside the generator, and a table.

python experiments/correction/learn.py data/dino-4deg

Writes `newton.csv` beside this file, and `correction.yaml` into the folder of the shipped generator. Members are left out in the groups that share
a generator; what is said of the error that is left is of pairs whose whole group was left out.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1]))

from forecasts import write_table
from pairs import TRACERS, YEARS
from records import made_with

from warmstart.equilibrium.correction import Correction, Pair, fit, sizes
from warmstart.io.config import dump_yaml
from warmstart.io.files import open_grid
from warmstart.verbs.verify import reference_spread

HERE = Path(__file__).parent
SHIPPED = HERE.parents[1] / "src/warmstart/pretrained/dino-4deg"
GROUPS = 6
#: Where the shares are given [m]: the upper ocean, the thermocline, and three layers of the deep ocean.
DEPTHS = (100.0, 500.0, 1000.0, 2000.0, 3000.0)
BELOW = 500.0  #: the error that is looked at [m]


def main() -> None:
    """Learn from all pairs, and say what is left where a group is left out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("members", type=Path, help="the ensemble's folder, for its mesh")
    parser.add_argument("--start", default="expected")
    options = parser.parse_args()
    grid = open_grid(sorted(options.members.glob("member_*.nc"))[0])
    spread, _ = reference_spread(SHIPPED, grid)
    found = read(options.start)
    pairs = [pair for _, _, pair in found]
    learned = fit(pairs, spread, grid, DEPTHS, YEARS, len(pairs))
    dump_yaml(learned, SHIPPED / "correction.yaml")
    table = pd.DataFrame(rows(found, spread, grid))
    write_table(table, HERE / "newton.csv", made_with() | {"error_left": learned.error_left})


def read(start: str) -> list[tuple[int, xr.Dataset, Pair]]:
    """Number of the member, error of its start, and pair."""
    paths = sorted((HERE / "steps").glob("member_*.nc"))
    numbers = [int(path.stem[-3:]) for path in sorted((HERE / "pairs").glob("member_*.nc"))]
    dims = {"lev": "z", "lat": "y", "lon": "x"}
    found = []
    for path in paths:
        number = int(path.stem[-3:])
        with xr.open_dataset(path) as steps, xr.open_dataset(HERE / "pairs" / path.name) as pair:
            step = steps.sel(start=start).load()
            errors = pair.sel(start=start).load()
        moved = xr.Dataset(
            {n: step[f"{n}_step"].drop_vars(list(dims)).rename(dims).drop_vars("start") for n in TRACERS}
        )
        true, first = (
            xr.Dataset({n: -errors[f"{n}_error"].sel(window=window, drop=True).drop_vars(list(dims)).rename(dims).drop_vars("start") for n in TRACERS})
            for window in ("year 40", "start")
        )  # fmt: skip
        found.append((number, first, Pair(moved, true, numbers.index(number) % GROUPS)))
    return found


def rows(
    found: list[tuple[int, xr.Dataset, Pair]], spread: xr.Dataset, grid: object
) -> list[dict[str, object]]:
    """A row a member: its error, that of the whole step, and that of the shares learned without its group."""
    table = []
    for group in sorted({pair.group for _, _, pair in found}):
        others = [pair for _, _, pair in found if pair.group != group]
        learned = fit(others, spread, grid, DEPTHS, YEARS, len(others))
        for number, first, pair in found:
            if pair.group == group:
                table.append({"member": number, "group": group} | row(first, pair, learned, spread, grid))
    return sorted(table, key=lambda line: line["member"])


def row(
    first: xr.Dataset, pair: Pair, learned: Correction, spread: xr.Dataset, grid: object
) -> dict[str, float]:
    """Errors below 500 m in standard deviations, and what was said of the distance."""
    taken = learned.taken(pair.step, spread, grid)
    out = {}
    for name, error in (
        ("start", first),
        ("none", pair.error),
        ("whole", pair.error - pair.step),
        ("shares", pair.error - taken),
    ):
        deep = sizes(error.where(grid.gdept_1d >= BELOW, 0.0), spread, grid)["all"]
        out |= {f"{name}_{of}": float(f"{deep[of]:.4f}") for of in deep}
    whole = sizes(pair.error, spread, grid)["all"]["both"]
    size = sizes(taken, spread, grid)["all"]["both"]
    estimate = learned.estimates["all"]["both"]
    low, high = (estimate.quantile(size, p) for p in (0.05, 0.95))
    out |= {
        "distance": float(f"{whole:.4f}"),
        "estimated_low": float(f"{low:.4f}"),
        "estimated_high": float(f"{high:.4f}"),
    }
    out["inside"] = int(np.clip(whole, low, high) == whole)
    return out


if __name__ == "__main__":
    main()
