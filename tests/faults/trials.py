"""A fault injected into a command at a random moment, and what the same command makes of it afterwards."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

#: What differs between two runs of one command.
PASSING = re.compile(r".*(created|command|wall_seconds|cpu_seconds|[Ww]all|generated on|20\d\d-\d\d-\d\d).*")
PATIENCE = 600.0  #: no command here takes so long, on the busiest machine [s]
GONE = "gone"  #: what a folder that vanishes is called then


@dataclass
class Command:
    """A command of the command line: its words, where ``IN`` is the folder of inputs, and what it makes."""

    words: tuple[str, ...]
    output: str
    seconds: float = 0.0
    content: dict[str, str] = field(default_factory=dict)


@dataclass
class Outcome:
    """What came of a fault: the end of the command, whether a user's file was lost, what the same command then did."""

    command: str
    fault: str
    code: int
    said: str
    lost: bool
    again: str  #: "same bits", "was done", or what is wrong
    moment: float

    @property
    def right(self) -> bool:
        """Whether nothing was lost and the same command ends as if nothing had been, without a traceback before."""
        return (
            not self.lost
            and self.again in ("same bits", "was done")
            and self.code != 70
            and "Traceback" not in self.said
        )


def make_inputs(at: Path) -> dict[str, Command]:
    """Write small inputs of every verb; give the commands that read them."""
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "store")]
    from test_writer import write_member

    from nemo_files import write_mesh, write_template
    from small_ensemble import TINY, make_store
    from warmstart.engines import dino
    from warmstart.io.config import dump_yaml
    from warmstart.io.files import write_dataset
    from warmstart.ocean import parameters
    from warmstart.ocean.basin import basin, finish
    from warmstart.verbs.restart import restart
    from warmstart.verbs.train import train

    grid = dino.grid(10.0, 6)
    z = xr.DataArray(np.arange(2.0), dims="sample")
    state = finish(xr.Dataset({"thetao": 4.0 * grid.tmask + 0.1 * z, "so": 35.0 * grid.tmask + 0 * z}), grid)
    write_dataset(at / "dino.nc", parameters.attach(state, parameters.defaults()), grid)
    basic, mesh = basin(nx=8, ny=12, nz=5)
    write_dataset(at / "states.nc", basic, mesh)
    write_mesh(at / "mesh_mask.nc", mesh)
    write_template(at / "template.nc", mesh, "5.0 RK3")
    later = write_template(at / "later.nc", mesh, "5.0 RK3", scalars={"ndastp": 21230.0, "adatrj": 720.0})
    for index in (0, 3, 7):
        write_member(at / "runs", index)
    make_store(at / "store.zarr")
    dump_yaml(TINY, at / "train.yaml")
    train(at / "store.zarr", TINY, at / "generator")
    (at / "EXP").mkdir()
    (at / "EXP" / "namelist_cfg").write_text(
        "&namusr_def\n/\n&namrun\n   nn_leapy = 30\n   cn_exp = 'DINO'\n/\n&namdom\n   rn_Dt = 10800.\n/\n"
    )
    shutil.copy(at / "mesh_mask.nc", at / "EXP" / "mesh_mask.nc")
    (at / "EXP" / "copy.py").write_text(
        f"import shutil; shutil.copy({str(later)!r}, 'DINO_00002880_restart.nc')\n"
    )
    restart(
        at / "states.nc",
        at / "restarts",
        engine="nemo",
        template=at / "template.nc",
        grid=at / "mesh_mask.nc",
    )
    nemo = ("--engine", "nemo", "--grid", "IN/mesh_mask.nc")
    return {
        "check": Command(("check", "IN/dino.nc"), "metrics.csv"),
        "check to NetCDF": Command(("check", "IN/dino.nc"), "metrics.nc"),
        "check --published": Command(("check", "IN/states.nc", "--published", "--reference", "IN/states.nc"), "p.csv"),
        "generate": Command(("generate", "IN/generator", "-n", "2"), "states.nc"),
        "restart": Command(("restart", "IN/dino.nc"), "restarts"),
        "restart --engine nemo": Command(("restart", "IN/states.nc", *nemo, "--template", "IN/template.nc"), "restarts"),
        "dataset": Command(("dataset", "IN/runs"), "states.zarr"),
        "train": Command(("train", "IN/store.zarr", "IN/train.yaml"), "generator"),
        "report": Command(("report", "IN/dino.nc"), "report.html"),
        "verify --engine nemo": Command(
            ("verify", "IN/restarts", *nemo, "--template", "IN/EXP", "--run", f"{sys.executable} copy.py", "--years", "1",
             "--no-rest"), "verify.nc",
        ),
    }  # fmt: skip


def content(folder: Path) -> dict[str, str]:
    """What a command made, by name, without when and by which command line it did; what is empty or hidden too."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = "link"
        elif path.is_file():
            found[name] = hashlib.sha256(_bits(path)).hexdigest()
        else:
            found[name] = "folder"
    return found


def _bits(path: Path) -> bytes:
    raw = path.read_bytes()
    if raw.startswith(b"\x89HDF"):
        import h5py

        parts: list[bytes] = []

        def add(name: str, node: Any) -> None:
            if isinstance(node, h5py.Dataset) and "seconds" not in name:
                parts.append(
                    name.encode()
                    + (np.asarray(node[()]).tobytes() if node.dtype.kind != "O" else str(node[()]).encode())
                )

        with h5py.File(path) as file:
            file.visititems(add)
        return b"".join(parts)
    if raw.startswith(b"CDF"):
        with xr.open_dataset(path, decode_times=False, engine="netcdf4") as ds:
            return b"".join(str(n).encode() + v.values.tobytes() for n, v in ds.variables.items())
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return raw
    if path.suffix == ".html":  # a page is one line a section; pictures and numbers follow from what it shows
        return re.sub(r"20\d\d-\d\d-\d\d[^<]*|warmstart report[^<]*", "", text).encode()
    if path.suffix in (".csv", ".yaml", ".json", ".md", ".namelist", ".jsonl", ".log"):
        digests = r"[0-9a-f]{64}"
        kept = [re.sub(digests, "", line) for line in text.splitlines() if not PASSING.fullmatch(line)]
        table = path.name == "verify.csv"
        return "\n".join(line for line in kept if not (table and "seconds" in line)).encode()
    return raw


def start(
    command: Command, inputs: Path, here: Path, prepare: Callable[[], None] = lambda: None, output: str = ""
) -> int:
    """Run a command in a process of its own, forked from this one, which has imported everything; give its number."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        os.chdir(here)
        with open(here.parent / "said", "wb") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        words = [word.replace("IN/", f"{inputs}/") for word in command.words]
        sys.argv = ["warmstart", *words, "-o", output or command.output]
        for number in (signal.SIGINT, signal.SIGTERM):  # as before an interpreter has begun
            signal.signal(number, signal.SIG_DFL)
        prepare()
        from warmstart.__main__ import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException as error:  # noqa: BLE001 (told to whoever looks at it)
        with contextlib.suppress(OSError):
            os.write(2, f"Traceback {error!r}\n".encode())
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def end(pid: int) -> int:
    """Wait for a process; its exit code, negative for a signal."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise TimeoutError(f"process {pid} did not end")


def measure(command: Command, inputs: Path, here: Path) -> None:
    """Run a command undisturbed: what it makes, and how long it takes."""
    _fresh(here)
    began = time.monotonic()
    code = end(start(command, inputs, here))
    command.seconds = time.monotonic() - began
    if code not in (0, 1):
        raise RuntimeError(f"{command.words}: {code}: {(here.parent / 'said').read_text()}")
    command.content = content(here)


def _fresh(here: Path) -> None:
    if here.exists():
        shutil.rmtree(here)
    here.mkdir(parents=True)
    (here / "notes.txt").write_text("mine")


# ---------------------------------------------------------------- faults


def kill(number: int) -> Callable[..., None]:
    """A signal at a moment."""

    def inject(pid: int, moment: float, here: Path) -> None:
        time.sleep(moment)
        os.kill(pid, number)

    return inject


def vanish(pid: int, moment: float, here: Path) -> None:
    """The folder of the output is moved away by somebody else."""
    time.sleep(moment)
    here.rename(here.with_name(GONE))


def few_files() -> None:
    """No more than 64 files open."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


FAULTS: dict[str, Callable[..., None] | None] = {
    "kill -9": kill(signal.SIGKILL),
    "Ctrl-C": kill(signal.SIGINT),
    "SIGTERM": kill(signal.SIGTERM),
    "folder moved away": vanish,
    "64 open files": None,
    "disk full": None,
    "read-only folder": None,
    "parent killed": None,
    "ASCII locale": None,
}


def trial(name: str, command: Command, fault: str, moment: float, inputs: Path, here: Path) -> Outcome:
    """Inject a fault at a moment, a share of what the command takes; then give the same command again."""
    _fresh(here)
    room, made_again = None, False
    try:
        if fault == "disk full":
            room = _mounted(here, f"size={int(2**16 + moment * 2**19)},nr_inodes=0")
        if fault == "read-only folder":
            room = _mounted(here, "size=64m")
            subprocess.run(["mount", "-o", "remount,ro", str(here)], check=True)
        if fault == "ASCII locale":
            code = _ascii(command, inputs, here)
        elif fault == "parent killed":
            code = _orphan(command, inputs, here)
        else:
            pid = start(command, inputs, here, few_files if fault == "64 open files" else lambda: None)
            inject = FAULTS[fault]
            if inject is not None:
                inject(pid, moment * command.seconds, here)
            code = end(pid)
        said = (here.parent / "said").read_text(errors="replace")
        if fault == "folder moved away":
            made_again = here.exists()
            if made_again:
                shutil.rmtree(here)
            here.with_name(GONE).rename(here)
        if room is not None:  # somebody makes room
            subprocess.run(["mount", "-o", "remount,rw,size=64m", str(here)], check=True)
        lost = (here / "notes.txt").read_text() != "mine"
        again = "the folder that had vanished was made" if made_again else _again(command, inputs, here)
        return Outcome(name, fault, code, said.strip()[-400:], lost, again, round(moment, 3))
    finally:
        if room is not None:
            subprocess.run(["umount", str(here)], check=True)


def _again(command: Command, inputs: Path, here: Path) -> str:
    """The same command once more, without a fault."""
    code = end(start(command, inputs, here))
    said = (here.parent / "said").read_text(errors="replace")
    done = code == 2 and "exists; choose another output" in said
    if code not in (0, 1) and not done:
        return f"exit code {code}: {said.strip()[-300:]}"
    if done:
        words = command.words
        if content(here) != command.content:  # some of its files were in their places before the others
            code = end(start(Command((*words, "--overwrite"), command.output), inputs, here))
    found = content(here)
    if found != command.content:
        names = sorted(
            n for n in found.keys() | command.content.keys() if found.get(n) != command.content.get(n)
        )
        return f"exit code {code}, other content: {names[:6]}"
    if (here / "notes.txt").read_text() != "mine":
        return "a user's file lost"
    return "was done" if done else "same bits"


def _mounted(here: Path, options: str) -> Path:
    """A small disk at a folder, in this namespace alone."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(here)], check=True)
    (here / "notes.txt").write_text("mine")
    return here


def _ascii(command: Command, inputs: Path, here: Path) -> int:
    """In a process of its own, whose locale knows ASCII alone."""
    words = [word.replace("IN/", f"{inputs}/") for word in command.words]
    with open(here.parent / "said", "wb") as said:
        return subprocess.run(
            [sys.executable, "-m", "warmstart", *words, "-o", command.output], cwd=here, stdout=said, stderr=said,
            stdin=subprocess.DEVNULL, check=False,
            env={**os.environ, "LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        ).returncode  # fmt: skip


def _orphan(command: Command, inputs: Path, here: Path) -> int:
    """Its parent is killed while it works: it goes on, or ends."""
    parent = os.fork()
    if parent == 0:
        child = start(command, inputs, here)
        (here.parent / "child").write_text(str(child))
        time.sleep(PATIENCE)
        os._exit(0)
    while not (here.parent / "child").exists() or not (here.parent / "child").read_text():
        time.sleep(0.01)
    child = int((here.parent / "child").read_text())
    (here.parent / "child").unlink()
    time.sleep(0.3 * command.seconds)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            os.kill(child, 0)
        except OSError as error:
            if error.errno == errno.ESRCH:
                return 0
        if Path(f"/proc/{child}/stat").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            return 0
        time.sleep(0.05)
    raise TimeoutError(f"process {child} did not end")


def summarise(outcomes: list[Outcome]) -> pd.DataFrame:
    """One row a fault: how often, what was lost, and how the same command ended."""
    rows = []
    for fault in dict.fromkeys(o.fault for o in outcomes):
        ours = [o for o in outcomes if o.fault == fault]
        rows.append(
            {
                "fault": fault, "commands": len({o.command for o in ours}), "injected": len(ours),
                "ended by it": sum(o.code not in (0, 1) for o in ours), "files lost": sum(o.lost for o in ours),
                "tracebacks": sum(o.code == 70 or "Traceback" in o.said for o in ours),
                "then the same bits": sum(o.again in ("same bits", "was done") for o in ours),
                "wrong": sum(not o.right for o in ours),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)
