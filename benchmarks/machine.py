"""What a benchmark result was made with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

#: Whose versions a result depends on.
PACKAGES = ("veros", "jax", "jaxlib", "numpy", "scipy", "torch", "azula", "diffusers", "nvidia-physicsnemo")


def describe(script: str) -> dict[str, object]:
    """Command, commit, machine and versions, for the JSON of a result."""
    root = Path(__file__).parent.parent
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True, check=False
    )
    cpu = next(
        (line.split(":")[1].strip() for line in _cpu_lines() if line.startswith("model name")),
        platform.processor(),
    )
    return {
        "command": " ".join(["python", str(Path(script).resolve().relative_to(root)), *sys.argv[1:]]),
        "commit": commit.stdout.strip(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "versions": {name: _version(name) for name in PACKAGES if _version(name)},
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
