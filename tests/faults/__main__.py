"""Faults by hand, in a namespace that is read-only but for one folder: ``PYTHONPATH=tests python -m faults --record``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from .trials import FAULTS, Outcome, make_inputs, measure, summarise, trial

#: How often each fault is injected, all commands together; kill -9 most, at any moment.
TIMES = {"kill -9": 100, "Ctrl-C": 30, "SIGTERM": 30, "folder moved away": 20, "disk full": 30, "read-only folder": 10,
         "64 open files": 10, "parent killed": 10, "ASCII locale": 10}  # fmt: skip
ROOT = Path(__file__).parents[2]


def everything(at: Path, seed: int, share: float, only: str | None) -> list[Outcome]:
    """Inject all faults, command after command; say what went wrong as it does."""
    (at / "inputs").mkdir()
    commands = make_inputs(at / "inputs")
    import warmstart.verbs.generate
    import warmstart.verbs.report
    import warmstart.verbs.verify  # noqa: F401 (before the forks)

    draw, outcomes = np.random.default_rng(seed), []
    for command in commands.values():
        measure(command, at / "inputs", at / "here")
    for fault in FAULTS:
        if only not in (None, fault):
            continue
        for i in range(max(1, round(share * TIMES[fault]))):
            name = list(commands)[i % len(commands)]
            outcome = trial(name, commands[name], fault, draw.random(), at / "inputs", at / "here")
            outcomes.append(outcome)
            if not outcome.right:
                sys.stdout.write(f"{outcome}\n")
        sys.stdout.write(f"{fault}: {len(outcomes)} so far\n")
        sys.stdout.flush()
    return outcomes


def main() -> int:
    """Run, outside first to make the namespace, then inside."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0, help="of the number of faults")
    parser.add_argument("--only", help="one kind of fault")
    parser.add_argument(
        "--record", action="store_true", help="write the table to the result file and the page"
    )
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside is None:
        return _outside(options)
    table = summarise(everything(options.inside, options.seed, options.share, options.only))
    sys.stdout.write(f"{table.to_string(index=False)}\n")
    table.to_csv(options.inside / "table.csv", index=False)
    return int(table["wrong"].sum() > 0)


def _outside(options: argparse.Namespace) -> int:
    import sandbox

    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        words = ["--seed", str(options.seed), "--share", str(options.share), "--inside", folder]
        words += ["--only", options.only] if options.only else []
        paths = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
        done = sandbox.run(
            at, at, sys.executable, "-m", "faults", *words,
            PYTHONPATH=paths, HOME=folder, MPLCONFIGDIR=folder, PYTHONDONTWRITEBYTECODE="1",
        )  # fmt: skip
        sys.stdout.write(done.stdout + done.stderr[-3000:])
        if options.record and (at / "table.csv").exists():
            from .record import write_record

            write_record(at / "table.csv", options.seed, options.share)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
