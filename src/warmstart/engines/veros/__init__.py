"""The Veros engine: DINO in Veros 1.7, its whole step traced to one pure JAX function.

Importing this package loads neither JAX nor Veros; its modules ``setup``, ``step`` and ``run`` do.
``python -m warmstart.engines.veros JOB.yaml`` runs a job (:class:`warmstart.engines.base.Job`).
"""

from __future__ import annotations

import sys
from pathlib import Path


def command(job_file: Path) -> list[str]:
    """Command line that runs a job: what :class:`warmstart.engines.base.Engine` asks of an engine.

    Parameters
    ----------
    job_file : YAML file of a job.

    Returns
    -------
    Program and arguments.

    Examples
    --------
    >>> command(Path("job.yaml"))[1:]
    ['-m', 'warmstart.engines.veros', 'job.yaml']
    """
    return [sys.executable, "-m", __name__, str(job_file)]
