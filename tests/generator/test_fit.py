"""Parts of a state: they sum to it, and each keeps what is linear."""

import numpy as np
import pytest

from warmstart.generator.fit import SURFACE, parts
from warmstart.ocean.basin import basin
from warmstart.regression import normalizer as normalize
from warmstart.regression.layout import Layout


@pytest.fixture(scope="module")
def made():
    state, grid = basin(nx=6, ny=8, nz=8)
    layout = Layout(grid)
    rng = np.random.default_rng(0)
    fields = layout.pack(state) + 0.1 * rng.standard_normal((5, *layout.shape))
    return layout, normalize.fit(fields, layout), fields


def split(made):
    layout, normalizer, fields = made
    anomalies = layout.to_wet(normalizer.standardise(fields))
    return anomalies, parts(normalizer)(anomalies)


def test_parts_sum_to_the_state(made):
    anomalies, found = split(made)
    assert len(found) == 3
    np.testing.assert_allclose(sum(found), anomalies, atol=1e-12)


def test_what_is_left_of_the_flow_transports_nothing(made):
    """The depth integral of each column of the last part vanishes."""
    layout, normalizer, _ = made
    rest = layout.from_wet(split(made)[1][2]) * normalizer.std[:, None, None]
    for name in ("uo", "vo"):
        channels = layout.slices[name]
        thickness = layout.grid.ds[f"e3{name[0]}_0"].values * layout.mask[channels]
        transport = (rest[:, channels] * thickness).sum(1)
        assert np.abs(transport).max() < 1e-12 * np.abs(rest[:, channels] * thickness).max() * 100


def test_the_barotropic_part_is_the_same_at_every_level(made):
    layout, normalizer, _ = made
    flow = layout.from_wet(split(made)[1][0]) * normalizer.std[:, None, None]
    mask, velocity = layout.mask[layout.slices["uo"]], flow[:, layout.slices["uo"]]
    assert mask[1].any() and velocity.any()
    np.testing.assert_allclose(
        np.where(mask, velocity, velocity[:, :1]), velocity[:, :1].repeat(8, 1), atol=1e-12
    )


def test_surface_water_is_a_part_of_its_own(made):
    layout = made[0]
    anomalies, found = split(made)
    near = layout.grid.gdept_1d.values < SURFACE
    for name in ("thetao", "so"):
        whole, water, rest = (layout.from_wet(a)[:, layout.slices[name]] for a in (anomalies, *found[1:]))
        np.testing.assert_array_equal(water[:, near], whole[:, near])
        assert not water[:, ~near].any() and not rest[:, near].any()
        np.testing.assert_array_equal(rest[:, ~near], whole[:, ~near])


def test_a_state_without_flow_has_no_part_for_it(made):
    layout, normalizer, fields = made
    anomalies = layout.to_wet(normalizer.standardise(fields))
    tracers = np.isin(np.nonzero(layout.mask)[0], np.r_[layout.slices["thetao"], layout.slices["so"]])
    assert len(parts(normalizer)(np.where(tracers, anomalies, 0.0))) == 2
