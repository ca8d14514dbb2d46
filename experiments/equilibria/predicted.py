"""How near the equilibrium a prediction begins: finished members, each predicted from the others.

python experiments/equilibria/predicted.py data/dino-4deg -o experiments/equilibria/predicted.csv

A row a regression: root mean square error of the horizontal-mean temperature, over the whole depth (weighted with volume) and over
the levels below 2000 m [K]. Training members only.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1]))

from forecasts import write_table
from records import made_with

from warmstart.engines import dino
from warmstart.ensemble import starts
from warmstart.ocean.grid import Grid
from warmstart.ocean.parameters import split_of

VARIED = (
    "wind_stress_south", "wind_stress_north", "restoring_temperature_north", "restoring_temperature_south",
    "restoring_temperature_equator", "restoring_salinity_north", "vertical_diffusivity", "eddy_diffusivity",
)  # fmt: skip
DEEP = 2000.0  #: [m]


def main() -> None:
    """Predict every member from the others, in each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("finished", type=Path, help="member files")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the table")
    options = parser.parse_args()
    grid = dino.grid(4.0, 18)
    every = starts.read_finished(options.finished, grid)
    finished = [m for m in every if split_of(int(m.path.stem.removeprefix("member_"))) == "train"]
    true = np.stack([profile(m.mean, grid) for m in finished])
    ways = {
        "mean of the others": mean_of,
        "nearest": starts.nearest,
        "predicted": partial(starts.predicted, grid=grid),
    }
    rows = []
    for name, way in ways.items():
        found = np.stack(
            [profile(way(m.values, starts.others(finished, m.values), VARIED), grid) for m in finished]
        )
        weight = grid.volume.sum(("y", "x")).values
        deep = grid.gdept_1d.values > DEEP
        square = ((found - true) ** 2).mean(0)
        rows.append({
            "start": name, "members": len(finished), "rmse_K": np.sqrt((square * weight).sum() / weight.sum()),
            "rmse_below_2000m_K": np.sqrt(square[deep].mean()),
        })  # fmt: skip
    write_table(pd.DataFrame(rows), options.output, made_with())


def profile(state: xr.Dataset, grid: Grid) -> np.ndarray:
    """Horizontal mean of temperature [degC], surface first."""
    volume = grid.volume
    return ((state.thetao.fillna(0.0) * volume).sum(("y", "x")) / volume.sum(("y", "x"))).values


def mean_of(values: dict[str, float], finished: list[starts.Finished], varied: tuple[str, ...]) -> xr.Dataset:
    """The mean of the finished members."""
    return xr.concat([m.mean for m in finished], "member").mean("member")


if __name__ == "__main__":
    main()
