"""CPU time per model year: the unmodified Veros step against the pure step, at 4 degrees and 1800 s / 2 days.

Two processes, one for each, are set up and warmed up; then they take turns, a block of steps each, so that both see
the same machine. The result is the ratio of the median CPU times, and how far
the pure step is from what the core can do (``roofline.py``): its work by XLA's account, bandwidths and peak measured in the same run.

Run ``python benchmarks/engine_step.py``; it prints ``ratio: N`` and writes ``benchmarks/results/engine_step.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import describe

STEPS_PER_YEAR = 180  #: of 2 days
BLOCKS = {"veros": 20, "pure": 200}  #: steps in a turn


def worker(kind):
    """Answer each line on standard input with the CPU seconds per step of one block."""
    from warmstart.engines.veros import environment

    environment.configure()
    advance = {"veros": veros_advance, "pure": pure_advance}[kind]()
    advance(BLOCKS[kind])
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        advance(BLOCKS[kind])
        print((time.process_time() - start) / BLOCKS[kind], flush=True)


def veros_advance():
    """Step the ordinary Veros setup."""
    import jax

    from warmstart.engines.veros.setup import make_setup, seos
    from warmstart.ocean.parameters import defaults

    simulation = make_setup(4.0, 18, defaults(), 1800.0, 172800.0)

    def advance(n):
        with seos():
            for _ in range(n):
                simulation.step(simulation.state)
        jax.block_until_ready(simulation.state.variables.temp)

    return advance


def pure_advance():
    """Step the pure function."""
    import jax

    from warmstart.engines.veros.setup import make_setup
    from warmstart.engines.veros.step import PureStep
    from warmstart.ocean.parameters import defaults

    step = PureStep(make_setup(4.0, 18, defaults(), 1800.0, 1800.0))
    theta, carry = step.theta(defaults(), 1800.0, 172800.0), {"now": step.initial()}

    def advance(n):
        carry["now"] = jax.block_until_ready(step.advance(carry["now"], theta, n))

    return advance


def start(kind):
    """Start a worker and wait until it is warm."""
    command = [sys.executable, __file__, "--worker", kind]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    if process.stdout.readline().strip() != "ready":
        raise SystemExit(f"the {kind} worker did not start")
    return process


def roofline():
    """Work of a step, limits of the core and a profile, from a process of its own."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("roofline.py"))],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def attained(limits, seconds):
    """Rates of the pure step, and the least time that each limit allows."""
    work, core = limits["step"], limits["core"]
    return {
        "gb_s": round(work["bytes_accessed"] / seconds / 1e9, 1),
        "gflop_s": round(work["flop"] / seconds / 1e9, 2),
        "percent_of_peak": round(100 * work["flop"] / seconds / 1e9 / core["peak_gflop_s"], 1),
        "percent_of_bandwidth": {
            n: round(100 * work["bytes_accessed"] / seconds / 1e9 / b, 1)
            for n, b in core["bandwidth_gb_s"].items()
        },
        "least_ms": {n: round(work["bytes_accessed"] / b / 1e6, 2) for n, b in core["bandwidth_gb_s"].items()}
        | {"flops": round(work["flop"] / core["peak_gflop_s"] / 1e6, 2)},
    }


def report(found):
    """Print the roofline."""
    work, core, run, got = (found[n] for n in ("step", "core", "profile", "attained"))
    print(
        f"a step: {work['flop'] / 1e6:.1f} MFLOP, {work['bytes_accessed'] / 1e6:.0f} MB accessed, "
        f"{run['kernels']} kernels of {run['us_a_kernel']['median']} us (median)"
    )
    print(f"one core: {core['peak_gflop_s']} GFLOP/s (dgemm), GB/s {core['bandwidth_gb_s']}")
    print(
        f"attained: {got['gflop_s']} GFLOP/s ({got['percent_of_peak']} % of the peak), {got['gb_s']} GB/s "
        f"({got['percent_of_bandwidth']} %); least ms a step: {got['least_ms']}"
    )
    for name in ("percent_by_kind", "percent_by_routine"):
        print(f"{name}: " + ", ".join(f"{k} {v}" for k, v in run[name].items()))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worker", choices=list(BLOCKS), help=argparse.SUPPRESS)
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker)
        return
    limits = roofline()
    workers = {kind: start(kind) for kind in BLOCKS}
    seconds = {kind: [] for kind in BLOCKS}
    for _ in range(options.turns):
        for kind, process in workers.items():
            process.stdin.write("go\n")
            seconds[kind].append(float(process.stdout.readline()))
    for process in workers.values():
        process.stdin.close()
        process.wait()
    median = {kind: statistics.median(values) for kind, values in seconds.items()}
    ratio = median["veros"] / median["pure"]
    result = {
        "ratio": round(ratio, 2),
        "cpu_ms_per_step": {kind: round(1e3 * value, 2) for kind, value in median.items()},
        "cpu_s_per_model_year": {kind: round(STEPS_PER_YEAR * value, 2) for kind, value in median.items()},
        "roofline": limits | {"attained": attained(limits, median["pure"])},
        "all_ms_per_step": {kind: [round(1e3 * v, 2) for v in values] for kind, values in seconds.items()},
    }
    path = Path(__file__).parent / "results" / "engine_step.json"
    path.write_text(json.dumps(describe(__file__) | result, indent=1) + "\n")
    for kind in BLOCKS:
        print(
            f"{kind}: {1e3 * median[kind]:.2f} ms a step, {STEPS_PER_YEAR * median[kind]:.2f} s a model year"
        )
    report(result["roofline"])
    print(f"ratio: {ratio:.1f}")


if __name__ == "__main__":
    main()
