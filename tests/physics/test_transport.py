"""Transports: flows whose transports are known exactly."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from nemo_layouts import write
from tripolar import World
from warmstart.engines.nemo.mesh import open_grid as open_nemo_grid
from warmstart.ocean import eos
from warmstart.ocean.basin import finish, mesh
from warmstart.ocean.grid import Grid
from warmstart.physics import cgrid, transport
from warmstart.physics.channel import find_channel

SEEDS = Path(__file__).parents[2].parent / "shared/data/veros_4deg_seeds"


def two_layers(grid, transport_sv=10.0):
    """Northward transport in the upper level, the same southward in the third, through one row per latitude."""
    width = (grid.e1v * grid.vmask.isel(z=0)).sum("x")
    level = xr.DataArray(np.arange(grid.shape[0]), dims="z")
    sign = xr.where(level == 0, 1.0, xr.where(level == 2, -1.0, 0.0))
    v = sign * transport_sv * 1e6 / (grid.e3v_0 * width.where(width > 0))
    return finish(xr.Dataset({"vo": v}), grid)


def test_a_state_of_rest_has_no_transport_of_any_kind(ocean, ocean_grid):
    rest = ocean.assign(uo=ocean.uo * 0, vo=ocean.vo * 0)
    for function in (transport.section_transport, transport.barotropic_streamfunction, transport.overturning):
        assert float(abs(function(rest, ocean_grid)).max()) == 0.0
    assert float(abs(transport.heat_transport(rest, ocean_grid)).max()) == 0.0


def test_the_barotropic_streamfunction_gives_back_the_one_that_the_flow_was_made_of(
    ocean, ocean_grid, ocean_psi
):
    found = transport.barotropic_streamfunction(ocean, ocean_grid)
    assert float(abs(found - ocean_psi / 1e6).max()) < 1e-10
    assert found.dims == ("y", "x")


def test_the_streamfunction_is_zero_on_the_northern_wall_and_the_throughflow_on_the_southern(
    ocean, ocean_grid
):
    psi = transport.barotropic_streamfunction(ocean, ocean_grid)
    assert (psi.isel(y=-1) == 0).all()
    np.testing.assert_allclose(psi.isel(y=0), transport.throughflow(ocean, ocean_grid), rtol=1e-12)


def test_differences_of_the_streamfunction_along_x_are_the_northward_transport(ocean, ocean_grid):
    psi = transport.barotropic_streamfunction(ocean, ocean_grid)
    northward = cgrid.north_transport(ocean, ocean_grid).sum("z") / 1e6
    np.testing.assert_allclose(psi - psi.roll(x=1), northward, atol=1e-10)


def test_the_throughflow_is_the_same_at_every_section_and_the_seam_counts_once(ocean, ocean_grid):
    sections = transport.section_transport(ocean, ocean_grid)
    np.testing.assert_allclose(sections, 120.0, rtol=1e-12)
    assert float(transport.throughflow(ocean, ocean_grid)) == pytest.approx(120.0, rel=1e-12)
    assert float(transport.throughflow_spread(ocean, ocean_grid)) < 1e-10


def test_the_throughflow_does_not_depend_on_where_the_seam_lies(ocean, ocean_grid):
    rolled = type(ocean_grid)(ocean_grid.ds.roll(x=3))
    same = transport.throughflow(ocean.roll(x=3), rolled)
    np.testing.assert_allclose(same, transport.throughflow(ocean, ocean_grid), rtol=1e-13)


def test_the_channel_transport_depends_on_the_strait_and_on_nothing_else(ocean, ocean_grid):
    before = float(transport.channel_transport(ocean, ocean_grid))
    assert before == pytest.approx(120.0, rel=1e-12)
    latitude = ocean_grid.gphiu.isel(x=0).values
    wall = (ocean_grid.umask.isel(z=0).sum("y") == ocean_grid.umask.isel(z=0).sum("y").min()).values
    assert wall.sum() == 2  # the faces on both sides of the wall
    for at, column, counts in ((-55, 0, True), (-55, 4, False), (40, 4, False)):
        row = int(np.abs(latitude - at).argmin())
        faster = ocean.uo.copy(deep=True)
        faster[1, row, column] += 0.5
        face = float((ocean_grid.e2u * ocean_grid.e3u_0).isel(z=1, y=row, x=column))
        change = float(transport.channel_transport(ocean.assign(uo=faster), ocean_grid)) - before
        assert change == pytest.approx(0.5 * face / 1e6 / 2 if counts else 0.0, abs=1e-10)


def test_velocity_on_closed_faces_carries_nothing(ocean, ocean_grid):
    dirty = ocean.assign(uo=ocean.uo.fillna(7.0), vo=ocean.vo.fillna(-7.0))
    for function in (transport.section_transport, transport.barotropic_streamfunction, transport.overturning):
        xr.testing.assert_identical(function(dirty, ocean_grid), function(ocean, ocean_grid))


def test_partial_cells_carry_the_flux_of_their_own_thickness():
    grid = mesh(
        np.arange(4.0), np.linspace(-60, -50, 6), np.array([0.0, 100.0, 300.0]), np.full((6, 4), 2), True
    )
    ds = grid.ds.copy(deep=True)
    ds["e3u_0"][1, :, 2] = 50.0
    u = finish(xr.Dataset({"uo": (("z", "y", "x"), np.full((2, 6, 4), 0.1))}), grid)
    height = float(grid.e2u.isel(x=0).sum())
    sections = transport.section_transport(u, type(grid)(ds))
    np.testing.assert_allclose(sections, [0.1 * height * h / 1e6 for h in (300, 300, 150, 300)], rtol=1e-12)


def test_gyres_are_found_by_degrees(ocean, ocean_grid, ocean_psi):
    sv = ocean_psi / 1e6
    north = transport.gyre(ocean, ocean_grid, (0.0, 45.0), "clockwise")
    south = transport.gyre(ocean, ocean_grid, (-40.0, 0.0), "anticlockwise")
    assert float(north) == pytest.approx(float(sv.where(ocean_grid.gphif > 0).max()))
    assert float(south) == pytest.approx(float(sv.min()))
    assert 20 < float(north) < 30 and -20 < float(south) < -13
    assert float(transport.gyre(ocean, ocean_grid, (50.0, 60.0), "clockwise")) == pytest.approx(
        0.0, abs=1e-10
    )
    assert np.isnan(transport.gyre(ocean, ocean_grid, (80.0, 85.0), "clockwise"))


def test_a_two_layer_cell_overturns_by_its_transport_and_closes_at_the_surface(ocean_grid):
    psi = transport.overturning(two_layers(ocean_grid), ocean_grid)
    rows = (ocean_grid.vmask.isel(z=2) > 0).any("x")
    inside = psi.isel(y=np.flatnonzero(rows))
    np.testing.assert_allclose(inside.isel(z=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(inside.isel(z=[1, 2]), 10.0, rtol=1e-12)  # between the two layers
    np.testing.assert_allclose(inside.isel(z=[3, 4]), 0.0, atol=1e-12)
    assert psi.dims == ("z", "y") and psi.attrs["units"] == "Sv"


def test_overturning_cells_are_found_by_degrees_and_depth(ocean_grid):
    flow = two_layers(ocean_grid)
    faces = ocean_grid.gdepw_1d.values
    deep = float(faces[1]) - 1.0
    found = transport.overturning_cell(flow, ocean_grid, (10.0, 60.0), deep, "northern")
    assert float(found) == pytest.approx(10.0)
    below = transport.overturning_cell(flow, ocean_grid, (10.0, 60.0), float(faces[2]) + 1.0, "northern")
    assert float(below) == pytest.approx(0.0, abs=1e-12)
    south = flow.where(ocean_grid.gphiv < 0, 0.0)
    assert float(
        transport.overturning_cell(south, ocean_grid, (10.0, 60.0), deep, "northern")
    ) == pytest.approx(0.0)
    assert float(
        transport.overturning_cell(-flow, ocean_grid, (-60.0, 60.0), deep, "abyssal")
    ) == pytest.approx(-10.0)


def test_a_two_layer_cell_carries_the_heat_of_its_temperature_difference(ocean_grid):
    level = xr.DataArray(np.arange(ocean_grid.shape[0]), dims="z")
    thetao = xr.where(level == 0, 20.0, 5.0) * ocean_grid.tmask
    state = finish(two_layers(ocean_grid).assign(thetao=thetao), ocean_grid)
    rows = np.flatnonzero((ocean_grid.vmask.isel(z=2) > 0).any("x"))
    watts = transport.heat_transport(state, ocean_grid).isel(y=rows)
    np.testing.assert_allclose(watts, eos.RHO0 * eos.CP * 10e6 * 15.0, rtol=1e-12)
    peak = transport.heat_transport_peak(state, ocean_grid, "north")
    assert float(peak) == pytest.approx(eos.RHO0 * eos.CP * 10e6 * 15.0)
    against = state.assign(vo=-state.vo)  # southward at the surface: the peak of the south is negative
    for hemisphere, sign in (("north", 1.0), ("south", 1.0)):
        found = transport.heat_transport_peak(state, ocean_grid, hemisphere)
        back = transport.heat_transport_peak(against, ocean_grid, hemisphere)
        largest = sign * eos.RHO0 * eos.CP * 10e6 * 15.0
        expected = {"north": (largest, 0.0), "south": (0.0, -largest)}[hemisphere]
        assert (float(found), float(back)) == pytest.approx(expected, abs=1e-6 * largest)


def test_no_heat_is_carried_through_water_of_one_temperature_whatever_its_zero(ocean, ocean_grid):
    uniform = ocean.assign(thetao=ocean.thetao * 0 + 12.0)
    scale = eos.RHO0 * eos.CP * 12.0 * 120e6
    assert float(abs(transport.heat_transport(uniform, ocean_grid)).max()) < 1e-12 * scale
    warm, cold = (
        transport.heat_transport(ocean.assign(thetao=ocean.thetao + d), ocean_grid) for d in (0.0, 273.15)
    )
    np.testing.assert_allclose(warm, cold, atol=1e-11 * scale)


def test_a_hole_in_the_sea_is_not_taken_for_no_flow(ocean, ocean_grid):
    holed = ocean.uo.copy(deep=True)
    wet = np.argwhere((ocean_grid.umask.values > 0) & (ocean_grid.gphiu.values < -45)[None])[0]
    holed[tuple(wet)] = np.nan
    state = ocean.assign(uo=holed)
    for function in (transport.throughflow, transport.channel_transport, transport.throughflow_spread):
        assert np.isnan(function(state, ocean_grid))
    assert np.isnan(transport.gyre(state, ocean_grid, (-80.0, 0.0), "anticlockwise"))


@pytest.mark.skipif(not SEEDS.is_dir(), reason="the members in ../shared are not here")
def test_the_streamfunction_of_a_simulated_ocean_is_the_engines_own():
    """Veros steps psi itself; the radius of its sphere (6370 km) is 1.6e-4 smaller than ours."""
    z, eq = np.load(SEEDS / "grid.npz"), np.load(SEEDS / "member_000/eq_3.npz")
    depth_w = np.concatenate([[0.0], np.cumsum(z["dz_surface_first"])])
    levels = z["dz_surface_first"].size
    bottom = np.where(z["kbot"] > 0, levels - z["kbot"] + 1, 0).T
    grid = mesh(z["lon"], z["lat"], depth_w, bottom, True)
    u, v = (eq[n].transpose(2, 1, 0)[::-1] for n in ("u", "v"))
    state = finish(xr.Dataset({"uo": (("z", "y", "x"), u), "vo": (("z", "y", "x"), v)}), grid)
    own = eq["psi"].T / 1e6
    found = transport.barotropic_streamfunction(state, grid)
    np.testing.assert_allclose(found, own, atol=3e-4 * np.abs(own).max())
    last = json.loads((SEEDS / "member_000/series.jsonl").read_text().splitlines()[-1])
    inside = cgrid.east_transport(state, grid).where(find_channel(grid).rows, 0.0)
    acc = float(inside.sum(("z", "y")).mean("x")) / 1e6  # that of the series: zonal mean of the open rows
    assert acc == pytest.approx(last["acc"], rel=0.1)


def test_the_rows_at_the_bounds_of_a_cell_are_left_out_and_those_of_a_gyre_taken(ocean_grid, make_flow):
    flow, deep = two_layers(ocean_grid), float(ocean_grid.gdepw_1d[1]) - 1.0
    rows = ocean_grid.gphiv.mean("x").values
    at = int(np.flatnonzero((ocean_grid.vmask.isel(z=0).sum("x") > 0).values & (rows > 10))[0])
    alone = flow.where(xr.DataArray(np.arange(rows.size), dims="y") == at, 0.0)
    for lat in ((rows[at], rows[at] + 30), (rows[at] - 30, rows[at])):
        assert float(transport.overturning_cell(alone, ocean_grid, lat, deep, "northern")) == pytest.approx(
            0.0
        )
    inside = transport.overturning_cell(alone, ocean_grid, (rows[at] - 0.1, rows[at] + 0.1), deep, "northern")
    assert float(inside) == pytest.approx(10.0)
    sea = (ocean_grid.fmask > 0).any("z")
    row, column = (int(v[len(v) // 2]) for v in np.nonzero(sea.values))
    psi = xr.zeros_like(ocean_grid.gphif)
    psi[row, column] = 5e6
    lat = float(ocean_grid.gphif[row, column])
    for bounds in ((lat, lat + 30), (lat - 30, lat)):
        found = transport.gyre(make_flow(psi, ocean_grid), ocean_grid, bounds, "clockwise")
        assert float(found) == pytest.approx(5.0, rel=1e-6)


def test_an_open_northern_edge_has_no_gyres_unless_it_is_a_fold(tmp_path):
    world = World("T", beyond=True)
    write(tmp_path / "mesh_mask.nc", world.variables())
    folded = open_nemo_grid(tmp_path / "mesh_mask.nc")
    assert folded.fold is not None
    state = finish(xr.Dataset({"uo": 0.01 * folded.umask}), folded)
    assert np.isfinite(transport.gyre(state, folded, (-90.0, 90.0), "clockwise"))
    bottom = np.full((6, 5), 3)
    bottom[0] = 0
    walled = mesh(
        10.0 * np.arange(5), -20.0 + 10.0 * np.arange(6), np.array([0.0, 50, 500, 4000]), bottom, True
    )
    ds = walled.ds.copy(deep=True)
    ds["vmask"][:, -1] = 1
    opened, still = type(walled)(ds), xr.Dataset({"uo": 0.0 * walled.umask})
    assert np.isfinite(transport.gyre(still, walled, (-90.0, 90.0), "clockwise"))
    found = transport.gyre(still, opened, (-90.0, 90.0), "clockwise")
    assert np.isnan(found) and "edge of this mesh is open" in found.attrs["comment"]


def test_rows_are_circles_of_latitude_where_they_do_not_lean():
    """A mesh whose rows lean more and more from 20 degrees north on, about latitudes that stay."""
    lat = np.arange(-60.0, 61.0, 4.0)
    grid = mesh(
        np.arange(0.0, 40.0, 4.0), lat, np.array([0.0, 100.0, 300.0]), np.full((lat.size, 10), 2), False
    )
    ds = grid.ds.copy(deep=True)
    lean = np.maximum(lat - 20.0, 0.0)[:, None] * np.linspace(-0.5, 0.5, 10)
    ds["gphiv"] = ds.gphiv + xr.DataArray(lean, dims=("y", "x"))
    leaning = Grid(ds)
    for between in ((20.0, 70.0), (30.0, 55.0), (-70.0, 70.0)):
        assert "no circles of latitude" in cgrid.turned(leaning, between)
        assert cgrid.turned(grid, between) == ""
    for between in ((-70.0, 0.0), (-30.0, 10.0), (70.0, 90.0)):
        assert cgrid.turned(leaning, between) == ""
