"""Many inputs by hand: ``PYTHONPATH=tests python -m fuzz --inputs 5000 --seed 1``."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .record import Tally, write_record
from .run import outcomes
from .sandbox import Outcome


def _side_by_side(options: argparse.Namespace, bases: Path) -> Iterator[Outcome]:
    """What comes of the inputs, tried by as many processes as are asked for."""
    share, rest = divmod(options.inputs, options.processes)
    results: multiprocessing.Queue[Outcome | None] = multiprocessing.Queue()

    def work(number: int) -> None:
        for outcome in outcomes(share + (number < rest), options.seed + number, options.reader, bases):
            results.put(outcome)
        results.put(None)

    if not any(bases.glob("*")):
        next(iter(outcomes(1, options.seed, options.reader, bases)))
    workers = [multiprocessing.Process(target=work, args=(i,)) for i in range(options.processes)]
    for worker in workers:
        worker.start()
    at_work = len(workers)
    while at_work:
        outcome = results.get()
        if outcome is None:
            at_work -= 1
        else:
            yield outcome


def main() -> None:
    """Try inputs of every reader, print what went wrong, write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--inputs", type=int, default=5000, help="inputs in all, shared out among the readers"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reader", action="append", help="only this reader; repeatable")
    parser.add_argument("--processes", type=int, default=1, help="with a share of the inputs and a seed each")
    parser.add_argument("--bases", type=Path, help="folder of good files; made there if it is not there")
    parser.add_argument(
        "--record", action="store_true", help="write benchmarks/results/fuzz.json and docs/reliability.md"
    )
    options = parser.parse_args()
    multiprocessing.set_start_method("fork")
    with tempfile.TemporaryDirectory(prefix="fuzz-bases-") as made:
        begin = time.monotonic()
        tally = Tally()
        # inputs of all readers mixed, so that a run that is ended early has tried them all
        for outcome in _side_by_side(options, options.bases or Path(made)):
            tally.add(outcome)
            if tally.count() % 250 == 0:
                print(f"{tally.count()} inputs, {tally.wrong()} wrong", flush=True)
            if outcome.result not in ("accepted", "refused"):
                print(f"\n=== {outcome.result}: {outcome.case!r}\n{outcome.text[-2500:]}", flush=True)
        print(tally.table(), f"\n{time.monotonic() - begin:.0f} s", flush=True)
        if options.record:
            write_record(tally, options.inputs, options.seed, options.processes)
    sys.exit(1 if tally.wrong() else 0)


if __name__ == "__main__":
    main()
