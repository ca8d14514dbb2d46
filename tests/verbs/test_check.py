"""check: laws that every metric obeys, verdicts, and the CSV that goes round."""

import logging
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from nemo_plain import NEMO, needs_nemo
from warmstart.errors import UserError
from warmstart.io.files import write_dataset
from warmstart.ocean.basin import basin, finish
from warmstart.ocean.grid import Grid
from warmstart.physics import balance
from warmstart.scores import judgement, measurement, metric_table, metrics
from warmstart.scores import thresholds as rulebook
from warmstart.verbs import check as verb

#: Metrics that need no reference to be judged.
ABSOLUTE = {
    "mask_violations",
    "missing_values",
    "values_on_land",
    "out_of_bounds",
    "flow_through_walls",
    "divergence",
}


@pytest.fixture(scope="module")
def ensemble(ocean, ocean_grid):
    """Five oceans that differ in heat, salt and strength of the flow; with all that a metric may ask for."""
    bolus = finish(xr.Dataset({"vo": -0.2 * ocean.vo}), ocean_grid).vo
    ocean = ocean.assign(wo=balance.vertical_velocity(ocean, ocean_grid), vo_bolus=bolus)
    members = [
        finish(ocean.assign(thetao=ocean.thetao + 0.1 * i, so=ocean.so + 0.01 * i, uo=ocean.uo * (1 + 0.02 * i),
                            vo=ocean.vo * (1 + 0.02 * i)), ocean_grid)
        for i in range(5)
    ]  # fmt: skip
    return xr.concat(members, "sample")


@pytest.fixture(scope="module")
def values(ensemble, ocean_grid):
    return wide(verb.check(ensemble, ocean_grid))


def wide(table):
    return table.pivot(index="metric", columns="sample", values="value")


def broken(state, variable, index, value):
    da = state[variable].copy(deep=True)
    da[index] = value
    return state.assign({variable: da})


# ---------------------------------------------------------------- laws of all metrics


def test_every_metric_is_computed_for_every_sample_with_unit_description_and_docstring(ensemble, ocean_grid):
    table = verb.check(ensemble, ocean_grid)
    assert list(table.columns) == list(metric_table.COLUMNS)
    assert len(table) == 5 * len(metrics.METRICS) and set(table.metric) == set(metrics.METRICS)
    assert table.value.notna().all()
    assert (table.unit.str.len() > 0).all() and (table.description.str.len() > 5).all()
    for metric in metrics.METRICS.values():
        assert getattr(metric.function, "func", metric.function).__doc__


def test_a_sample_has_the_same_metrics_alone_in_reverse_order_and_in_batches(
    ensemble, values, ocean_grid, monkeypatch
):
    alone = wide(verb.check(ensemble.isel(sample=3), ocean_grid))
    pd.testing.assert_series_equal(alone[0].loc[values.index], values[3], check_names=False, rtol=1e-13)
    turned = wide(verb.check(ensemble.isel(sample=[4, 3, 2, 1, 0]), ocean_grid))
    np.testing.assert_array_equal(turned[[4, 3, 2, 1, 0]].to_numpy(), values.to_numpy())
    monkeypatch.setattr(measurement, "BATCH", 1)
    np.testing.assert_allclose(wide(verb.check(ensemble, ocean_grid)), values, rtol=1e-13)


def test_metrics_do_not_depend_on_what_dimension_the_states_lie_along(ensemble, values, ocean_grid):
    np.testing.assert_array_equal(wide(verb.check(ensemble.rename(sample="time"), ocean_grid)), values)
    both = xr.concat([ensemble, ensemble], "time")
    np.testing.assert_allclose(wide(verb.check(both, ocean_grid)), np.tile(values, 2), rtol=1e-13)


def test_metrics_do_not_depend_on_how_lazy_arrays_are_chunked(ensemble, values, ocean_grid):
    dask = pytest.importorskip("dask", reason="dask is not installed")
    lazy = ensemble.isel(sample=slice(2)).chunk({"sample": 1, "z": 3, "y": 13})
    found = {name: metric.function(lazy, ocean_grid) for name, metric in metrics.METRICS.items()}
    assert all(da.chunks is not None for da in found.values()), "a metric computed its lazy input"
    (computed,) = dask.compute(found, scheduler="synchronous")
    for name, da in computed.items():
        np.testing.assert_allclose(da.values, values.loc[name, :1], rtol=1e-11, atol=1e-12)


def test_metrics_do_not_depend_on_what_land_is_called(ensemble, values, ocean_grid):
    zero = ensemble.fillna(0.0)
    np.testing.assert_array_equal(wide(verb.check(zero, ocean_grid)), values)


def test_metrics_do_not_change_when_rows_of_land_are_added(ensemble, values, ocean_grid):
    mesh = ocean_grid.ds.pad(y=(1, 2), mode="edge")
    for mask in ("tmask", "umask", "vmask", "fmask"):
        mesh[mask] = ocean_grid.ds[mask].pad(y=(1, 2), constant_values=0)
    padded = ensemble.pad(y=(1, 2))
    np.testing.assert_allclose(wide(verb.check(padded, Grid(mesh))), values, rtol=1e-12, atol=1e-12)


def test_metrics_are_numbers_in_double_precision_for_states_in_single(ensemble, values, ocean_grid):
    single = wide(verb.check(ensemble.astype("float32"), ocean_grid, only=["heat_content", "throughflow"]))
    np.testing.assert_allclose(single, values.loc[single.index], rtol=1e-6)
    assert (single.loc["throughflow"] != values.loc["throughflow"]).any()


# ---------------------------------------------------------------- verdicts


def test_a_good_state_passes_without_reference_and_what_has_nothing_to_compare_with_says_so(
    ocean, ocean_grid
):
    table = verb.check(ocean, ocean_grid).set_index("metric")
    assert not judgement.violations(table)
    assert (table.verdict[list(ABSOLUTE)] == "PASS").all()
    assert table.verdict["heat_content"] == "not judged"


@pytest.mark.parametrize("metric", ["missing_values", "mask_violations"])
def test_one_missing_value_in_the_sea_fails(ocean, ocean_grid, metric):
    wet = tuple(np.argwhere(ocean_grid.tmask.values > 0)[7])
    table = verb.check(broken(ocean, "so", wet, np.nan), ocean_grid).set_index("metric")
    assert table.verdict[metric] == "FAIL" and judgement.violations(table)
    assert np.isnan(table.value["salt_content"])


def test_one_open_wall_fails(ocean, ocean_grid):
    wall = tuple(np.argwhere(ocean_grid.umask.values == 0)[-1])
    table = verb.check(broken(ocean, "uo", wall, 0.1), ocean_grid).set_index("metric")
    assert table.verdict["flow_through_walls"] == "FAIL" and table.verdict["values_on_land"] == "FAIL"


def test_a_value_out_of_bounds_and_a_divergent_flow_fail(ocean, ocean_grid):
    wet = tuple(np.argwhere(ocean_grid.tmask.values > 0)[7])
    assert judgement.violations(
        verb.check(broken(ocean, "thetao", wet, 55.0), ocean_grid, only=["out_of_bounds"])
    )
    face = tuple(np.argwhere(ocean_grid.umask.values > 0)[100])
    assert judgement.violations(verb.check(broken(ocean, "uo", face, 0.5), ocean_grid, only=["divergence"]))


def test_more_inversions_than_the_reference_fail_and_fewer_do_not(ocean, ocean_grid):
    def turbulent(share):
        rough = ocean.thetao * 0 + np.random.default_rng(0).normal(size=ocean.thetao.shape) * share
        return ocean.assign(thetao=ocean.thetao + rough)

    calm, wild = turbulent(0.2), turbulent(2.0)
    only = ["inversions", "inversions_volume"]
    assert (
        0
        < verb.check(calm, ocean_grid, only=only).value[0]
        < verb.check(wild, ocean_grid, only=only).value[0]
    )
    several = xr.concat([calm, turbulent(0.25), ocean], "sample")
    table = verb.check(wild, ocean_grid, reference=several, only=only).set_index("metric")
    assert table.verdict["inversions"] == "FAIL" and table.verdict["inversions_volume"] == "WARN"
    rough = xr.concat([wild, turbulent(1.5)], "sample")
    assert set(verb.check(calm, ocean_grid, reference=rough, only=only).verdict) == {"PASS"}
    assert set(verb.check(ocean, ocean_grid, reference=ocean, only=only).verdict) == {"PASS"}


def test_the_members_of_the_reference_pass_against_themselves(ensemble, ocean_grid):
    table = verb.check(ensemble, ocean_grid, reference=ensemble)
    assert set(table.verdict) == {"PASS"}
    one = ensemble.isel(sample=2)
    alone = verb.check(one, ocean_grid, reference=one)
    assert set(alone.verdict) == {"PASS", "not judged"}
    unjudged = alone[alone.verdict == "not judged"]
    assert "heat_content" in set(unjudged.metric) and unjudged.note.str.contains("one state").any()


def test_outside_the_reference_is_a_warning_unless_the_rules_call_it_hard(ensemble, ocean_grid):
    hot = ensemble.isel(sample=4).assign(thetao=ensemble.thetao.isel(sample=4) + 0.5)
    table = verb.check(hot, ocean_grid, reference=ensemble, only=["thetao_mean", "so_mean"])
    assert list(table.verdict) == ["WARN", "PASS"] and not judgement.violations(table)
    rules = {"metrics": {"thetao_mean": {"hard": True}}}
    assert judgement.violations(verb.check(hot, ocean_grid, reference=ensemble, thresholds=rules))
    wide_enough = {"widen": 5.0}
    assert set(
        verb.check(
            hot, ocean_grid, reference=ensemble, thresholds=wide_enough, only=["thetao_mean", "so_mean"]
        ).verdict
    ) <= {
        "PASS",
        "not judged",
    }


def test_budgets_beyond_the_references_own_range_on_either_side_break_a_hard_rule(ensemble, ocean_grid):
    only = ["heat_content", "salt_content", "sea_volume"]
    for change, expected in (
        ({"thetao": 0.3}, ["PASS"] * 3),
        ({"thetao": 0.5}, ["FAIL", "PASS", "PASS"]),
        ({"so": -0.2}, ["PASS", "FAIL", "PASS"]),
        ({"zos": 0.01}, ["PASS", "PASS", "FAIL"]),
    ):
        state = ensemble.isel(sample=4).assign({n: ensemble[n].isel(sample=4) + d for n, d in change.items()})
        table = verb.check(state, ocean_grid, reference=ensemble, only=only)
        assert list(table.verdict) == expected, change
        assert judgement.violations(table) == ("FAIL" in expected)


def test_limits_are_the_extremes_of_the_reference_widened_by_the_fraction(ensemble, values, ocean_grid):
    table = verb.check(
        ensemble, ocean_grid, reference=ensemble, only=["thetao_mean"], thresholds={"widen": 0.25}
    )
    low, high = values.loc["thetao_mean"].min(), values.loc["thetao_mean"].max()
    assert table.reference_low[0] == pytest.approx(low - 0.25 * (high - low))
    assert table.reference_high[0] == pytest.approx(high + 0.25 * (high - low))


def test_only_training_members_in_equilibrium_say_what_is_normal(ensemble, ocean_grid, tmp_path):
    labels = {
        "split": ["train", "train", "test", "train", "validation"],
        "phase": ["equilibrium"] * 3 + ["transient", "equilibrium"],
    }
    labels = {
        name: ("sample", np.array(values, dtype=np.dtypes.StringDType())) for name, values in labels.items()
    }
    store = ensemble.assign_coords(labels)
    path = tmp_path / "states.zarr"
    store.to_zarr(path, consolidated=False)
    ocean_grid.ds.to_zarr(path, group="grid", mode="a", consolidated=False)
    only = ["thetao_mean"]
    found = verb.check(path, reference=path, only=only, thresholds={"widen": 0.0})
    assert list(found.verdict) == ["PASS", "PASS", "WARN", "WARN", "WARN"]
    nothing = ensemble.assign_coords(phase=("sample", ["transient"] * 5))
    with pytest.raises(UserError, match="no equilibrium snapshot"):
        verb.check(ensemble, ocean_grid, reference=nothing, only=only)


def test_metrics_that_lack_variables_are_listed_and_have_no_rows(ocean, ocean_grid, caplog):
    with caplog.at_level(logging.WARNING, logger="warmstart"):
        table = verb.check(ocean[["thetao", "so"]], ocean_grid)
    assert table.attrs["skipped"]["throughflow"] == "needs uo"
    assert table.attrs["skipped"]["divergence"] == "needs uo, vo"
    assert not set(table.metric) & set(table.attrs["skipped"])
    assert set(table.metric) | set(table.attrs["skipped"]) == set(metrics.METRICS)
    assert "throughflow (needs uo)" in caplog.text


def test_the_summary_has_one_row_a_metric_with_the_worst_verdict(ensemble, ocean_grid):
    table = verb.check(
        ensemble, ocean_grid, reference=ensemble.isel(sample=slice(0, 3)), thresholds={"widen": 0.0}
    )
    rows = judgement.summary(table).set_index("metric")
    assert list(rows.index) == list(metrics.METRICS)
    heat = table[table.metric == "thetao_mean"]
    assert rows.loc["thetao_mean", "verdict"] == "WARN" and set(heat.verdict) == {"PASS", "WARN"}
    assert rows.loc["thetao_mean", "max"] == heat.value.max()
    assert rows.loc["thetao_mean", "mean"] == pytest.approx(heat.value.mean())


# ---------------------------------------------------------------- files


def test_the_csv_goes_round_bit_for_bit_with_its_provenance(ensemble, ocean_grid, tmp_path):
    path = tmp_path / "metrics.csv"
    table = verb.check(ensemble, ocean_grid, reference=ensemble, output=path)
    back = metric_table.read_metrics(path)
    pd.testing.assert_frame_equal(back, table, check_exact=True)
    assert back.attrs == table.attrs and back.attrs["grid"] == ocean_grid.fingerprint
    plain = pd.read_csv(path, comment="#")
    assert len(plain) == len(table)


def test_a_single_metric_without_reference_goes_round_too(ocean, ocean_grid, tmp_path):
    path = tmp_path / "metrics.csv"
    table = verb.check(ocean, ocean_grid, only=["inversions"], output=path)
    pd.testing.assert_frame_equal(metric_table.read_metrics(path), table)


def test_metrics_written_earlier_are_as_good_a_reference_as_the_states(ensemble, ocean_grid, tmp_path):
    path = tmp_path / "reference.csv"
    verb.check(ensemble, ocean_grid, output=path)
    hot = ensemble + 0.03
    pd.testing.assert_frame_equal(
        verb.check(hot, ocean_grid, reference=path), verb.check(hot, ocean_grid, reference=ensemble)
    )


def test_states_files_carry_their_grid_and_another_grid_is_refused(ocean, ocean_grid, tmp_path):
    path = write_dataset(tmp_path / "states.nc", ocean, ocean_grid)
    other_state, other = basin(nx=10, ny=24, nz=5)  # the same shape, without partial cells
    foreign = write_dataset(tmp_path / "foreign.nc", other_state, other)
    csv = tmp_path / "foreign.csv"
    verb.check(foreign, only=["heat_content"], output=csv)
    only = ["heat_content"]
    assert len(verb.check(path, only=only)) == 1
    for kwargs in ({"reference": foreign}, {"reference": csv}, {"grid": other}, {"grid": foreign}):
        with pytest.raises(UserError, match="another grid"):
            verb.check(path, only=only, **kwargs)
    with pytest.raises(UserError, match="of one grid"):
        verb.check(ocean.isel(y=slice(1, None)), ocean_grid, only=only)


def test_an_existing_output_is_refused_and_left_alone(ocean, ocean_grid, tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("mine")
    with pytest.raises(UserError, match="exists"):
        verb.check(ocean, ocean_grid, output=path)
    assert path.read_text() == "mine"
    with pytest.raises(UserError, match="may be yours"):
        verb.check(ocean, ocean_grid, output=path, only=["inversions"], overwrite=True)
    assert path.read_text() == "mine"
    path.unlink()
    for _ in range(2):
        verb.check(ocean, ocean_grid, output=path, only=["inversions"], overwrite=True)
    assert len(metric_table.read_metrics(path)) == 1


def test_missing_truncated_and_foreign_files_are_named_in_one_clear_error(ocean, ocean_grid, tmp_path):
    whole = write_dataset(tmp_path / "states.nc", ocean, ocean_grid)
    cut = tmp_path / "cut.nc"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    text = tmp_path / "text.csv"
    text.write_text("a,b\n1,2\n")
    short = tmp_path / "short.csv"
    verb.check(ocean, ocean_grid, output=short)
    short.write_text("\n".join(short.read_text().splitlines()[:-3]) + "\n")
    for kwargs, message in (
        ({"states": tmp_path / "none.nc"}, "none.nc does not exist"),
        ({"states": cut}, "truncated"),
        ({"states": whole, "reference": tmp_path / "none.zarr"}, "none.zarr does not exist"),
        ({"states": whole, "reference": text}, "text.csv is no"),
        ({"states": whole, "reference": short}, "no whole metrics CSV"),
        ({"states": ocean}, "hand over grid"),
        ({"states": ocean_grid.ds, "grid": ocean_grid}, "holds no state"),
    ):
        with pytest.raises(UserError, match=message):
            verb.check(**kwargs, output=tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_units_that_are_not_the_tables_are_refused_and_other_spellings_are_not(ocean, ocean_grid):
    for units in ("K", "degF"):
        with pytest.raises(UserError, match=f"thetao is in {units}; expected degC"):
            verb.check(ocean.assign(thetao=ocean.thetao.assign_attrs(units=units)), ocean_grid)
    assert (
        len(verb.check(ocean.assign(so=ocean.so.assign_attrs(units="g/kg")), ocean_grid, only=["so_mean"]))
        == 1
    )


@pytest.mark.parametrize(
    ("name", "factor", "offset", "message"),
    [
        ("thetao", 1.8, 32.0, "looks like K or degF"),
        ("thetao", 1.0, 273.15, "looks like K or degF"),
        ("so", 1e-3, 0.0, "looks like kg/kg"),
    ],
)
def test_values_of_another_unit_under_the_right_label_are_refused(
    ocean, ocean_grid, name, factor, offset, message
):
    warm = ocean.assign(thetao=ocean.thetao + 3.0)  # of an ocean with an ordinary mean
    wrong = warm.assign({name: (warm[name] * factor + offset).assign_attrs(warm[name].attrs)})
    with pytest.raises(UserError, match=message) as raised:
        verb.check(wrong, ocean_grid, only=["heat_content"])
    assert "\n" not in str(raised.value)


def test_a_hole_in_the_sea_is_named_in_one_line(ocean, ocean_grid, caplog):
    wet = tuple(np.argwhere(ocean_grid.tmask.values > 0)[7])
    with caplog.at_level(logging.WARNING, logger="warmstart"):
        verb.check(broken(ocean, "so", wet, np.nan), ocean_grid, only=["missing_values"])
    assert caplog.messages == [
        f"so holds no finite value at 1 wet points, the first in state 0 at z={wet[0]}, y={wet[1]}, x={wet[2]}"
    ]


def test_asking_only_for_what_the_states_lack_is_an_error(ocean, ocean_grid):
    with pytest.raises(UserError, match="name a metric"):
        verb.check(ocean, ocean_grid, only=[])
    with pytest.raises(UserError, match="lacks what is asked for: throughflow needs uo"):
        verb.check(ocean[["thetao"]], ocean_grid, only=["throughflow"])


def test_kg_per_kg_is_refused_by_its_label(ocean, ocean_grid):
    with pytest.raises(UserError, match="so is in kg/kg; expected 1e-3"):
        verb.check(ocean.assign(so=(ocean.so / 1000).assign_attrs(units="kg/kg")), ocean_grid)


def test_variables_at_different_times_are_refused_in_one_line(ensemble, ocean_grid):
    flow = ensemble[["uo"]].isel(sample=slice(3)).rename(sample="time_u")
    mixed = ensemble[["thetao", "so"]].merge(flow)
    with pytest.raises(
        UserError, match=r"time axes differ: thetao \(sample: 5\).*uo \(time_u: 3\)"
    ) as raised:
        verb.check(mixed, ocean_grid)
    assert "\n" not in str(raised.value)


def test_netcdf_holds_the_same_table_and_is_as_good_a_reference(ensemble, ocean_grid, tmp_path):
    path = tmp_path / "metrics.nc"
    table = verb.check(ensemble, ocean_grid, reference=ensemble, output=path)
    back = metric_table.read_metrics(path)
    pd.testing.assert_frame_equal(back, table, check_exact=True)
    assert back.attrs["grid"] == table.attrs["grid"] and back.attrs["skipped"] == table.attrs["skipped"]
    with xr.open_dataset(path) as ds:
        assert dict(ds.sizes) == {"sample": 5, "metric": len(metrics.METRICS)}
        assert (
            float(ds.value.sel(sample=2, metric="throughflow"))
            == table.value[(table["sample"] == 2) & (table.metric == "throughflow")].item()
        )
    again = verb.check(ensemble, ocean_grid, reference=path)
    pd.testing.assert_frame_equal(again, table)


def test_metrics_of_what_engines_seldom_write_are_left_out_without_a_word(ocean, ocean_grid, caplog):
    with caplog.at_level(logging.WARNING, logger="warmstart"):
        table = verb.check(ocean, ocean_grid)
    assert table.attrs["skipped"]["continuity_residual"] == "needs wo" and not caplog.text


def test_published_metrics_stand_beside_the_corrected_ones_under_names_that_say_so(ocean, ocean_grid):
    assert not set(metrics.PUBLISHED) & set(metrics.METRICS)
    assert all(n.startswith(("nemo_spinup_evaluation_", "dino_fusion_")) for n in metrics.PUBLISHED)
    both = verb.check(
        ocean, ocean_grid, only=["temperature_500m_30NS", "nemo_spinup_evaluation_temperature_500m_30NS"]
    )
    assert len(both) == 2 and both.value[0] != both.value[1]
    table = verb.check(ocean, ocean_grid, published=True)
    assert set(table.metric) | set(table.attrs["skipped"]) == set(metrics.PUBLISHED)


def test_misspelt_metrics_and_keys_are_refused_with_a_hint(ocean, ocean_grid, tmp_path):
    with pytest.raises(UserError, match="did you mean inversions"):
        verb.check(ocean, ocean_grid, only=["inversion"])
    path = tmp_path / "rules.yaml"
    for content, message in (
        ({"metrics": {"heat_contents": {"hard": True}}}, "did you mean heat_content"),
        ({"metrics": {"heat_content": {"hardd": True}}}, "hardd"),
        ({"widen": 0.1, "wide": 1}, "wide"),
        ({"widen": -1.0}, "widen"),
    ):
        path.write_text(yaml.safe_dump(content))
        with pytest.raises(UserError, match=message):
            verb.check(ocean, ocean_grid, thresholds=path)


def test_the_shipped_rules_can_be_copied_changed_and_given_back(ensemble, ocean_grid, tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(rulebook.DEFAULT.read_text())
    same = verb.check(ensemble, ocean_grid, reference=ensemble, thresholds=path)
    pd.testing.assert_frame_equal(same, verb.check(ensemble, ocean_grid, reference=ensemble))


def test_check_loads_neither_torch_nor_jax():
    code = "import sys, warmstart.verbs.check; print({'torch', 'jax', 'dask.array'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# ---------------------------------------------------------------- what a stranger hands in


def test_functions_of_a_metric_refuse_what_is_missing_mislabelled_or_of_another_grid(ocean, ocean_grid):
    """Whoever calls a metric without check gets the same clear line."""
    fahrenheit = ocean.assign(thetao=(ocean.thetao * 1.8 + 32.0).assign_attrs(units="degF"))
    for state, message in (
        (fahrenheit, "thetao is in degF; expected degC"),
        (ocean.drop_vars("thetao"), "the state holds no thetao"),
        (ocean.isel(x=slice(2)), "give states and mesh of one grid"),
    ):
        for metric in (
            m for m in metrics.METRICS.values() if "thetao" in m.needs and "vo_bolus" not in m.needs
        ):
            with pytest.raises(UserError, match=message) as raised:
                metric.function(state, ocean_grid)
            assert "\n" not in str(raised.value)


def test_attributes_left_over_from_arithmetic_stop_no_metric_but_a_file_with_them_is_refused(
    ocean, ocean_grid
):
    """xarray keeps the attributes of the field that another was made of."""
    still = ocean.assign(uo=xr.zeros_like(ocean.thetao), vo=xr.zeros_like(ocean.thetao))
    assert still.uo.attrs["units"] == "degC"
    assert float(balance.kinetic_energy(still, ocean_grid)) == 0.0
    with pytest.raises(UserError, match="uo is in degC; expected m s-1"):
        verb.check(still, ocean_grid)


def test_positions_along_the_axes_never_shift_states_against_their_mesh(ensemble, values, ocean_grid):
    """xarray would keep only the columns that both call the same."""
    x = np.arange(ensemble.sizes["x"], dtype=float)
    placed = ensemble.isel(sample=3).assign_coords(x=x + 0.5, z=ocean_grid.gdept_1d.values)
    mesh = Grid(ocean_grid.ds.assign_coords(x=x, z=np.arange(ensemble.sizes["z"])))
    for name, metric in metrics.METRICS.items():
        assert float(metric.function(placed, mesh)) == pytest.approx(values[3][name], rel=1e-12, abs=1e-14)


def test_a_metric_that_the_grid_is_too_small_for_is_empty_and_stops_no_other():
    table = verb.check(*basin(nx=4, ny=5, nz=3)).set_index("metric")
    assert np.isnan(table.value["small_scale_zos"]) and table.value["heat_content"] > 0


def test_a_metric_that_fails_is_left_out_with_its_reason_unless_asked_for(
    ocean, ocean_grid, monkeypatch, caplog
):
    def picky(state, grid):
        raise UserError("not on this grid")

    monkeypatch.setitem(metrics.METRICS, "picky", metrics.Metric(picky))
    monkeypatch.setitem(metrics.ALL, "picky", metrics.Metric(picky))
    with caplog.at_level(logging.WARNING, logger="warmstart"):
        table = verb.check(ocean, ocean_grid)
    assert table.attrs["skipped"]["picky"] == "not on this grid" and "picky (not on this grid)" in caplog.text
    assert len(table) > 40 and "picky" not in set(table.metric)
    with pytest.raises(UserError, match="not on this grid"):
        verb.check(ocean, ocean_grid, only=["picky"])


def test_a_cold_ocean_in_fahrenheit_is_refused_although_its_median_could_be_celsius(ocean, ocean_grid):
    cold = ocean.assign(thetao=ocean.thetao * 0.1 - 1.0)
    wrong = cold.assign(thetao=(cold.thetao * 1.8 + 32.0).assign_attrs(cold.thetao.attrs))
    assert 26 < float(wrong.thetao.median()) < 34
    with pytest.raises(UserError, match=r"hardly any of the sea is below .* looks like K or degF"):
        verb.check(wrong, ocean_grid)
    assert len(verb.check(cold, ocean_grid, only=["thetao_mean"])) == 1


def test_a_reference_of_one_state_is_said_to_have_no_range(ocean, ocean_grid, caplog):
    with caplog.at_level(logging.WARNING, logger="warmstart"):
        verb.check(ocean, ocean_grid, reference=ocean, only=["thetao_mean"])
    assert "is one state" in caplog.text


def test_a_hole_in_a_later_state_is_named_too(ensemble, ocean_grid, caplog):
    wet = tuple(np.argwhere(ocean_grid.umask.values > 0)[3])
    with caplog.at_level(logging.WARNING, logger="warmstart"):
        table = verb.check(broken(ensemble, "uo", (4, *wet), np.inf), ocean_grid, only=["missing_values"])
    assert "uo holds no finite value at 1 wet points, the first in state 4" in caplog.text
    assert list(table.verdict) == ["PASS"] * 4 + ["FAIL"]


def test_what_cannot_be_written_is_said_before_anything_is_computed(ocean, ocean_grid, tmp_path, monkeypatch):
    (tmp_path / "m_summary.csv").write_text("mine")
    monkeypatch.setattr(verb, "_read", lambda *_: pytest.fail("computed first"))
    with pytest.raises(UserError, match=r"the folder .*none does not exist"):
        verb.check(ocean, ocean_grid, output=tmp_path / "none" / "m.csv")
    with pytest.raises(UserError, match=r"m_summary.csv exists"):
        verb.check(ocean, ocean_grid, reference=ocean, published=True, output=tmp_path / "m.csv")
    assert not (tmp_path / "m.csv").exists()


def test_rows_that_are_no_latitudes_are_mentioned(ocean, ocean_grid, caplog):
    turned = ocean_grid.ds.copy()
    turned["gphit"] = turned.gphit + 3.0 * xr.DataArray(np.arange(turned.sizes["x"]), dims="x")
    with caplog.at_level(logging.WARNING, logger="warmstart"):
        verb.check(ocean, Grid(turned), only=["thetao_mean"])
    assert "no circles of latitude" in caplog.text


def test_files_with_text_of_variable_length_can_be_read_again_and_again(ensemble, ocean_grid, tmp_path):
    """xarray writes labels so; HDF5 crashes where such a file is opened twice."""
    code = """
import sys, warmstart as ws
a, b = sys.argv[1:]
for path in (a, b, a, b):
    states = ws.open_state(path)
    ws.open_grid(path), states.phase.values
    ws.check(path, reference=b, only=["thetao_mean"])
    ws.check(path, reference=b, only=["thetao_mean"], published=True)
print("whole")
"""
    paths = [tmp_path / "a.nc", tmp_path / "b.nc"]
    for path in paths:
        states = ensemble.assign_coords(phase=("sample", np.array(["equilibrium"] * 5, dtype=object)))
        states.to_netcdf(path)
        ocean_grid.ds.to_netcdf(path, mode="a", group="grid")
    done = subprocess.run([sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True)
    assert done.stdout.strip() == "whole", done.stderr[-500:]


def test_published_rows_are_the_times_that_states_and_reference_share(ensemble, ocean_grid, tmp_path):
    times = xr.date_range("2001-01-15", periods=5, freq="30D")
    states = ensemble.rename(sample="time").assign_coords(time=times)
    shifted = states.isel(time=slice(2, None)) + 0.0
    verb.check(states, ocean_grid, reference=shifted, published=True, output=tmp_path / "m.csv")
    frame = pd.read_csv(tmp_path / "m.csv", comment="#")
    assert frame.timestamp.str[:10].tolist() == [str(t)[:10] for t in times[2:]]
    assert (frame.diff_temperature_BWbox_metric == 0).all()
    verb.check(states, ocean_grid, published=True, output=tmp_path / "r.nc")
    verb.check(
        states, ocean_grid, reference=tmp_path / "r.nc", published=True, output=tmp_path / "n.csv"
    )  # metrics of an earlier call
    assert (pd.read_csv(tmp_path / "n.csv", comment="#").diff_ACC_Drake_metric == 0).all()
    with pytest.raises(UserError, match="time axes differ: 5 states but 2"):
        verb.check(
            states, ocean_grid, reference=states.isel(time=slice(2)).drop_vars("time"),
            published=True, output=tmp_path / "o.csv",
        )  # fmt: skip


def test_the_land_of_another_mesh_in_the_sea_is_a_missing_value(ocean, ocean_grid, caplog):
    """NEMO writes 0 on land: a mask that is one row off leaves no hole behind."""
    shifted = ocean.fillna(0.0).roll(y=1)
    with caplog.at_level(logging.WARNING, logger="warmstart"):
        table = verb.check(shifted, ocean_grid, only=["missing_values"])
    saltless = int(((shifted.so == 0) & (ocean_grid.tmask > 0)).sum())
    assert saltless > 0 and table.value[0] == saltless and table.verdict[0] == "FAIL"
    assert "is the mesh that of the same run?" in caplog.text


@needs_nemo
def test_a_restart_on_the_mesh_of_another_version_fails(tmp_path, caplog):
    restart = tmp_path / "restart.nc"  # away from its own mesh
    restart.write_bytes((NEMO / "v42_4deg_leapfrog" / "DINO_00005760_restart.nc").read_bytes())
    with caplog.at_level(logging.WARNING, logger="warmstart"):
        table = verb.check(restart, NEMO / "v50_4deg_rk3" / "mesh_mask.nc", only=["mask_violations"])
    assert judgement.violations(table) and "is the mesh that of the same run?" in caplog.text


def test_foreign_names_of_dimensions_empty_axes_and_folders_are_one_line(ocean, ocean_grid, tmp_path):
    for states, message in (
        (ocean.rename(z="depth"), "thetao has the dimensions depth, y, x; expected"),
        (ocean.expand_dims(time=3).isel(time=[]), "time has length 0"),
        (tmp_path, "holds no run: expected states.nc"),
    ):
        with pytest.raises(UserError, match=message) as raised:
            verb.check(states, ocean_grid, only=["inversions"])
        assert "\n" not in str(raised.value)
    rules = tmp_path / "rules.yaml"
    rules.write_text("metrics: {inversions: [1")
    with pytest.raises(UserError, match="not valid YAML") as raised:
        verb.check(ocean, ocean_grid, thresholds=rules)
    assert "\n" not in str(raised.value)


def test_a_mesh_may_be_a_dataset(ocean, ocean_grid):
    assert len(verb.check(ocean, ocean_grid.ds, only=["inversions"])) == 1


def test_a_file_that_is_not_there_is_named():
    for states in ("no-such-file.nc", ["no-such-file.nc"]):
        with pytest.raises(UserError, match=r"no-such-file\.nc does not exist; give an existing NetCDF file"):
            verb.check(states)
