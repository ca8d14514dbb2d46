"""Layout and standardising: nothing lost, nothing on land, nothing silently wrong."""

import numpy as np
import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.basin import basin
from warmstart.regression import normalizer as normalize
from warmstart.regression.layout import Layout


@pytest.fixture(scope="module")
def case():
    state, grid = basin(nx=7, ny=9, nz=4)
    return xr.concat([state, state * 1.5], "sample"), Layout(grid)


def test_packing_and_unpacking_loses_nothing(case):
    states, layout = case
    back = layout.unpack(layout.pack(states))
    xr.testing.assert_identical(back, states[list(back)].drop_attrs(deep=False))


def test_channels_follow_the_variables_table_with_the_surface_first(case):
    states, layout = case
    fields = layout.pack(states)
    np.testing.assert_array_equal(fields[:, layout.slices["so"]][:, 2], states.so.isel(z=2))
    np.testing.assert_array_equal(fields[:, layout.slices["zos"]][:, 0], states.zos)


def test_whatever_the_file_holds_on_land_is_ignored(case):
    states, layout = case
    np.testing.assert_array_equal(layout.pack(states.fillna(9e36)), layout.pack(states))


def test_each_variable_is_masked_at_its_own_point(case):
    """A mask of T for all variables would let flow pass the eastern walls."""
    states, layout = case
    packed = np.isfinite(layout.pack(states)[0])
    for name, point in (("thetao", "T"), ("uo", "U"), ("vo", "V")):
        np.testing.assert_array_equal(packed[layout.slices[name]], layout.grid.mask(point))


def test_a_hole_in_the_sea_is_an_error(case):
    states, layout = case
    j, i = np.argwhere(layout.grid.tmask.values[0] > 0)[0]
    states = states.copy(deep=True)
    states.thetao[1, 0, j, i] = np.nan
    with pytest.raises(UserError, match="thetao is not finite at 1 wet points"):
        layout.pack(states)


def test_a_missing_variable_is_named(case):
    states, layout = case
    with pytest.raises(UserError, match="no variable vo"):
        layout.pack(states.drop_vars("vo"))


def test_weights_are_volumes_and_sum_to_one(case):
    _, layout = case
    assert layout.weights.sum() == pytest.approx(1.0)
    assert not layout.weights[~layout.mask].any()
    heat = layout.weights[layout.slices["thetao"]]
    np.testing.assert_allclose(heat / heat.sum(), layout.grid.volume / layout.grid.volume.sum(), rtol=1e-12)


def test_wet_values_return_to_their_places(case):
    states, layout = case
    fields = np.nan_to_num(layout.pack(states))
    np.testing.assert_array_equal(layout.from_wet(layout.to_wet(fields)), fields)


def test_standardising_gives_zero_mean_unit_variance_and_zero_land(case):
    states, layout = case
    fields = layout.pack(states)
    z = normalize.fit(fields, layout).standardise(fields)
    assert not z[:, ~layout.mask].any()
    level = layout.slices["so"].start + 1
    values = z[:, level][:, layout.mask[level]]
    assert values.mean() == pytest.approx(0, abs=1e-12)
    assert values.std() == pytest.approx(1)


def test_restoring_undoes_standardising(case):
    states, layout = case
    fields = layout.pack(states)
    normalizer = normalize.fit(fields, layout)
    np.testing.assert_allclose(
        normalizer.restore(normalizer.standardise(fields)), fields, rtol=1e-12, atol=1e-15
    )


def test_a_level_that_does_not_vary_is_not_blown_up(case):
    """Division by the tiny spread of the deep ocean would turn round-off into signal."""
    states, layout = case
    fields = layout.pack(states)
    deep = layout.slices["thetao"].stop - 1
    fields[:, deep] = np.where(layout.mask[deep], 2.0, np.nan)
    std = normalize.fit(fields, layout).std[layout.slices["thetao"]]
    assert std[-1] == pytest.approx(normalize.SMALLEST_STD * std.max())
