"""The demo with a real, tiny generator and real, tiny Veros runs: one command from parameters to a page."""

import shutil

import numpy as np
import pandas as pd
import pytest

from warmstart import demo as package_demo
from warmstart.errors import UserError
from warmstart.io import files
from warmstart.io.files import write_dataset
from warmstart.ocean import parameters
from warmstart.ocean.basin import basin
from warmstart.verbs.check import check
from warmstart.verbs.demo import PRODUCTS, demo

HELD_OUT = "member_003"


@pytest.fixture(scope="module")
def generator(tiny_runs, tmp_path_factory):
    """Trained on three members, with the fourth as the held-out one."""
    pytest.importorskip("torch", reason="torch is not installed")
    from warmstart.verbs.dataset import dataset
    from warmstart.verbs.train import train

    folder = tmp_path_factory.mktemp("generator")
    dataset(tiny_runs, folder / "states.zarr")
    config = {"residual": {"model": "gaussian"}, "training": {"steps": 0}}
    train(folder / "states.zarr", config, folder / "tiny")
    shutil.copy(tiny_runs / HELD_OUT / "states.nc", folder / "tiny" / "control.nc")
    check(folder / "states.zarr", output=folder / "tiny" / "reference.csv")
    return folder / "tiny"


@pytest.fixture(scope="module")
def done(generator, tmp_path_factory):
    """One demo; what it said and where its page is."""
    said = []
    # the first demo of all is asked to overwrite too, by the Makefile
    folder = tmp_path_factory.mktemp("demo") / "demo"
    page = demo(folder, str(generator), years=1, overwrite=True, say=said.append)
    return page, said


def test_the_demo_makes_everything_and_ends_with_the_page(done):
    page, said = done
    assert said[-1] == str(page) and page.name == "report.html"
    for name in PRODUCTS:
        assert (page.parent / name).exists(), name
    assert "<html" in page.read_text(encoding="utf-8")[:500]
    steps = [line for line in said if line[1:3] == "/5"]
    assert [line.split(" ")[1] for line in steps] == ["generate:", "check:", "restart:", "verify:", "report:"]


def test_what_it_asks_for_is_the_held_out_member(done, generator):
    folder = done[0].parent
    with (
        files.open_dataset(folder / "states.nc") as made,
        files.open_dataset(generator / "control.nc") as truth,
    ):
        asked = parameters.extract(made)
        for name, value in parameters.extract(truth, parameters.PARAMETERS).items():
            assert np.allclose(asked[name], value, rtol=1e-6), name
        assert made["seed"].values.tolist() == [0, 1]


def test_it_compares_generated_states_with_the_control_and_rest(done):
    table = pd.read_csv(done[0].parent / "verify.csv", comment="#")
    assert list(table["start"].unique()) == ["generated 0", "generated 1", "control", "rest"]
    finished = table[table["metric"] == "finished"]
    assert (finished["value"] == 1).all()
    distance = table[table["metric"] == "distance_initial"].set_index("start")["value"]
    assert distance["control"] < distance["generated 0"]


def test_what_exists_is_refused_and_kept(done, generator):
    page = done[0]
    before = page.stat().st_mtime_ns
    with pytest.raises(UserError, match="--overwrite"):
        demo(page.parent, str(generator), years=1)
    assert page.stat().st_mtime_ns == before


def test_a_demo_without_its_page_is_continued(done, generator):
    page = done[0]
    kept = {
        name: (page.parent / name).stat().st_mtime_ns for name in ("states.nc", "verify.nc", "verify.csv")
    }
    page.unlink()
    assert demo(page.parent, str(generator), years=1) == page
    assert page.exists()
    assert {name: (page.parent / name).stat().st_mtime_ns for name in kept} == kept


def test_another_demo_in_the_same_folder_is_refused(done, generator, tmp_path):
    shutil.copy(done[0].parent / "demo.yaml", tmp_path / "demo.yaml")
    with pytest.raises(UserError, match="--overwrite"):
        demo(tmp_path, str(generator), years=2)
    assert [path.name for path in tmp_path.iterdir()] == ["demo.yaml"]


def test_overwriting_removes_results_and_nothing_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    write_dataset(tmp_path / "states.nc", *basin(nx=6, ny=8, nz=4))
    (tmp_path / "verify_runs" / "control").mkdir(parents=True)
    (tmp_path / "verify_runs" / "verify.yaml").write_text("years: 1")
    (tmp_path / "verify_runs" / "control" / "notes.txt").write_text("mine")
    from warmstart.verbs.demo import _claim

    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"holds control/notes\.txt"):
        _claim(tmp_path, {"years": 1}, overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "verify_runs" / "control" / "notes.txt").unlink()
    _claim(tmp_path, {"years": 1}, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.yaml", "thesis.tex"]


def test_a_folder_of_somebody_else_is_refused(generator, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="--overwrite"):
        demo(tmp_path, str(generator))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_states_that_break_a_rule_stop_the_demo_however_often_it_is_called(done, generator, tmp_path):
    folder = tmp_path / "demo"
    folder.mkdir()
    shutil.copy(done[0].parent / "demo.yaml", folder)
    source = done[0].parent / "states.nc"
    with files.open_dataset(source) as ds:
        states = ds.load()
    states["thetao"] = states["thetao"].isel(z=slice(None, None, -1)).values + 0 * states["thetao"]
    files.write_dataset(folder / "states.nc", states.fillna(0.0), files.open_grid(source))
    for _ in range(2):
        with pytest.raises(UserError, match="break a physical rule"):
            demo(folder, str(generator), years=1)
    assert not (folder / "restarts").exists()


def test_the_demo_refuses_what_no_verb_takes_for_a_generator(tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    from warmstart.generator.checkpoint import load

    (tmp_path / "empty").mkdir()
    for wanted in ("dino-9deg", "../pretrained/dino-4deg", str(tmp_path / "empty")):
        with pytest.raises(UserError, match=r"no generator") as here:
            demo(tmp_path / "demo", wanted)
        with pytest.raises(UserError) as there:
            load(wanted)
        assert str(here.value) == str(there.value)
    assert not (tmp_path / "demo").exists()


def test_a_generator_without_a_control_is_refused(generator, tmp_path):
    bare = shutil.copytree(generator, tmp_path / "bare")
    for name in ("control.nc", "reference.csv"):
        (bare / name).unlink()
    with pytest.raises(UserError, match=r"lacks control\.nc and reference\.csv"):
        demo(tmp_path / "demo", str(bare))
    assert not (tmp_path / "demo").exists()


def test_the_verb_of_the_package_is_this_function():
    assert package_demo is demo
