"""Members that a plan lists one by one: what is understood, what is refused, and where names and splits go."""

import pytest
import xarray as xr
import yaml

from warmstart.engines.veros import Configuration
from warmstart.ensemble.design import load_plan, member_job, member_parameters, remember
from warmstart.ensemble.progress import member_folder
from warmstart.errors import UserError
from warmstart.io.config import dump_yaml, read_yaml
from warmstart.ocean import parameters
from warmstart.store.members import find_members
from warmstart.verbs.dataset import dataset
from warmstart.verbs.simulate import simulate, summary

PLAN = {"configuration": {"resolution": 10, "levels": 6}, "years": 1, "settle_years": 0}
MEMBERS = [
    {"name": "strong wind", "split": "test", "wind_stress_south": "0.3 Pa"},
    {"name": "calm", "wind_stress_south": "80 mPa", "bottom_drag": 1e-6},
    {"vertical_diffusivity": "0.5 cm2 s-1"},
]
TABLE = """name,split,wind_stress_south [Pa],vertical_diffusivity [cm2 s-1],bottom_drag
strong wind,test,0.3,,
calm,,80 mPa,,1e-6
,,,0.5,
"""
UNITS_ROW = """name;split;wind_stress_south;vertical_diffusivity;bottom_drag
;;mPa;cm2 s-1;s-1
strong wind;test;300;;

calm;;80;;1e-6
;;;0.5;
"""


def listing(*members, **new):
    return load_plan({**PLAN, "parameters": list(members), **new})


def of_table(tmp_path, text, **new):
    (tmp_path / "members.csv").write_text(text)
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({**PLAN, "parameters": "members.csv", **new}))
    return load_plan(tmp_path / "plan.yaml")


def test_a_list_gives_each_member_its_values_and_the_others_the_fixed_one_or_the_default():
    plan = listing(*MEMBERS, fixed={"bottom_drag": "2e-6 s-1"})
    rest = parameters.defaults() | {"bottom_drag": 2e-6}
    assert member_parameters(plan) == [
        rest | {"wind_stress_south": 0.3},
        rest | {"wind_stress_south": 0.08, "bottom_drag": 1e-6},
        rest | {"vertical_diffusivity": 5e-5},
    ]
    assert plan.members == 3
    assert [(m.name, m.split) for m in plan.parameters] == [
        ("strong wind", "test"), ("calm", None), (None, None)
    ]  # fmt: skip


@pytest.mark.parametrize("text", [TABLE, UNITS_ROW, "\ufeff" + TABLE, TABLE.replace("\n", "\r\n")])
def test_a_table_with_units_in_its_heading_a_row_or_the_cells_is_the_list(tmp_path, text):
    assert of_table(tmp_path, text).parameters == listing(*MEMBERS).parameters


@pytest.mark.parametrize(
    ("members", "new", "says"),
    [
        ([], {}, "lists no member"),
        ([{"wind_stress": 0.1}], {}, "did you mean wind_stress_south"),
        ([{"wind_stress_south": "0.1 m"}], {}, "cannot convert 'm' to Pa"),
        ([{"wind_stress_south": 4}], {}, r"member 0: wind_stress_south: 4 Pa leaves.*extrapolate"),
        ([{"wind_stress_south": float("nan")}], {}, "not a finite number"),
        ([{"wind_stress_south": "inf"}], {"extrapolate": True}, "inf"),
        ([{"wind_stress_south": None}], {}, "is not a number"),
        ([{}, {"bottom_drag": 1e-6}], {}, "members 0 and 1 have the same values"),
        ([{"bottom_drag": 2e-6}, {"bottom_drag": "2.0000000001e-6"}], {}, "same values"),
        ([{}, {"bottom_drag": 3e-6}], {"fixed": {"bottom_drag": 3e-6}}, "same values"),
        ([{"name": "a"}, {"name": "A ", "bottom_drag": 2e-6}], {}, "both called 'A'"),
        ([{"name": "member_001"}], {}, "the folder of another"),
        ([{"name": "../up"}], {}, "can be one of a file"),
        ([{"name": "two\nlines"}], {}, "can be one of a file"),
        ([{"name": ""}], {}, "1 to 100 characters"),
        ([{"name": True}], {}, "quotes"),
        ([{"split": "training"}], {}, "'train', 'validation' or 'test'"),
        (["wind_stress_south"], {}, "expected a member's parameters"),
        ([{}], {"ranges": {"bottom_drag": [1e-6, 2e-6]}}, "ranges and parameters both say"),
        ([{}], {"members": 2}, "members is 2, but parameters lists 1"),
        ({"bottom_drag": 1e-6}, {}, "expected a list of members"),
    ],
)
def test_a_wrong_list_is_refused_with_what_was_expected(members, new, says):
    with pytest.raises(UserError, match=says):
        load_plan({**PLAN, "parameters": members, **new})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("bottom_drag\n", "lists no member"),
        ("bottom_drag,wind_stres_south\n1e-6,0.1\n", "did you mean wind_stress_south.*name and split"),
        ("bottom_drag,bottom_drag\n1e-6,1e-6\n", "two columns bottom_drag"),
        ("name,bottom_drag\na,1e-6\nb\n", "line 3: 1 cells; expected 2"),
        ("name,bottom_drag\na,nan\n", r"line 2: bottom_drag: 'nan'"),
        ("name,bottom_drag [m]\na,1e-6\n", "cannot convert 'm' to s-1"),
        ("name,bottom_drag\na,1e999\n", "not a finite number"),
        ('name,bottom_drag\n"a,1e-6\n', "no CSV table"),
        ("lateral_viscosity_factor\n1\n1\n", "same values"),
    ],
)
def test_a_wrong_table_is_refused_with_the_line(tmp_path, text, says):
    with pytest.raises(UserError, match=says):
        of_table(tmp_path, text)


def test_a_table_that_is_not_there_or_no_text_is_refused(tmp_path):
    for path in ("no-such.csv", str(tmp_path)):
        with pytest.raises(UserError, match=r"does not exist|is a folder"):
            load_plan({**PLAN, "parameters": path})
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(UserError, match="no CSV table"):
        load_plan({**PLAN, "parameters": str(tmp_path / "a.csv")})


def test_drawn_members_still_need_a_number_and_a_seed():
    with pytest.raises(UserError, match=r"members: Field required.*seed: Field required"):
        load_plan({**PLAN, "ranges": {"bottom_drag": [1e-6, 2e-6]}})


def test_the_first_so_many_of_a_list_are_run_and_more_than_listed_is_refused():
    assert member_parameters(load_plan({**PLAN, "parameters": MEMBERS}, members=2)) == member_parameters(
        listing(*MEMBERS[:2])
    )
    with pytest.raises(UserError, match="members is 4, but the plan lists 3"):
        load_plan({**PLAN, "parameters": MEMBERS}, members=4)


def test_a_list_may_grow_but_not_change(tmp_path):
    for some in (MEMBERS[:2], MEMBERS, MEMBERS[:1]):
        remember(listing(*some), tmp_path)
    assert load_plan(tmp_path / "plan.yaml").parameters == listing(*MEMBERS).parameters
    other = [MEMBERS[0], {**MEMBERS[1], "split": "train", "bottom_drag": 3e-6}]
    with pytest.raises(
        UserError,
        match=r"member 1 \('calm'\) \(bottom_drag 1e-06 there, 3e-06 asked for; split not given there",
    ):
        remember(listing(*other), tmp_path)
    with pytest.raises(UserError, match="another plan: parameters"):
        remember(load_plan({**PLAN, "members": 3, "seed": 0}), tmp_path)


def test_name_and_split_are_part_of_the_job_and_of_the_table(tmp_path):
    plan = listing(*MEMBERS)
    job = member_job(plan, member_parameters(plan)[0], tmp_path / "member_000", member=plan.parameters[0])
    assert (job["name"], job["split"]) == ("strong wind", "test")
    table = summary(tmp_path, plan)
    assert table["name"].tolist() == ["strong wind", "calm", ""]
    assert table["split"].tolist() == ["test", "train", "train"]
    assert {"wind_stress_south", "vertical_diffusivity"} < set(table.columns)
    assert "heat_restoring" not in table


def test_a_member_that_blew_up_keeps_its_name_and_split(tmp_path):
    """Beside a finished one, so that there is a store to make."""
    folder = member_folder(tmp_path, 0)
    folder.mkdir()
    plan = listing(*MEMBERS)
    dump_yaml(
        member_job(plan, member_parameters(plan)[0], folder, member=plan.parameters[0]), folder / "job.yaml"
    )
    dump_yaml({"state": "failed", "blow_ups": [{"year": 3.0}]}, folder / "status.yaml")
    with pytest.raises(UserError, match="no finished member"):
        find_members(tmp_path)
    from warmstart.store import members

    blown = members._blow_up(folder, [{"year": 3.0}])
    assert (blown.name, blown.split) == ("strong wind", "test")


def test_names_and_splits_of_a_list_reach_the_store(tmp_path):
    """Three members of one year by Veros; the split that was given wins over that of the number."""
    pytest.importorskip("veros", reason="Veros is not installed")
    members = [*MEMBERS[:2], {"split": "validation", "vertical_diffusivity": "0.5 cm2 s-1"}]
    plan = {**PLAN, "years": 10, "parameters": members}
    assert simulate(plan, tmp_path / "runs", batch=3, workers=1)["state"].tolist() == ["finished"] * 3
    with xr.open_dataset(tmp_path / "runs" / "member_000" / "states.nc") as ds:
        assert (ds.attrs["member_name"], ds.attrs["split"]) == ("strong wind", "test")
    table = dataset(tmp_path / "runs", tmp_path / "states.zarr")
    assert table["name"].tolist() == ["strong wind", "calm", ""]
    assert table["split"].tolist() == ["test", "train", "validation"]
    with xr.open_zarr(tmp_path / "states.zarr", consolidated=False) as ds:
        assert ds["member_name"].values.tolist() == ["strong wind", "calm", ""]
        assert ds["split"].values.tolist() == ["test", "train", "validation"]
        assert ds.attrs["test_members"] == 1
    # what was changed in the list is refused, what was added is run
    members[0]["wind_stress_south"] = 0.31
    with pytest.raises(
        UserError, match=r"member 0 \('strong wind'\) \(wind_stress_south 0.3 there, 0.31 asked"
    ):
        simulate(plan, tmp_path / "runs")


def test_the_examples_of_a_list_and_a_table_are_one_ensemble(request):
    folder = request.config.rootpath / "examples"
    one, other = (load_plan(folder / f"{n}.yaml") for n in ("listed-dino-4deg", "table-dino-4deg"))
    assert one.parameters == other.parameters
    assert one.configuration == Configuration(resolution=4, levels=18)
    assert {m.split for m in one.parameters} == {"train", "validation", "test"}
    assert isinstance(read_yaml(folder / "table-dino-4deg.yaml")["parameters"], str)
