"""What a verification says of runs: numbers where there are any, reasons where there are none."""

import numpy as np
import pytest
import xarray as xr

from warmstart import equilibrium, files
from warmstart.comparison import Target, compare, summarise
from warmstart.testing import basin

STATE, GRID = basin(nx=6, ny=8, nz=4)
ONE = xr.Dataset({name: xr.ones_like(GRID.gdept_1d) for name in equilibrium.TRACERS})
YEARS = np.arange(11.0)
WAY = (np.array([10.0, 100.0]), np.array([3.0, 1.5]))
TARGET = Target(STATE[list(equilibrium.TRACERS)], ONE, "test spread", np.array([0.1, 0.2]), WAY)
UNITS = {"thetao_deep": "degC", "thetao_mean": "degC", "channel_transport": "Sv"}
FINISHED = {"state": "finished", "wall_seconds": 3.0}
BLOWN = {"state": "failed", "blow_ups": [{"year": 0.5}, {"year": 0.25}], "wall_seconds": 1.0}


def run(folder, offset, rate=0.0, years=YEARS):
    """Files of a run whose distance to the target is `offset` in each year, and whose series rise by `rate` a year."""
    folder.mkdir()
    offset = xr.DataArray(np.broadcast_to(offset, years.shape), dims="time")
    states = xr.Dataset({name: STATE[name] + offset for name in equilibrium.TRACERS})
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
    assert four["spinup_years_passed"].sel(start=["control", "rest"]).values.tolist() == [100.0, 10.0]


def test_the_adjustment_in_the_first_year_of_the_control_is_no_width_of_its_equilibrium(tmp_path):
    """Far off until day 359, near from day 360 on: only what is then counts, whatever the equilibrium's own snapshots say."""
    years = np.array([0.0, 0.5, 359 / 360, 1.0, *range(2, 11)])
    control = run(tmp_path / "control", np.where(years < 1, 5.0, 0.3), years=years)
    ds = compare(["control"], [control], [FINISHED], TARGET, GRID)
    assert ds.attrs["distance_threshold"] == pytest.approx(0.3)
    assert ds.attrs["distance_threshold_snapshots"] == len(TARGET.own) + 10
    assert float(ds["years_to_equilibrium"].sel(start="control")) == 1.0


def test_years_saved_against_a_rest_that_never_arrived_are_a_lower_bound_and_say_so(four):
    saved = row(summarise(four), "generated 0", "years_saved")
    assert saved["value"] == 7.0
    assert saved["note"].startswith("> 7: a lower bound")
    assert int(four["years_saved_is_lower_bound"].sel(start="generated 0")) == 1
    assert row(summarise(four), "rest", "years_to_equilibrium")["note"].startswith("> 10:")


def test_years_saved_against_a_rest_that_arrived_are_a_difference(tmp_path):
    folders = [run(tmp_path / "near", 0.1), run(tmp_path / "rest", np.where(YEARS < 6, 2.0, 0.1))]
    ds = compare(["generated 0", "rest"], folders, [FINISHED] * 2, TARGET, GRID)
    saved = row(summarise(ds), "generated 0", "years_saved")
    assert (saved["value"], saved["note"]) == (6.0, "against the start from rest")


def test_a_rest_that_blew_up_bounds_nothing(tmp_path):
    (tmp_path / "rest").mkdir()
    ds = compare(
        ["generated 0", "rest"],
        [run(tmp_path / "near", 0.1), tmp_path / "rest"],
        [FINISHED, BLOWN],
        TARGET,
        GRID,
    )
    saved = row(summarise(ds), "generated 0", "years_saved")
    assert np.isnan(saved["value"]) and saved["note"] == "not computed: the start from rest blew up"


def test_a_start_arrives_by_the_days_of_its_own_output_whatever_the_others_wrote(tmp_path):
    """Restarts at the end of each year beside the middles of annual means."""
    folders = [run(tmp_path / "near", 0.1), run(tmp_path / "rest", 2.0, years=YEARS[:7] + 15.0 / 360.0)]
    ds = compare(["generated 0", "rest"], folders, [FINISHED] * 2, TARGET, GRID)
    assert ds.sizes["snapshot"] == 18
    assert float(ds["years_to_equilibrium"].sel(start="generated 0")) == 0.0
    saved = row(summarise(ds), "generated 0", "years_saved")
    # the bound is the length of the run from rest, not of the longest
    assert saved["value"] == pytest.approx(6.0 + 15.0 / 360.0)
    assert "after 6.04" in saved["note"]


def test_the_spin_up_that_a_start_passed_is_that_of_its_own_last_state_whatever_the_others_wrote(tmp_path):
    folders = [run(tmp_path / "near", 2.0), run(tmp_path / "rest", 5.0, years=YEARS + 15.0 / 360.0)]
    ds = compare(["generated 0", "rest"], folders, [FINISHED] * 2, TARGET, GRID)
    assert ds["spinup_years_passed"].values.tolist() == [10.0, 0.0]


def test_a_start_that_blew_up_late_has_not_arrived(tmp_path):
    years = np.arange(25.0)
    folders = [run(tmp_path / "near", 0.1, years=years), run(tmp_path / "rest", 2.0, years=years)]
    ds = compare(["generated 0", "rest"], folders, [BLOWN, FINISHED], TARGET, GRID)
    assert np.isnan(float(ds["years_to_equilibrium"].sel(start="generated 0")))


def test_a_snapshot_with_a_hole_is_not_within_although_the_run_went_on(tmp_path):
    holed = np.where(YEARS == 10, np.nan, 0.1)
    ds = compare(["generated 0"], [run(tmp_path / "near", holed)], [FINISHED], TARGET, GRID)
    assert np.isnan(float(ds["years_to_equilibrium"].sel(start="generated 0")))


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
    assert set(table.columns) == {"start", "metric", "value", "unit", "note"}
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
        assert np.isnan(found["value"]) and found["note"] == "not computed: no control was given"


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
