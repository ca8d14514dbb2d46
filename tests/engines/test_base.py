"""Jobs: what is refused, and where a run stops to look at itself."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from warmstart import engines
from warmstart.engines.base import (
    AT_4_DEGREES,
    Job,
    Phase,
    load_job,
    save_job,
    spinup_phases,
    time_steps,
    verify_phases,
)
from warmstart.errors import UserError
from warmstart.ocean.constants import DAY
from warmstart.ocean.parameters import defaults


def content(**changes):
    phase = {"name": "spinup", "until_day": 360, "dt_momentum": 1800, "dt_tracer": 172800}
    return {
        "engine": "veros",
        "configuration": {"resolution": 10.0, "levels": 6},
        "parameters": defaults(),
        "start": "rest",
        "folder": "run",
        "phases": [phase],
    } | changes


def test_a_job_survives_the_way_through_yaml(tmp_path):
    job = Job.model_validate(content(phases=[p.model_dump() for p in spinup_phases(100, resolution=4)]))
    save_job(job, tmp_path / "job.yaml")
    assert load_job(tmp_path / "job.yaml") == job


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parameters": {"wind_stress_south": 0.2}}, "missing: .*bottom_drag"),
        ({"parameters": defaults() | {"wind": 0.2}}, "unknown: wind"),
        ({"parameters": defaults() | {"bottom_drag": float("nan")}}, "finite"),
        ({"phase": []}, "phase: Extra inputs"),
        ({"phases": []}, "phases: "),
        ({"engine": "mitgcm"}, "engine: "),
        ({"configuration": {"resolution": -4.0, "levels": 6}}, "configuration.resolution"),
    ],
)
def test_a_wrong_job_is_refused_with_the_place_of_the_mistake(tmp_path, change, message):
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(content(**change)))
    with pytest.raises(UserError, match=message):
        load_job(path)


def test_a_day_between_two_steps_is_refused():
    """Day 31 is no whole number of two-day steps after day 30."""
    adjust, run = verify_phases(1, resolution=4)
    with pytest.raises(ValidationError, match="day 31 is no whole number"):
        Job.model_validate(content(phases=[adjust, run.model_copy(update={"snapshot_days": (31.0,)})]))


def test_engines_are_found_by_entry_points_and_finding_them_loads_none():
    """What base asks of an engine is there without importing JAX or Veros."""
    code = (
        "import sys; from warmstart import engines; from warmstart.engines.base import Engine; "
        "assert {'nemo', 'veros'} <= set(engines.names()); "
        "asked = {n for n in (*Engine.__annotations__, *vars(Engine)) if n[0] != '_'}; assert len(asked) > 20; "
        "lacking = [(n, a) for n in engines.names() for a in asked if not hasattr(engines.find(n), a)]; "
        "assert not lacking, lacking; assert engines.find('veros').command('cpu')[-1] == 'warmstart.engines.veros'; "
        "assert not {'jax', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_engine_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(UserError, match=r"unknown engine 'mom6'; expected one of .*'nemo', 'veros'"):
        engines.find("mom6")


def test_what_an_engine_cannot_do_is_said_in_one_sentence():
    with pytest.raises(UserError, match="NEMO is run by you"):
        engines.find("nemo").require("simulate")
    with pytest.raises(UserError, match="NEMO is run by you"):
        engines.find("nemo").phases(None)


def test_no_room_but_that_of_the_engines_names_one():
    house = Path(engines.__file__).parent.parent
    found = [
        str(path.relative_to(house))
        for path in house.rglob("*.py")
        if "engines" not in path.relative_to(house).parts
        and re.search(r"""["'](nemo|veros)["']""", path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_phases_must_follow_each_other_in_time():
    with pytest.raises(ValidationError, match="ends on day 30, not after day 360"):
        Job.model_validate(
            content(phases=[Phase(**content()["phases"][0]), verify_phases(1, resolution=4)[0]])
        )


def test_a_file_that_is_no_yaml_is_a_user_error(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text("engine: [veros")
    with pytest.raises(UserError, match="not valid YAML"):
        load_job(path)


def test_a_spin_up_adjusts_accelerates_and_settles():
    adjust, spinup, settle = spinup_phases(600, resolution=4)
    assert (adjust.until_day, adjust.dt_momentum, adjust.dt_tracer) == (30, 1800, 1800)
    assert (spinup.until_day, spinup.dt_momentum, spinup.dt_tracer) == (600 * 360, 1800, 172800)
    assert (settle.until_day, settle.dt_momentum, settle.dt_tracer) == (620 * 360, 3600, 86400)
    years = [day / 360 for day in spinup.snapshot_days]
    assert years == [10, 50, 100, 200, 300, 400, 500, 600]
    assert [day / 360 for day in settle.snapshot_days] == [605, 610, 615, 620]
    assert (spinup.label, settle.label) == ("transient", "equilibrium")


def test_a_short_spin_up_is_still_a_valid_job():
    for years, settle in ((1, 0), (1, 1), (10, 4)):
        Job.model_validate(content(phases=list(spinup_phases(years, settle, resolution=4))))


def test_verify_looks_daily_then_yearly():
    adjust, run = verify_phases(20, resolution=4)
    assert [d for d in adjust.stops(0.0) if adjust.records(d)] == list(range(1, 31))
    assert [d for d in (0.0, *adjust.stops(0.0)) if adjust.keeps(d)] == [0.0, 30.0]
    assert run.stops(30.0) == [360.0 * n for n in range(1, 21)]
    assert all(run.records(d) and run.keeps(d) for d in run.stops(30.0))


def test_only_an_accelerated_phase_becomes_cautious():
    adjust, spinup, _ = spinup_phases(10, resolution=4)
    assert adjust.cautious(AT_4_DEGREES) == adjust
    assert (spinup.cautious(AT_4_DEGREES).dt_momentum, spinup.cautious(AT_4_DEGREES).dt_tracer) == (
        3600,
        86400,
    )
    assert spinup.cautious(AT_4_DEGREES).stops(30.0) == spinup.stops(30.0)


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


def test_a_job_is_retried_with_the_time_steps_of_its_mesh():
    phases = [p.model_dump() for p in spinup_phases(100, resolution=2)]
    job = Job.model_validate(content(phases=phases, configuration={"resolution": 2, "levels": 18}))
    assert [p.dt_tracer for p in job.cautious_phases[1:]] == [DAY, DAY]
    assert job.cautious_phases[1].dt_momentum == 1800.0
