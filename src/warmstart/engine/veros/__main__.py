"""``python -m warmstart.engine.veros JOB.yaml``: run or continue one job in a process of its own."""

from __future__ import annotations

import logging
import sys

from warmstart.engine.veros import environment


def main(arguments: list[str]) -> int:
    """Run the job of the command line; exit codes 0 finished, 2 bad input, 3 blown up twice, 143 stopped."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m warmstart.engine.veros JOB.yaml\n")
        return 2
    environment.configure()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    from warmstart.engine.veros.run import run_job
    from warmstart.errors import UserError

    try:
        return run_job(arguments[0])
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
