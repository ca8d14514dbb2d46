"""Transports of heat and salt have a regression of their own: states carry what is predicted, and lose nothing."""

import numpy as np
import pytest

from warmstart.generator.constraints.barotropic import close_barotropic
from warmstart.generator.noise import Stream
from warmstart.generator.quantities import transports
from warmstart.generator.quantities.quantity import fit
from warmstart.generator.quantities.transports import carried, carrying
from warmstart.ocean.basin import basin
from warmstart.physics.transport import heat_transport
from warmstart.regression import normalizer as normalize
from warmstart.regression.layout import Layout


@pytest.fixture(scope="module")
def made():
    """A basin with eddies in flow and water."""
    state, grid = basin(nx=6, ny=8, nz=8)
    rng = np.random.default_rng(0)
    for name, size in (("thetao", 1.0), ("so", 0.1), ("uo", 0.05), ("vo", 0.05)):
        state[name] = state[name] + size * rng.normal(size=state[name].shape)
    return close_barotropic(state, grid)[0], grid


def test_a_state_that_carries_what_is_wanted_stays_as_it_is(made):
    state, grid = made
    same, record = carrying(carried(state, grid))(state, grid)
    np.testing.assert_allclose(same.thetao, state.thetao, rtol=0, atol=1e-12)
    assert record["constraint_carried_temperature"] < 1e-12


def test_a_state_comes_to_carry_what_is_wanted(made, monkeypatch):
    """To a part, so that no row asks for a huge change; wholly where nothing holds it back."""
    state, grid = made
    before = carried(state, grid)
    wanted = before + 0.05 * np.abs(before).max(axis=1, keepdims=True)

    def gap(moved):
        return np.abs(carried(moved, grid) - wanted)[:, 1:-1].max()

    asked = gap(state)
    assert gap(carrying(wanted)(state, grid)[0]) < asked
    monkeypatch.setattr(transports, "RIDGE", 1e-12)
    monkeypatch.setattr(transports, "PASSES", 1)
    assert gap(carrying(wanted)(state, grid)[0]) < 1e-3 * asked


def test_it_is_said_where_the_transports_are_not_reached(made, monkeypatch, caplog):
    state, grid = made
    carrying(1.3 * carried(state, grid))(state, grid)
    assert not caplog.records
    monkeypatch.setattr(transports, "MOST", 1)
    carrying(1.3 * carried(state, grid))(state, grid)
    assert "transports of thetao are reached less closely: 1 steps were too few" in caplog.text


def test_heat_and_salt_content_stay_and_nothing_is_written_on_land(made):
    state, grid = made
    moved, record = carrying(1.3 * carried(state, grid))(state, grid)
    for name in ("thetao", "so"):
        change = float(((moved[name] - state[name]) * grid.volume).sum())
        assert abs(change) < 1e-12 * float((abs(state[name]) * grid.volume).sum())
        assert (moved[name].isnull() == state[name].isnull()).all()
    assert record["constraint_carried_temperature"] > 0 and record["constraint_carried_salinity"] > 0


def test_the_change_is_smoother_than_the_flow_that_carries_it(made):
    """Noise of the mesh in the velocity leaves none in the temperature."""
    state, grid = made

    def roughness(values):
        values = values[grid.gdept_1d.values > transports.SURFACE]
        return np.nanstd(np.diff(values, axis=-1)) / np.nanstd(values)

    moved, _ = carrying(1.3 * carried(state, grid))(state, grid)
    change = (moved.thetao - state.thetao).where(grid.tmask > 0).values
    assert roughness(change) < 0.5 * roughness(state.vo.values)


def test_the_surface_and_the_flow_are_left_alone(made):
    state, grid = made
    moved, _ = carrying(1.3 * carried(state, grid))(state, grid)
    above = grid.gdept_1d.values <= transports.SURFACE
    np.testing.assert_array_equal(moved.thetao.values[above], state.thetao.values[above])
    assert not above.all() and above.any()
    for name in ("uo", "vo", "zos"):
        assert moved[name].identical(state[name])


def test_what_crosses_a_row_is_the_heat_transport_of_the_metrics(made):
    """One definition: transport of temperature times density and heat capacity."""
    from warmstart.ocean.eos import CP, RHO0

    state, grid = made
    known = heat_transport(state, grid).values[:-1]
    np.testing.assert_allclose(RHO0 * CP * carried(state, grid)[0], known, rtol=1e-10, atol=1e3)


def test_rest_carries_nothing_and_nothing_is_asked_of_it(made):
    state, grid = made
    still = state.assign(vo=0.0 * state.vo)
    moved, record = carrying(carried(state, grid))(still, grid)
    np.testing.assert_array_equal(moved.thetao.values, still.thetao.values)
    assert record["constraint_carried_temperature"] == 0


def test_transports_that_grow_with_a_parameter_are_predicted_between_members(made):
    state, grid = made
    layout, inputs = Layout(grid), np.linspace(-0.5, 0.5, 9)[:, None]
    states = [state.assign(vo=state.vo * (1 + x)) for x in inputs[:, 0]]
    fields = np.concatenate([layout.pack(s) for s in states])
    normalizer = normalize.fit(fields, layout)
    wet = layout.to_wet(normalizer.standardise(fields))
    model = fit(transports.QUANTITY, wet, np.arange(9), inputs, normalizer)
    expected = carried(state, grid) * 1.1
    np.testing.assert_allclose(model.expected(np.array([0.1])), expected, atol=0.05 * np.abs(expected).max())
    predicted = model.predict(np.array([0.1]))
    drawn = [model.target(predicted, Stream(seed)) for seed in (3, 3, 5)]  # 4 takes the residual that 3 takes
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], model.target(predicted))
