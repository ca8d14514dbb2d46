"""Positions as coordinates: they select and label, and no number depends on them."""

import numpy as np
import pytest
import xarray as xr

import warmstart as ws
from warmstart.io.files import write_dataset
from warmstart.ocean import parameters
from warmstart.ocean.grid import Grid
from warmstart.ocean.places import bare, locate
from warmstart.scores.metrics import ALL


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    state, grid = ws.basin(nx=10, ny=24, nz=5)
    states = xr.concat([state, state + 1.0], "time").assign_coords(year=("time", [10.0, 20.0]))
    states = parameters.attach(states, {"wind_stress_south": 0.1})
    path = tmp_path_factory.mktemp("places") / "states.nc"
    write_dataset(path, states, grid)
    return path, states, grid


def test_states_are_selected_by_latitude_longitude_depth_and_year(written):
    path, states, grid = written
    with ws.open_state(path) as ds:
        found = ds.thetao.sel(lat=30, lon=20, depth=500, method="nearest")
        j, i, k = (
            int(np.argmin(abs(a.values - v)))
            for a, v in ((grid.gphit[:, 0], 30), (grid.glamt[0], 20), (grid.gdept_1d, 500))
        )
        np.testing.assert_array_equal(found, states.thetao[:, k, j, i])
        assert ds.lat.attrs["units"] == "degrees_north" and ds.depth.attrs["positive"] == "down"
        assert ds.time.values.tolist() == [10.0, 20.0]
        assert set(ds.data_vars) == {"thetao", "so", "uo", "vo", "zos"}
        assert float(ds.coords["wind_stress_south"]) == 0.1
        assert parameters.extract(ds)["wind_stress_south"] == 0.1


def test_a_bare_plot_has_the_axes_of_the_ocean(written):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed").use("Agg")
    import matplotlib.pyplot as plt

    path, _, grid = written
    state = ws.open_state(path).isel(time=0)
    for field, x, y in (
        (state.zos, "longitude", "latitude"),
        (state.thetao.sel(lon=20, method="nearest"), "latitude", "depth"),
    ):
        drawn = field.plot()
        axes = drawn.axes
        assert axes.get_xlabel().startswith(x) and axes.get_ylabel().startswith(y)
        plt.close("all")
    low, high = (float(v) for v in (grid.gphit.min(), grid.gphit.max()))
    state.zos.plot()
    assert plt.gca().get_ylim()[0] == pytest.approx(low, abs=5) and plt.gca().get_ylim()[1] == pytest.approx(
        high, abs=5
    )
    plt.close("all")


def test_every_metric_of_states_with_positions_is_that_of_states_without(ocean, ocean_grid):
    placed = locate(ocean, ocean_grid)
    for name, metric in ALL.items():
        if set(metric.needs) <= set(ocean.data_vars):
            one, other = (np.asarray(metric.function(s, ocean_grid)) for s in (ocean, placed))
            np.testing.assert_array_equal(one, other, err_msg=name)
    tables = [ws.check(s, ocean_grid) for s in (ocean, placed)]
    assert tables[0].equals(tables[1])


def test_neighbours_are_combined_by_place_and_not_by_latitude(ocean, ocean_grid):
    placed = locate(ocean, ocean_grid).thetao
    step = placed.isel(y=slice(1, None)) - placed.isel(y=slice(None, -1))
    np.testing.assert_array_equal(step, np.diff(ocean.thetao.values, axis=1))


def test_what_is_added_is_taken_off_again_and_never_written(written, tmp_path):
    path, states, grid = written
    with ws.open_state(path) as ds:
        again = bare(ds.load())
        write_dataset(tmp_path / "again.nc", ds, grid)
        ds.to_netcdf(tmp_path / "plain.nc")
    assert set(again.coords) == set(states.coords) and set(again.data_vars) == set(states.data_vars)
    with xr.open_dataset(path) as one, xr.open_dataset(tmp_path / "again.nc") as other:
        assert set(one.variables) == set(other.variables) and set(one.coords) == set(other.coords)
    with xr.open_dataset(tmp_path / "plain.nc") as other:
        np.testing.assert_array_equal(other.thetao, states.thetao)


def test_a_curved_mesh_has_latitude_and_longitude_as_fields(ocean, ocean_grid):
    bent = Grid(ocean_grid.ds.assign(gphit=ocean_grid.gphit + 0.1 * ocean_grid.glamt))
    placed = locate(ocean, bent)
    assert placed.latitude.dims == ("y", "x") and "lat" not in placed.coords
    assert float(placed.thetao.sel(depth=0, method="nearest").depth) == float(bent.gdept_1d[0])
    xr.testing.assert_identical(bare(placed), ocean)


def test_regridded_states_have_the_positions_of_their_new_mesh():
    (state, source), (_, target) = ws.basin(nx=6, ny=8, nz=4), ws.basin(nx=11, ny=15, nz=6)
    moved = ws.regrid(locate(state, source), source, target)
    np.testing.assert_array_equal(moved.lat, target.gphit[:, 0])
    xr.testing.assert_identical(bare(moved), ws.regrid(state, source, target))


def test_generated_states_have_positions(generator):
    pytest.importorskip("torch", reason="torch is not installed")
    states = ws.generate(generator, {"wind_stress_south": 0.2}, n=2)
    assert {"lat", "lon", "depth", "wind_stress_south"} <= set(states.coords)
    assert {n for n in states.data_vars if not n.startswith("constraint_")} <= {
        "thetao",
        "so",
        "uo",
        "vo",
        "zos",
    }
