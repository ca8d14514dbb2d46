"""Figures of the metrics: they draw the arrays that the numbers come from, in the field's conventions."""

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("cmocean", reason="cmocean is not installed")

import metric_figures as figures

from warmstart.errors import UserError
from warmstart.ocean.basin import basin, finish
from warmstart.physics import balance, overturning, spectra, transport


@pytest.fixture(scope="module")
def scene():
    return basin(nx=14, ny=40, nz=6)


def drawn(ax, index=0):
    return np.asarray(ax.lines[index].get_ydata(), float)


def test_lines_hold_the_numbers_of_the_metrics(scene):
    state, grid = scene
    heat = transport.heat_transport(state, grid)
    np.testing.assert_allclose(drawn(figures.transport_by_latitude(heat, grid)), heat / 1e15)
    power = spectra.power_spectrum(state.zos, grid, "meridional")
    np.testing.assert_allclose(drawn(figures.spectrum(power)), power)
    energy = figures.energy_by_level(state, grid).lines[0].get_xdata()
    volume = grid.volume.sum(("y", "x"))
    assert float((energy * volume).sum() / volume.sum()) == pytest.approx(
        float(balance.kinetic_energy(state, grid))
    )
    content = figures.heat_by_depth(state, grid).lines[0].get_xdata()
    from warmstart.physics import budgets

    assert float(1e21 * np.nansum(content * grid.e3t_1d.values)) == pytest.approx(
        float(budgets.heat_content(state, grid))
    )
    curve = drawn(figures.inversions(state, grid, thresholds=[1e-5, 1e-3]))
    np.testing.assert_allclose(curve, 0.0)


def test_an_ensemble_draws_one_line_a_member_and_one_entry_in_the_legend(scene):
    state, grid = scene
    two = xr.concat([state, state], "sample")
    ax = figures.transport_by_latitude(transport.heat_transport(two, grid), grid, label="generated")
    assert sum(not line.get_label().startswith("_") for line in ax.lines) == 1
    assert len(ax.lines) == 3  # and the zero line


def test_dense_water_is_at_the_bottom_and_warm_water_at_the_top(scene):
    state, grid = scene
    low, high = figures.overturning_in_density(overturning.overturning_density(state, grid), grid).get_ylim()
    assert low > high
    ax = figures.water_masses(figures.census(state, grid))
    assert ax.get_ylim()[0] < ax.get_ylim()[1] and "temperature" in ax.get_ylabel()


def test_the_balance_is_drawn(scene):
    state, grid = scene
    assert figures.balance_scatter(state, grid).lines[0].get_xdata().size > 100


def test_deviations_are_the_numbers_handed_in():
    both = {"nemo_spinup_evaluation_ACC_Drake": 63.0, "throughflow": 60.0, "gyre_north": 1.0}
    ax = figures.deviations(both)
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [5.0])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["ACC_Drake"]


def test_rounding_about_zero_has_one_colour_in_the_overturning(scene):
    state, grid = scene
    psi = overturning.overturning_density(state, grid)
    ax = figures.overturning_in_density(psi, grid)
    bounds = ax.collections[0].levels
    assert 0.0 not in bounds and (np.diff(np.sign(bounds)) != 0).sum() == 1


def layered(grid):
    """Salinity that grows downwards, the same in every column."""
    so = 34.0 + 0.5 * xr.DataArray(np.arange(grid.shape[0]), dims="z") + 0 * grid.gdept_0
    return finish(xr.Dataset({"thetao": 0 * so + 10.0, "so": so}), grid)


def test_the_census_holds_the_volume_where_the_water_is(ocean_grid):
    state = layered(ocean_grid)
    volumes = figures.census(state, ocean_grid, [5.0, 15.0, 20.0], [33.75, 34.25, 34.75, 35.25, 35.75, 36.25])
    np.testing.assert_allclose(volumes.isel(thetao_class=0), ocean_grid.volume.sum(("y", "x")), rtol=1e-12)
    assert float(volumes.isel(thetao_class=1).sum()) == 0.0
    for warm, salty in ((-1.8, 33.1), (31.7, 38.9), (10.1, 35.04)):
        one = finish(state.assign(thetao=0 * state.thetao + warm, so=0 * state.so + salty), ocean_grid)
        found = figures.census(one, ocean_grid)
        (place,) = np.argwhere(found.values > 0)
        for edges, value, index in zip(
            (figures.THETAO_EDGES, figures.SO_EDGES), (warm, salty), place, strict=True
        ):
            assert edges[index] <= value < edges[index + 1]
    outside = figures.census(state, ocean_grid, [20.0, 21.0], [0.0, 1.0])
    assert float(outside.sum()) == pytest.approx(float(ocean_grid.volume.sum()))
    holed = state.so.copy(deep=True)
    holed[tuple(np.argwhere(ocean_grid.tmask.values > 0)[3])] = np.nan
    assert bool(figures.census(state.assign(so=holed), ocean_grid).isnull().all())


@pytest.mark.parametrize("name", ["thetao", "so"])
def test_one_hole_in_one_tracer_leaves_no_census(ocean_grid, name):
    state = layered(ocean_grid)
    holed = state[name].copy(deep=True)
    holed[tuple(np.argwhere(ocean_grid.tmask.values > 0)[5])] = np.nan
    assert bool(figures.census(state.assign({name: holed}), ocean_grid).isnull().all())


def test_edges_of_a_census_that_do_not_increase_are_refused(ocean, ocean_grid):
    with pytest.raises(UserError, match="increase"):
        figures.census(ocean, ocean_grid, so_edges=[1.0])
