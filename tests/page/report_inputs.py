"""Small inputs of a report: states of an analytic basin, and a verification made up by hand."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from warmstart.io import files
from warmstart.ocean import parameters
from warmstart.ocean.grid import Grid
from warmstart.scores.verification import COLUMNS

#: Range of the parameters that vary in the made-up training.
RANGES = {"wind_stress_south": (0.1, 0.3), "bottom_drag": (5e-7, 5e-6)}


class Made(NamedTuple):
    """Paths of the inputs and of the page made of them."""

    folder: Path
    states: Path
    control: Path
    metrics: Path
    verify: Path
    page: Path
    html: str


def write_states(
    path: Path, grid: Grid, states: list[xr.Dataset], values: dict[str, float], **attrs: object
) -> Path:
    """Generated states, one sample each."""
    ds = xr.concat(states, "sample", combine_attrs="override").assign_coords(
        seed=("sample", np.arange(len(states)))
    )
    ds = parameters.attach(ds, {n: np.full(len(states), v) for n, v in values.items()}, "sample")
    ds.attrs["constraint_mixed_temperature"] = np.full(len(states), 0.00123)
    made = files.provenance(seed=0, command="warmstart generate somewhere") | {
        "generator": "abcdef0123456789"
    }
    return files.write_dataset(path, ds.assign_attrs(made | attrs), grid)


def write_control(path: Path, grid: Grid, state: xr.Dataset, values: dict[str, float]) -> Path:
    """A run with a transient and an equilibrium snapshot."""
    ds = xr.concat([state + 1.0, state], "time", combine_attrs="override")
    ds = ds.assign_coords(year=("time", [10.0, 600.0]), phase=("time", ["transient", "equilibrium"]))
    for name in state.data_vars:
        ds[name].attrs = state[name].attrs
    return files.write_dataset(path, parameters.attach(ds, values), grid)


def verification(starts: tuple[str, ...] = ("generated 0", "generated 1", "control", "rest")) -> xr.Dataset:
    """Series of 30 days and 4 years, and distances; the last generated start blew up on day 3."""
    day = np.concatenate([np.arange(31.0), 360.0 * np.arange(1, 5)])
    rows = np.linspace(1.0, 2.0, len(starts))[:, None] * (1 + day / 1e4)
    if len(starts) > 1:
        rows[1, day > 3] = np.nan
    series = {
        "channel_transport": (100.0, "Sv"),
        "kinetic_energy": (1e-4, "m2 s-2"),
        "thetao_deep": (2.0, "degC"),
    }
    ds = xr.Dataset(
        {n: (("start", "time"), f * rows, {"units": u, "long_name": n}) for n, (f, u) in series.items()},
        {"start": list(starts), "day": ("time", day), "snapshot_year": ("snapshot", np.arange(5.0))},
        {"distance_threshold": 1.25, "years": 4},
    )
    ds["distance"] = (
        ("start", "snapshot"),
        np.linspace(3, 1, 5 * len(starts)).reshape(-1, 5),
        {"units": "1"},
    )
    return ds


def verification_table() -> pd.DataFrame:
    rows = [
        ("generated 0", "drift_thetao_deep", 0.0123456789, "=", "K/century", "± 0.001"),
        (
            "generated 0",
            "years_saved",
            3.0,
            ">",
            "years",
            "at least: the start from rest needs more than 4 years",
        ),
        ("generated 1", "drift_thetao_deep", np.nan, "", "K/century", "blew up by day 3"),
        ("control", "drift_thetao_deep", 0.0, "=", "K/century", ""),
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
