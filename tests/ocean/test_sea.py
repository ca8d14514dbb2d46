"""Whether the sea is whole is asked in one place: wet points only, whatever else the arrays say."""

import numpy as np
import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.basin import basin
from warmstart.ocean.sea import holes, require_whole


@pytest.fixture
def made():
    return basin(nx=6, ny=8, nz=4)


def test_a_hole_is_found_where_it_is_and_land_is_none(made):
    state, grid = made
    assert not any(found.any() for found in holes(state, grid).values())
    z, y, x = np.argwhere(grid.umask.values > 0)[5]
    state.uo[z, y, x] = np.inf
    found = holes(state, grid)
    assert np.argwhere(found["uo"].values).tolist() == [[z, y, x]]
    assert set(found) == {"thetao", "so", "uo", "vo", "zos"}


def test_every_state_is_looked_at_in_any_order_of_its_dims(made):
    state, grid = made
    both = xr.concat([state, state * np.nan], "sample").transpose("y", "x", ..., "sample")
    found = holes(both, grid)["thetao"]
    assert found.dims == ("sample", "z", "y", "x") or found.dims[-3:] == ("z", "y", "x")
    wet = int((grid.tmask > 0).sum())
    assert found.values.sum() == wet and found[{"sample": 0}].values.sum() == 0


def test_positions_of_a_state_do_not_hide_a_hole(made):
    """Coordinates that differ from those of the mesh would be matched, and what does not match left out."""
    state, grid = made
    state = (state * np.nan).assign_coords(
        z=np.arange(grid.shape[0]) + 0.5, y=np.arange(grid.shape[1]) * 10.0
    )
    with pytest.raises(
        UserError, match=r"^a\.nc: thetao is not finite at \d+ wet points; expected NaN on land only; x$"
    ):
        require_whole(state, grid, "a.nc: ", "; x")
