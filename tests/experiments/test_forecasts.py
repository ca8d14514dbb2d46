"""Scores of forecasts: fair, of the right size, and the same for every rival."""

import forecasts
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.basin import basin


@pytest.fixture(scope="module")
def ocean():
    return basin(nx=6, ny=8, nz=4)


def ensemble(state, count, std=1.0, seed=0, mean=0.0):
    """States that differ by a number each, in temperature only."""
    shifts = mean + std * np.random.default_rng(seed).standard_normal(count)
    return xr.concat([state.assign(thetao=state.thetao + s) for s in shifts], "sample")


def value(table, metric, variable="thetao", depth="all"):
    rows = table[(table.metric == metric) & (table.variable == variable) & (table.depth == depth)]
    return float(rows.value.iloc[0])


def test_the_score_is_that_of_scoringrules():
    scoringrules = pytest.importorskip("scoringrules", reason="scoringrules is not installed")
    x, y = np.random.default_rng(0).standard_normal((7, 5)), np.linspace(-1, 1, 5)
    expected = scoringrules.crps_ensemble(y, x.T, estimator="fair", backend="numpy")
    np.testing.assert_allclose(forecasts.crps(np.sort(x, 0), y), expected)


def test_a_reliable_forecast_has_spread_over_error_of_one_and_covers_nine_in_ten(ocean):
    """Truth and states are draws of one law: anything else than 1 and 0.9 would be an error of the scores."""
    (state, grid), tables, rng = ocean, [], np.random.default_rng(0)
    for member in range(6):
        noise = rng.standard_normal((20, *state.thetao.shape))
        drawn = state.expand_dims(sample=20)
        drawn = drawn.assign(thetao=drawn.thetao + noise)
        forecast, truth = drawn.isel(sample=slice(1, None)), drawn.isel(sample=[0])
        table = forecasts.score(forecast, truth, grid, metrics=[])
        tables.append(table.assign(rival="r", given="g", split="s", member=member))
    summary = forecasts.summarise(pd.concat(tables))
    assert value(summary, "spread_skill") == pytest.approx(1, abs=0.06)
    assert value(summary, "coverage") == pytest.approx(0.9, abs=0.03)
    assert value(summary, "nominal_coverage") == 0.9


def test_depth_ranges_are_of_their_levels_only(ocean):
    state, grid = ocean
    warm = state.assign(thetao=state.thetao + (grid.gdept_1d > 2000) * 3.0).expand_dims("sample")
    table = forecasts.score(warm, state.expand_dims("sample"), grid, metrics=[])
    assert value(table, "rmse", depth="0-500 m") == 0
    assert value(table, "rmse", depth="below 2000 m") == pytest.approx(3)


def test_scores_of_scalar_metrics_have_the_units_of_check(ocean):
    state, grid = ocean
    table = forecasts.score(
        ensemble(state, 3, std=0.0, mean=2.0),
        state.expand_dims("sample"),
        grid,
        metrics=["thetao_mean", "inversions"],
    )
    assert value(table, "metric_crps", "thetao_mean", "") == pytest.approx(2)
    assert value(table, "forecast_mean", "inversions", "") == 0
    assert "inversions" not in table[table.metric == "metric_crps"].variable.values


def test_a_rival_without_velocities_is_scored_on_what_it_has(ocean):
    state, grid = ocean
    table = forecasts.score(
        state[["thetao", "so", "zos"]].expand_dims("sample"), state.expand_dims("sample"), grid
    )
    assert set(table[table.metric == "crps"].variable) == {"thetao", "so", "zos"}
    assert "channel_transport" not in table.variable.values
    assert value(table, "metric_crps", "sea_volume", "") == 0, "the same, whatever is forecast"
    with pytest.raises(UserError, match="expected variables of the truth"):
        forecasts.score(state[["thetao"]].rename(thetao="votemper"), state, grid)


def test_relative_scores_are_one_for_climatology(ocean):
    state, grid = ocean
    tables = [
        forecasts.score(
            ensemble(state, 5, std), ensemble(state, 2, 0.0), grid, metrics=["thetao_mean", "so_mean"]
        ).assign(rival=rival, given="parameters", split="test", member=0)
        for rival, std in (("climatology", 2.0), ("other", 1.0))
    ]
    summary = forecasts.summarise(pd.concat(tables)).set_index(["rival", "metric"]).value
    assert summary["climatology", "skill_metric_crps"] == pytest.approx(1)
    assert summary["other", "skill_crps"] == pytest.approx(0.5)


def test_a_rival_without_a_score_for_the_hardest_member_gains_nothing_by_it(ocean):
    """On the others it is as good as climatology, and that is what is said of it, and of how many."""
    state, grid = ocean
    truth, tables = state.expand_dims("sample"), []
    for rival, misses in (("climatology", (1.0, 1.0, 9.0)), ("other", (1.0, 1.0))):
        for member, miss in enumerate(misses):
            table = forecasts.score(truth.assign(thetao=truth.thetao + miss), truth, grid, ["thetao_mean"])
            tables.append(table.assign(rival=rival, given="parameters", split="test", member=member))
    summary = forecasts.summarise(pd.concat(tables)).set_index(["rival", "metric"])
    for metric in ("skill_metric_crps", "worst_metric_crps", "skill_crps"):
        assert summary.value["other", metric] == pytest.approx(1)
        assert summary.members["other", metric] == 2
        assert summary.members["climatology", metric] == 3


def test_copies_are_nearer_to_training_members_than_the_truth(ocean):
    state, grid = ocean
    training = ensemble(state, 6)
    truth = ensemble(state, 1, mean=5.0)
    copied = forecasts.novelty(training.isel(sample=[2]), truth, training, grid).set_index("metric").value
    assert copied["nearest_forecast"] == copied["copy_ratio_forecast"] == 0 < copied["nearest_truth"]
    assert copied["copy_ratio_truth"] > 1 / 3


def test_tables_say_what_they_were_made_with(tmp_path):
    path = tmp_path / "new" / "t.csv"
    forecasts.write_table(pd.DataFrame({"a": [1.0]}), path, {"command": "x", "commit": "abc"})
    assert path.read_text().splitlines()[:2] == ["# command: x", "# commit: abc"]
    assert pd.read_csv(path, comment="#").a.item() == 1


def test_a_metric_that_nobody_can_miss_has_no_part_in_a_rivals_share():
    """Where climatology's error is 0 a share says nothing; where only a rival's is, it counts as 0."""
    rows = [
        (rival, "parameters", "test", member, "metric_crps", name, "", "1", score)
        for rival, scores in {"climatology": {"sea_volume": 0.0, "mixed_layer": 4.0}, "ours": {"sea_volume": 0.0}}.items()
        for member in (0, 1)
        for name, score in ({"mixed_layer": 2.0 * member} | scores).items()
    ]  # fmt: skip
    columns = ["rival", "given", "split", "member", "metric", "variable", "depth", "unit", "value"]
    found = forecasts.summarise(pd.DataFrame(rows, columns=columns))
    ours = found[(found.rival == "ours") & (found.metric == "skill_metric_crps")]
    assert ours.value.tolist() == [0.25] and ours.members.tolist() == [2]


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


def test_distances_are_a_metric_and_independent_draws_are_root_two_apart(pool):
    _, grid = pool
    states = draws(grid, 6, 0)
    scale = forecasts.level_spread(draws(grid, 40, 1), grid)
    d = forecasts.distances(states, states, grid, scale).values
    np.testing.assert_allclose(d, d.T)
    np.testing.assert_array_equal(np.diag(d), 0.0)
    assert (d[:, :, None] <= d[:, None, :] + d[None] + 1e-12).all()
    apart = d[~np.eye(6, dtype=bool)].mean()
    assert apart == pytest.approx(np.sqrt(2), rel=0.06)


def test_a_single_state_is_no_ensemble_and_a_level_that_does_not_vary_adds_nothing(pool):
    state, grid = pool
    with pytest.raises(UserError, match="at least 2"):
        forecasts.level_spread(state.expand_dims("sample"), grid)
    members = xr.concat([state.thetao - 1, state.thetao + 1, state.thetao], "sample")
    everywhere = forecasts.level_spread(xr.Dataset({"thetao": members, "so": 0 * members + 35.0}), grid)
    assert (everywhere.so == 1.0).all()
    np.testing.assert_allclose(everywhere.thetao, (2 / 3) ** 0.5, rtol=1e-9)
