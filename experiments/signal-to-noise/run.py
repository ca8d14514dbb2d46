"""Compare how far the metrics of `check` differ between snapshots of one simulation, and between simulations.

python experiments/signal-to-noise/run.py states.zarr

A metric tells simulations apart only where the first is small beside the second. Training members, equilibrium snapshots five years
apart. Writes metrics.csv beside this file, and southern-bound.csv: the abyssal cell in density classes, between several latitudes and 30 N.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1]))

from forecasts import one_sided, write_table
from members import header, mesh

from warmstart.io.files import open_dataset
from warmstart.ocean.variables import STATE_VARIABLES
from warmstart.physics.overturning import overturning_density_cell
from warmstart.scores.metrics import METRICS
from warmstart.verbs.check import check

HERE = Path(__file__).parent
SCORED = [name for name in METRICS if not one_sided(name)]
BOUNDS = (-60.0, -50.0, -45.0, -40.0, -35.0, -30.0, -20.0)


def noise(values: np.ndarray, member: np.ndarray) -> dict[str, float]:
    """Standard deviation between snapshots of a member, between members, and the largest range within a member."""
    groups = pd.Series(values).groupby(member)
    within, between = float(groups.std().mean()), float(groups.mean().std())
    return {
        "within": within, "between": between, "ratio": within / between if between else np.nan,
        "largest_range": float((groups.max() - groups.min()).max()),
    }  # fmt: skip


def main() -> None:
    """Compare snapshots with members."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=HERE, help="folder for the tables")
    options = parser.parse_args()
    grid, ds = mesh(options.store), open_dataset(options.store)
    chosen = np.flatnonzero((ds["split"].values == "train") & (ds["phase"].values == "equilibrium"))
    member = ds["member"].values[chosen]
    states: xr.Dataset = ds[list(STATE_VARIABLES)].isel(sample=chosen).load().reset_coords(drop=True)
    found = check(states, grid, only=SCORED).pivot_table(index="sample", columns="metric", values="value")
    metrics = [{"metric": name} | noise(found[name].to_numpy(), member) for name in found]
    bounds = [
        {"north_of": south}
        | noise(overturning_density_cell(states, grid, (south, 30.0), "abyssal", 2000.0).values, member)
        for south in BOUNDS
    ]
    for name, rows in (("metrics", metrics), ("southern-bound", bounds)):
        table = pd.DataFrame(rows).round(6)
        write_table(table, options.output / f"{name}.csv", header(options.store))


if __name__ == "__main__":
    main()
