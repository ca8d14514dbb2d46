"""Every command and every function of the package that writes, with inputs that it never comes to read: it refuses before.

`attack` calls each with one output after another. Dangerous ones are tried in a sandbox only: see `test_nothing_lost`.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from warmstart.errors import UserError
from warmstart.io import outputs

#: Why an output may be refused; any other error means that the verb did not look at its output first.
REASONS = (
    "choose another", "Choose another", "may be yours", "is empty (a variable", "expected the name of", "holds a character NUL",
    "has not replaced", "cannot write", "in the way", "an input of the same command", "no plain file", "expected that of a file",
    "replaced as a whole", "is a symbolic link", "choose an empty or a new folder", "move it away",
)  # fmt: skip

PLAN = {"configuration": {"resolution": 12, "levels": 6}, "members": 1, "seed": 1, "years": 1}


#: Commands whose folder is continued and never replaced: they have no ``--overwrite``.
CONTINUED = ("simulate", "spinup")


class Verb:
    """A way to write: how it is called with an output, what it makes, and what it reads."""

    def __init__(
        self, call: Callable[[Any, bool], Any], folder: bool | None, reads: list[Path], beside: tuple[str, ...] = (),
        works: bool = False,
    ) -> None:  # fmt: skip
        self.call, self.folder, self.reads, self.beside, self.works = call, folder, reads, beside, works


def command(*arguments: str) -> Callable[[Any, bool], None]:
    """A call of the command line; ``OUT`` is the output, ``--overwrite`` is added if asked and known."""

    def call(output: Any, overwrite: bool) -> None:
        from warmstart.cli import app

        words = [str(output) if word == "OUT" else word for word in arguments]
        app([*words, *["--overwrite"] * (overwrite and words[0] not in CONTINUED)], standalone_mode=False)

    return call


def make_inputs(folder: Path) -> Path:
    """Small inputs, each as foreign as a user's own; the states bear the mark of the product."""
    from warmstart.io.files import write_dataset
    from warmstart.ocean import parameters
    from warmstart.ocean.basin import basin

    folder.mkdir()
    state, grid = basin(nx=6, ny=8, nz=4)
    state = parameters.attach(state, parameters.defaults())
    write_dataset(folder / "states.nc", state, grid)
    for name in ("generator", "store.zarr", "runs", "template", "restarts"):
        (folder / name).mkdir()
    for name in ("weights.safetensors", "config.yaml", "reference.csv"):
        (folder / "generator" / name).write_text("of a user")
    for name in ("normalizer.nc", "control.nc"):
        write_dataset(folder / "generator" / name, state, grid)
    import yaml

    (folder / "plan.yaml").write_text(yaml.safe_dump(PLAN))
    (folder / "train.yaml").write_text("training: {steps: 1}\n")
    for name in ("store.zarr/zarr.json", "store.zarr/chunk", "template/namelist_cfg", "restarts/restarts.yaml", "mesh_mask.nc",
                 "restart.nc", "namelist_cfg", "thresholds.yaml", "parameters.yaml", "metrics.csv"):  # fmt: skip
        (folder / name).write_text(f"{name} of a user")
    for run in ("member_000", "nemo"):
        (folder / "runs" / run).mkdir()
    for name in ("member_000/status.yaml", "nemo/namelist_cfg", "nemo/mesh_mask.nc"):
        (folder / "runs" / name).write_text("state: finished\n")
    return folder


def verbs(at: Path) -> dict[str, Verb]:
    """All of them, by name; `at` is the folder of :func:`make_inputs`."""
    from member_files import write_member_file, write_restart_of

    import warmstart as ws
    from warmstart.engines.base import Job, save_job
    from warmstart.engines.nemo.namelist import patch_namelist
    from warmstart.engines.veros import Configuration
    from warmstart.engines.veros.arrays import restart_from_state, write_restart
    from warmstart.engines.veros.phases import verify_phases
    from warmstart.io import files
    from warmstart.io.config import dump_yaml
    from warmstart.ocean import parameters
    from warmstart.ocean.basin import basin
    from warmstart.scores import metric_table

    s, plan, train, store = at / "states.nc", at / "plan.yaml", at / "train.yaml", at / "store.zarr"
    made, runs, mesh, generator = at / "restarts", at / "runs", at / "mesh_mask.nc", at / "generator"
    text = {name: str(path) for name, path in locals().items() if isinstance(path, Path)}
    state, grid = basin(nx=6, ny=8, nz=4)
    table = pd.DataFrame({"a": [1]})
    job = Job(engine="veros", start="rest", configuration=Configuration(resolution=12, levels=6), parameters=parameters.defaults(), folder=at / "no", phases=verify_phases(1, resolution=12))  # fmt: skip
    csv, sister = (".csv",), ("_summary.csv",)
    return {
        # ------------------------------------------------------------ the command line
        "$ simulate": Verb(command("simulate", text["plan"], "-o", "OUT"), True, [plan], works=True),
        "$ dataset": Verb(command("dataset", text["runs"], "-o", "OUT"), True, [runs]),
        "$ train": Verb(command("train", text["store"], text["train"], "-o", "OUT"), True, [store, train]),
        "$ generate": Verb(command("generate", text["generator"], "-o", "OUT"), False, [generator]),
        "$ generate --from --parameters": Verb(
            command("generate", "dino-4deg", "--from", text["s"], "--parameters", str(at / "parameters.yaml"), "-o", "OUT"),
            False, [s, at / "parameters.yaml"],
        ),
        "$ spinup": Verb(
            command("spinup", "--generator", text["generator"], "--from", text["s"], "-o", "OUT"), True, [generator, s], works=True
        ),
        "$ check": Verb(
            command("check", text["s"], "--reference", str(at / "metrics.csv"), "--grid", text["mesh"], "--thresholds",
                    str(at / "thresholds.yaml"), "-o", "OUT"), False,
            [s, at / "metrics.csv", mesh, at / "thresholds.yaml"],
        ),
        "$ check --published": Verb(
            command("check", text["s"], "--reference", text["s"], "--published", "-o", "OUT"), False, [s], sister
        ),
        "$ restart": Verb(command("restart", text["s"], "-o", "OUT"), True, [s]),
        "$ restart --engine nemo": Verb(
            command("restart", text["s"], "--engine", "nemo", "--template", str(at / "restart.nc"), "--grid", text["mesh"],
                    "--namelist", str(at / "namelist_cfg"), "-o", "OUT"), True,
            [s, at / "restart.nc", mesh, at / "namelist_cfg"],
        ),
        "$ verify": Verb(
            command("verify", text["made"], "--control", text["s"], "--reference", text["store"], "-o", "OUT"), False,
            [made, s, store], (*csv, "_runs/"),
        ),
        "$ verify --engine nemo": Verb(
            command("verify", text["made"], "--engine", "nemo", "--run", "true", "--template", str(at / "template"), "--grid",
                    text["mesh"], "-o", "OUT"), False, [made, at / "template", mesh], csv,
        ),
        "$ report": Verb(command("report", text["s"], "-o", "OUT", "--control", text["s"]), False, [s]),
        "$ demo": Verb(command("demo", "--generator", text["generator"], "-o", "OUT"), True, [generator], works=True),
        # ------------------------------------------------------------ the functions
        "simulate": Verb(lambda o, w: ws.simulate(plan, o), True, [plan], works=True),
        "dataset": Verb(lambda o, w: ws.dataset(runs, o, overwrite=w), True, [runs]),
        "train": Verb(lambda o, w: ws.train(store, train, o, overwrite=w), True, [store, train]),
        "generate": Verb(lambda o, w: ws.generate(generator, {}, output=o, overwrite=w), False, [generator]),
        "generate from": Verb(
            lambda o, w: ws.generate("dino-4deg", initial=xr.open_dataset(s), output=o, overwrite=w), False, [s]
        ),
        "spinup": Verb(lambda o, w: ws.spinup(o, generator=generator, start=s), True, [generator, s], works=True),
        "check": Verb(lambda o, w: ws.check([s], mesh, xr.open_dataset(s), output=o, overwrite=w), False, [s, mesh]),
        "restart": Verb(lambda o, w: ws.restart(s, o, overwrite=w), True, [s]),
        "write_restart": Verb(
            lambda o, w: ws.write_restart(s, o, at / "restart.nc", mesh, at / "namelist_cfg", overwrite=w), False,
            [s, at / "restart.nc", mesh, at / "namelist_cfg"], (".namelist", ".namelist_cfg"),
        ),
        "verify": Verb(lambda o, w: ws.verify(made, o, overwrite=w), False, [made], (*csv, "_runs/")),
        "verify_nemo": Verb(lambda o, w: ws.verify(runs, o, engine="nemo", overwrite=w), False, [runs], csv),
        "report": Verb(lambda o, w: ws.report([s, runs], o, overwrite=w), False, [s, runs]),
        "demo": Verb(lambda o, w: ws.demo(o, str(generator), overwrite=w), True, [generator], works=True),
        "write_dataset": Verb(lambda o, w: files.write_dataset(o, state, grid, w), False, []),
        "write_csv": Verb(lambda o, w: files.write_csv(o, table, w), False, []),
        "write_metrics": Verb(lambda o, w: metric_table.write_metrics(table, Path(o), w), False, []),
        "write_member_file": Verb(
            lambda o, w: write_member_file(runs / "member_000", o, w, undisturbed=s), False, [runs / "member_000", s]
        ),
        "write_restart_of": Verb(lambda o, w: write_restart_of(s, o, w), False, [s]),
        "restart_from_state": Verb(lambda o, w: restart_from_state(xr.open_dataset(s), grid, o, w), False, [s]),
        "write_restart (Veros)": Verb(lambda o, w: write_restart(o, {}), False, []),
        "dump_yaml": Verb(lambda o, w: dump_yaml({"a": 1}, o), False, []),
        "save_job": Verb(lambda o, w: save_job(job, o), False, []),
        "patch_namelist": Verb(
            lambda o, w: patch_namelist(at / "namelist_cfg", o, {}), False, [at / "namelist_cfg"]
        ),
        "replacing": Verb(lambda o, w: _replace(o, w), None, []),
    }  # fmt: skip


def _replace(output: Any, overwrite: bool) -> None:
    with outputs.replacing(output, overwrite):
        raise SystemExit(f"{output!r} was accepted")


def tree(root: Path) -> dict[str, str]:
    """What lies in a folder, by name: the hash of a file, where a link points to, what else it is. Links are not followed."""
    found = {}
    for here, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(here, name)
            key = str(path.relative_to(root))
            if path.is_symlink():
                found[key] = f"-> {os.readlink(path)}"
            elif path.is_file():
                found[key] = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                found[key] = "folder" if path.is_dir() else "other"
    return found


def attempt(name: str, verb: Verb, output: Any, overwrite: bool, root: Path) -> str | None:
    """Call a verb that has to refuse; say what is wrong, None if nothing is."""
    before = tree(root)
    try:
        verb.call(output, overwrite)
        wrong = "was not refused"
    except UserError as error:
        wrong = (
            None
            if any(reason in str(error) for reason in REASONS)
            else f"refused for another reason: {error}"
        )
    except BaseException as error:  # noqa: BLE001 (whatever it is, it is to be told)
        wrong = f"{type(error).__name__}: {error}"
    after = tree(root)
    lost = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    if lost:
        wrong = f"changed {sorted(lost)[:5]}"
    return None if wrong is None else f"{name} -o {output!r}{' --overwrite' * overwrite}: {wrong}"


def dangerous(home: Path, here: Path) -> Iterator[Any]:
    """Outputs that must never be tried outside a sandbox: names of folders that hold everything, in every spelling."""
    yield from (
        "",
        " ",
        ".",
        "..",
        "/",
        "//",
        "./",
        "../",
        "../..",
        "here/..",
        "./.",
        "/.",
        "/..",
        "$HOME/..",
        "~",
        "~/",
        "a\0b",
    )
    yield from (
        str(home),
        f"{home}/",
        str(here),
        f"{here}/",
        str(here.parent),
        f"{here}/../../",
        f"{here}/.",
        "/etc",
        "/usr",
    )
    yield from (
        str(here / name)
        for name in ("to_root", "to_home", "to_here", "to_above", "to_home/.", "to_above/here")
    )
    yield home  # a Path too
    yield here


def attack() -> int:
    """Try everything dangerous, as the main program of a sandbox: the folder of this process, and HOME, lie in it."""
    here, home = Path.cwd(), Path(os.environ["HOME"])
    for outside in ("/", "/etc", "/usr", str(Path(__file__).parent), str(Path(sys.prefix)), "/var", "/root"):
        try:
            (Path(outside) / "warmstart-sandbox-leaks").touch()
        except OSError:
            continue
        (Path(outside) / "warmstart-sandbox-leaks").unlink()
        sys.stdout.write(f"{outside} can be written to: this is no sandbox\n")
        return 77
    at = make_inputs(home / "inputs")
    (home / "manuscript.tex").write_text("ten years of work")
    (here / "notes.txt").write_text("mine")
    for name, target in {"to_root": "/", "to_home": str(home), "to_here": ".", "to_above": ".."}.items():
        (here / name).symlink_to(target)
    wrong = [
        found
        for name, verb in verbs(at).items()
        for output in dangerous(home, here)
        for overwrite in (False, True)
        if (found := attempt(name, verb, output, overwrite, home)) is not None
    ]
    sys.stdout.write("\n".join(wrong) or f"{len(verbs(at))} verbs, nothing lost")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(attack())
