"""Count the model years that each kind of start needs to the same criterion, and compare the states that they reach.

python experiments/equilibria/starts.py nearest=runs/nearest predicted=runs/predicted cold=runs/cold

Runs of `rounds/nearest.yaml`, `predicted.yaml` and `cold.yaml` against the members of the ensemble, which began from rest. Writes starts.csv
beside this file: start, member, verdict, years, and means of the last 100 years before the settling, with `_rest` those of the ensemble.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1]))

from forecasts import write_table
from records import made_with
from verdicts import years_until

from warmstart.equilibrium.verdict import judge
from warmstart.io.files import open_dataset

HERE = Path(__file__).parent
ENSEMBLE = HERE.parents[1] / "data" / "dino-4deg"
KNOWN = ("thetao_deep", "so_deep", "channel_transport", "overturning_north", "overturning_abyssal")
LAST = 100


def main(runs: dict[str, Path]) -> None:
    """One row a run."""
    rows = []
    for start, folder in runs.items():
        for run in sorted(folder.glob("member_*")):
            with open_dataset(run / "series.nc") as opened:
                own = opened.load()
            with open_dataset(ENSEMBLE / f"{run.name}.nc", "series") as opened:
                rest = opened.load()
            row = {"start": start, "member": int(run.name.removeprefix("member_"))} | end(own)
            rows.append(row | {f"{name}_rest": value for name, value in end(rest).items()})
    table = pd.DataFrame(rows)
    write_table(table, HERE / "starts.csv", made_with())


def end(series: xr.Dataset) -> dict[str, object]:
    """What a run came to."""
    found = judge(series)
    spinup = series.isel(time=np.flatnonzero(series.dt_tracer.values == series.dt_tracer.values.max()))
    return {
        "years": float(series.year[-1]),
        "years_to_near": years_until(series, "near"),
        "years_to_equilibrium": years_until(series, "equilibrium"),
        "verdict": found.verdict,
        "drift": round(found.drift, 4),
    } | {name: round(float(spinup[name].values[-LAST:].mean()), 3) for name in KNOWN}


if __name__ == "__main__":
    main({start: Path(folder) for start, _, folder in (one.partition("=") for one in sys.argv[1:])})
