"""What a run of DINO in Veros goes through, and the time steps that its mesh bears."""

import pytest

from warmstart.engines.veros.phases import cautious, spinup_phases, time_steps, verify_phases
from warmstart.ocean.constants import DAY


def test_a_spin_up_adjusts_accelerates_and_settles():
    adjust, spinup, settle = spinup_phases(600, resolution=4)
    assert (adjust.until_day, adjust.dt_momentum, adjust.dt_tracer) == (30, 1800, 1800)
    assert (spinup.until_day, spinup.dt_momentum, spinup.dt_tracer) == (600 * 360, 1800, 172800)
    assert (settle.until_day, settle.dt_momentum, settle.dt_tracer) == (620 * 360, 3600, 86400)
    years = [day / 360 for day in spinup.snapshot_days]
    assert years == [10, 50, 100, 200, 300, 400, 500, 600]
    assert [day / 360 for day in settle.snapshot_days] == [605, 610, 615, 620]
    assert (spinup.label, settle.label) == ("transient", "equilibrium")


def test_verify_looks_daily_then_yearly():
    adjust, run = verify_phases(20, resolution=4)
    assert [d for d in adjust.stops(0.0) if adjust.records(d)] == list(range(1, 31))
    assert [d for d in (0.0, *adjust.stops(0.0)) if adjust.keeps(d)] == [0.0, 30.0]
    assert run.stops(30.0) == [360.0 * n for n in range(1, 21)]
    assert all(run.records(d) and run.keeps(d) for d in run.stops(30.0))


def test_only_an_accelerated_phase_becomes_cautious():
    adjust, spinup, _ = spinup_phases(10, resolution=4)
    same, slower = cautious((adjust, spinup), 4.0)
    assert same == adjust
    assert (slower.dt_momentum, slower.dt_tracer) == (3600, 86400)
    assert slower.stops(30.0) == spinup.stops(30.0)


@pytest.mark.parametrize("resolution", [10.0, 4.0, 2.0, 1.0, 0.25, 1 / 16])
def test_every_mesh_has_time_steps_of_which_months_and_years_are_whole_numbers(resolution):
    for _, tracer in time_steps(resolution):
        assert 30 * DAY % tracer == 360 * DAY % tracer == 0


def test_internal_waves_stay_within_what_was_stable_on_every_mesh():
    def reach(steps, resolution):
        return (steps[0] * steps[1]) ** 0.5 / resolution

    limit = reach((1800.0, DAY), 2.0)  # seconds a degree; twice the product of the steps blew up
    for resolution in (4.0, 2.0, 1.0, 0.5, 0.25):
        assert all(reach(steps, resolution) <= limit for steps in time_steps(resolution))
