"""A toy engine, found by its entry point alone, goes all the way: no line of the package knows it."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

import warmstart as ws
from warmstart import engines
from warmstart.engines.base import Job, save_job
from warmstart.engines.jobs import JobEngine
from warmstart.ensemble.member import run_member
from warmstart.equilibrium import distance
from warmstart.errors import UserError
from warmstart.io import files
from warmstart.ocean.variables import carried

SITE = Path(__file__).parent / "site"  #: where an installer would put it
PLAN = {
    "engine": "column", "configuration": {"columns": 6, "rows": 10, "levels": 5}, "members": 8, "seed": 3, "years": 60,
    "settle_years": 8, "ranges": {"column_temperature": ["16 degC", 24.0], "column_diffusivity": [2e-3, 8e-3]},
}  # fmt: skip
TINY = {
    "network": {"widths": [8, 12], "embedding": 16},
    "training": {
        "steps": 4,
        "batch": 2,
        "validate_every": 2,
        "checkpoint_every": 2,
        "warmup": 2,
        "patience": 0,
    },
    "sampling": {"steps": 8},
}


@pytest.fixture(scope="module", autouse=True)
def installed():
    """The package on the path, as an installer would put it there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SITE))
        patch.setenv(
            "PYTHONPATH", os.pathsep.join([str(SITE), *filter(None, [os.environ.get("PYTHONPATH")])])
        )
        yield
    for name in [n for n in sys.modules if n.partition(".")[0] == "diffusing_column"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    folder = tmp_path_factory.mktemp("column") / "runs"
    table = ws.simulate(PLAN, folder, workers=1, batch=8)
    assert (table["state"] == "finished").all(), table["reason"].tolist()
    assert {"column_temperature", "column_diffusivity"} <= set(table)
    return folder


def test_it_is_found_by_its_entry_point_and_recognises_its_runs(runs):
    assert "column" in engines.names() and engines.find("column").title == "the diffusing column"
    assert engines.recognise(runs / "member_000") == "column"


def test_its_files_open_like_those_of_any_engine(runs, tmp_path):
    """Its restart holds thetao, which alone would make it a file of CMIP6; the mesh is that of the run it lies in."""
    member = runs / "member_000"
    states, grid = files.open_dataset(member / "states.nc"), files.open_grid(member / "states.nc")
    assert engines.recognise(member / "restart.h5") == "column"
    assert (
        ws.open_grid(member / "restart.h5").fingerprint
        == ws.open_grid(member).fingerprint
        == grid.fingerprint
    )
    found = ws.open_state(member / "restart.h5")
    np.testing.assert_array_equal(found["dye"], states["dye"].isel(time=-1))
    assert float(found["thetao"].sel(lat=0.0, method="nearest").lat) == pytest.approx(0.0, abs=7.0)
    np.testing.assert_array_equal(ws.open_state(member)["thetao"], states["thetao"])
    table = ws.check(member / "restart.h5", only=["thetao_mean"])
    assert table["value"].item() == pytest.approx(float(grid.mean(states["thetao"].isel(time=-1))))
    assert "restart" in ws.info(member / "restart.h5") and "column run" in ws.info(member)
    alone = tmp_path / "alone.h5"
    alone.write_bytes((member / "restart.h5").read_bytes())
    with pytest.raises(
        UserError, match=r"alone.h5 carries no mesh, and there is no .*states.nc; give the mesh"
    ):
        ws.open_state(alone)
    np.testing.assert_array_equal(ws.open_state(alone, member / "states.nc")["dye"], found["dye"])
    with pytest.raises(UserError, match="one file each"):
        ws.open_state([alone, member / "restart.h5"], grid)


def test_an_engine_that_cannot_be_loaded_stands_in_nobodys_way(runs, monkeypatch):
    def load(name, loaded=engines._loaded):
        if name == "broken":
            raise ImportError(name)
        return loaded(name)

    monkeypatch.setattr(engines, "names", lambda: ("nemo", "broken", "column"))
    monkeypatch.setattr(engines, "_loaded", load)
    assert [engine.name for engine in engines.installed()] == ["nemo", "column"]
    assert ws.open_state(runs / "member_000" / "restart.h5")["dye"].dims == ("z", "y", "x")


def test_an_engine_that_leaves_something_out_is_refused_when_it_is_made():
    with pytest.raises(TypeError, match="abstract"):
        type("Half", (JobEngine,), {"name": "half"})()


def job(folder, years, start="rest", **changes):
    engine = engines.find("column")
    configuration = engine.configuration(columns=6, rows=10, levels=5)
    values = {name: p.default for name, p in engine.parameters.items()} | changes
    return Job(
        engine="column", configuration=configuration, parameters=values, start=str(start), folder=folder,
        phases=engine.trial_phases(years, configuration),
    )  # fmt: skip


def test_a_restart_goes_on_where_it_was_left_to_the_last_bit(tmp_path):
    for name, years, start in (
        ("whole", 4, "rest"),
        ("first", 2, "rest"),
        ("second", 2, tmp_path / "first" / "restart.h5"),
    ):
        run_member(job(tmp_path / name, years, start).model_dump(mode="json"))
    assert (tmp_path / "whole" / "restart.h5").read_bytes() == (
        tmp_path / "second" / "restart.h5"
    ).read_bytes()


def test_a_job_demands_exactly_the_parameters_of_its_engine(tmp_path):
    with pytest.raises(ValueError, match="unknown: bottom_drag"):
        job(tmp_path, 1, bottom_drag=1e-6)
    save_job(job(tmp_path, 1), tmp_path / "job.yaml")
    assert "column_diffusivity" in (tmp_path / "job.yaml").read_text()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"configuration": {"columns": 1, "rows": 10, "levels": 5}}, "configuration.columns"),
        ({"ranges": {"bottom_drag": [3e-7, 1e-5]}}, "unknown parameter 'bottom_drag'.*column_diffusivity"),
        ({"ranges": {"column_temperature": [0.0, 24.0]}}, "15 to 25 degC.*extrapolate"),
        ({"start": "cold"}, "the engine 'column' offers no start 'cold'"),
    ],
)
def test_a_plan_is_judged_by_what_the_engine_says(tmp_path, change, says):
    with pytest.raises(UserError, match=says):
        ws.simulate(PLAN | change, tmp_path / "runs")


def test_what_a_state_of_another_engine_has_is_judged_and_what_it_lacks_is_said(runs, caplog):
    states, grid = (
        files.open_dataset(runs / "member_000" / "states.nc"),
        files.open_grid(runs / "member_000" / "states.nc"),
    )
    end = states.isel(time=[-1])
    table = ws.check(end, grid).set_index("metric")["value"]
    assert table["thetao_mean"] > 5.0 and table["out_of_bounds"] == table["missing_values"] == 0
    assert "so_mean (needs so)" in caplog.text
    high = ws.check(end.assign(dye=end["dye"] + 10.0), grid, only=["out_of_bounds"])["value"]
    assert int(high.iloc[0]) == int(grid.mask("T").sum())
    holed = end["dye"].where(grid.gdept_0 > grid.gdept_1d[0])
    missing = ws.check(end[["dye"]].assign(dye=holed), grid, only=["missing_values"])["value"]
    assert int(missing.iloc[0]) == int(grid.mask("T").isel(z=0).sum())


def test_states_without_temperature_are_compared_by_the_tracers_that_they_have(runs):
    grid = files.open_grid(runs / "member_000" / "states.nc")
    dye = files.open_dataset(runs / "member_000" / "states.nc")[["dye"]].load()
    target, spread = dye.isel(time=-1), distance.horizontal_spread(dye.isel(time=-1), grid)
    found = distance.distance(dye + 0.0, target, spread, grid)
    assert set(found) == {"distance", "distance_dye_sd"} and float(found["distance"][-1]) == 0.0 < float(
        found["distance"][0]
    )
    assert distance.differences(dye, target, grid)["distance_dye"].attrs["units"] == "1"


def test_what_the_engine_lacks_is_refused_in_one_sentence(tmp_path, runs):
    states = runs / "member_000" / "states.nc"
    with pytest.raises(UserError, match="template: for the engine 'nemo' only"):
        ws.restart(states, tmp_path / "r", engine="column", template=states)


def test_it_goes_all_the_way(runs, tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    table = ws.dataset(runs, tmp_path / "states.zarr")
    assert len(table) == 8 and (table["snapshots"] == 5).all()
    store = files.open_dataset(tmp_path / "states.zarr")
    assert carried(store)["dye"].bounds == (-0.1, 1.5) and store["dye"].dims == ("sample", "z", "y", "x")

    ws.train(tmp_path / "states.zarr", TINY, tmp_path / "generator")
    wanted = {"column_temperature": "22 degC", "column_diffusivity": "0.004 m2/s"}
    generated = ws.generate(tmp_path / "generator", wanted, n=2, output=tmp_path / "generated.nc")
    sea = files.open_grid(tmp_path / "generated.nc").mask("T")
    assert np.isfinite(generated["dye"].where(sea, 0.0)).all()
    assert generated["dye"].attrs["physical_range"] and float(generated["dye"].max()) > 0.3
    assert generated["column_temperature"].values.tolist() == [22.0, 22.0]

    with pytest.MonkeyPatch.context() as patch:  # what was made is read without the engine that made it
        patch.setattr(engines, "names", lambda: ())
        assert ws.load(tmp_path / "generator").layout.tables["dye"] == carried(store)["dye"]
        assert ws.open_state(tmp_path / "generated.nc")["dye"].attrs["units"] == "1"

    metrics = ws.check(tmp_path / "generated.nc", reference=tmp_path / "states.zarr")
    assert "thetao_mean" in set(metrics["metric"])

    paths = ws.restart(tmp_path / "generated.nc", tmp_path / "restarts", engine="column")
    assert [path.name for path in paths] == ["000.h5", "001.h5"]
    grid = files.open_grid(tmp_path / "generated.nc")
    again = engines.find("column").read_restart(paths[1], grid)
    np.testing.assert_array_equal(again["dye"], generated["dye"].isel(sample=1))

    listed = {k: v for k, v in PLAN.items() if k not in ("members", "seed", "ranges")}
    same = {"name": "truth", "column_temperature": "22 degC", "column_diffusivity": 0.004}
    ws.simulate(listed | {"parameters": [same]}, tmp_path / "control", workers=1)
    results, verdict = ws.verify(
        tmp_path / "restarts", tmp_path / "verify.nc", years=12, control=tmp_path / "control" / "member_000" / "states.nc", engine="column",
        workers=1,
    )  # fmt: skip
    assert results["finished"].values.all() and set(results["start"].values) == {
        "generated 0",
        "generated 1",
        "control",
        "rest",
    }
    final = verdict[verdict["metric"] == "distance_final"].set_index("start")["value"]
    assert final["generated 0"] < final["rest"] and np.isfinite(final).all()

    unknown = verdict[verdict["metric"].str.startswith(("distance_so", "shock_"))]
    assert unknown["value"].isna().all()
    assert {"not judged: the state has no so", "not judged: the runs hold no kinetic_energy"} <= set(
        unknown["note"]
    )

    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    page = ws.report(
        [tmp_path / "generated.nc", tmp_path / "verify.nc", runs, tmp_path / "generator"],
        tmp_path / "report.html",
    )
    assert "column" in Path(page).read_text(encoding="utf-8")
