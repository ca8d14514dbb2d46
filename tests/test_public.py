"""What a user of the package meets: names, how they show themselves, how long they take, what they need."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import warmstart as ws

ROOT = Path(__file__).parents[1]
MEMBER = ROOT / "data" / "dino-4deg" / "member_000.nc"
SCREEN = (60, 120)  #: lines, characters


def examples(text):
    """The Python of the fenced blocks of a page."""
    return re.findall(r"```python\n(.*?)```", text, re.S)


def test_documented_examples_import_the_package_and_no_room_of_it():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "docs" / "metrics_page.py"]
    blocks = [block for page in pages for block in examples(page.read_text(encoding="utf-8"))]
    assert blocks
    found = [
        line
        for block in blocks
        for line in block.splitlines()
        if re.search(r"(from|import) warmstart\.", line)
    ]
    public = [getattr(ws, n) for n in ws.__all__]
    rooms = [f for room in (ws.physics, ws.plot) for n in room.__all__ for f in _functions(getattr(room, n))]
    for function in [*filter(inspect.isfunction, public), *rooms]:
        found += re.findall(
            r">>> from warmstart\.(?:ocean\.basin import basin|physics|plot|verbs|io).*",
            function.__doc__ or "",
        )
    assert found == []


def _functions(thing):
    """A function itself, or those that a module defines."""
    if inspect.isfunction(thing):
        return [thing]
    return [f for f in vars(thing).values() if inspect.isfunction(f) and f.__module__ == thing.__name__]


def test_whatever_is_public_shows_itself_on_one_screen():
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    state, grid = ws.basin()
    opened = [ws.open_state(MEMBER), ws.open_grid(MEMBER), ws.open_dataset(MEMBER)] if MEMBER.exists() else []
    generator = ws.load("dino-4deg")
    table = ws.check(state, grid)
    things = [getattr(ws, n) for n in ws.__all__]
    things += [state, grid, *opened, generator, table, ws.generate(generator, n=1), *ws.parameters.values()]
    for thing in things:
        lines = repr(thing).splitlines()
        assert sum(1 + len(line) // SCREEN[1] for line in lines) <= SCREEN[0], lines[:3]
    assert "wind_stress_south: 0.05 to 0.4 Pa" in repr(generator) and "dino-4deg" in repr(generator)


def test_the_tables_have_a_line_each_in_a_terminal_and_a_row_each_in_a_notebook():
    for table in (ws.parameters, ws.variables):
        lines = repr(table).splitlines()
        assert [line.split()[0] for line in lines[1:]] == list(table)
        assert max(map(len, lines)) <= SCREEN[1]
        assert table._repr_html_().count("<tr>") == 1 + len(table)
    assert "<td>m2 s-1</td>" in ws.parameters._repr_html_()


def test_the_program_says_its_version_and_completes_in_a_shell():
    program = [sys.executable, "-m", "warmstart"]
    said = subprocess.run([*program, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.strip() == f"warmstart {ws.__version__}"
    told = subprocess.run([*program, "--help"], capture_output=True, text=True, check=True).stdout
    assert "--install-completion" in told


#: Forbids what only extras bring, then runs a command line.
CORE = """
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
def find_core(name, path=None, target=None):
    return None if name.partition(".")[0] in {extras!r} else find(name, path, target)
PathFinder.find_spec = find_core
sys.argv = {words!r}
from warmstart.__main__ import main
main()
"""
EXTRAS = ("torch", "azula", "safetensors", "jax", "veros", "h5netcdf", "dask", "distributed", "matplotlib", "cmocean",
          "jinja2", "gsw", "scoringrules")  # fmt: skip


def core(*words):
    code = CORE.format(extras=EXTRAS, words=["warmstart", *map(str, words)])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    from warmstart.io.files import write_dataset

    state, grid = ws.basin(nx=6, ny=8, nz=4)
    folder = tmp_path_factory.mktemp("core")
    write_dataset(folder / "states.nc", state.expand_dims("sample"), grid)
    (folder / "plan.yaml").write_text(
        "{configuration: {resolution: 12, levels: 6}, members: 1, seed: 1, years: 1}"
    )
    (folder / "train.yaml").write_text("training: {steps: 1}")
    return folder


def test_the_core_alone_informs_and_checks(states):
    told = core("info", states / "states.nc")
    assert told.returncode == 0 and "thetao" in told.stdout, told.stderr
    checked = core("check", states / "states.nc", "-o", states / "metrics.csv")
    assert (states / "metrics.csv").exists() and "49 metrics: 9 pass" in checked.stdout, checked.stderr
    assert core("--help").returncode == 0


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("generate", "dino-4deg", "-o", "OUT/a.nc"), "generator"),
        (("train", "STATES", "TRAIN", "-o", "OUT/b"), "generator"),
        (("demo", "-o", "OUT/c"), "generator"),
        (("simulate", "PLAN", "-o", "OUT/d"), "veros"),
        (("report", "STATES", "-o", "OUT/e.html"), "report"),
    ],
    ids=lambda v: v[0] if isinstance(v, tuple) else v,
)  # fmt: skip
def test_what_the_core_lacks_is_said_in_one_sentence(states, words, extra):
    places = {
        "STATES": str(states / "states.nc"),
        "PLAN": str(states / "plan.yaml"),
        "TRAIN": str(states / "train.yaml"),
    }
    words = [places.get(w, w.replace("OUT", str(states))) for w in words]
    done = core(*words)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr, done.stderr
    assert f"warmstart[{extra}]" in " ".join(done.stderr.split())
