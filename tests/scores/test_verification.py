"""What a verification says of runs: numbers where there are any, reasons where there are none."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from warmstart.equilibrium import adjustment, distance
from warmstart.errors import UserError
from warmstart.io import files
from warmstart.ocean.basin import basin
from warmstart.scores.verification import (
    COLUMNS,
    CONTROL_YEARS,
    LEVELS,
    Target,
    compare,
    overview,
    remarks,
    settled,
    summarise,
    target_of,
)

STATE, GRID = basin(nx=6, ny=8, nz=4)
ONE = xr.Dataset({name: xr.ones_like(GRID.gdept_1d) for name in distance.TRACERS})
YEARS = np.arange(11.0)
WAY = (np.array([10.0, 100.0]), np.array([3.0, 1.5]))
TARGET = Target(STATE[list(distance.TRACERS)], ONE, "test spread", np.array([0.1, 0.2]), WAY)
NO_WAY = Target(
    STATE[list(distance.TRACERS)], ONE, "test spread", np.array([0.1, 0.2]), (np.zeros(0), np.zeros(0))
)
UNITS = {"thetao_deep": "degC", "thetao_mean": "degC", "channel_transport": "Sv"}
FINISHED = {"state": "finished", "wall_seconds": 3.0}
BLOWN = {"state": "failed", "blow_ups": [{"year": 0.5}, {"year": 0.25}], "wall_seconds": 1.0}


def run(folder, offset, rate=0.0, years=YEARS):
    """Files of a run whose distance to the target is `offset` in each year, and whose series rise by `rate` a year."""
    folder.mkdir()
    offset = xr.DataArray(np.broadcast_to(offset, years.shape), dims="time")
    states = xr.Dataset({name: STATE[name] + offset for name in distance.TRACERS})
    day = np.concatenate([np.arange(31.0), 360.0 * years[1:]])
    year = day / 360.0
    values = (1.0 + float(offset[0])) * np.ones(day.size) + rate * year
    names = {**UNITS, "kinetic_energy": "m2 s-2", "vertical_velocity_rms": "m s-1"}
    series = xr.Dataset({name: ("time", values, {"units": unit}) for name, unit in names.items()})
    files.write_dataset(folder / "states.nc", states.assign_coords(year=("time", years)), GRID)
    files.write_dataset(folder / "series.nc", series.assign_coords(year=("time", year)))
    return folder


@pytest.fixture
def four(tmp_path):
    """A start that arrives in year 3, one that blew up, the control, and a start from rest that does not arrive."""
    near = run(tmp_path / "near", np.where(YEARS < 3, 0.5, 0.1), rate=0.01)
    blown = tmp_path / "blown"
    blown.mkdir()
    folders = [near, blown, run(tmp_path / "control", 0.1), run(tmp_path / "rest", 2.0)]
    names = ["generated 0", "generated 1", "control", "rest"]
    return compare(names, folders, [FINISHED, BLOWN, FINISHED, FINISHED], TARGET, GRID)


def row(table, start, metric):
    found = table[(table["start"] == start) & (table["metric"] == metric)]
    assert len(found) == 1, (start, metric)
    return found.iloc[0]


def test_distances_and_arrivals_are_those_of_the_states(four):
    assert four["distance"].sel(start="rest").values == pytest.approx(np.full(11, 2.0))
    assert four.attrs["distance_threshold"] == pytest.approx(0.2)
    assert four["years_to_equilibrium"].sel(start=["generated 0", "control"]).values.tolist() == [3.0, 0.0]
    passed = four["spinup_years_passed"].sel(start=["generated 0", "rest"])
    assert passed.values.tolist() == [100.0, 10.0]
    assert four["spinup_years_passed_bound"].sel(start=["generated 0", "rest"]).values.tolist() == [">", ">"]


def test_the_spin_up_bounds_what_a_rest_that_never_arrived_needs(four):
    """The control's own spin-up was at 1.5 in year 100; rest ran 10 years only."""
    saved = row(summarise(four), "generated 0", "years_saved")
    assert (saved["value"], saved["bound"]) == (97.0, ">")
    assert saved["note"] == "at least: the control's own spin-up needs more than 100 years"
    needed = row(summarise(four), "rest", "years_to_equilibrium")
    assert (needed["value"], needed["bound"]) == (10.0, ">")


def two(tmp_path, near, rest, target=None, years=YEARS):
    folders = [run(tmp_path / "near", near, years=years), run(tmp_path / "rest", rest)]
    return compare(["generated 0", "rest"], folders, [FINISHED] * 2, target or NO_WAY, GRID)


def test_years_saved_against_a_rest_that_never_arrived_are_a_lower_bound_and_say_so(tmp_path):
    saved = row(summarise(two(tmp_path, np.where(YEARS < 3, 0.5, 0.1), 2.0)), "generated 0", "years_saved")
    assert (saved["value"], saved["bound"]) == (7.0, ">")
    assert saved["note"] == "at least: the start from rest needs more than 10 years"


def test_years_saved_against_a_rest_that_arrived_are_a_difference(tmp_path):
    ds = two(tmp_path, 0.1, np.where(YEARS < 6, 2.0, 0.1))
    saved = row(summarise(ds), "generated 0", "years_saved")
    assert (saved["value"], saved["bound"]) == (6.0, "=")


def test_a_start_that_arrives_after_rest_saves_at_most_what_is_less_than_nothing(tmp_path):
    ds = two(tmp_path, 0.5, np.where(YEARS < 6, 2.0, 0.1))
    table = summarise(ds)
    assert (row(table, "generated 0", "years_to_equilibrium")[["value", "bound"]] == [10.0, ">"]).all()
    assert (row(table, "generated 0", "years_saved")[["value", "bound"]] == [-4.0, "<"]).all()


def test_where_neither_arrived_nothing_is_known_and_that_is_said(tmp_path):
    saved = row(summarise(two(tmp_path, 0.5, 2.0)), "generated 0", "years_saved")
    assert np.isnan(saved["value"]) and saved["bound"] == ""
    assert saved["note"].startswith(
        "not known: this start needs more than 10 years, the start from rest needs more"
    )


def test_several_distances_have_years_of_their_own(tmp_path):
    """0.8 a year less from 2.0 on at rest; the other falls from 0.45 by 0.04 a year."""
    near, rest = 0.45 - 0.04 * YEARS, np.maximum(2.0 - 0.4 * YEARS, 0.15)
    ds = two(tmp_path, near, rest)
    needed = {level: int(np.argmax(near <= level + 1e-9)) for level in (0.5, 0.3, 0.2, 0.1, 0.05)}
    assert ds["years_to_distance"].sel(start="generated 0").values.tolist() == list(needed.values())
    table = summarise(ds)
    for level, years, saved, bound in (
        (0.5, 0, 4.0, "="),
        (0.3, 4, 1.0, "="),
        (0.2, 7, -2.0, "="),
        (0.1, 9, 1.0, ">"),
    ):
        assert row(table, "generated 0", f"years_to_{level:g}")["value"] == years
        assert (
            row(table, "generated 0", f"years_saved_at_{level:g}")[["value", "bound"]] == [saved, bound]
        ).all()
    assert LEVELS == (0.5, 0.3, 0.2, 0.1, 0.05)


def test_a_longer_run_changes_neither_the_threshold_nor_what_was_found(tmp_path):
    found = []
    for n, years in enumerate((np.arange(25.0), np.arange(61.0))):
        folder = tmp_path / str(n)
        folder.mkdir()
        control = run(folder / "control", 0.01 * np.sin(7.0 * years) + 0.002 * years, years=years)
        with files.open_dataset(control / "states.nc") as states:
            chosen = states.isel(time=settled(states)).load()
        assert chosen["year"].values.tolist() == list(range(1, CONTROL_YEARS + 1)), "year 0 is the adjustment"
        target = target_of(chosen, None, (ONE, "test spread"), GRID)
        start = run(folder / "start", np.maximum(0.4 - 0.04 * years, 0.04), years=years)
        ds = compare(["generated 0", "control"], [start, control], [FINISHED] * 2, target, GRID)
        found.append(
            (ds.attrs["distance_threshold"], ds["years_to_distance"].sel(start="generated 0").values.tolist())
        )
    assert found[0] == found[1]
    assert found[0][0] == pytest.approx(0.05, abs=0.02)


def test_the_first_year_of_the_control_is_no_part_of_its_equilibrium(tmp_path):
    """A shock of 5 K in the first year: it must move neither the mean nor the threshold."""
    years = np.concatenate([[0.0, 30.0 / 360.0], np.arange(1.0, 21.0)])
    control = run(tmp_path / "control", np.where(years < 1.0, 5.0, 0.01 * np.sin(years)), years=years)
    with files.open_dataset(control / "states.nc") as states:
        target = target_of(states.isel(time=settled(states)).load(), None, (ONE, "test spread"), GRID)
    assert distance.threshold(target.own) < 0.03
    assert float(abs(target.mean["thetao"] - STATE["thetao"]).max()) < 0.01


def test_a_state_of_the_first_month_is_of_another_season_and_no_sign_of_arrival(tmp_path):
    years = np.array([0.0, 30.0 / 360.0, 1.0, 2.0])
    ds = two(tmp_path, np.array([0.1, 5.0, 0.1, 0.1]), 2.0, years=years)
    assert float(ds["years_to_equilibrium"].sel(start="generated 0")) == 0.0


def test_too_few_states_of_the_equilibrium_give_no_threshold_and_that_is_said(tmp_path):
    states = xr.concat([STATE[list(distance.TRACERS)] + i for i in range(4)], "time")
    target = target_of(states, None, (ONE, "test spread"), GRID)
    table = summarise(compare(["generated 0"], [run(tmp_path / "a", 0.1)], [FINISHED], target, GRID))
    note = row(table, "generated 0", "years_to_equilibrium")["note"]
    assert note == "not judged: fewer than 5 states of the equilibrium do not show its own variability"
    assert row(table, "generated 0", "years_to_0.5")["bound"] == ">", "fixed distances need none"


def test_the_control_and_rest_are_credited_with_nothing(four):
    table = summarise(four)
    for start in ("control", "rest"):
        for metric in ("years_saved", "years_saved_at_0.5"):
            found = row(table, start, metric)
            assert np.isnan(found["value"]) and found["note"].startswith("not judged: the "), (start, metric)
    assert np.isnan(row(table, "control", "spinup_years_passed")["value"])


def test_a_rest_that_blew_up_bounds_nothing(tmp_path):
    (tmp_path / "rest").mkdir()
    ds = compare(
        ["generated 0", "rest"],
        [run(tmp_path / "near", 0.1), tmp_path / "rest"],
        [FINISHED, BLOWN],
        NO_WAY,
        GRID,
    )
    saved = row(summarise(ds), "generated 0", "years_saved")
    assert np.isnan(saved["value"]) and saved["note"].startswith("not known: neither a start from rest")


def test_a_start_arrives_by_the_days_of_its_own_output_whatever_the_others_wrote(tmp_path):
    """Restarts at the end of each year beside the middles of annual means."""
    folders = [run(tmp_path / "near", 0.1), run(tmp_path / "rest", 2.0, years=YEARS[:7] + 45.0 / 360.0)]
    ds = compare(["generated 0", "rest"], folders, [FINISHED] * 2, NO_WAY, GRID)
    assert ds.sizes["snapshot"] == 18
    assert float(ds["years_to_equilibrium"].sel(start="generated 0")) == 0.0
    saved = row(summarise(ds), "generated 0", "years_saved")
    # the bound is the length of the run from rest, not of the longest
    assert saved["value"] == pytest.approx(6.0 + 45.0 / 360.0)
    assert "more than 6.125 years" in saved["note"]


def test_a_run_that_goes_on_has_not_finished_and_says_how_far_it_is(tmp_path):
    going = {
        "state": "unfinished",
        "blow_ups": [],
        "reason": "still going or cut off at step 6065 of 72000 (8 %)",
    }
    ds = compare(["generated 0"], [run(tmp_path / "a", 0.1)], [going], TARGET, GRID)
    table = summarise(ds)
    finished = row(table, "generated 0", "finished")
    assert finished["value"] == 0.0 and finished["note"] == going["reason"]
    assert np.isnan(float(ds["blow_up_day"][0]))
    for metric in (
        "years_to_equilibrium",
        "years_to_0.5",
        "years_saved",
        "drift_thetao_deep",
        "spinup_years_passed",
    ):
        found = row(table, "generated 0", metric)
        assert np.isnan(found["value"]) and going["reason"] in found["note"], metric
    assert row(table, "generated 0", "distance_final")["note"].startswith("year 10; in units")


def test_distances_are_in_kelvin_and_salinity_too_by_depth(tmp_path):
    """2 K too warm and 2 too salt everywhere; the basin ends above 2000 m or says so."""
    table = summarise(compare(["generated 0"], [run(tmp_path / "a", 2.0)], [FINISHED], TARGET, GRID))
    for label, unit in (("distance_thetao_final", "K"), ("distance_so_final", "1e-3")):
        found = table[table["metric"].str.startswith(label)]
        assert found["metric"].str.split(", ").str[1].tolist() == list(distance.DEPTHS)
        assert (found["unit"] == unit).all()
        assert found["value"].dropna().values == pytest.approx(2.0) and found["value"].notna().sum() >= 3


def test_an_error_of_one_range_of_depth_is_seen_there_only(tmp_path):
    deep = STATE.assign(thetao=STATE["thetao"] + 1.0 * (GRID.gdept_1d > 500.0))
    found = distance.differences(deep, STATE, GRID)["distance_thetao_K"]
    assert float(found.sel(depth="0-500 m")) == 0.0
    assert float(found.sel(depth="500-2000 m")) == pytest.approx(1.0)
    share = float(GRID.volume.where(GRID.gdept_1d > 500.0).sum() / GRID.volume.sum())
    assert float(found.sel(depth="all")) == pytest.approx(share**0.5)


def test_where_the_control_hardly_varies_a_distance_does_not_explode_and_says_so(tmp_path):
    """Uniform below the first level but for rounding: what is 0.1 K off there is not a million standard deviations off."""
    uniform = STATE.copy(deep=True)
    for name in distance.TRACERS:
        level = xr.where(GRID.gdept_1d > GRID.gdept_1d[0], 1e-7 * STATE[name] + 5.0, STATE[name])
        uniform[name] = level.transpose(*STATE[name].dims).where(GRID.tmask > 0)
    target = target_of(uniform.expand_dims("time"), None, None, GRID)
    assert "at least a tenth of the whole ocean's" in target.unit and "thetao at 3 levels by" in target.unit
    moved = uniform.assign(thetao=uniform["thetao"] + 0.1)
    assert float(distance.distance(moved, target.mean, target.spread, GRID)["distance"]) < 1.0


def test_a_reference_without_any_variation_is_refused():
    same = xr.concat([STATE, STATE], "sample")
    with pytest.raises(UserError, match="does not vary in thetao"):
        distance.ensemble_spread(same, GRID)


@pytest.mark.parametrize("years", [1, 2, 5, 6, 20])
def test_a_season_is_no_drift_and_a_short_record_is_not_judged(years):
    """Monthly means with a season of 50 Sv and a trend of 2 Sv a century."""
    year = (np.arange(12 * years) + 0.5) / 12.0
    found = adjustment.drift(year, 100.0 + 50.0 * np.cos(2 * np.pi * (year - 0.1)) + 0.02 * year)
    if years < 6:  # the first year does not count
        assert np.isnan(found.slope) and found.note.startswith("not judged: the record is too short")
    else:
        assert found.slope == pytest.approx(2.0, abs=1e-9) and "season taken out" in found.note


def test_a_drift_of_records_of_two_kinds_keeps_them_apart():
    """Means of months beside the restarts at the end of each year, which are of a colder season."""
    month = (np.arange(96) + 0.5) / 12.0
    end = np.arange(1.0, 9.0)
    year = np.concatenate([month, end])
    values = np.concatenate([10.0 + 0.01 * month, 3.0 + 0.01 * end])
    order = np.argsort(year)
    assert adjustment.drift(year[order], values[order]).slope == pytest.approx(1.0)


def test_the_overview_has_a_column_a_start_and_signs_before_bounds(four):
    wide = overview(summarise(four)).set_index("metric")
    assert list(wide.columns) == ["generated 0", "generated 1", "control", "rest", "unit"]
    assert wide.loc["years_saved", "generated 0"] == "> 97"
    assert wide.loc["years_to_equilibrium"].tolist() == ["3", "", "0", "> 10", "years"]


def test_remarks_give_each_reason_once_and_miss_none(four):
    table = summarise(four)
    lines = remarks(table)
    assert len(lines) == len(set(lines))
    for metric in table[table["bound"] == ""]["metric"]:
        assert any(metric in line.split(" of ")[0] for line in lines), metric


def test_a_note_beside_a_value_is_no_remark_unless_the_run_did_not_finish():
    rows = [
        ("a", "finished", 1.0, "=", "", "36000 of 36000 steps"),
        ("b", "finished", 0.0, "=", "", "stopped in year 3"),
    ]
    assert remarks(pd.DataFrame(rows, columns=list(COLUMNS))) == ["finished of b: stopped in year 3"]


def test_the_spin_up_that_a_start_passed_is_that_of_its_own_last_state_whatever_the_others_wrote(tmp_path):
    folders = [run(tmp_path / "near", 2.0), run(tmp_path / "rest", 5.0, years=YEARS + 15.0 / 360.0)]
    ds = compare(["generated 0", "rest"], folders, [FINISHED] * 2, TARGET, GRID)
    assert ds["spinup_years_passed"].values.tolist() == [10.0, 10.0]
    assert ds["spinup_years_passed_bound"].values.tolist() == [">", "<"]


def test_a_start_that_blew_up_late_has_not_arrived(tmp_path):
    years = np.arange(25.0)
    folders = [run(tmp_path / "near", 0.1, years=years), run(tmp_path / "rest", 2.0, years=years)]
    ds = compare(["generated 0", "rest"], folders, [BLOWN, FINISHED], TARGET, GRID)
    assert np.isnan(float(ds["years_to_equilibrium"].sel(start="generated 0")))


def test_a_snapshot_with_a_hole_is_not_within_although_the_run_went_on(tmp_path):
    holed = np.where(YEARS == 10, np.nan, 0.1)
    ds = compare(["generated 0"], [run(tmp_path / "near", holed)], [FINISHED], TARGET, GRID)
    assert ds["years_to_equilibrium_bound"].sel(start="generated 0").item() == ">"


def test_a_start_that_blew_up_is_a_result_with_its_day(four):
    assert four["finished"].values.tolist() == [1, 0, 1, 1]
    assert float(four["blow_up_day"].sel(start="generated 1")) == 90.0
    finished = row(summarise(four), "generated 1", "finished")
    assert finished["value"] == 0.0 and "day 90" in finished["note"]


def test_a_run_that_recovered_from_a_blow_up_has_no_blow_up_day(tmp_path):
    recovered = {**FINISHED, "blow_ups": [{"year": 0.5}]}
    ds = compare(["generated 0"], [run(tmp_path / "near", 0.1)], [recovered], TARGET, GRID)
    assert np.isnan(ds["blow_up_day"].values).all()


def test_every_value_has_a_unit_and_every_missing_one_a_reason(four):
    table = summarise(four)
    assert (table["unit"] != "").all()
    missing = table[table["value"].isna()]
    assert len(missing) > 5
    assert (missing["note"] != "").all()
    assert list(table.columns) == ["start", "metric", "value", "bound", "unit", "note"]
    assert ((table["bound"] == "") == table["value"].isna()).all()
    assert set(table["bound"]) == {"", "=", ">"}
    assert not table.duplicated(["start", "metric"]).any()


def test_all_starts_have_the_same_metrics(four):
    table = summarise(four)
    assert table.groupby("start")["metric"].agg(tuple).nunique() == 1


def test_drifts_are_a_century_and_in_units_of_their_series(four):
    table = summarise(four)
    for metric, unit in (("drift_thetao_deep", "K/century"), ("drift_channel_transport", "Sv/century")):
        found = row(table, "generated 0", metric)
        assert (found["value"], found["unit"]) == (pytest.approx(1.0), unit)


def test_shocks_are_relative_to_the_control(four):
    assert float(four["shock_kinetic_energy"].sel(start="control")) == 0.0
    assert float(four["shock_kinetic_energy"].sel(start="rest")) == pytest.approx((3.0 - 1.1) / 1.1)


def test_without_a_control_nothing_is_invented(tmp_path):
    ds = compare(
        ["generated 0", "rest"],
        [run(tmp_path / "a", 0.1), run(tmp_path / "rest", 2.0)],
        [FINISHED] * 2,
        None,
        GRID,
    )
    assert "distance" not in ds and "shock_kinetic_energy" not in ds
    table = summarise(ds)
    for metric in ("distance_final", "years_saved", "shock_kinetic_energy"):
        found = row(table, "generated 0", metric)
        assert np.isnan(found["value"]) and found["note"] == "not judged: no control was given"


def test_runs_of_different_length_share_one_axis(tmp_path):
    whole, short = run(tmp_path / "whole", 0.1), run(tmp_path / "short", 0.1)
    for name in ("series.nc", "states.nc"):
        with files.open_dataset(short / name) as ds:
            cut = ds.isel(time=slice(0, 5)).load()
        files.write_dataset(short / name, cut, overwrite=True)
    ds = compare(["whole", "short"], [whole, short], [FINISHED, BLOWN], TARGET, GRID)
    assert np.isfinite(ds["thetao_mean"].sel(start="whole")).all()
    assert np.isfinite(ds["thetao_mean"].sel(start="short")).sum() == 5
    assert np.isfinite(ds["distance"].sel(start="short")).sum() == 5
