"""Starts from finished members and from a cold ocean."""

import numpy as np
import pytest
import xarray as xr
import yaml
from threadpoolctl import threadpool_limits

from warmstart.engines import dino
from warmstart.engines.veros import Configuration
from warmstart.engines.veros.arrays import from_veros, read_restart, restart_from_state
from warmstart.ensemble import starts
from warmstart.ensemble.design import finished_members, load_plan, member_job, member_parameters
from warmstart.ensemble.progress import member_folder
from warmstart.errors import UserError
from warmstart.io import files
from warmstart.io.config import dump_yaml
from warmstart.ocean import parameters

GRID = dino.grid(10.0, 6)
SMALL = Configuration(resolution=10.0, levels=6)
NAMES = ["wind_stress_south", "vertical_diffusivity"]
PLAN = {
    "configuration": {"resolution": 10, "levels": 6}, "members": 1, "seed": 1, "years": 300,
    "ranges": {"wind_stress_south": [0.05, 0.4], "vertical_diffusivity": [1e-5, 2e-4]},
}  # fmt: skip


def temperature(values):
    """A law that is linear in the scaled parameters."""
    wind, mixing = (float(parameters.get(n).coordinate(values[n])) for n in NAMES)
    return 4.0 + 2.0 * wind - 1.0 * mixing


def write_member(folder, i, values, verdict="equilibrium", grid=GRID):
    """A member file of three snapshots, two of them at equilibrium."""
    full = parameters.defaults() | values
    wet = {"thetao": "tmask", "so": "tmask", "uo": "umask", "vo": "vmask"}
    level = {"thetao": temperature(full), "so": 35.0, "uo": 0.0, "vo": 0.0}
    states = xr.Dataset({
        n: (0.0 * grid.ds[m] + level[n] + xr.DataArray([9.0, -0.1, 0.1], dims="time")).where(grid.ds[m] > 0)
        .transpose("time", "z", "y", "x") for n, m in wet.items()
    })  # fmt: skip
    states = states.assign_coords(phase=("time", ["transient", "equilibrium", "equilibrium"]))
    files.write_dataset(
        folder / f"member_{i:03d}.nc", parameters.attach(states, full).assign_attrs(verdict=verdict), grid
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("finished")
    corners = [(0.1, 2e-5), (0.35, 2e-5), (0.1, 1.5e-4), (0.35, 1.5e-4), (0.2, 5e-5)]
    for copy in range(12):  # many members: the prior says less
        for i, (wind, mixing) in enumerate(corners):
            values = {"wind_stress_south": wind, "vertical_diffusivity": mixing}
            write_member(tmp_path, 5 * copy + i, values)
    write_member(tmp_path, 99, {"wind_stress_south": 0.2}, verdict="drifting")
    return tmp_path


def test_the_nearest_member_is_the_one_with_the_nearest_parameters(members):
    values = parameters.defaults() | {"wind_stress_south": 0.33, "vertical_diffusivity": 1.3e-4}
    state = starts.nearest(values, members, NAMES)
    assert state.attrs["nearest"] == "member_003.nc"
    expected = temperature(values | {"wind_stress_south": 0.35, "vertical_diffusivity": 1.5e-4})
    assert float(state.thetao.mean()) == pytest.approx(expected + 0.1), "its last snapshot"


@pytest.fixture(scope="module")
def members(finished):
    """What they say, read once; not to be changed."""
    return starts.read_finished(finished, GRID)


@pytest.fixture(scope="module")
def of_collection(request):
    return collection(request.config.rootpath / "data" / "dino-4deg")


WAYS = {
    "ranges": lambda v: {"members": 1, "seed": 1, "ranges": {n: [v[n], v[n] * 1.000001] for n in v}},
    "fixed": lambda v: {"members": 1, "seed": 1, "ranges": {}, "fixed": v},
    "list": lambda v: {"parameters": [v]},
    "some fixed, some listed": lambda v: {
        "fixed": {"vertical_diffusivity": v["vertical_diffusivity"]},
        "parameters": [{n: x for n, x in v.items() if n != "vertical_diffusivity"}],
    },
}


def in_plan(way, values, **new):
    """A plan that gives its one member these values."""
    rest = {key: PLAN[key] for key in ("configuration", "years")}
    return load_plan({**rest, **WAYS[way](values), **new})


def from_csv(tmp_path, values):
    path = tmp_path / "members.csv"
    path.write_text(",".join(values) + "\n" + ",".join(map(repr, values.values())) + "\n")
    return str(path)


def collection(folder):
    """The members of data/dino-4deg by their parameters alone; their states are numbers of a law."""
    found = []
    for path in sorted(folder.glob("member_*.nc")):
        with files.open_dataset(path) as ds:
            values = {name: float(v) for name, v in parameters.extract(ds).items()}
        state = xr.Dataset({n: (0.0 * GRID.tmask).where(GRID.tmask > 0) for n in starts.CARRIED})
        state["thetao"] = state["thetao"] + temperature(values)
        found.append(starts.Finished(path, values, state, state))
    return found


def beside_49(finished):
    """Parameters near to those of member 49, to give in any way; the other members are all farther off."""
    names = [n for n in sorted(parameters.PARAMETERS) if len({m.values[n] for m in finished}) > 1]
    return {
        n: finished[49].values[n] + 0.02 * (finished[0].values[n] - finished[49].values[n]) for n in names
    }


@pytest.mark.parametrize("way", [*WAYS, "csv"])
def test_nearest_is_member_49_of_the_collection_however_the_parameters_are_given(
    way, of_collection, tmp_path
):
    finished, folder = of_collection, of_collection[0].path.parent
    values = beside_49(finished)
    if way == "csv":
        plan = in_plan("list", values, parameters=from_csv(tmp_path, values))
    else:
        plan = in_plan(way, values, extrapolate=True)
    asked = member_parameters(plan)[0]
    assert len(starts.varied(asked, finished)) == 8
    state = starts.nearest(asked, finished, starts.varied(asked, finished))
    assert state.attrs["nearest"] == "member_049.nc"
    # what it is away from the member that an empty list of parameters takes
    ends = [files.open_dataset(folder / f"member_{i:03d}.nc").thetao.isel(time=-1) for i in (0, 49)]
    assert float(abs(ends[0] - ends[1]).max()) == pytest.approx(5.95, abs=0.01)


@pytest.mark.parametrize("way", WAYS)
def test_a_predicted_start_follows_the_values_however_they_are_given(way, members, tmp_path):
    for wind, mixing in ((0.12, 3e-5), (0.33, 1.4e-4)):
        values = {"wind_stress_south": wind, "vertical_diffusivity": mixing}
        asked = member_parameters(in_plan(way, values))[0]
        profile = starts.expected_profile(asked, SMALL, members)
        assert profile[:6] == pytest.approx([temperature(values)] * 6, abs=0.1)
        folder = tmp_path / f"{wind}"
        starts.write_start("predicted", asked, SMALL, members, folder)
        fields = read_restart(folder / starts.FILE)[0]
        wet = GRID.tmask.values > 0
        assert from_veros(fields["temp"][..., 1])[wet].mean() == pytest.approx(temperature(values), abs=0.1)


def test_a_parameter_that_no_finished_member_varied_changes_no_nearest_and_is_named_in_a_warning(
    caplog, members
):
    values = parameters.defaults() | {
        "wind_stress_south": 0.33,
        "vertical_diffusivity": 1.3e-4,
        "bottom_drag": 5e-6,
    }
    names = starts.varied(values, members)
    assert names == ["bottom_drag", "vertical_diffusivity", "wind_stress_south"]
    assert starts.nearest(values, members, names).attrs["nearest"] == "member_003.nc"
    starts.predicted(values, members, names, GRID)
    assert "one value of bottom_drag and cannot tell" in caplog.text


def test_a_small_difference_of_a_small_number_is_another_member(members):
    """Drag of 1.005e-6 is not 1e-6, although both are nothing beside 1e-8."""
    assert starts.others(members, members[0].values | {"bottom_drag": 1.005e-6}) == members


def test_a_run_whose_only_finished_member_is_itself_has_no_start(tmp_path):
    write_member(tmp_path, 0, {})
    known = starts.others(starts.read_finished(tmp_path, GRID), parameters.defaults())
    with pytest.raises(UserError, match="no finished member has other parameters"):
        starts.write_start("nearest", parameters.defaults(), SMALL, known, tmp_path / "member_001")


def test_a_finished_member_that_does_not_say_all_its_parameters_is_refused(tmp_path):
    write_member(tmp_path, 0, {})
    with xr.open_dataset(tmp_path / "member_000.nc") as ds:
        ds = ds.load().drop_vars("bottom_drag")
    files.write_dataset(tmp_path / "member_000.nc", ds, GRID, overwrite=True)
    with pytest.raises(UserError, match="does not say its bottom_drag"):
        starts.read_finished(tmp_path, GRID)


def test_a_linear_law_is_predicted(members):
    values = parameters.defaults() | {"wind_stress_south": 0.25, "vertical_diffusivity": 8e-5}
    state = starts.predicted(values, members, NAMES, GRID)
    assert float(state.thetao.mean()) == pytest.approx(temperature(values), abs=0.05)
    assert (np.isfinite(state.thetao.values) == (GRID.tmask.values > 0)).all()
    profile = starts.expected_profile(values, SMALL, members)
    assert profile[:6] == pytest.approx([float(state.thetao.mean())] * 6)
    assert profile[6:] == pytest.approx([35.0] * 6, abs=1e-3)


def test_the_number_of_threads_changes_no_bit_of_a_prediction(members):
    values = parameters.defaults() | {"wind_stress_south": 0.25, "vertical_diffusivity": 8e-5}
    states = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            states.append(starts.predicted(values, members, NAMES, GRID))
    xr.testing.assert_identical(*states)


def test_a_member_that_has_begun_keeps_the_aim_it_began_with_whatever_else_has_finished(
    finished, tmp_path, members
):
    how = {"stretch_years": 12, "window_years": 6}
    plan = load_plan(PLAN | {"finished": str(finished), "acceleration": how, "years": 20})
    values = member_parameters(plan)[0]
    folder = tmp_path / "runs" / "member_000"
    folder.mkdir(parents=True)
    begun = member_job(plan, values, folder, members)
    assert member_job(plan, values, folder, members[5:30]) != begun, "other members, another aim"
    dump_yaml(begun, folder / "job.yaml")
    assert member_job(plan, values, folder, members[5:30]) == begun


def test_a_round_starts_from_the_members_before_it_whatever_else_is_finished(finished):
    plan = load_plan(PLAN | {"start": "predicted", "finished": str(finished), "first": 7, "members": 9})
    taken = [m.path.name for m in finished_members(plan)]
    assert taken == [f"member_{i:03d}.nc" for i in range(7)]
    with pytest.raises(UserError, match="first is 9, of 9 members"):
        load_plan(PLAN | {"first": 9, "members": 9})


def test_a_member_made_again_learns_nothing_from_itself(members):
    left = starts.others(members, members[0].values)
    same = {m.path for m in members} - {m.path for m in left}
    assert len(same) == 12 and members[0].path in same, "the twelve copies of one set of parameters"


def test_a_drifting_member_is_no_start_and_nothing_finished_is_an_error(tmp_path):
    write_member(tmp_path, 0, {}, verdict="drifting")
    with pytest.raises(UserError, match="no member at or near equilibrium"):
        starts.read_finished(tmp_path, GRID)


def test_a_member_of_another_mesh_is_refused(tmp_path):
    write_member(tmp_path, 0, {}, grid=dino.grid(8.0, 6))
    with pytest.raises(UserError, match="mesh"):
        starts.read_finished(tmp_path, GRID)


def test_two_members_are_too_few_for_a_regression(tmp_path):
    for i in range(2):
        write_member(tmp_path, i, {})
    with pytest.raises(UserError, match="2 finished members are too few"):
        starts.predicted(parameters.defaults(), starts.read_finished(tmp_path, GRID), NAMES, GRID)


def test_a_cold_start_is_homogeneous_and_at_rest(tmp_path):
    starts.write_start("cold", parameters.defaults(), SMALL, [], tmp_path / "member_000")
    fields = read_restart(tmp_path / "member_000" / starts.FILE)[0]
    wet = GRID.tmask.values > 0
    assert (from_veros(fields["temp"][..., 1])[wet] == 2.0).all()
    assert (from_veros(fields["salt"][..., 1])[wet] == 35.0).all()
    assert not fields["u"].any()
    assert not fields["psi"].any()


@pytest.mark.parametrize(
    ("new", "says"),
    [
        ({"start": "nearest"}, "needs finished"),
        ({"start": "predicted", "finished": "no-such-folder"}, "is no folder"),
        ({"finished": "runs"}, "is read for start"),
        ({"until": "equilibrium", "years": 100}, "judged over 250 years"),
        ({"until": "doomsday"}, "until"),
        ({"acceleration": {"stretch_years": 10, "window_years": 20}}, "no longer than"),
        ({"acceleration": {"strech_years": 10}}, "strech_years"),
    ],
)
def test_a_plan_that_asks_for_what_cannot_be_is_refused(new, says):
    with pytest.raises(UserError, match=says):
        load_plan(PLAN | new)


def test_until_on_the_command_line_wins_over_the_plan():
    assert load_plan(PLAN, until="equilibrium").until == "equilibrium"
    with pytest.raises(UserError, match="until"):
        load_plan(PLAN, until="never")


def test_the_example_of_equilibria_is_a_valid_plan(request):
    plan = load_plan(request.config.rootpath / "examples" / "equilibria-dino-4deg.yaml")
    assert (plan.until, plan.start, plan.members, len(plan.ranges)) == ("equilibrium", "rest", 64, 8)


def test_members_start_from_their_own_files_in_a_folder_of_restarts(tmp_path):
    folder = tmp_path / "starts"
    folder.mkdir()
    for i in range(2):
        restart_from_state(starts.cold(GRID), GRID, folder / starts.OWN.format(i))
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(PLAN | {"members": 3, "start": "starts"}))
    plan = load_plan(tmp_path / "plan.yaml")
    values = member_parameters(plan)
    for i in range(2):
        job = member_job(plan, values[i], member_folder(tmp_path / "runs", i))
        assert job["start"] == str(folder / f"member_00{i}.h5")
    with pytest.raises(UserError, match=r"holds no member_002\.h5; expected one restart a member"):
        member_job(plan, values[2], member_folder(tmp_path / "runs", 2))


@pytest.mark.parametrize("spoil", [
    lambda ds: ds.drop_vars("phase"),
    lambda ds: ds.drop_vars("uo"),
    lambda ds: ds.assign_coords(phase=("y", ["equilibrium"] * GRID.shape[1])),
    lambda ds: ds.assign(bottom_drag=("time", [1e-6, 2e-6, 3e-6], ds["bottom_drag"].attrs)),
    lambda ds: ds.assign(bottom_drag=((), np.nan, ds["bottom_drag"].attrs)),
    lambda ds: ds.assign(bottom_drag=((), -1e-6, ds["bottom_drag"].attrs)),
])  # fmt: skip
def test_a_finished_member_whose_file_is_damaged_is_no_start(tmp_path, spoil):
    write_member(tmp_path, 0, {})
    with files.open_dataset(tmp_path / "member_000.nc") as ds:
        whole = ds.load()
    files.write_dataset(tmp_path / "member_000.nc", spoil(whole), GRID, overwrite=True)
    with pytest.raises(UserError):
        starts.read_finished(tmp_path, GRID)
