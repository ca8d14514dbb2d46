"""Jobs: what is refused, and where a run stops to look at itself."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from warmstart import engines
from warmstart.engines.base import Job, Phase, load_job, save_job
from warmstart.engines.veros.phases import spinup_phases, verify_phases
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


def test_a_short_spin_up_is_still_a_valid_job():
    for years, settle in ((1, 0), (1, 1), (10, 4)):
        Job.model_validate(content(phases=list(spinup_phases(years, settle, resolution=4))))


def test_a_job_is_retried_with_the_time_steps_of_its_mesh():
    phases = [p.model_dump() for p in spinup_phases(100, resolution=2)]
    job = Job.model_validate(content(phases=phases, configuration={"resolution": 2, "levels": 18}))
    assert [p.dt_tracer for p in job.cautious_phases[1:]] == [DAY, DAY]
    assert job.cautious_phases[1].dt_momentum == 1800.0
