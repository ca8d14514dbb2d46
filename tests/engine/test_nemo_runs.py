"""Series of NEMO's runs: numbers of a state on the mesh of the run, thin cells at the bottom included."""

import numpy as np
import pytest

from warmstart.engine.nemo import runs
from warmstart.grid import Grid
from warmstart.testing import basin


@pytest.fixture(scope="module")
def partial():
    """A mesh whose lowest cells are thin in every other column, and faces as thin as the thinner neighbour."""
    _, grid = basin(nx=8, ny=12, nz=5)
    ds = grid.ds.copy(deep=True)
    lowest = ds.tmask.values.sum(0).astype(int) - 1
    rows, columns = np.nonzero((lowest >= 0) & (np.arange(grid.shape[2]) % 2 == 0))
    ds.e3t_0.values[lowest[rows, columns], rows, columns] *= 0.3
    thick = ds.e3t_0.values
    ds.e3u_0.values[:] = np.minimum(thick, np.roll(thick, -1, axis=2))
    ds.e3v_0.values[:, :-1] = np.minimum(thick[:, :-1], thick[:, 1:])
    return Grid(ds)


def test_a_flow_without_divergence_does_not_rise_where_the_bottom_cells_are_thin(partial):
    """Each level turns round its own streamfunction: what enters a cell leaves it through the sides."""
    psi = 1e6 * np.random.default_rng(0).normal(size=partial.shape) * (partial.ds.fmask.values > 0)
    south = np.concatenate([np.zeros_like(psi[:, :1]), psi[:, :-1]], axis=1)
    uo = (south - psi) / (partial.e2u.values * partial.e3u_0.values)
    vo = (psi - np.roll(psi, 1, axis=2)) / (partial.e1v.values * partial.e3v_0.values)
    zero = np.zeros(partial.shape)
    row = runs.row({"thetao": zero, "so": zero, "uo": uo, "vo": vo}, partial)
    assert row["speed_max"] > 0.01
    assert row["vertical_velocity_rms"] < 1e-12 * row["speed_max"]
    assert row["vertical_velocity_max"] < 1e-12 * row["speed_max"]
