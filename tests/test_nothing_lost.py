"""Nothing of a user's is lost: every verb, every kind of output that is not its own, with and without --overwrite."""

import os
import shutil
import sys
from pathlib import Path

import pytest

import sandbox
from every_verb import Verb, attempt, make_inputs, tree, verbs
from warmstart.io import outputs

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("of") / "inputs")


@pytest.fixture
def home(tmp_path, monkeypatch, inputs):
    """A user's home with work in it; commands are given in a folder further down."""
    here = tmp_path / "home" / "work" / "here"
    here.mkdir(parents=True)
    (tmp_path / "home" / "manuscript.tex").write_text("ten years of work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    shutil.copytree(inputs, tmp_path / "home" / "inputs")
    monkeypatch.chdir(here)
    return tmp_path / "home"


def our_file(path: Path) -> Path:
    path.write_text(f"{outputs.mark()}\n")
    return path


def our_folder(path: Path, *foreign: str) -> Path:
    with outputs.replacing(path) as temporary:
        (temporary / "deep").mkdir(parents=True)
        (temporary / "deep" / "ours.txt").write_text("ours")
    for name in foreign:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text("mine")
    return path


def targets(verb: Verb) -> dict[str, str]:
    """Outputs that a verb must refuse, made here, by what they are."""
    made = {
        "a foreign file": "notes.nc", "a folder of ours with a foreign file": "beside", "the same, deeper": "deeper",
        "a link to a foreign file": "link.nc", "a link to ours": "link_ours.nc", "a dangling link": "dangling.nc",
        "a loop": "loop.nc", "a pipe": "pipe.nc", "no such folder": "nowhere/a.nc", "below a file": "notes.nc/a.nc",
        "a name too long": f"{'n' * 300}.nc", "a store": "mine.zarr", "in a store": "mine.zarr/a.nc",
        "a part of a folder of ours": "whole/deep/ours.txt",
    }  # fmt: skip
    Path("notes.nc").write_text("mine")
    Path("mine.zarr").mkdir()
    Path("mine.zarr/zarr.json").write_text("{}")
    our_folder(Path("beside"), "mine.txt")
    our_folder(Path("deeper"), "deep/mine.txt", "new/mine.txt")
    our_folder(Path("whole"))
    Path("link.nc").symlink_to("notes.nc")
    Path("link_ours.nc").symlink_to(our_file(Path("ours.txt")))
    Path("dangling.nc").symlink_to("nothing")
    Path("loop.nc").symlink_to("loop.nc")
    os.mkfifo("pipe.nc")
    if not verb.works:  # such a verb works beside foreign files, and looks at each file that it replaces
        Path("papers.nc").mkdir()
        Path("papers.nc/paper.tex").write_text("mine")
        made |= {"a foreign folder": "papers.nc"}
    else:
        del made["a folder of ours with a foreign file"], made["the same, deeper"]
    if verb.folder is not None and not verb.works:
        made["a file where a folder goes, or the other way round"] = "ours.txt" if verb.folder else "whole"
    return made


VERBS = list(verbs(Path("inputs")))


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_leaves_alone_what_is_not_its_own(home, name):
    verb = verbs(home / "inputs")[name]
    wrong = [
        found
        for target in targets(verb).values()
        for overwrite in (False, True)
        if (found := attempt(name, verb, target, overwrite, home)) is not None
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_leaves_its_inputs_alone_under_whatever_name(home, name):
    at = home / "inputs"
    verb = verbs(at)[name]
    wrong = []
    for number, source in enumerate(verb.reads):
        if source.is_file() and name != "$ generate --from --parameters":
            our_file(source) if source.suffix in (".csv", "") else None  # even where they bear the mark
        names = [str(source), os.path.relpath(source)]
        if source.is_file():
            os.link(source, f"hard{number}.nc")
            Path(f"soft{number}.nc").symlink_to(source)
            names += [f"hard{number}.nc", f"soft{number}.nc"]
        else:
            names += [str(path) for path in sorted(source.rglob("*")) if path.is_file()]
        wrong += [found for output in names if (found := attempt(name, verb, output, True, home)) is not None]
    if verb.reads:  # the folder that holds them, a project of the user
        wrong += [found] if (found := attempt(name, verb, str(at), True, home)) is not None else []
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", [name for name in VERBS if verbs(Path("inputs"))[name].beside])
def test_what_a_verb_writes_beside_its_output_takes_the_place_of_nothing_foreign(home, name):
    verb = verbs(home / "inputs")[name]
    wrong, output = [], "out.csv" if "published" in name else "out.nc"
    for ending in verb.beside:
        path = Path(f"out{ending.rstrip('/')}")
        if ending.endswith("/"):
            path.mkdir()
            (path / "paper.tex").write_text("mine")
        else:
            path.write_text("mine")
        wrong += [
            found for overwrite in (False, True)
            if (found := attempt(name, verb, output, overwrite, home)) is not None
        ]  # fmt: skip
        path.rename(f"kept{ending.rstrip('/')}")
    assert not wrong, "\n".join(wrong)


def test_training_works_in_no_folder_of_somebody_else(home):
    verb = verbs(home / "inputs")["train"]
    Path(".generator.training").mkdir()
    Path(".generator.training/state.safetensors").write_text("mine")
    for overwrite in (False, True):
        assert attempt("train", verb, "generator", overwrite, home) is None


@pytest.mark.parametrize("name", ["simulate", "demo"])
def test_a_folder_to_work_in_with_foreign_files_of_known_names_is_left_alone(home, name):
    verb = verbs(home / "inputs")[name]
    Path("out").mkdir()
    for foreign in ("states.nc", "report.html", "member_000"):
        (Path("out") / foreign).write_text("mine")
        for overwrite in (False, True):
            assert attempt(name, verb, "out", overwrite, home) is None


def test_a_member_works_in_no_folder_of_somebody_else_and_through_no_link(home):
    from every_verb import PLAN
    from warmstart.ensemble.design import load_plan, member_job, member_parameters
    from warmstart.ensemble.member import run_member
    from warmstart.errors import UserError

    plan = load_plan(PLAN)
    folder = Path("member_000").resolve()
    job = member_job(plan, member_parameters(plan)[0], folder, [])
    folder.mkdir()
    (folder / "states.nc").write_text("mine")
    for foreign in ("states.nc", "engine.log", "checkpoint.h5"):
        if foreign != "states.nc":
            from warmstart.io.config import dump_yaml

            dump_yaml(job, folder / "job.yaml")
            (folder / foreign).symlink_to(home / "manuscript.tex")
        before = tree(home)
        with pytest.raises(UserError):
            run_member(job, ["false"])
        assert tree(home) == before
        (folder / foreign).unlink()
        (folder / "job.yaml").unlink(missing_ok=True)


def test_nothing_dangerous_is_taken_for_an_output_by_any_verb(tmp_path):
    """`.`, `..`, the root, the home, the working folder, those above it, links to them: in a namespace that is read-only."""
    here = tmp_path / "home" / "work" / "here"
    here.mkdir(parents=True)
    done = sandbox.run(
        tmp_path, here, sys.executable, str(ROOT / "tests" / "every_verb.py"),
        HOME=str(tmp_path / "home"), MPLCONFIGDIR=str(tmp_path / "matplotlib"), PYTHONPATH=f"{ROOT / 'src'}{os.pathsep}{ROOT / 'tests'}{os.pathsep}{ROOT / 'experiments'}", PYTHONDONTWRITEBYTECODE="1",
    )  # fmt: skip
    if done.returncode == sandbox.NO_SANDBOX:
        pytest.skip(done.stdout.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "nothing lost" in done.stdout
