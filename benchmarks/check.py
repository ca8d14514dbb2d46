"""Time and memory of ``check``: a 1-degree state with 36 levels, and a year of monthly means at 1/4 degree.

Each case runs in a process of its own on one core, on synthetic data of DINO's size in a temporary folder: an analytic
basin with noise, so that nothing is trivially constant. The year is streamed: by ``check`` state by state, and by dask,
chunk by chunk, through the same functions.

Run ``python benchmarks/check.py``; it writes ``benchmarks/results/check.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = {"one_degree": (62, 199, 36, 0), "quarter_degree": (202, 797, 36, 12)}
LIMITS = {"one_degree": {"seconds": 2.0, "gigabytes": 1.0}, "quarter_degree": {"gigabytes": 4.0}}
CASES = {"one_degree": "check", "quarter_degree_year_check": "check", "quarter_degree_year_dask": "dask"}


def make(folder: Path, size: str) -> None:
    """Write a state, or a year of states, month by month."""
    import numpy as np
    import xarray as xr

    from warmstart.io.files import write_dataset
    from warmstart.ocean.basin import basin, finish

    nx, ny, nz, months = SIZES[size]
    state, grid = basin(nx=nx, ny=ny, nz=nz)
    rng = np.random.default_rng(0)
    for month in range(max(months, 1)):
        noisy = {n: da * (1 + 1e-3 * rng.standard_normal(da.shape)) for n, da in state.data_vars.items()}
        one = finish(xr.Dataset(noisy), grid).astype("float32")
        if months:
            store = one.expand_dims(time=[month])
            options = {"mode": "w"} if month == 0 else {"append_dim": "time"}
            store.to_zarr(folder / "states.zarr", consolidated=False, **options)
        else:
            write_dataset(folder / "states.nc", one, grid)
    if months:
        grid.ds.to_zarr(folder / "states.zarr", group="grid", mode="a", consolidated=False)


def measure(path: Path, how: str) -> dict[str, float]:
    """All metrics of the states in a file: wall and CPU seconds, peak memory; what is imported first does not count."""
    import warmstart as ws
    from warmstart.ocean.basin import basin
    from warmstart.scores import metrics
    from warmstart.verbs import check as verb

    verb.check(*basin(nx=10, ny=16, nz=4))  # imports and first calls
    wall, cpu = time.perf_counter(), time.process_time()
    if how == "check":
        count = verb.check(path).metric.nunique()
    else:
        import dask

        grid = ws.open_grid(path)
        states = ws.open_state(path, chunks={"time": 1})
        names = [n for n, m in metrics.METRICS.items() if all(v in states for v in m.needs)]
        with dask.config.set(scheduler="synchronous"):
            # one after the other: together, dask would keep the intermediate fields of all of them
            count = len({n: metrics.METRICS[n].function(states, grid).compute() for n in names})
    return {
        "metrics": int(count),
        "wall_s": round(time.perf_counter() - wall, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "peak_gigabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def child(*arguments: str) -> str:
    """Run this script again on one core; what it prints last."""
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, __file__, *arguments]
    if hasattr(os, "sched_setaffinity"):
        core = str(max(os.sched_getaffinity(0)))
        command = ["taskset", "-c", core, *command] if Path("/usr/bin/taskset").exists() else command
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=list(CASES), action="append", help="only this case; repeatable")
    options = parser.parse_args()
    if options.make:
        make(Path(options.make[0]), options.make[1])
        return
    if options.measure:
        print(json.dumps(measure(Path(options.measure[0]), options.measure[1])))
        return
    from machine import describe

    path = Path(__file__).parent / "results" / "check.json"
    results = json.loads(path.read_text())["cases"] if path.exists() and options.only else {}
    with tempfile.TemporaryDirectory() as folder:
        made: set[str] = set()
        for case in options.only or CASES:
            size = case.removesuffix("_check").removesuffix("_dask").removesuffix("_year")
            if size not in made:
                child("--make", folder, size)
                made.add(size)
            name = "states.zarr" if SIZES[size][3] else "states.nc"
            result = json.loads(child("--measure", str(Path(folder) / name), CASES[case]))
            nx, ny, nz, months = SIZES[size]
            limits = LIMITS[size]
            ok = result["peak_gigabytes"] < limits["gigabytes"] and result["cpu_s"] < limits.get(
                "seconds", 1e9
            )
            results[case] = {
                "shape": [*([months] if months else []), nz, ny, nx],
                **result,
                "limits": limits,
                "ok": ok,
            }
            print(case, results[case])
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(describe(__file__) | {"cases": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
