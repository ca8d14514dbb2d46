"""``python -m warmstart.engines.veros JOB.yaml …``: run or continue jobs in a process of their own."""

from __future__ import annotations

import argparse
import logging
import signal
import sys

from warmstart.engines.veros import environment
from warmstart.errors import UserError


def main(arguments: list[str]) -> int:
    """Run the jobs of the command line; exit codes 0 finished, 2 bad input, 3 blown up twice, 143 stopped."""
    parser = argparse.ArgumentParser(prog="python -m warmstart.engines.veros", description=__doc__)
    parser.add_argument("jobs", nargs="+", metavar="JOB.yaml", help="one job, or several as one batch")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    for number in (signal.SIGTERM, signal.SIGINT):  # until the engine heeds them, they end it wherever it is
        signal.signal(number, signal.SIG_DFL)
    try:
        environment.configure(device=options.device)
        from warmstart.engines.veros.batch import run_batch
        from warmstart.engines.veros.run import run_job

        if len(options.jobs) == 1 and options.device == "cpu":
            return run_job(options.jobs[0])
        return run_batch(options.jobs, options.device)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
