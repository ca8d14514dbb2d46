"""One input tried in a process of its own: what came of it, how long it took, what it left."""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import damage
from .calls import CALLS

#: What one input may take [s of CPU, bytes].
SECONDS, MEMORY = 10.0, 2 * 2**30
#: What a process may take before it is ended, and what it may wait on a busy machine [s].
ENDED, PATIENCE = 20, 300
#: Longest answer [characters]: a sentence, and what the log warned of.
LONGEST = 6000
#: Exit code of an error that nobody expected.
UNEXPECTED = 70
GOOD = ("accepted", "refused")


@dataclass(frozen=True)
class Input:
    """Files, what is done to them, and the command that reads them.

    Attributes
    ----------
    reader : what is tried.
    bases : files and folders that are copied into the sandbox.
    edits : name of a function of :mod:`fuzz.damage`, path, and further arguments.
    argv : of the command line; or ``python``, the name of one of :data:`fuzz.calls.CALLS`, and its arguments.
    """

    reader: str
    bases: tuple[str, ...]
    edits: tuple[tuple[Any, ...], ...]
    argv: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of an input: `result` is ``accepted``, ``refused``, or what is wrong."""

    case: Input
    result: str
    seconds: float
    memory: int
    text: str


def attempt(case: Input, bases: Path) -> Outcome:
    """Try one input in an empty folder, in a child of this process."""
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        return _attempt(case, bases, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _attempt(case: Input, bases: Path, place: Path) -> Outcome:
    for name in ("work", "home", "tmp"):
        (place / name).mkdir()
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _child(case, bases, place, writer)
    os.close(writer)
    begin = time.monotonic()
    try:
        told = _wait(reader, pid, begin)
    finally:
        os.close(reader)
    _, status, usage = os.wait4(pid, 0)
    seconds, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    text = (place / "stderr").read_text(errors="replace") if (place / "stderr").exists() else ""
    if not told:
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        result = "hang" if number in (signal.SIGXCPU, signal.SIGKILL) else f"crash by signal {number}"
        return Outcome(case, result, seconds, memory, text[-LONGEST:])
    report = json.loads(told)
    seconds = report["seconds"]
    return Outcome(
        case, _judge(report, text, seconds, memory), seconds, memory, report["text"] or text[-LONGEST:]
    )


def _wait(reader: int, pid: int, begin: float) -> str:
    """What the child tells; it is ended when it takes too long."""
    import select

    told = b""
    while True:
        left = PATIENCE - (time.monotonic() - begin)
        ready, _, _ = select.select([reader], [], [], max(left, 0))
        if not ready:
            os.kill(pid, signal.SIGKILL)
            return ""
        part = os.read(reader, 65536)
        if not part:
            return told.decode()
        told += part


#: PyTorch makes this folder for its caches when ``plan`` counts with it, and leaves it empty.
CACHE = "tmp/torchinductor_"


def _judge(report: dict[str, Any], text: str, seconds: float, memory: int) -> str:
    code, changed = report["code"], report["changed"]
    if report["broken"]:
        return "harness"
    if code not in (0, 1, 2) or "Traceback (most recent call last)" in text:
        return "traceback"
    if seconds > SECONDS:
        return "hang"
    if memory > MEMORY:
        return "memory"
    if len(text) > LONGEST or report["said"] > 200 * LONGEST:
        return "too long an answer"
    if report["harmed"]:
        return "an input changed"
    if (code == 2 and changed) or any(not name.startswith("work/out") for name in changed):
        return "left behind"
    if code == 2 and not text.strip():
        return "no word"
    return "refused" if code == 2 else "accepted"


def _child(case: Input, bases: Path, place: Path, writer: int) -> None:
    """Make the input, run it, tell what happened; never returns."""
    report: dict[str, Any] = {"code": UNEXPECTED, "broken": False, "text": ""}
    code = 0
    try:
        begin = 0.0
        try:
            _apart(case, bases, place / "work")
            before = _listing(place)
        except BaseException:
            report |= {"broken": True, "text": traceback.format_exc(), "changed": [], "harmed": [], "said": 0}
            report["seconds"] = 0.0
            return
        faulthandler.disable()
        _limit()
        _redirect(place)
        begin = _cpu()
        os.environ |= {"HOME": str(place / "home"), "TMPDIR": str(place / "tmp"), "WARMSTART_DEBUG": "1"}
        os.environ.setdefault("COLUMNS", "200")
        tempfile.tempdir = None
        os.chdir(place / "work")
        report["code"] = _run(case.argv)
        report["seconds"] = _cpu() - begin
        sys.stdout.flush()
        sys.stderr.flush()
        after = _listing(place)
        report["changed"] = sorted(n for n in set(after) - set(before) if not n.startswith(CACHE))
        report["harmed"] = sorted(name for name in before if after.get(name) != before[name])
        report["said"] = (place / "stdout").stat().st_size
        if (report["changed"] and report["code"] == 2) or report["harmed"]:
            report["text"] = f"changed {report['changed'][:5]}, harmed {report['harmed'][:5]}"
    except BaseException:
        report |= {"broken": True, "text": traceback.format_exc()}
    finally:
        with contextlib.suppress(BaseException):
            for name, value in (("changed", []), ("harmed", []), ("said", 0), ("seconds", 0.0)):
                report.setdefault(name, value)
            os.write(writer, json.dumps(report).encode("utf-8", "backslashreplace"))
        os._exit(code)


def _apart(case: Input, bases: Path, work: Path) -> None:
    """Make the input in a process of its own: a library that cannot close a damaged file keeps it open, and would write it later."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _prepare(case, bases, work)
        except BaseException:
            os.write(writer, traceback.format_exc()[-LONGEST:].encode("utf-8", "backslashreplace"))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        failed = stream.read().decode()
    _, status = os.waitpid(pid, 0)
    if failed or status:
        raise RuntimeError(failed or f"the input could not be made: status {status}")


def _prepare(case: Input, bases: Path, work: Path) -> None:
    for name in case.bases:
        source, target = bases / name, work / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
    for name, path, *arguments in case.edits:
        getattr(damage, name)(work / path, *arguments)


def _limit() -> None:
    used = int(_cpu())
    resource.setrlimit(resource.RLIMIT_CPU, (used + ENDED, used + ENDED + 5))
    resource.setrlimit(resource.RLIMIT_DATA, (3 * MEMORY, 3 * MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))


def _redirect(place: Path) -> None:
    """Both streams into files, the C library's too; no input and no terminal."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        target = os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = os.fdopen(0, "r")
    sys.stdout, sys.stderr = (
        os.fdopen(n, "w", buffering=1, encoding="utf-8", errors="backslashreplace") for n in (1, 2)
    )


def _run(argv: tuple[str, ...]) -> int:
    from warmstart import cli
    from warmstart.errors import UserError

    try:
        if argv[0] == "python":
            CALLS[argv[1]](*argv[2:])
        else:
            sys.argv = ["warmstart", *argv]
            cli.main()
        return 0
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except BaseException:
        traceback.print_exc()
        return UNEXPECTED


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    below = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime + below.ru_utime + below.ru_stime


def _listing(place: Path) -> dict[str, str]:
    """Every file and folder below a place, with what it holds; streams left out."""
    found = {}
    for path in place.rglob("*"):
        name = str(path.relative_to(place))
        if name in ("stdout", "stderr"):
            continue
        try:
            found[name] = (
                "folder" if path.is_dir() else hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
            )
        except OSError as error:
            found[name] = type(error).__name__
    return found
