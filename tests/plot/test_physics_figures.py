"""Figures of the metrics: they draw the arrays that the numbers come from, in the field's conventions."""

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("cmocean", reason="cmocean is not installed")

from warmstart.ocean.basin import basin
from warmstart.physics import balance, census, overturning, spectra, transport
from warmstart.plot import physics_figures as figures
from warmstart.plot import score_figures as scores
from warmstart.scores import similarity


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
    energy = balance.kinetic_energy_by_level(state, grid)
    np.testing.assert_allclose(figures.energy_by_level(state, grid).lines[0].get_xdata(), energy)
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
    ax = figures.water_masses(census.census(state, grid))
    assert ax.get_ylim()[0] < ax.get_ylim()[1] and "temperature" in ax.get_ylabel()


def test_balance_ranks_and_memory_are_drawn(scene):
    state, grid = scene
    assert figures.balance_scatter(state, grid).lines[0].get_xdata().size > 100
    ax = scores.ranks(xr.DataArray([0.1, 0.4, 0.5], dims="rank"))
    assert [bar.get_height() for bar in ax.patches] == [0.1, 0.4, 0.5]
    train = xr.concat([state, state + 1.0, state + 3.0], "sample")
    near = similarity.memorisation(train + 0.2, train, train + 0.5, grid)
    assert {line.get_label() for line in scores.memory(near).lines} == {"generated", "test", "train"}


def test_distances_and_deviations_are_the_numbers_handed_in():
    distances_ = xr.DataArray([[0.0, 2.0], [1.0, 0.0]], dims=("a", "b"), coords={"a": ["x", "y"]})
    ax = scores.apart(distances_)
    np.testing.assert_array_equal(ax.collections[0].get_array().ravel(), distances_.values.ravel())
    assert [t.get_text() for t in ax.get_yticklabels()] == ["x", "y"]
    both = {"nemo_spinup_evaluation_ACC_Drake": 63.0, "throughflow": 60.0, "gyre_north": 1.0}
    ax = scores.deviations(both)
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [5.0])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["ACC_Drake"]


def test_rounding_about_zero_has_one_colour_in_the_overturning(scene):
    state, grid = scene
    psi = overturning.overturning_density(state, grid)
    ax = figures.overturning_in_density(psi, grid)
    bounds = ax.collections[0].levels
    assert 0.0 not in bounds and (np.diff(np.sign(bounds)) != 0).sum() == 1
