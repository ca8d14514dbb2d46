"""The channel found from the masks: the transport that goes round is the one the flow was made with, on every mesh."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from warmstart.engines.recognition import open_bare, open_grid
from warmstart.errors import UserError
from warmstart.ocean.basin import mesh
from warmstart.physics import cgrid, transport
from warmstart.physics.channel import find_channel

ROUND = 100e6  #: transport from coast to coast in these flows [m3 s-1]
NEMO = Path(__file__).parents[2].parent / "shared/data/nemo_dino"


def world(bottom, periodic=True):
    """A mesh of 10-degree cells from 75S, three levels, from the number of wet levels of each column."""
    bottom = np.asarray(bottom)
    lat = -75.0 + 10.0 * np.arange(bottom.shape[0])
    return mesh(10.0 * np.arange(bottom.shape[1]), lat, np.array([0.0, 50, 500, 4000]), bottom, periodic)


def sector(first=1, last=3, nx=8, ny=12):
    """A basin behind a wall in column 0, open in the rows `first` to `last`."""
    bottom = np.full((ny, nx), 3)
    bottom[[0, -1]] = 0
    bottom[:, 0] = 0
    bottom[first : last + 1, 0] = 3
    return bottom


def flow(grid, make_flow, psi_of_land):
    """A flow of a streamfunction that is rough in the sea and constant on each coast, the sea's F points at random."""
    random = np.random.default_rng(1).normal(size=grid.shape[1:]) * 20e6
    psi = xr.DataArray(random, dims=("y", "x"))
    sea = (grid.fmask > 0).any("z")
    return make_flow(psi.where(sea, psi_of_land), grid)


def north_of(grid, row):
    """F points north of the face row, as 1 and 0."""
    return xr.DataArray((np.arange(grid.shape[1]) >= row) * 1.0, dims="y") * xr.ones_like(grid.gphif)


@pytest.mark.parametrize("first", [1, 2, 4])
def test_the_transport_round_is_that_of_the_open_rows_wherever_they_lie(make_flow, first):
    grid = world(sector(first, first + 2))
    state = flow(grid, make_flow, -ROUND * north_of(grid, first + 2))
    assert find_channel(grid).rows.values.nonzero()[0].tolist() == [first, first + 1, first + 2]
    for metric in (transport.channel_transport, transport.throughflow):
        assert float(metric(state, grid)) == pytest.approx(100.0, rel=1e-9)
    assert float(transport.throughflow_spread(state, grid)) < 1e-7
    # the gyre enters these rows: their zonal mean is another number
    rows = cgrid.east_transport(state, grid).sum("z").isel(y=slice(first, first + 3)).sum("y").mean("x") / 1e6
    assert abs(float(rows) - 100.0) > 1.0


def test_both_sides_of_an_island_in_the_channel_count(make_flow):
    bottom = sector(1, 4)
    bottom[2, 4] = 0
    grid = world(bottom)
    island = xr.zeros_like(grid.gphif)
    island[1:3, 3:5] = 1.0
    state = flow(grid, make_flow, -ROUND * north_of(grid, 4) * (1 - island) - 0.3 * ROUND * island)
    assert float(transport.channel_transport(state, grid)) == pytest.approx(100.0, rel=1e-9)
    assert float(transport.throughflow(state, grid)) == pytest.approx(100.0, rel=1e-9)


def test_what_passes_between_a_continent_and_the_northern_edge_does_not_go_through_the_strait(make_flow):
    """Water goes round north of the continent too: a whole meridional section carries both."""
    bottom = np.full((15, 12), 3)
    bottom[[0, -1]] = 0
    bottom[5:12, 4:7] = 0
    grid = world(bottom)
    psi = xr.where(north_of(grid, 13) > 0, -2900e6, xr.where(north_of(grid, 4) > 0, -ROUND, 0.0))
    state = flow(grid, make_flow, psi)
    for metric in (transport.channel_transport, transport.throughflow):
        assert float(metric(state, grid)) == pytest.approx(100.0, rel=1e-9)
    assert find_channel(grid).sections.values.nonzero()[0].tolist() == [3, 4, 5, 6]


def test_a_channel_that_winds_so_that_no_row_is_open_is_found(make_flow):
    bottom = np.full((10, 8), 3)
    bottom[[0, -1]] = 0
    bottom[:6, 2] = 0
    bottom[4:, 5] = 0
    grid = world(bottom)
    north = north_of(grid, 8)
    north[3:, 4:6] = 1.0
    state = flow(grid, make_flow, -ROUND * north)
    assert not find_channel(grid).rows.any()
    assert float(transport.channel_transport(state, grid)) == pytest.approx(100.0, rel=1e-9)


def test_water_below_an_ice_shelf_goes_round(make_flow):
    grid = world(sector())
    ds = grid.ds.copy(deep=True)
    for name in ("tmask", "umask", "vmask", "fmask"):
        ds[name][0, :4, 2:4] = 0
    grid = type(grid)(ds)
    state = flow(grid, make_flow, -ROUND * north_of(grid, 3))
    assert float(transport.channel_transport(state, grid)) == pytest.approx(100.0, rel=1e-9)


@pytest.mark.parametrize(
    ("bottom", "periodic", "why"),
    [
        (sector(), False, "does not close on itself"),
        (sector(5, 4), True, "land lies across"),
    ],
)
def test_without_an_open_channel_there_is_no_value_but_a_reason(make_flow, bottom, periodic, why):
    grid = world(bottom, periodic)
    state = make_flow(xr.zeros_like(grid.gphif), grid)
    with pytest.raises(UserError, match=why):
        find_channel(grid)
    for metric in (transport.channel_transport, transport.throughflow, transport.throughflow_spread):
        found = metric(state, grid)
        assert np.isnan(found), metric
        assert why in found.attrs["comment"]


@pytest.mark.skipif(not NEMO.is_dir(), reason="the files of NEMO in ../shared are not here")
@pytest.mark.parametrize(
    ("run", "transport_sv"), [("v50_4deg_leapfrog", 73.03), ("v42_4deg_leapfrog", 53.53)]
)
def test_the_channel_of_both_meshes_of_nemo_carries_what_a_sum_by_hand_gives(run, transport_sv):
    """The channel of 5.0 lies a row further south than that of 4.2: 67.3S-53.8S and 65.7S-51.3S."""
    path = next((NEMO / run).glob("*_grid_U_*.nc"))
    grid, state = open_grid(path), open_bare(path)
    # the wall stands in one column: there the open faces are those of the channel alone
    east = (state.uo.fillna(0.0) * grid.e2u * grid.e3u_0 * grid.umask).sum(("z", "y")).mean("time") / 1e6
    wall = (grid.umask.isel(z=0) > 0).sum("y")
    by_hand = float(east.where(wall == wall.min()).mean())
    assert by_hand == pytest.approx(transport_sv, abs=0.005)
    found = transport.channel_transport(state, grid).mean("time")
    assert float(found) == pytest.approx(by_hand, rel=1e-6)
    latitudes = grid.gphiu.isel(x=0).values[find_channel(grid).rows.values]
    expected = {"v50_4deg_leapfrog": (-67.3, -53.8), "v42_4deg_leapfrog": (-65.7, -51.3)}[run]
    assert (latitudes[0], latitudes[-1]) == pytest.approx(expected, abs=0.05)


def test_the_section_of_a_channel_has_open_faces_only():
    bottom = sector(1, 4)
    bottom[2, 4] = 0
    grid = world(bottom)
    found = find_channel(grid)
    closed = ~grid.umask.astype(bool).any("z").values
    assert closed[1:5, 3:5].any() and not (found.faces.values & closed).any()


def test_a_channel_in_the_north_is_bounded_by_the_land_that_faces_it(make_flow):
    """As in the south, seen in a mirror: of the land met first from the channel southward the tallest, not the southern edge."""
    bottom = np.full((18, 12), 3)
    bottom[[0, -1]] = 0
    bottom[3:12, 4:6] = 0
    bottom[1:3, 8] = 0
    grid = world(bottom)
    tall = xr.zeros_like(grid.gphif)
    tall[2:12, 3:6] = 1.0
    state = make_flow(-ROUND * north_of(grid, 16) - 0.4 * ROUND * tall, grid)
    assert find_channel(grid).rows.values.nonzero()[0].tolist() == [12, 13, 14, 15, 16]
    assert float(transport.channel_transport(state, grid)) == pytest.approx(60.0, rel=1e-9)
