"""What a run found, in a table: one row a reader."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from pathlib import Path

import pandas as pd

from .sandbox import GOOD, Outcome


class Tally:
    """Counts of what came of inputs, by reader."""

    def __init__(self) -> None:
        self._results: dict[str, Counter[str]] = {}
        self._slowest: dict[str, float] = {}
        self._largest: dict[str, int] = {}

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        name = outcome.case.reader
        self._results.setdefault(name, Counter())[outcome.result] += 1
        self._slowest[name] = max(self._slowest.get(name, 0.0), outcome.seconds)
        self._largest[name] = max(self._largest.get(name, 0), outcome.memory)

    def wrong(self) -> int:
        """How many were neither right nor refused in a sentence."""
        return sum(n for c in self._results.values() for result, n in c.items() if result not in GOOD)

    def table(self) -> pd.DataFrame:
        """One row a reader, and a last one for all."""
        rows = []
        for name, found in self._results.items():
            other = sum(n for result, n in found.items() if result not in (*GOOD, "traceback", "hang", "left behind", "an input changed"))  # fmt: skip
            rows.append(
                {
                    "reader": name, "inputs": found.total(), "refused": found["refused"], "accepted": found["accepted"],
                    "traceback": found["traceback"], "hang": found["hang"],
                    "left_or_lost": found["left behind"] + found["an input changed"], "other": other,
                    "slowest_s": round(self._slowest[name], 2), "memory_MB": round(self._largest[name] / 2**20),
                }
            )  # fmt: skip
        table = pd.DataFrame(rows)
        last = (
            table.drop(columns="reader").sum().to_dict() | table[["slowest_s", "memory_MB"]].max().to_dict()
        )
        return pd.concat([table, pd.DataFrame([{"reader": "all", **last}])], ignore_index=True).astype(
            {n: "int64" for n in table.columns if n not in ("reader", "slowest_s")}
        )


def write_record(tally: Tally, path: Path, inputs: int, seed: int) -> None:
    """Write the table with command, version and machine in its head.

    Parameters
    ----------
    tally : of the run.
    path : CSV file to write.
    inputs, seed : of the run.
    """
    import os
    import subprocess

    from hypothesis import __version__ as hypothesis

    from warmstart.files import version

    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    dirty = subprocess.run(
        ["git", "status", "--porcelain"], capture_output=True, text=True, check=False
    ).stdout.strip()
    head = {
        "command": f"PYTHONPATH=tests python -m fuzz --inputs {inputs} --seed {seed} --record {path}",
        "commit": (commit or "unknown") + (" and changes" if dirty else ""),
        "versions": f"warmstart {version()}, hypothesis {hypothesis}, Python {platform.python_version()}",
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {sys.platform}",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"# {key}: {value}\n" for key, value in head.items())
        tally.table().to_csv(file, index=False, lineterminator="\n")
