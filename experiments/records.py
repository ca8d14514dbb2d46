"""What a result table says of itself: the command that makes it again, the commit and the machine that it was made with."""

import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def made_with() -> dict[str, str]:
    """Command, commit and machine of the running script, for the head of its table.

    Raises
    ------
    SystemExit
        If tracked files differ from the commit: nobody could make the table again.
    """
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    if commit.endswith("-dirty"):
        raise SystemExit("Error: tracked files differ from the commit; commit them, then make the table")
    script = Path(sys.argv[0]).resolve().relative_to(ROOT)
    return {
        "command": " ".join(["python", str(script), *sys.argv[1:]]),
        "commit": commit,
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
