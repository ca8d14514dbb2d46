"""The table of faults in a result file and in the documentation."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[2]
RESULT, PAGE = ROOT / "benchmarks" / "results" / "faults.csv", ROOT / "docs" / "reliability.md"
BEGIN, END = (
    "<!-- faults injected: PYTHONPATH=tests python -m faults --record -->",
    "<!-- end of faults injected -->",
)


def write_record(table: Path, seed: int, share: float) -> None:
    """Write the table with command, commit and machine, and its section of the page."""
    place = importlib.util.spec_from_file_location("machine", ROOT / "benchmarks" / "machine.py")
    if place is None or place.loader is None:
        raise FileNotFoundError("benchmarks/machine.py")
    machine = importlib.util.module_from_spec(place)
    place.loader.exec_module(machine)
    told = machine.describe(str(Path(sys.argv[0])))
    command = f"PYTHONPATH=tests python -m faults --seed {seed} --share {share:g} --record"
    found = pd.read_csv(table)
    total = found.drop(columns=["fault", "commands"]).sum().to_dict()
    header = f"# command: {command}\n# commit: {told['commit']}\n# machine: {told['machine']}\n"
    RESULT.write_text(header + found.to_csv(index=False), encoding="utf-8")
    lines = [
        f"{total['injected']} faults were injected into {found['commands'].max()} commands at random moments; {total['files lost']} files were "
        f"lost, {total['wrong']} ended wrong: in a traceback, or not with the same bits afterwards.",
        f"Command `{command}`, commit {told['commit']}, {told['machine']}.", "",
        "| " + " | ".join(found.columns) + " |", "|---|" + "---:|" * (len(found.columns) - 1),
        *("| " + " | ".join(str(v) for v in row) + " |" for row in found.itertuples(index=False)),
    ]  # fmt: skip
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(
        f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{rest.partition(END)[2]}", encoding="utf-8"
    )
