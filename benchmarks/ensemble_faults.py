"""End ``simulate`` at random moments until its run is finished, and compare it with an undisturbed one, bit for bit.

python benchmarks/ensemble_faults.py [--rounds 3] [--seed 0]  # writes benchmarks/results/ensemble_faults.csv

Each round is one member of the smallest grid, and one kind of fault, as often as the member bears it.
"""

import argparse
import csv
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import psutil
import xarray as xr

from warmstart.ensemble.member import read_status

RESULT = Path(__file__).parent / "results" / "ensemble_faults.csv"
PLAN = {
    "configuration": {"resolution": 10, "levels": 6}, "years": 10, "settle_years": 4, "checkpoint_seconds": 0.1,
    "parameters": [{"name": "windy", "wind_stress_south": 0.3}],
}  # fmt: skip
KINDS = {
    "SIGKILL": signal.SIGKILL,
    "SIGTERM": signal.SIGTERM,
    "SIGINT": signal.SIGINT,
    "SIGKILL of the engine": None,
}
MOST_SECONDS = 6.0  #: of a fault after the start, or after an engine was seen
MOST_FAULTS = 8  #: of a round; then it may end


def start(plan: Path, runs: Path) -> subprocess.Popen:
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from warmstart.__main__ import main; main()"
    command = [sys.executable, "-c", code, "simulate", str(plan), "-o", str(runs)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def engines(process: subprocess.Popen) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def same(one: Path, other: Path) -> bool:
    free = {"created": "", "command": "", "history": ""}
    for name, group in (("states.nc", None), ("states.nc", "grid"), ("series.nc", None)):
        with xr.open_dataset(one / name, group=group) as a, xr.open_dataset(other / name, group=group) as b:
            if not a.assign_attrs(free).identical(b.assign_attrs(free)):
                return False
    with h5py.File(one / "restart.h5") as a, h5py.File(other / "restart.h5") as b:
        return all(np.array_equal(a["core"][n][()], b["core"][n][()]) for n in a["core"])


def one_round(kind: str, chance: random.Random, plan: Path, runs: Path) -> dict[str, object]:
    """Faults until the member is finished: half of them at any moment, half with an engine at work."""
    faults = at_work = tracebacks = 0
    slowest = 0.0
    while read_status(runs / "member_000").get("state") != "finished":
        process = start(plan, runs)
        while process.poll() is None and faults < MOST_FAULTS:
            wait = chance.uniform(0.0, MOST_SECONDS)
            while KINDS[kind] is None or faults % 2:
                if process.poll() is not None or engines(process):
                    break
                time.sleep(0.02)
            due = time.monotonic() + wait
            while process.poll() is None and time.monotonic() < due:
                time.sleep(0.02)
            below = engines(process)
            if process.poll() is not None or (KINDS[kind] is None and not below):
                continue
            faults, at_work, begun = faults + 1, at_work + bool(below), time.monotonic()
            if KINDS[kind] is None:
                below[0].kill()
            else:
                process.send_signal(KINDS[kind])
            while any(engine.is_running() for engine in below):
                time.sleep(0.02)
            slowest = max(slowest, time.monotonic() - begun)
            if KINDS[kind] is not None:
                break
        tracebacks += "Traceback" in process.communicate(timeout=600)[1]
    return {
        "fault": kind, "faults": faults, "with_an_engine": at_work, "slowest_end_of_engine_s": round(slowest, 1),
        "tracebacks": tracebacks,
        "left_behind": len(list(runs.glob(".dask-*")) + list((runs / "member_000").glob(".*.*"))),
    }  # fmt: skip


def main(rounds: int, seed: int) -> None:
    chance, rows = random.Random(seed), []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        plan = folder / "plan.json.yaml"
        plan.write_text(json.dumps(PLAN))
        if start(plan, folder / "undisturbed").wait() != 0:
            sys.exit("the undisturbed run failed")
        for i in range(rounds):
            for kind in KINDS:
                runs = folder / f"{kind.replace(' ', '_')}_{i}"
                row = one_round(kind, chance, plan, runs)
                row["same_bits"] = same(runs / "member_000", folder / "undisturbed" / "member_000")
                rows.append({"round": i} | row)
                print(rows[-1], flush=True)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout
    with RESULT.open("w", newline="") as text:
        text.write(f"# command: python benchmarks/ensemble_faults.py --rounds {rounds} --seed {seed}\n")
        text.write(f"# commit: {commit.strip()}\n# machine: {platform.machine()}, {os.cpu_count()} cores\n")
        table = csv.DictWriter(text, rows[0])
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    main(given.rounds, given.seed)
