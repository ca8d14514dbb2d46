"""Member files: nothing that matters is lost, and a run goes on from one as if it had never ended."""

import shutil
import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

pytest.importorskip("veros", reason="Veros is not installed")

import member_files
from member_files import join_series, write_member_file, write_restart_of

from warmstart.engines import dino
from warmstart.engines.base import Job, Phase, save_job
from warmstart.engines.veros import Configuration
from warmstart.engines.veros.arrays import NEWEST, from_veros, read_restart
from warmstart.equilibrium.verdict import judge
from warmstart.errors import UserError
from warmstart.io import files
from warmstart.io.config import dump_yaml, read_yaml
from warmstart.ocean.basin import basin
from warmstart.ocean.parameters import extract
from warmstart.ocean.variables import STATE_VARIABLES
from warmstart.physics.budgets import heat_content, salt_content
from warmstart.physics.column import inversions, n2
from warmstart.store.members import read_member_file
from warmstart.verbs.dataset import dataset
from warmstart.verbs.info import info

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def member(tiny_runs, tmp_path_factory):
    return write_member_file(
        tiny_runs / "member_001", tmp_path_factory.mktemp("member_file") / "member_001.nc"
    )


@pytest.fixture
def run(tiny_runs, tmp_path):
    shutil.copytree(tiny_runs / "member_001", tmp_path / "member_001")
    return tmp_path / "member_001"


def test_inversions_budgets_and_stratification_do_not_change(member, tiny_runs):
    grid = files.open_grid(member)
    with (
        files.open_dataset(tiny_runs / "member_001" / "states.nc") as run,
        files.open_dataset(member) as kept,
    ):
        run, kept = run.load(), kept.load()
    assert kept.year.values.tolist() == run.year.values.tolist()
    assert (inversions(kept, grid).values == inversions(run, grid).values).all()
    assert (inversions(run, grid) > 0).any(), "nothing to lose"
    for content in (heat_content, salt_content):
        np.testing.assert_allclose(content(kept, grid), content(run, grid), rtol=1e-7)
    scale = float(np.sqrt((n2(run, grid) ** 2).mean()))
    assert float(abs(n2(kept, grid) - n2(run, grid)).max()) < 1e-4 * scale
    for name, step in (("thetao", 1e-6), ("so", 1e-7), ("uo", 1e-6), ("vo", 1e-6), ("zos", 1e-6)):
        assert float(abs(kept[name] - run[name]).max()) <= (0.5001 if name != "so" else 10.0) * step
        assert np.array_equal(np.isnan(kept[name]), np.isnan(run[name]))


def test_where_rounding_would_turn_a_pair_over_the_salinity_gives_way():
    state, grid = basin(nx=6, ny=8, nz=4)
    state = state.expand_dims("time").copy(deep=True)
    column = {"y": 4, "x": 3, "time": 0}
    for weak in (6e-7, -6e-7, 1e-10, 0.0):  # barely unstable, barely stable, less than any packing, neutral
        state["so"][column] = 35.0
        state["thetao"][column] = 4.0 + weak * np.arange(4)
        packed = member_files.pack(state, grid)
        assert inversions(packed, grid).equals(inversions(state, grid))
        assert packed.thetao.encoding["dtype"] == "int32"
        assert float(abs(packed.so - state.so).max()) < 1e-6
        assert float(abs(packed.thetao - state.thetao).max()) < 1e-6


def test_the_file_opens_with_netcdf4_and_plain_xarray_and_names_no_folder(member, tiny_runs):
    with netCDF4.Dataset(member) as file:
        assert set(file.groups) == {"grid", "series", "restart"}
        groups = [file, *file.groups.values()]
        things = [*groups, *(v for g in groups for v in g.variables.values())]
        text = [str(t.getncattr(a)) for t in things for a in t.ncattrs()]
    assert not [t for t in text if str(tiny_runs) in t or t.startswith("/")]
    with xr.open_dataset(member) as ds:
        assert ds.thetao.dims == ("time", "z", "y", "x")
        assert ds.phase.values.tolist()[-1] == "equilibrium"
        assert ds.attrs["start"] == "rest"
    assert member.stat().st_size < (tiny_runs / "member_001" / "states.nc").stat().st_size


def test_a_store_of_member_files_is_the_store_of_their_runs(member, tiny_runs, tmp_path):
    assert read_member_file(member).older is False
    shutil.copytree(tiny_runs / "member_001", tmp_path / "runs" / "member_001")
    tables = [dataset(p, tmp_path / f"{i}.zarr") for i, p in enumerate((tmp_path / "runs", member.parent))]
    assert tables[0].drop(columns="drift").equals(tables[1].drop(columns="drift"))
    assert tables[0].drift[0] == pytest.approx(tables[1].drift[0], abs=1e-3)  # series in single precision
    one, other = (files.open_dataset(tmp_path / f"{i}.zarr") for i in range(2))
    for name in STATE_VARIABLES:
        assert float(abs(one[name] - other[name]).max()) < 1e-6


def test_info_says_what_the_series_shows(member):
    text = info(member)
    assert "member 1 of an ensemble, with what a restart needs" in text
    assert "K/century (95 %:" in text
    assert "approach: no e-folding time: the series is too short" in text


def test_states_on_the_way_come_from_a_run_that_was_not_shifted(member, run, tiny_runs, tmp_path):
    """A run that was extrapolated before its last transient state takes that of the undisturbed run, and no other."""
    with files.open_dataset(member) as ds:
        true = ds.load()
    way = true.year.values[true.phase.values == "transient"]
    with files.open_dataset(run / "states.nc") as ds:
        shifted = ds.load()
    late = (shifted.year == way[-1]).values
    shifted["thetao"][late] += 1.0
    files.write_dataset(run / "states.nc", shifted, files.open_grid(member), overwrite=True)
    shift = {"year": float(way[-1]) - 1.0, "deep_K": 1.0}
    dump_yaml(read_yaml(run / "status.yaml") | {"shifts": [shift]}, run / "status.yaml")
    with files.open_dataset(write_member_file(run, tmp_path / "alone.nc")) as ds:
        assert way[-1] not in ds.year.values
    merged = write_member_file(run, tmp_path / "merged.nc", undisturbed=member)
    with files.open_dataset(merged) as ds:
        assert ds.year.values.tolist() == true.year.values.tolist()
        assert ds.phase.values.tolist() == true.phase.values.tolist()
        assert float(abs(ds.thetao - true.thetao).max()) < 2e-6
        assert ds.attrs["shifts"] == 1
    other = write_member_file(tiny_runs / "member_000", tmp_path / "other.nc")
    with pytest.raises(UserError, match="of other parameters"):
        write_member_file(run, tmp_path / "refused.nc", undisturbed=other)
    assert not (tmp_path / "refused.nc").exists()


def test_the_restart_in_the_file_is_that_of_the_run(member, tiny_runs, tmp_path):
    write_restart_of(member, tmp_path / "restart.h5")
    ours, _ = read_restart(tmp_path / "restart.h5")
    theirs, _ = read_restart(tiny_runs / "member_001" / "restart.h5")
    grid = files.open_grid(member)
    assert set(ours) == set(theirs)
    assert ours["time"] == theirs["time"]
    for name, mask, most in (
        ("temp", "tmask", 1e-6), ("salt", "tmask", 1e-7), ("u", "umask", 2e-6), ("v", "vmask", 2e-6),
        ("w", "tmask", 1e-8), ("rho", "tmask", 1e-6),
    ):  # fmt: skip
        wet = grid.ds[mask].values > 0
        a, b = (from_veros(f[name][..., NEWEST])[wet] for f in (ours, theirs))
        assert np.abs(a - b).max() < most, name
    inner = (slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(ours["psi"][inner][..., 1], theirs["psi"][inner][..., 1], atol=1e4)  # 0.01 Sv
    np.testing.assert_allclose(ours["tke"], np.repeat(theirs["tke"][..., 1:2], 3, axis=-1), rtol=2e-4)


def follow(start, folder, days=60):
    """Run on from a restart at 3600 s / 1 day in a process of its own; the last state."""
    grid = files.open_grid(Path(start).parent / "states.nc" if Path(start).suffix == ".h5" else start)
    with files.open_dataset(Path(start).parent / "states.nc" if Path(start).suffix == ".h5" else start) as ds:
        values = {name: float(value) for name, value in extract(ds).items()}
    phase = Phase(
        name="on", until_day=days, dt_momentum=3600.0, dt_tracer=86400.0, snapshot_days=(float(days),)
    )
    job = Job(
        engine="veros", configuration=Configuration(resolution=10, levels=6), parameters=values, start=str(start),
        folder=folder, phases=(phase,),
    )  # fmt: skip
    folder.mkdir()
    save_job(job, folder / "job.yaml")
    command = [sys.executable, "-m", "warmstart.engines.veros", str(folder / "job.yaml")]
    subprocess.run(command, check=True, capture_output=True)
    with files.open_dataset(folder / "states.nc") as ds:
        return ds.isel(time=-1).load(), grid


def test_a_run_goes_on_from_its_member_file_as_from_its_restart(member, tiny_runs, tmp_path):
    """After 60 days the two differ by much less than the ocean has changed."""
    one, grid = follow(tiny_runs / "member_001" / "restart.h5", tmp_path / "one")
    other, _ = follow(member, tmp_path / "other")
    with files.open_dataset(member) as ds:
        start = ds.isel(time=-1).load()

    def rms(a, b):
        return float(np.sqrt(grid.mean((a.thetao - b.thetao) ** 2)))

    assert rms(one, other) < 0.03 * rms(one, start)
    assert rms(one, other) < 1e-3


def test_the_verdict_of_a_continued_member_joins_both_series():
    def part(years, deep, **more):
        return xr.Dataset({"thetao_deep": ("time", deep), **more}, {"year": ("time", years)})

    stretch = {"stretch": ("time", np.repeat([0, 1], [100, 201]))}
    stored = part(np.arange(301.0), np.repeat([3.0, 4.0], [100, 201]), **stretch)
    found = judge(join_series(stored, part(np.arange(51.0), np.full(51, 4.0))))
    assert (found.verdict, found.years) == ("equilibrium", 200.0)
    warming = join_series(stored, part(np.arange(51.0), 4 + 0.01 * np.arange(51)))
    assert judge(warming).verdict == "drifting"
    assert warming.stretch.values[-51:].tolist() == [1] * 51, "no shift on the way"


def test_a_continued_member_keeps_its_youth_and_counts_what_both_runs_cost(member, run, tmp_path):
    """A run that started from the restart in a member file becomes one history with it, in a file that runs on again."""
    kept = tmp_path / "kept"
    kept.mkdir()
    longer = write_member_file(run, kept / "member_001.nc", continues=member)
    with files.open_dataset(member) as ds, files.open_dataset(longer) as both:
        young = (ds.phase == "transient").values
        years = float(ds.attrs["years"])
        assert both.year.values[both.phase.values == "transient"].tolist() == ds.year.values[young].tolist()
        assert (
            both.year.values[both.phase.values == "equilibrium"].tolist()
            == (ds.year.values[~young] + years).tolist()
        )
        for name in ("years", "cpu_seconds"):
            assert both.attrs[name] == 2 * ds.attrs[name], name
        assert both.attrs["start"] == "rest, continued"
    with files.open_dataset(longer, "series") as series:
        assert (np.diff(series.year) > 0).all() and float(series.year[-1]) == 2 * years
    assert "member 1 of an ensemble" in info(longer)
    write_restart_of(longer, tmp_path / "restart.h5")
    assert read_member_file(longer).index == 1


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda r: (r / "status.yaml").unlink(), "holds no status.yaml"),
        (lambda r: dump_yaml({"state": "failed", "message": "blown up"}, r / "status.yaml"), "failed: blown up"),
        (lambda r: (r / "restart.h5").unlink(), "restart.h5 does not exist"),
        (lambda r: (r / "series.nc").unlink(), "series.nc does not exist"),
        (lambda r: (r / "states.nc").write_bytes(b"x"), "states.nc"),
    ],
)  # fmt: skip
def test_a_run_that_is_not_whole_is_refused(run, spoil, says):
    spoil(run)
    with pytest.raises(UserError) as error:
        write_member_file(run, run.parent / "member_001.nc")
    assert says in str(error.value)
    assert not list(run.parent.glob("*.nc"))


def respell(run, change):
    """Write the states of a run anew."""
    grid = files.open_grid(run / "states.nc")
    with files.open_dataset(run / "states.nc") as ds:
        ds = ds.load()
    files.write_dataset(run / "states.nc", change(ds), grid, overwrite=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda ds: ds.assign(thetao=ds.thetao + 1e-3), "restart.h5 is not of the last state"),
        (lambda ds: ds.isel(time=slice(0, -1)), "restart.h5 is not of the last state"),
        (lambda ds: ds.assign_coords(year=ds.year + 0.1 * np.arange(5)), "different seasons"),
        (lambda ds: ds.isel(time=[0]), "holds no equilibrium state"),
    ],
)
def test_states_that_do_not_belong_together_are_refused(run, change, says):
    respell(run, change)
    with pytest.raises(UserError, match=says):
        write_member_file(run, run.parent / "member_001.nc")


def test_a_run_of_another_mesh_is_refused(run):
    grid = files.open_grid(run / "states.nc")
    mesh = grid.ds.assign(e1t=grid.e1t * 2)
    with files.open_dataset(run / "states.nc") as ds:
        ds = ds.load()
    files.write_dataset(run / "states.nc", ds, type(grid)(mesh), overwrite=True)
    with pytest.raises(UserError, match="another grid"):
        write_member_file(run, run.parent / "member_001.nc")


def test_a_start_from_what_holds_no_restart_is_refused(member, tiny_runs, tmp_path):
    older = tmp_path / "member_001.nc"
    with files.open_dataset(member) as ds:
        ds = ds.load()
    ds.attrs.pop("member_format")
    files.write_dataset(older, ds, files.open_grid(member))
    with pytest.raises(UserError, match="older format"):
        read_restart(older)
    with pytest.raises(UserError, match="no member file"):
        read_restart(tiny_runs / "member_001" / "states.nc")


def test_the_script_exports_all_it_can_and_notes_blow_ups(run, tmp_path):
    collection = tmp_path / "members"
    collection.mkdir()
    blown = tmp_path / "member_009"
    blown.mkdir()
    dump_yaml(
        {"state": "failed", "blow_ups": [{"year": 3.0, "parameters": {"a": 1.0}}]}, blown / "status.yaml"
    )
    (tmp_path / "member_010").mkdir()
    command = [
        sys.executable,
        str(ROOT / "data" / "export.py"),
        str(tmp_path / "member_010"),
        str(blown),
        str(run),
    ]
    done = subprocess.run([*command, str(collection)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "member_010: not written" in done.stderr
    assert read_yaml(collection / "blow_ups.yaml")["members"][0]["member"] == 9
    before = (collection / "member_001.nc").read_bytes()
    subprocess.run([*command, str(collection)], check=False, capture_output=True)
    assert (collection / "member_001.nc").read_bytes() == before, "added once, never rewritten"


def test_states_on_the_way_of_a_run_from_a_restart_are_no_stages_of_a_spin_up(run, tmp_path):
    job = read_yaml(run / "job.yaml")
    dump_yaml(job | {"start": "/elsewhere/regridded/member_001.h5"}, run / "job.yaml")
    with files.open_dataset(write_member_file(run, tmp_path / "member_001.nc")) as kept:
        assert set(kept.phase.values) == {"equilibrium"}
        assert "elsewhere" not in kept.attrs["start"]


def test_a_member_on_a_finer_mesh_starts_a_plan_there(member, tmp_path):
    starts = tmp_path / "regridded"
    command = [sys.executable, str(ROOT / "data" / "refine.py"), str(member), str(starts)]
    command += ["--resolution", "8", "--levels", "8"]
    subprocess.run(command, check=True, capture_output=True)
    grid = dino.grid(8.0, 8)
    with files.open_dataset(member) as coarse:
        state = coarse.isel(time=-1).load()
    fields, _ = read_restart(starts / "member_001.h5")
    heat = xr.DataArray(from_veros(fields["temp"][..., NEWEST]), dims=("z", "y", "x"))
    assert (np.isfinite(heat.values[grid.tmask.values > 0])).all()
    old, new = files.open_grid(member), grid
    means = [
        float((t.fillna(0.0) * g.volume).sum() / g.volume.sum())
        for t, g in ((state.thetao, old), (heat, new))
    ]
    assert means[1] == pytest.approx(means[0], abs=0.3)
    again = subprocess.run(command, check=False, capture_output=True, text=True)
    assert again.returncode == 1
    assert "exists" in again.stderr


def test_a_transport_that_the_earlier_run_defined_otherwise_does_not_pass_for_a_trend():
    def run(years, channel, meaning):
        series = xr.Dataset(
            {
                "thetao_deep": ("time", np.full(years.size, 4.0)),
                "channel_transport": ("time", channel, {"long_name": meaning}),
            },
            {"year": ("time", years)},
        )
        return series

    stored = run(np.arange(250.0), np.full(250, 195.0) + np.sin(np.arange(250)), "between two latitudes")
    new = run(np.arange(101.0), np.full(101, 227.0) + np.sin(np.arange(101)), "from coast to coast")
    joined = join_series(stored, new)
    assert judge(joined).verdict == "equilibrium"
    assert joined.channel_transport.attrs["long_name"] == "from coast to coast"
    assert int(joined.channel_transport.isnull().sum()) == 250
    new["channel_transport"] = new.channel_transport + 0.5 * new.year
    assert judge(join_series(stored, new)).moving == ("channel_transport",)
