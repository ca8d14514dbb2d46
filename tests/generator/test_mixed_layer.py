"""Mixed layers have a regression of their own: columns that convect do so in generated states, and lose nothing."""

import numpy as np
import pytest

from warmstart.generator.quantities import mixed_layer
from warmstart.generator.quantities.quantity import fit
from warmstart.ocean.basin import basin
from warmstart.physics.column import mixed_layer_depth
from warmstart.regression import normalizer as normalize
from warmstart.regression.layout import Layout


@pytest.fixture(scope="module")
def made():
    return basin(nx=6, ny=8, nz=4)


def test_mixing_keeps_the_content_of_every_column(made):
    state, grid = made
    depth = np.random.default_rng(0).uniform(0.0, 5000.0, grid.shape[1:])
    convected, record = mixed_layer.mixed(depth)(state, grid)
    for name in ("thetao", "so"):
        before, after = ((s[name] * grid.e3t_0).sum("z").values for s in (state, convected))
        np.testing.assert_allclose(after, before, rtol=1e-13)
        assert (convected[name].isnull() == state[name].isnull()).all()
    assert 0 < record["constraint_convected_share"] < 1 and record["constraint_convected_temperature"] > 0


def test_a_column_is_well_mixed_down_to_the_depth_and_as_it_was_below(made):
    state, grid = made
    depth = float(grid.gdept_1d[1]) + 1.0
    convected, _ = mixed_layer.mixed(np.full(grid.shape[1:], depth))(state, grid)
    wet = grid.tmask.values > 0
    np.testing.assert_array_equal(convected.thetao.values[0][wet[1]], convected.thetao.values[1][wet[1]])
    np.testing.assert_array_equal(convected.thetao.values[2:], state.thetao.values[2:])
    assert (mixed_layer_depth(convected, grid).values[wet[2]] >= float(grid.gdept_1d[1])).all()


def test_no_depth_changes_nothing(made):
    state, grid = made
    convected, record = mixed_layer.mixed(np.zeros(grid.shape[1:]))(state, grid)
    assert convected.thetao.equals(state.thetao) and record["constraint_convected_share"] == 0


def test_oceans_that_convect_more_with_a_parameter_are_predicted_to(made):
    """The depth of an ocean between two training members lies between theirs, and never below the sea floor."""
    state, grid = made
    layout = Layout(grid)
    inputs = np.linspace(-0.5, 0.5, 9)[:, None]
    # the warmer the water below the surface, the deeper the column is within the threshold
    states = [
        state.assign(thetao=state.thetao.where(state.z < 1, state.thetao + 8 * x)) for x in inputs[:, 0]
    ]
    fields = np.concatenate([layout.pack(s) for s in states])
    normalizer = normalize.fit(fields, layout)
    wet = layout.to_wet(normalizer.standardise(fields))
    model = fit(mixed_layer.QUANTITY, wet, np.arange(9), inputs, normalizer)
    found = [model.expected(np.array([x])) for x in (-0.4, 0.1, 0.4)]
    mean = fit(mixed_layer.QUANTITY, wet, np.arange(9), inputs, normalizer, model="climatology")
    np.testing.assert_array_equal(mean.expected(np.array([-0.4])), mean.expected(np.array([0.4])))
    floor = (grid.e3t_0 * (grid.tmask > 0)).sum("z").values
    assert all((d <= floor).all() and (d[floor > 0] > 0).all() and (d[floor == 0] == 0).all() for d in found)
    truth = [mixed_layer_depth(s, grid).mean().item() for s in (states[0], states[-1])]
    assert abs(truth[1] - truth[0]) > 1.0
    means = [d[floor > 0].mean() for d in found]
    assert np.sign(np.diff(means)).tolist() == [np.sign(truth[1] - truth[0])] * 2


def test_several_snapshots_of_a_member_are_one_ocean_of_their_mean_depth(made):
    state, grid = made
    layout, inputs = Layout(grid), np.linspace(-0.5, 0.5, 4)[:, None]
    shifts = np.array([0.0, 4.0, 1.0, 8.0, 2.0, 6.0, 3.0, 5.0])
    states = [state.assign(thetao=state.thetao.where(state.z < 1, state.thetao + x)) for x in shifts]
    fields = np.concatenate([layout.pack(s) for s in states])
    normalizer = normalize.fit(fields, layout)
    wet = layout.to_wet(normalizer.standardise(fields))
    found = fit(mixed_layer.QUANTITY, wet, np.arange(8) // 2, inputs, normalizer, model="climatology")
    depths = np.stack([mixed_layer_depth(s, grid).values for s in states]).reshape(4, 2, *grid.shape[1:])
    expected = np.exp(np.log(np.maximum(depths.mean(1), mixed_layer.SHALLOWEST)).mean(0))
    sea = grid.tmask.values[0] > 0
    np.testing.assert_allclose(found.expected(np.array([0.2]))[sea], expected[sea], rtol=1e-6)


def test_states_without_salinity_have_none(made):
    state, grid = made
    layout = Layout(grid, ("thetao",))
    fields = layout.pack(state)
    normalizer = normalize.fit(fields, layout)
    wet = layout.to_wet(normalizer.standardise(fields))
    assert fit(mixed_layer.QUANTITY, wet, np.zeros(1, int), np.zeros((1, 1)), normalizer) is None


def test_parameters_are_weighed_by_their_relevance_where_nothing_is_said(made):
    state, grid = made
    layout, chance = Layout(grid), np.random.default_rng(3)
    inputs = np.stack([np.linspace(-0.5, 0.5, 16), chance.uniform(-0.5, 0.5, 16)], axis=1)
    states = [
        state.assign(thetao=state.thetao.where(state.z < 1, state.thetao + 8 * x)) for x in inputs[:, 0]
    ]
    fields = np.concatenate([layout.pack(s) for s in states])
    normalizer = normalize.fit(fields, layout)
    wet = layout.to_wet(normalizer.standardise(fields))

    def moved(**options):
        model = fit(mixed_layer.QUANTITY, wet, np.arange(16), inputs, normalizer, **options)
        low, high = (model.expected(np.array([0.05, y])) for y in (-0.5, 0.5))
        return np.abs(high - low).max()

    assert moved() == moved(weigh=True) < moved(weigh=False)
