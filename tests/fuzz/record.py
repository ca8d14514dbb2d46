"""What a run found: one row a reader, in a result file and in the documentation."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from .sandbox import GOOD, MEMORY, SECONDS, Outcome

ROOT = Path(__file__).parents[2]
#: The committed result, and the page that shows it between two marks.
RESULT, PAGE = ROOT / "benchmarks" / "results" / "fuzz.json", ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- inputs tried: PYTHONPATH=tests python -m fuzz --record -->", "<!-- end of inputs tried -->"
#: What can go wrong, and its column.
WRONG = {
    "traceback": "tracebacks", "hang": "hangs", "memory": "beyond 2 GiB", "left behind": "left behind", "an input changed": "inputs lost",
}  # fmt: skip


class Tally:
    """Counts of what came of inputs, by reader."""

    def __init__(self) -> None:
        self._results: dict[str, Counter[str]] = {}
        self._slowest: Counter[str] = Counter()
        self._largest: Counter[str] = Counter()

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        name = outcome.case.reader
        self._results.setdefault(name, Counter())[outcome.result] += 1
        self._slowest[name] = max(self._slowest[name], outcome.seconds)
        self._largest[name] = max(self._largest[name], outcome.memory)

    def count(self) -> int:
        """How many inputs."""
        return sum(c.total() for c in self._results.values())

    def wrong(self) -> int:
        """How many were neither right nor refused in a sentence."""
        return sum(n for c in self._results.values() for result, n in c.items() if result not in GOOD)

    def rows(self) -> list[dict[str, Any]]:
        """One row a reader, and a last one for all; seconds of CPU, memory of the whole process in MiB."""
        rows: list[dict[str, Any]] = []
        for name, found in self._results.items():
            known = {column: found[result] for result, column in WRONG.items()}
            other = found.total() - sum(known.values()) - sum(found[good] for good in GOOD)
            rows.append(
                {"reader": name, "inputs": found.total(), "refused": found["refused"], "accepted": found["accepted"], **known, "other": other,
                 "slowest": round(self._slowest[name], 2), "largest": round(self._largest[name] / 2**20)}
            )  # fmt: skip
        table = pd.DataFrame(rows).drop(columns="reader")
        last = table.drop(columns=["slowest", "largest"]).sum().to_dict()
        return [*rows, {"reader": "all", **last, **table[["slowest", "largest"]].max().to_dict()}]

    def table(self) -> str:
        """The rows, for the screen."""
        return pd.DataFrame(self.rows()).to_string(index=False)


def write_record(tally: Tally, inputs: int, seed: int, processes: int = 1, path: Path = RESULT) -> None:
    """Write the result with command, commit, versions and machine, and the section of the page.

    Parameters
    ----------
    tally : of the run.
    inputs, seed, processes : of the run.
    path : JSON file to write.
    """
    place = importlib.util.spec_from_file_location("machine", ROOT / "benchmarks" / "machine.py")
    if place is None or place.loader is None:
        raise FileNotFoundError("benchmarks/machine.py")
    machine = importlib.util.module_from_spec(place)
    place.loader.exec_module(machine)
    told = machine.describe(str(Path(sys.argv[0])))
    told["command"] = (
        f"PYTHONPATH=tests python -m fuzz --inputs {inputs} --seed {seed} --processes {processes} --record"
    )
    content = told | {"inputs": inputs, "seed": seed, "readers": tally.rows()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, default=int) + "\n", encoding="utf-8")
    if PAGE.exists():
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{section(content)}{END}{rest.partition(END)[2]}", encoding="utf-8")


def section(content: dict[str, Any]) -> str:
    """The section of the page, from the content of the result file.

    Parameters
    ----------
    content : of the result file.

    Returns
    -------
    Markdown.
    """
    *rows, total = content["readers"]
    columns = [name for name in total if name not in ("reader", "slowest", "largest")]
    columns = [n for n in columns if n != "other" or total["other"]]
    wrong = sum(total[n] for n in (*WRONG.values(), "other"))
    lines = [
        f"{total['inputs']} inputs were tried, {total['refused']} refused in a sentence with exit code 2, {total['accepted']} accepted, {wrong} neither.",
        f"The slowest took {total['slowest']:.1f} s of CPU (allowed: {SECONDS:g}), the largest process {total['largest']} MiB with all its libraries (allowed: {MEMORY >> 20}).",
        f"Command `{content['command']}`, commit {content['commit']}, {content['machine']}.",
        "",
        "| what was damaged or odd | " + " | ".join(columns) + " | slowest [s] | largest [MiB] |",
        "|---|" + "---:|" * (len(columns) + 2),
    ]
    lines += [
        f"| {row['reader']} | "
        + " | ".join(str(row[n]) for n in columns)
        + f" | {row['slowest']:.2f} | {row['largest']} |"
        for row in (*rows, total)
    ]
    return "\n".join(lines) + "\n"
