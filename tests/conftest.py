"""An ocean whose transports are known: a flow built from a streamfunction, on a mesh with partial bottom cells."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from small_ensemble import ensemble_store, generator, trained  # noqa: F401 (fixtures)
from warmstart.ocean.basin import basin, finish
from warmstart.ocean.grid import Grid

#: Transport round the channel in the ocean of the fixtures [m3 s-1].
THROUGHFLOW = 120e6


def flow_of(psi: xr.DataArray, grid: Grid) -> xr.Dataset:
    """Velocities, the same at all depths, of a streamfunction at F points: U = -dpsi/dy, V = dpsi/dx [m3 s-1]."""
    south = psi.shift(y=1).fillna(psi.isel(y=0))  # the coast south of the mesh
    west = psi.roll(x=1) if grid.periodic_x else psi.shift(x=1, fill_value=0.0)
    east_face = (grid.e3u_0 * grid.umask).sum("z") * grid.e2u
    north_face = (grid.e3v_0 * grid.vmask).sum("z") * grid.e1v
    every_level = xr.ones_like(grid.gdept_1d)
    u = -(psi - south) / east_face.where(east_face > 0) * every_level
    v = (psi - west) / north_face.where(north_face > 0) * every_level
    return finish(xr.Dataset({"uo": u, "vo": v}), grid)


def partial_bottom(grid: Grid, share: float = 0.4) -> Grid:
    """The mesh with the deepest wet cell of every other column only `share` as thick; faces take the thinner side."""
    ds = grid.ds.copy(deep=True)
    wet = ds.tmask.values > 0
    deepest = wet & ~np.concatenate([wet[1:], np.zeros_like(wet[:1])])
    e3t = ds.e3t_0.values * np.where(deepest & (np.arange(wet.shape[2]) % 2 == 0), share, 1.0)
    north = np.concatenate([e3t[:, 1:], e3t[:, -1:]], axis=1)
    ds["e3t_0"] = (("z", "y", "x"), e3t)
    ds["e3u_0"] = (("z", "y", "x"), np.minimum(e3t, np.roll(e3t, -1, axis=2)))
    ds["e3v_0"] = (("z", "y", "x"), np.minimum(e3t, north))
    return Grid(ds)


@pytest.fixture(scope="session")
def make_flow() -> Callable[[xr.DataArray, Grid], xr.Dataset]:
    return flow_of


@pytest.fixture(scope="session")
def ocean_grid() -> Grid:
    return partial_bottom(basin(nx=10, ny=24, nz=5)[1])


@pytest.fixture(scope="session")
def ocean_psi(ocean_grid: Grid) -> xr.DataArray:
    """Throughflow in the channel, clockwise gyre of 30 Sv at 30N, anticlockwise one of 20 Sv at 30S [m3 s-1]."""
    grid = ocean_grid
    inner = (grid.fmask.isel(z=0) > 0) & (abs(grid.gphif) < 40)
    hump = np.sin(np.pi * grid.glamf / 55.0) * np.sin(np.deg2rad(grid.gphif * 4)) ** 2
    gyres = (hump * xr.where(grid.gphif > 0, 30e6, -20e6)).where(inner, 0.0)
    channel = (grid.umask.isel(z=0) > 0).all("x")
    reverse = {"y": slice(None, None, -1)}
    north_of = channel.isel(reverse).cumsum("y").isel(reverse).shift(y=-1, fill_value=0)
    return gyres + THROUGHFLOW * north_of / channel.sum()


@pytest.fixture(scope="session")
def ocean(ocean_grid: Grid, ocean_psi: xr.DataArray) -> xr.Dataset:
    """A stably stratified ocean that breaks no rule."""
    state, _ = basin(nx=10, ny=24, nz=5)
    return state.assign(flow_of(ocean_psi, ocean_grid))


@pytest.fixture(scope="session")
def tiny_plan() -> dict[str, Any]:
    """Four members of the coarsest DINO, ten years from rest and four to settle."""
    return {
        "configuration": {"resolution": 10, "levels": 6},
        "members": 4,
        "seed": 1,
        "years": 10,
        "settle_years": 4,
        "checkpoint_seconds": 0.1,
        "ranges": {"wind_stress_south": ["0.05 Pa", "0.4 Pa"], "vertical_diffusivity": [1e-5, 1e-4]},
    }


@pytest.fixture(scope="session")
def tiny_runs(tmp_path_factory: pytest.TempPathFactory, tiny_plan: dict[str, Any]) -> Path:
    """The finished runs of `tiny_plan`, by Veros: made once a session (half a minute), shared, not to be changed."""
    pytest.importorskip("veros", reason="Veros is not installed")
    from warmstart.verbs.simulate import simulate

    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    with (root / "tiny_runs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # under xdist one process runs them, the others wait
        table = simulate(tiny_plan, root / "tiny_runs")
    assert (table["state"] == "finished").all(), table.to_string()
    return root / "tiny_runs"
