"""Verdicts: what the reference expects for the parameters asked for, runs told apart, drift, and what is not judged."""

import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from warmstart.cli import app
from warmstart.errors import UserError
from warmstart.io.files import write_dataset
from warmstart.ocean.basin import basin
from warmstart.scores import judgement, metric_table
from warmstart.scores.expectation import learn
from warmstart.scores.metric_table import COLUMNS
from warmstart.verbs import check as verb

NAMES = ("wind_stress_south", "wind_stress_north")


def member(ocean, south, north, noise=0.0):
    """A state whose temperature follows both winds, and whose channel the southern one."""
    state = ocean.assign(
        thetao=ocean.thetao + 10.0 * south + 5.0 * north + noise, uo=ocean.uo * (5.0 * south)
    )
    return state.assign({"wind_stress_south": south, "wind_stress_north": north})


@pytest.fixture(scope="module")
def reference(ocean, ocean_grid):
    """Twenty members, two states each."""
    draws = np.random.default_rng(3)
    winds = draws.uniform(0.1, 0.4, size=(20, 2))
    states = [member(ocean, s, n, draws.normal() * 0.05) for s, n in winds for _ in range(2)]
    ds = xr.concat(states, "sample", coords="minimal", compat="override")
    ds = ds.assign_coords(member=("sample", np.repeat(np.arange(20), 2)))
    return verb.check(ds, ocean_grid)


def test_a_value_is_judged_by_what_its_parameters_make_expect(ocean, ocean_grid, reference):
    """Inside the range of the ensemble, but of other parameters than the state says."""
    ranges = reference[reference.metric == "throughflow"].value
    good = verb.check(member(ocean, 0.15, 0.3), ocean_grid, reference=reference).set_index("metric")
    assert good.departure.abs()["throughflow"] < 2 and good.verdict["throughflow"] == "PASS"
    assert good.expected["throughflow"] == pytest.approx(good.value["throughflow"], rel=0.02)
    wrong = member(ocean, 0.3, 0.3).assign(wind_stress_south=0.15)
    found = verb.check(wrong, ocean_grid, reference=reference).set_index("metric")
    assert ranges.min() < found.value["throughflow"] < ranges.max()
    assert found.verdict["throughflow"] == "FAIL" and found.departure["throughflow"] > 5
    assert judgement.violations(found)
    assert found.expected["throughflow"] == pytest.approx(good.expected["throughflow"], rel=1e-9)


def test_departure_is_the_difference_in_standard_deviations(ocean, ocean_grid, reference):
    table = verb.check(member(ocean, 0.2, 0.2, noise=0.3), ocean_grid, reference=reference)
    rows = table[table.standard_deviation > 0]
    np.testing.assert_allclose(
        rows.departure, (rows.value - rows.expected) / rows.standard_deviation, rtol=1e-12, atol=1e-12
    )
    warm = table.set_index("metric").loc["thetao_mean"]
    # noise of 0.05 K a state, and the error of the regression
    assert 0.04 < warm.standard_deviation < 0.1 and 3 < warm.departure < 7


def test_members_that_are_left_out_lie_within_their_spread(ocean, ocean_grid, reference):
    draws = np.random.default_rng(8)
    states = [member(ocean, *draws.uniform(0.12, 0.38, 2), draws.normal() * 0.05) for _ in range(20)]
    table = verb.check(xr.concat(states, "sample"), ocean_grid, reference=reference, only=["thetao_mean"])
    assert 0.5 < table.departure.std() < 1.6 and (table.departure.abs() < 5).all()


def test_the_reference_as_file_says_the_same(ocean, ocean_grid, reference, tmp_path):
    state = member(ocean, 0.2, 0.3)
    table = verb.check(state, ocean_grid, reference=reference)
    for name in ("reference.csv", "reference.nc"):
        metric_table.write_metrics(reference, tmp_path / name)
        again = verb.check(state, ocean_grid, reference=tmp_path / name)
        pd.testing.assert_frame_equal(table, again, check_exact=False, rtol=1e-9)


def test_without_parameters_the_spread_of_the_ensemble_counts_and_the_note_says_so(
    ocean, ocean_grid, reference
):
    plain = member(ocean, 0.3, 0.3).drop_vars(NAMES)
    table = verb.check(plain, ocean_grid, reference=reference).set_index("metric")
    assert (
        table.verdict["throughflow"] == "PASS" and "does not say its wind_stress" in table.note["throughflow"]
    )
    bare = reference.copy()
    bare.attrs = {}
    table = verb.check(member(ocean, 0.3, 0.3), ocean_grid, reference=bare).set_index("metric")
    assert "nothing of parameters" in table.note["throughflow"]


def test_beyond_the_reference_nothing_is_worse_than_a_warning(ocean, ocean_grid, reference):
    table = verb.check(member(ocean, 0.2, 0.2).assign(wind_stress_south=0.9), ocean_grid, reference=reference)
    rows = table.set_index("metric")
    assert rows.verdict["throughflow"] == "WARN"
    assert rows.note["throughflow"] == "outside of the reference's wind_stress_south"


def test_few_members_and_one_parameter_set_teach_no_regression(reference):
    for keep in (reference["sample"] < 10, reference["sample"] < 2):
        few = reference[keep].copy()
        count = few["sample"].nunique()
        few.attrs = {
            "parameters": {n: v[:count] for n, v in reference.attrs["parameters"].items()},
            "member": reference.attrs["member"][:count],
        }
        assert learn(few) is None


def test_the_last_line_counts_and_names_the_largest_departure(ocean, ocean_grid, reference):
    wrong = member(ocean, 0.3, 0.3).assign(wind_stress_south=0.15)
    only = ["mask_violations", "throughflow", "channel_transport", "heat_transport_north"]
    table = verb.check(wrong, ocean_grid, reference=reference, only=only)
    said = judgement.conclusion(table)
    assert said.startswith("4 metrics: ") and " 0 not judged; the largest departure: " in said
    assert said.endswith(f"{table.departure.abs().max():+.1f} standard deviations")
    nothing = judgement.conclusion(verb.check(ocean, ocean_grid, only=["heat_content"]))
    assert nothing == "1 metrics: 0 pass, 0 warn, 0 fail, 1 not judged"


def test_where_there_is_no_channel_transport_is_not_judged_and_says_why():
    state, grid = basin(nx=8, ny=16, nz=4, channel=False)
    row = verb.check(state, grid, reference=state, only=["channel_transport"]).iloc[0]
    assert np.isnan(row.value) and row.verdict == "not judged" and "no open channel" in row.note


def test_an_unknown_equation_of_state_is_not_judged(ocean, ocean_grid):
    grid = type(ocean_grid)(ocean_grid.ds.assign_attrs(engine="nemo", configuration="GYRE"))
    only = ["inversions_in_situ", "mixed_layer_mean", "thetao_mean"]
    both = xr.concat([ocean, ocean], "sample")
    found = verb.check(ocean, grid, reference=both, only=only).set_index("metric")
    assert list(found.verdict) == ["not judged", "not judged", "PASS"]
    assert "equation of state unknown" in found.note["inversions_in_situ"]
    said = verb.check(ocean.assign_attrs(equation_of_state="seos"), grid, reference=both, only=only)
    assert set(said.verdict) == {"PASS"}


def test_a_river_breaks_no_rule_of_a_free_surface_and_a_wrong_face_breaks_that_of_a_rigid_lid(
    ocean, ocean_grid
):
    free = type(ocean_grid)(ocean_grid.ds.assign_attrs(engine="nemo", configuration="GYRE"))
    face = np.argwhere(ocean_grid.umask.values > 0)[40]
    wrong = ocean.uo.copy(deep=True)
    area = float(ocean_grid.area[face[1], face[2]])
    wrong[tuple(face)] += 1.6e-5 * area / float((ocean_grid.e3u_0 * ocean_grid.e2u)[tuple(face)])
    state = ocean.assign(uo=wrong)
    only = ["divergence"]
    assert verb.check(state, free, only=only).value[0] == pytest.approx(1.6e-5, rel=0.2)
    assert verb.check(state, free, only=only).verdict[0] == "PASS"
    assert verb.check(state, ocean_grid, only=only).verdict[0] == "FAIL"
    generated = state.assign_attrs(generator="0123")
    assert verb.check(generated, free, only=only).verdict[0] == "FAIL"


def series(ocean, years, kelvin_per_century):
    """States along time whose deep temperature has a trend, and a season."""
    years = np.asarray(years)
    season = 0.5 * np.cos(2 * np.pi * years)
    warm = xr.DataArray(kelvin_per_century / 100 * years + season, dims="time")
    several = ocean.expand_dims(time=len(years))
    return several.assign(thetao=several.thetao + warm).assign_coords(year=("time", years))


@pytest.mark.parametrize(("trend", "verdict"), [(0.13, "WARN"), (0.004, "PASS"), (-0.13, "WARN")])
def test_a_drift_is_judged_by_the_criterion_of_equilibrium(ocean, ocean_grid, trend, verdict):
    table = verb.check(
        series(ocean, np.arange(0, 240, 20.0), trend), ocean_grid, only=["thetao_deep", "drift_thetao_deep"]
    )
    row = table[table.metric == "drift_thetao_deep"]
    assert len(row) == 1 and row.value.item() == pytest.approx(trend, rel=1e-6)
    assert row.verdict.item() == verdict and row.unit.item() == "K century-1"


def test_a_season_is_no_drift(ocean, ocean_grid):
    months = (np.arange(12 * 60) + 0.5) / 12
    table = verb.check(
        series(ocean[["thetao"]], months[:-5], 0.02), ocean_grid, only=["thetao_deep", "drift_thetao_deep"]
    )
    row = table[table.metric == "drift_thetao_deep"]
    assert row.value.item() == pytest.approx(0.02, abs=1e-6)


def test_twelve_months_say_nothing_of_a_drift(ocean, ocean_grid):
    months = (np.arange(12) + 0.5) / 12
    table = verb.check(series(ocean, months, 5.0), ocean_grid)
    row = table[table.metric == "drift_thetao_deep"].iloc[0]
    assert np.isnan(row.value) and row.verdict == "not judged" and "less than 50 years" in row.note


@pytest.fixture(scope="module")
def runs(ocean, ocean_grid, tmp_path_factory):
    """Two runs of another mesh each, as folders that simulate writes."""
    folder = tmp_path_factory.mktemp("runs")
    other_state, other_grid = basin(nx=8, ny=16, nz=4)
    for name, state, grid in (("member_000", ocean, ocean_grid), ("member_001", other_state, other_grid)):
        (folder / name).mkdir()
        write_dataset(folder / name / "states.nc", state.expand_dims("sample"), grid)
    return folder


def test_a_folder_of_runs_gives_each_a_row_of_its_own(runs, ocean, ocean_grid, tmp_path):
    only = ["thetao_mean", "throughflow"]
    table = verb.check(runs, only=only)
    assert list(table.columns) == list(COLUMNS)
    assert list(dict.fromkeys(table.run)) == ["member_000", "member_001"] and len(table) == 4
    alone = verb.check(ocean, ocean_grid, only=only)
    np.testing.assert_allclose(table[table.run == "member_000"].value, alone.value)
    files = verb.check([runs / n / "states.nc" for n in ("member_000", "member_001")], only=only)
    np.testing.assert_array_equal(files.value, table.value)
    assert set(verb.check(runs / "member_001", only=only).run) == {""}
    for name in ("t.csv", "t.nc"):
        metric_table.write_metrics(table, tmp_path / name)
        again = metric_table.read_metrics(tmp_path / name)
        assert (
            again[["run", "sample", "metric", "value"]].values.tolist()
            == table[["run", "sample", "metric", "value"]].values.tolist()
        )
    done = CliRunner().invoke(app, ["check", str(runs), "--only", "thetao_mean"])
    assert done.exit_code == 0 and "1 metrics of 2 runs" in done.output and "member_001" in done.output


def test_states_files_in_one_folder_are_runs_of_their_own(runs, tmp_path):
    for i, name in enumerate(("member_000", "member_001")):
        shutil.copy(runs / name / "states.nc", tmp_path / f"{'ab'[i]}.nc")
    table = verb.check([tmp_path / "a.nc", tmp_path / "b.nc"], only=["thetao_mean"])
    assert list(table.run) == ["a", "b"]
    with pytest.raises(UserError, match="does not exist"):
        verb.check([tmp_path / "a.nc", tmp_path / "c.nc"])


def test_sections_and_boxes_are_metrics(ocean, ocean_grid, runs):
    ends = (20.0, -69.0, 20.0, 69.0)
    box = {"lon": (5.0, 30.0), "lat": (-20.0, 40.0), "depth": (0.0, 1500.0)}
    table = verb.check(ocean, ocean_grid, only=["section_all", "box_warm_thetao", "box_warm_so", "throughflow"],
                       sections={"all": ends}, boxes={"warm": box}).set_index("metric")  # fmt: skip
    assert table.value["section_all"] == pytest.approx(table.value["throughflow"], rel=1e-9)
    inside = (
        (ocean_grid.glamt >= 5)
        & (ocean_grid.glamt < 30)
        & (ocean_grid.gphit >= -20)
        & (ocean_grid.gphit < 40)
    )
    weight = (ocean_grid.volume.where(inside & (ocean_grid.gdept_0 < 1500), 0.0)).values
    by_hand = (np.nan_to_num(ocean.thetao.values) * weight).sum() / weight.sum()
    assert table.value["box_warm_thetao"] == pytest.approx(by_hand, rel=1e-12)
    args = [
        "check",
        str(runs / "member_000"),
        "--only",
        "section_all,box_warm_so",
        "--section",
        "all=20,-69,20,69",
    ]
    done = CliRunner().invoke(app, [*args, "--box", "warm=5,30,-20,40,0,1500"])
    assert done.exit_code == 0, done.output
    assert "section_all" in done.output and "box_warm_so" in done.output
    with pytest.raises(UserError, match="4 numbers"):
        CliRunner().invoke(app, [*args, "--section", "drake=1,2"], catch_exceptions=False)


def test_tables_of_former_versions_are_read(ocean, ocean_grid, tmp_path):
    table = verb.check(ocean, ocean_grid, only=["thetao_mean", "inversions"])
    former = table.drop(columns=["run", "expected", "standard_deviation", "departure", "note"])
    former["verdict"] = former["verdict"].replace("not judged", "-")
    path = tmp_path / "old.csv"
    path.write_text("# rows: 2\n# skipped: {}\n" + former.to_csv(index=False))
    read = metric_table.read_metrics(path)
    assert list(read.columns) == list(COLUMNS) and list(read.verdict) == ["not judged", "PASS"]
    assert read.value.tolist() == table.value.tolist() and read.expected.isna().all()


def test_a_reference_without_a_row_has_no_range():
    assert judgement.Against(pd.DataFrame({"metric": [], "value": []}, dtype=object), None).ranges == {}
