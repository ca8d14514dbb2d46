import json

import pytest
import yaml

from warmstart.engines.base import Job
from warmstart.ensemble.design import load_plan, member_job, member_parameters, remember
from warmstart.errors import UserError
from warmstart.io.config import read_yaml


def changed(plan, **new):
    return load_plan({**plan, **new})


def test_a_member_is_the_same_whatever_the_size_of_the_plan(tiny_plan):
    few, many = (member_parameters(load_plan(tiny_plan, members=n)) for n in (3, 50))
    assert few == many[:3]


def test_another_seed_is_another_ensemble(tiny_plan):
    assert member_parameters(load_plan(tiny_plan)) != member_parameters(changed(tiny_plan, seed=2))


def test_ranges_and_fixed_values_understand_units(tiny_plan):
    plan = changed(
        tiny_plan,
        ranges={"wind_stress_south": ["50 mPa", 0.4]},
        fixed={"vertical_diffusivity": "0.2 cm2 s-1"},
    )
    assert plan.ranges == {"wind_stress_south": (0.05, 0.4)}
    for values in member_parameters(plan):
        assert values["vertical_diffusivity"] == pytest.approx(2e-5)
        assert 0.05 <= values["wind_stress_south"] <= 0.4


@pytest.mark.parametrize(
    ("new", "says"),
    [
        ({"membres": 3}, "membres"),
        ({"ranges": {"wind_stress": [0.1, 0.2]}}, "wind_stress_south"),
        ({"ranges": {"wind_stress_south": ["0.1 m", "0.2 m"]}}, "Pa"),
        ({"ranges": {"wind_stress_south": [0.4, 0.1]}}, "0.4 to 0.1 Pa is empty"),
        ({"ranges": {"wind_stress_south": 0.4}}, "lowest, highest"),
        ({"fixed": {"wind_stress_south": 0.1}}, "in ranges and in fixed"),
        ({"ranges": {"wind_stress_south": [0.05, 4.0]}}, "0.05 to 0.4 Pa.*extrapolate"),
        ({"ranges": {}, "fixed": {"vertical_diffusivity": 5e-4}}, "extrapolate"),
        ({"ranges": {}, "fixed": {"vertical_diffusivity": 0}, "extrapolate": True}, "'0' is not positive"),
        (
            {"ranges": {"vertical_diffusivity": [-1e-5, 1e-4]}, "extrapolate": True},
            "'-1e-05' is not positive",
        ),
        ({"members": 0}, "members"),
        ({"years": 0}, "years"),
        ({"engine": "mom6"}, "veros"),
        ({"start": "no-such-restart.h5"}, "no-such-restart.h5"),
    ],
)
def test_a_wrong_plan_is_refused_with_the_key_and_what_was_expected(tiny_plan, new, says):
    with pytest.raises(UserError, match=says):
        changed(tiny_plan, **new)


def test_what_a_plan_contradicts_itself_in_is_said_without_the_whole_plan(tiny_plan):
    with pytest.raises(
        UserError, match=r"^plan: until: equilibrium is judged over 250 years; years is 10\. Known keys"
    ):
        changed(tiny_plan, until="equilibrium")


def test_a_plan_may_leave_the_tested_ranges_if_it_says_so(tiny_plan):
    plan = changed(tiny_plan, ranges={"wind_stress_south": [0.05, 0.8]}, extrapolate=True)
    assert max(values["wind_stress_south"] for values in member_parameters(plan)) > 0.4


def test_the_job_of_a_member_is_what_the_plan_says_of_it(tiny_plan, tmp_path):
    plan = load_plan(tiny_plan)
    values = member_parameters(plan)[2]
    content = member_job(plan, values, tmp_path / "member_002")
    job = Job.model_validate(json.loads(json.dumps(content)))
    assert (job.engine, job.start, job.folder) == ("veros", "rest", tmp_path / "member_002")
    assert (job.configuration.resolution, job.configuration.levels) == (10.0, 6)
    assert job.parameters == values and values != member_parameters(plan)[1]
    assert job.checkpoint_seconds == 0.1
    assert job.years == 14.0
    settle = job.phases[-1]
    assert [phase.until_day / 360 for phase in job.phases[-2:]] == [10.0, 14.0]
    assert settle.label == "equilibrium" and all(p.label != "equilibrium" for p in job.phases[:-1])


def test_the_folder_of_another_plan_is_refused_with_the_keys_that_differ(tiny_plan, tmp_path):
    remember(load_plan(tiny_plan), tmp_path)
    other = changed(tiny_plan, seed=2, years=11)
    with pytest.raises(UserError, match=r"seed \(1 there, 2 asked for\); years \(10 there, 11 asked for\)"):
        remember(other, tmp_path)


def test_members_may_grow_and_the_plan_remembers_the_largest_number(tiny_plan, tmp_path):
    for members, expected in ((2, 2), (5, 5), (3, 5)):
        remember(load_plan(tiny_plan, members=members), tmp_path)
        assert read_yaml(tmp_path / "plan.yaml")["members"] == expected


def test_a_folder_that_holds_something_else_is_left_alone(tiny_plan, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"no plan\.yaml"):
        remember(load_plan(tiny_plan), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_start_of_a_plan_file_is_relative_to_the_file(tiny_plan, tmp_path):
    (tmp_path / "restart.h5").touch()
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({**tiny_plan, "start": "restart.h5"}))
    assert load_plan(tmp_path / "plan.yaml").start == str((tmp_path / "restart.h5").resolve())


@pytest.mark.parametrize("key", ["years", "settle_years"])
def test_a_plan_longer_than_anybody_can_run_is_refused_in_a_sentence(key):
    plan = {"configuration": {"resolution": 4, "levels": 18}, "members": 1, "seed": 1, "years": 30}
    with pytest.raises(UserError, match=f"{key}.*1000000"):
        load_plan(plan | {key: 202823612503649})
