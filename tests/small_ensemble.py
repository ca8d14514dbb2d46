"""A small ensemble whose states are a known function of two parameters, and a generator trained on it."""

import numpy as np
import pytest
import xarray as xr

from warmstart.ocean import parameters
from warmstart.ocean.basin import basin, finish

MEMBERS, SNAPSHOTS, AGES = 12, 2, (10.0, 50.0)
RANGES = {"vertical_diffusivity": (1e-5, 2e-4), "wind_stress_south": (0.05, 0.4)}
TINY = {
    "mean": {"theory": False},
    "residual": {"model": "diffusion"},
    "quantities": {"currents": 0},
    "network": {"widths": [8, 12], "embedding": 16},
    "training": {
        "steps": 8,
        "batch": 2,
        "validate_every": 2,
        "checkpoint_every": 2,
        "warmup": 2,
        "patience": 0,
        "mixing": 2,
    },
    "sampling": {"steps": 8},
}


def truth(state, grid, values, noise=None):
    """The equilibrium: linear in the scaled parameters, plus smooth noise."""
    wind = parameters.PARAMETERS["wind_stress_south"].coordinate(values["wind_stress_south"]) - 0.5
    mixing = parameters.PARAMETERS["vertical_diffusivity"].coordinate(values["vertical_diffusivity"]) - 0.5
    z, lat = grid.gdept_0, np.deg2rad(grid.gphit)
    a, b = (0.0, 0.0) if noise is None else noise.standard_normal(2)
    new = state.assign(
        thetao=state.thetao
        + (3 * mixing + 0.2 * a) * np.exp(-z / 1500)
        + wind * np.sin(lat) * np.exp(-z / 800),
        so=state.so + 0.2 * mixing * np.exp(-z / 1500) + 0.02 * b * np.cos(lat),
        uo=state.uo * (1 + wind + 0.05 * a),
        vo=state.vo * (1 + mixing + 0.05 * b),
        zos=state.zos * (1 + wind),
    )
    return finish(new, grid)


def make_store(path, nx=9, ny=14, nz=5):
    """Write the store: equilibria, and relaxations towards them; test members hold NaN, so that reading them fails."""
    state, grid = basin(nx=nx, ny=ny, nz=nz)
    noise, rows = np.random.default_rng(0), []
    for i, values in enumerate(parameters.sobol(RANGES, MEMBERS, seed=5)):
        values = parameters.resolve(values)
        split = parameters.split_of(i)
        years = (*AGES, *(600.0 + k for k in range(SNAPSHOTS)))
        for year in years:
            transient = year in AGES
            snapshot = truth(state, grid, values, noise)
            if transient:
                snapshot = state + (snapshot - state) * (1 - np.exp(-year / 40))
            if split == "test":
                snapshot = snapshot * np.nan
            snapshot = parameters.attach(snapshot.astype("float32"), values).expand_dims("sample")
            lat = grid.gphit.values[:, 0]
            snapshot["forcing_wind_stress"] = (
                ("sample", "y"),
                values["wind_stress_south"] * np.cos(np.deg2rad(lat))[None],
            )
            coords = {
                "member": i,
                "year": year,
                "phase": "transient" if transient else "equilibrium",
                "split": split,
                "drift": 0.002,
            }
            rows.append(snapshot.assign_coords({n: ("sample", [v]) for n, v in coords.items()}))
    ds = xr.concat(rows, "sample")
    for name in ("phase", "split"):
        ds[name] = ds[name].astype(object)
    ds.to_zarr(path, zarr_format=3, consolidated=False)
    grid.ds.to_zarr(path, group="grid", mode="a", zarr_format=3, consolidated=False)
    return path


@pytest.fixture(scope="session")
def ensemble_store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("ensemble") / "states.zarr")


@pytest.fixture(scope="session")
def trained(ensemble_store, tmp_path_factory):
    """A generator folder whose network is trained for a few steps."""
    from warmstart.verbs.train import train

    folder = tmp_path_factory.mktemp("trained") / "generator"
    train(ensemble_store, TINY, folder)
    return folder


@pytest.fixture(scope="session")
def generator(trained):
    """The same in memory, with a network that does something: a few steps leave it near zero."""
    import torch

    from warmstart.generator.checkpoint import load

    loaded = load(trained)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.nn.init.normal_(loaded.denoiser.net.head.layer.weight, std=0.05)
    return loaded
