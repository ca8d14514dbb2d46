"""Scores are fair and proper, distances are metrics, copies are found out; numbers known in closed form."""

import numpy as np
import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.basin import basin
from warmstart.scores import crps, similarity


@pytest.fixture(scope="module")
def pool():
    return basin(nx=8, ny=14, nz=4)


def draws(grid, members, seed, scale=1.0, mean=0.0):
    """White noise on the wet cells: what the theorems about scores are about."""
    rng = np.random.default_rng(seed)
    shape = (members, *grid.shape)
    wet = grid.tmask > 0
    return xr.Dataset(
        {
            n: xr.DataArray(mean + scale * rng.normal(size=shape), dims=("sample", "z", "y", "x")).where(wet)
            for n in ("thetao", "so")
        }
    )


def test_the_fair_crps_does_not_depend_on_the_number_of_members_and_is_the_gaussian_one(pool):
    """E CRPS of a reliable Gaussian ensemble is 1 / sqrt(pi), whatever its size (Gneiting and Raftery 2007)."""
    _, grid = pool
    for members in (2, 5, 20):
        values = [
            float(crps.crps(draws(grid, members, s).thetao, draws(grid, 1, 1000 + s).thetao[0], grid).mean())
            for s in range(12)
        ]
        assert np.mean(values) == pytest.approx(1 / np.sqrt(np.pi), abs=0.02), members


def test_the_crps_prefers_the_true_distribution(pool):
    _, grid = pool
    truth = draws(grid, 1, 99).thetao[0]
    honest, cold, timid = (
        float(crps.crps(draws(grid, 20, 1, scale, mean).thetao, truth, grid).mean())
        for scale, mean in ((1.0, 0.0), (1.0, 0.7), (0.2, 0.0))
    )
    assert honest < cold and honest < timid


def test_the_crps_is_the_formula_in_plain_numpy(pool):
    _, grid = pool
    x, y = draws(grid, 4, 5).thetao, draws(grid, 1, 6).thetao[0]
    a, t = x.values, y.values
    between = np.abs(a[:, None] - a[None]).sum((0, 1)) / (2 * 4 * 3)
    point = np.abs(a - t).mean(0) - between
    area = (grid.e1t * grid.e2t).values * (grid.tmask.values > 0)
    expected = np.nansum(point * area, (1, 2)) / area.sum((1, 2))
    np.testing.assert_allclose(crps.crps(x, y, grid), expected, rtol=1e-12)


@pytest.mark.parametrize("members", [2, 3, 16])
def test_the_score_is_that_of_scoringrules_to_round_off(members):
    import scoringrules

    rng = np.random.default_rng(members)
    x, y = rng.normal(size=(members, 7, 5)), rng.normal(size=(7, 5))
    x[0, 0] = x[1, 0]
    published = scoringrules.crps_ensemble(y, np.moveaxis(x, 0, -1), estimator="fair", backend="numpy")
    np.testing.assert_allclose(crps.fair_crps(x, y), published, rtol=1e-12, atol=1e-14)
    x[1, 3, 2] = np.nan
    assert np.isnan(crps.fair_crps(x, y)).sum() == 1


def test_the_energy_score_of_one_cell_is_the_crps():
    _, grid = basin(nx=6, ny=8, nz=4)
    ds = grid.ds.copy(deep=True)
    keep = np.zeros(grid.shape, "int8")
    keep[0, 4, 3] = 1
    ds["tmask"] = (("z", "y", "x"), keep)
    one = type(grid)(ds)
    x, y = draws(one, 6, 1), draws(one, 1, 2)
    scale = xr.Dataset({n: xr.ones_like(one.gdept_1d) for n in ("thetao", "so")})
    score = crps.energy_score(x, y.isel(sample=0), one, scale, names=["thetao"])
    assert float(score) == pytest.approx(float(crps.crps(x.thetao, y.thetao[0], one)[0]), rel=1e-12)


def test_a_reliable_ensemble_has_as_much_spread_as_error_and_flat_ranks(pool):
    _, grid = pool
    x, y = draws(grid, 9, 3).thetao, draws(grid, 1, 4).thetao[0]
    skill = crps.spread_skill(x, y, grid)
    assert float(skill.ratio.mean()) == pytest.approx(1.0, abs=0.08)
    ranks = crps.rank_histogram(x, y, grid)
    np.testing.assert_allclose(ranks.sum("rank"), 1.0)
    np.testing.assert_allclose(ranks.mean("z"), 0.1, atol=0.05)
    narrow = crps.rank_histogram(0.2 * x, y, grid).mean("z")
    assert float(narrow[0] + narrow[-1]) > 0.6
    assert float(crps.spread_skill(0.2 * x, y, grid).ratio.mean()) < 0.3


def test_scores_of_scalar_metrics_are_those_of_numbers():
    x = xr.Dataset({"throughflow": (("sample", "case"), np.array([[1.0, 5.0], [3.0, 9.0]]))})
    y = xr.Dataset({"throughflow": ("case", [2.0, 10.0])})
    scores = crps.score_metrics(x, y).sel(metric="throughflow")
    np.testing.assert_allclose(scores.crps, [1.0 - 1.0, 3.0 - 2.0])  # E|X-y| - |x1-x2| / 2
    np.testing.assert_allclose(scores["rank"], [0.5, 1.0])
    np.testing.assert_allclose(scores.error, [0.0, 3.0])
    with pytest.raises(UserError, match="lacks throughflow"):
        crps.score_metrics(x, xr.Dataset())


def test_a_single_state_is_no_ensemble(pool):
    state, grid = pool
    one = state.expand_dims("sample")
    for call in (
        lambda: crps.crps(one.thetao, state.thetao, grid),
        lambda: similarity.level_spread(one, grid),
    ):
        with pytest.raises(UserError, match="at least 2"):
            call()


def test_a_hole_in_a_member_or_the_truth_hides_the_scores_of_its_level_and_of_no_other(pool):
    state, grid = pool
    members = xr.concat([state.thetao - 1, state.thetao + 1, state.thetao], "sample")
    k, j, i = np.argwhere(grid.tmask.values > 0)[-1]
    holed_members, holed_truth = members.copy(deep=True), state.thetao.copy(deep=True)
    holed_members[1, k, j, i] = holed_truth[k, j, i] = np.nan
    for holed, truth in ((holed_members, state.thetao), (members, holed_truth)):
        for found in (crps.crps(holed, truth, grid), crps.spread_skill(holed, truth, grid).error):
            assert list(np.flatnonzero(found.isnull())) == [k]
    everywhere = similarity.level_spread(xr.Dataset({"thetao": members, "so": 0 * members + 35.0}), grid)
    assert (everywhere.so == 1.0).all(), "a level that does not vary adds nothing"
    np.testing.assert_allclose(everywhere.thetao, (2 / 3) ** 0.5, rtol=1e-9)


def test_a_score_has_the_units_of_its_variable(pool):
    state, grid = pool
    members = xr.concat([state, state], "sample")
    for name, units in (("thetao", "degC"), ("so", "1e-3")):
        bare = members[name].drop_attrs()
        assert crps.crps(bare, state[name], grid).attrs["units"] == units
        kept = bare.assign_attrs(units="K")
        assert crps.crps(kept, state[name], grid).attrs["units"] == "K"
    assert crps.crps(members.so.drop_attrs().rename("x"), state.so, grid).attrs["units"] == "1"


# ---------------------------------------------------------------- distributions


def test_distances_are_a_metric_and_independent_draws_are_root_two_apart(pool):
    _, grid = pool
    states = draws(grid, 6, 0)
    scale = similarity.level_spread(draws(grid, 40, 1), grid)
    d = similarity.distances(states, states, grid, scale).values
    np.testing.assert_allclose(d, d.T)
    np.testing.assert_array_equal(np.diag(d), 0.0)
    assert (d[:, :, None] <= d[:, None, :] + d[None] + 1e-12).all()
    assert float(similarity.diversity(states, grid, scale)) == pytest.approx(np.sqrt(2), rel=0.06)


def test_copies_are_found_out_and_new_states_are_not(pool):
    _, grid = pool
    train, test, new = (draws(grid, n, s) for n, s in ((8, 1), (4, 2), (5, 3)))
    honest = similarity.memorisation(new, train, test, grid)
    assert float(honest.ratio_test) == pytest.approx(1.0, abs=0.1)
    assert float(honest.ratio_train) == pytest.approx(1.0, abs=0.1)
    noise = 0.01 * draws(grid, 5, 4)
    copies = train.isel(sample=[0, 3, 3, 5, 7]) + noise
    stolen = similarity.memorisation(copies, train, test, grid)
    assert float(stolen.ratio_test) < 0.05
    order = stolen.nearest_generated.values
    turned = similarity.memorisation(copies.isel(sample=slice(None, None, -1)), train, test, grid)
    np.testing.assert_array_equal(turned.nearest_generated.values, order[::-1])


def test_water_masses_that_are_shifted_lie_their_shift_apart(pool):
    """W2 of a shift d is |d|; its projections have the RMS |d| / sqrt(2)."""
    state, grid = pool
    shifted = state.assign(thetao=state.thetao + 3.0, so=state.so + 0.4)
    found = float(similarity.sliced_wasserstein(shifted, state, grid, scale=(1.0, 0.1)))
    assert found == pytest.approx(5.0 / np.sqrt(2))
    assert float(similarity.sliced_wasserstein(state, shifted, grid, scale=(1.0, 0.1))) == pytest.approx(
        found
    )


def test_where_the_water_lies_does_not_matter_to_its_distribution(pool):
    state, grid = pool
    twice = xr.concat([state, state], "time")
    assert float(similarity.sliced_wasserstein(twice, state, grid)) < 1e-6
    ds = grid.ds.copy()
    ds["e3t_0"] = 0 * ds.e3t_0 + 100.0  # equal volumes along a row: mirrored water is the same water
    even = type(grid)(ds)
    inner = {"x": slice(1, None)}
    mirrored = state.copy(deep=True)
    for name in ("thetao", "so"):
        mirrored[name][inner] = state[name][inner].values[..., ::-1]
    assert float(similarity.sliced_wasserstein(mirrored, state, even)) < 1e-9


def test_spectra_that_differ_by_a_factor_lie_its_logarithm_apart_whatever_their_order():
    rng = np.random.default_rng(0)
    power = xr.DataArray(np.exp(rng.normal(size=(5, 12))), dims=("sample", "wavenumber"))
    assert float(similarity.spectral_wasserstein(power, power.isel(sample=[3, 1, 0, 4, 2]))) == 0.0
    # carrying each to its own double is optimal for a common shift
    assert float(similarity.spectral_wasserstein(2.0 * power, power)) == pytest.approx(np.log(2.0))
    more = xr.concat([power, power], "sample")
    assert float(similarity.spectral_wasserstein(more, power)) == pytest.approx(0.0, abs=1e-6)
    three = similarity.spectral_wasserstein(power.isel(sample=slice(3)), power)
    assert float(three) > 0
    with pytest.raises(UserError, match="different wavenumbers"):
        similarity.spectral_wasserstein(power.isel(wavenumber=slice(5)), power)
    one, other = (power.assign_coords(wavenumber=step * np.arange(12)) for step in (1.0, 1.1))
    assert float(similarity.spectral_wasserstein(one, one)) == 0.0
    with pytest.raises(UserError, match="different wavenumbers"):
        similarity.spectral_wasserstein(one, other)
