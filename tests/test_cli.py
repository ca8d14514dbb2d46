"""The command line: light to import, verbs in order, and a user's mistake is a message, exit code 2 and nothing written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from warmstart import cli
from warmstart.io.files import write_dataset
from warmstart.ocean.basin import basin

HEAVY = ("torch", "jax", "veros", "sklearn", "matplotlib", "distributed")


def run(monkeypatch, capsys, *args):
    """Run the command line in this process; return exit code, standard output and error output."""
    monkeypatch.setattr(sys, "argv", ["warmstart", *map(str, args)])
    try:
        cli.main()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    out, err = capsys.readouterr()
    return code, out, err


def imported(tmp_path, code):
    """Names of the heavy packages that a fresh interpreter loads for `code`."""
    script = f"{code}\nimport sys\nprint(*(n for n in {HEAVY!r} if n in sys.modules), file=open({str(tmp_path / 'names')!r}, 'w'))"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, timeout=120)
    return (tmp_path / "names").read_text().split()


def test_importing_the_package_loads_nothing_heavy(tmp_path):
    assert (
        imported(
            tmp_path,
            "import warmstart, warmstart.engines.base, warmstart.engines.dino, warmstart.verbs.check",
        )
        == []
    )


def test_help_and_info_load_nothing_heavy_and_help_not_even_xarray(tmp_path):
    state, grid = basin()
    path = write_dataset(tmp_path / "state.nc", state, grid)
    call = "import sys\nfrom warmstart import cli\ntry:\n    cli.main()\nexcept SystemExit:\n    pass"
    assert imported(tmp_path, f"import sys; sys.argv = ['warmstart', 'info', {str(path)!r}]\n{call}") == []
    with_xarray = f"{call}\nassert 'xarray' not in sys.modules"
    assert imported(tmp_path, f"import sys; sys.argv = ['warmstart', '--help']\n{with_xarray}") == []


def test_help_lists_the_verbs_in_the_order_of_the_way_of_the_data(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "--help")
    verbs = [
        "simulate",
        "dataset",
        "train",
        "generate",
        "check",
        "restart",
        "verify",
        "spinup",
        "report",
        "info",
        "plan",
        "demo",
    ]
    listed = [
        line.split()[1] for line in out.splitlines() if len(line.split()) > 2 and line.split()[1] in verbs
    ]
    assert code == 0 and listed == verbs


def test_every_verb_explains_itself(monkeypatch, capsys):
    for verb in (
        "simulate",
        "dataset",
        "train",
        "generate",
        "check",
        "restart",
        "verify",
        "spinup",
        "report",
        "info",
        "plan",
        "demo",
    ):
        code, out, _ = run(monkeypatch, capsys, verb, "--help")
        assert code == 0 and "Usage" in out and verb in out


def test_info_tells_what_a_states_file_holds(monkeypatch, capsys, tmp_path):
    state, grid = basin()
    path = write_dataset(tmp_path / "state.nc", state, grid)
    code, out, _ = run(monkeypatch, capsys, "info", path)
    assert code == 0
    assert "states" in out and "thetao" in out and "degC" in out and grid.fingerprint in out
    assert f"{float(state.thetao.max()):.6g}" in out


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a states file, a copy cut short, an existing output, and a plan with a misspelt key."""
    state, grid = basin()
    other_state, other_grid = basin(nx=7)
    path = write_dataset(tmp_path / "states.nc", state.expand_dims("sample"), grid)
    write_dataset(tmp_path / "other.nc", other_state.expand_dims("sample"), other_grid)
    (tmp_path / "cut.nc").write_bytes(path.read_bytes()[:3000])
    (tmp_path / "exists.nc").write_text("precious")
    (tmp_path / "plan.yaml").write_text(
        "configuration: {resolution: 10, levels: 6}\nmembres: 2\nseed: 1\nyears: 1\n"
    )
    (tmp_path / "whole.yaml").write_text(
        "configuration: {resolution: 10, levels: 6}\nmembers: 2\nseed: 1\nyears: 300\n"
    )
    (tmp_path / "train.yaml").write_text("stepz: 2\n")
    (tmp_path / "good.yaml").write_text("seed: 1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


MISTAKES = {
    "an unknown parameter": (["generate", "dino-4deg", "--set", "wind_stress_suoth=0.3", "-o", "out.nc"], "did you mean wind_stress_south"),
    "a wrong unit": (["generate", "dino-4deg", "--set", "wind_stress_south=0.3m", "-o", "out.nc"], "cannot convert 'm' to Pa"),
    "a value that is no number": (["generate", "dino-4deg", "--set", "wind_stress_south=strong", "-o", "out.nc"], "not a number"),
    "a value outside the training range": (["generate", "dino-4deg", "--set", "wind_stress_south=3Pa", "-o", "out.nc"], "extrapolate"),
    "a setting without a value": (["generate", "dino-4deg", "--set", "wind_stress_south", "-o", "out.nc"], "NAME=VALUE"),
    "a generator that is not there": (["generate", "no-such", "-o", "out.nc"], "no-such"),
    "a missing states file": (["check", "no-such.nc", "-o", "out.csv"], "no-such.nc does not exist"),
    "a truncated states file": (["check", "cut.nc", "-o", "out.csv"], "cut off"),
    "a reference on another grid": (["check", "states.nc", "--reference", "other.nc", "-o", "out.csv"], "another grid"),
    "a misspelt threshold": (["check", "states.nc", "--thresholds", "train.yaml", "-o", "out.csv"], "stepz"),
    "an output that exists": (["check", "states.nc", "-o", "exists.nc"], "exists.nc exists; choose another"),
    "an output that exists, of generate": (["generate", "dino-4deg", "-o", "exists.nc"], "exists.nc exists; choose another"),
    "a misspelt key in a plan": (["simulate", "plan.yaml", "-o", "out"], "membres"),
    "an end of a spin-up that there is not": (["simulate", "whole.yaml", "-o", "out", "--until", "doomsday"], "'years', 'near' or 'equilibrium'"),
    "a missing plan": (["simulate", "no-such.yaml", "-o", "out"], "no-such.yaml does not exist"),
    "runs that are not there": (["dataset", "no-such", "-o", "out.zarr"], "no-such"),
    "a store that is not there": (["train", "no-such.zarr", "good.yaml", "-o", "out"], "no-such.zarr"),
    "a misspelt key in a training configuration": (["train", "states.nc", "train.yaml", "-o", "out"], "stepz"),
    "states on a grid that the engine does not have": (["restart", "states.nc", "-o", "out"], "expected a DINO mesh"),
    "restarts that are not there": (["verify", "no-such", "-o", "out.nc"], "no-such"),
    "nothing that a report could show": (["report", "train.yaml", "-o", "out.html"], "train.yaml"),
    "a missing file to describe": (["info", "no-such.nc"], "no-such.nc does not exist"),
    "a truncated file to describe": (["info", "cut.nc"], "cut off"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.replace(" ", "-"))
def test_a_mistake_is_answered_with_a_message_exit_code_2_and_nothing_written(
    place, monkeypatch, capsys, mistake
):
    args, words = MISTAKES[mistake]
    before = sorted(os.listdir(place))
    code, out, err = run(monkeypatch, capsys, *args)
    assert code == 2, out + err
    assert words in " ".join(err.split()), err
    assert "Traceback" not in err
    assert sorted(os.listdir(place)) == before
    assert (place / "exists.nc").read_text() == "precious"


def test_an_uninstalled_extra_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in [
        n for n in sys.modules if n.startswith(("warmstart.page", "warmstart.plot", "warmstart.verbs.report"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    code, _, err = run(monkeypatch, capsys, "report", tmp_path / "x.nc", "-o", tmp_path / "x.html")
    assert code == 2 and "warmstart[report]" in err


def test_the_module_runs_as_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "warmstart", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and "simulate" in done.stdout


def test_python_and_the_command_line_have_the_same_verbs():
    import warmstart

    commands = {c.callback.__name__ for c in cli.app.registered_commands}
    assert commands - {"info", "plan"} <= set(dir(warmstart))
    assert Path(warmstart.__file__).parent.joinpath("cli.py").exists()
