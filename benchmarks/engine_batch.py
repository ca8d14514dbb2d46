"""Steps a second of a batch of members, by its size, against one member alone, at 4 degrees and 1800 s / 2 days.

All sizes are compiled and warmed up, then take turns. Beside the speed stands the floor that memory sets: the bytes that
XLA counts for a step over the bandwidth given with ``--bandwidth`` (3.35e12 B/s for an H100, 25e9 for one CPU core).

Run ``python benchmarks/engine_batch.py [--device gpu] [--sizes 1 16 64 256]``; it prints a table and writes
``benchmarks/results/engine_batch_DEVICE.json``. The rival is the same step for one member in the same process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from machine import describe

BANDWIDTH = {"cpu": 25e9, "gpu": 3.35e12}  #: [B s-1]


def prepare(step, size, steps):
    """Return a function that advances `size` members by `steps` steps, compiled, and the bytes of one step."""
    import jax
    import jax.numpy as jnp

    from warmstart.ocean.parameters import defaults

    winds = [0.05 + 0.35 * i / max(size - 1, 1) for i in range(size)]
    inputs = [step.theta(defaults() | {"wind_stress_south": wind}, 1800.0, 172800.0) for wind in winds]
    theta = jax.tree.map(lambda *leaves: jnp.stack(leaves), *inputs)
    carry = {"now": jax.tree.map(lambda leaf: jnp.stack([leaf] * size), step.initial())}
    program = step.advance_members.lower(carry["now"], theta, jnp.full(size, steps)).compile()
    cost = program.cost_analysis() or {}

    def advance():
        carry["now"] = jax.block_until_ready(program(carry["now"], theta, jnp.full(size, steps)))

    advance()
    return advance, float(cost.get("bytes accessed", float("nan")))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--bandwidth", type=float, help="of the memory [B s-1]")
    options = parser.parse_args()
    from warmstart.engines.veros import environment

    environment.configure(device=options.device)
    from warmstart.engines.veros.setup import make_setup
    from warmstart.engines.veros.step import PureStep
    from warmstart.ocean.parameters import defaults

    step = PureStep(make_setup(4.0, 18, defaults(), 1800.0, 1800.0))
    sizes = sorted({1, *options.sizes})
    programs = {size: prepare(step, size, options.steps) for size in sizes}
    seconds = {size: [] for size in sizes}
    for _ in range(options.turns):
        for size in sizes:
            start = time.perf_counter()
            programs[size][0]()
            seconds[size].append((time.perf_counter() - start) / options.steps)
    bandwidth = options.bandwidth or BANDWIDTH[options.device]
    rows = []
    for size in sizes:
        median = statistics.median(seconds[size])
        floor = programs[size][1] / bandwidth
        rows.append({
            "members": size,
            "ms_per_step": round(1e3 * median, 3),
            "member_steps_per_second": round(size / median, 1),
            "ratio": round(size * statistics.median(seconds[1]) / median, 2),
            "bytes_per_step": programs[size][1],
            "share_of_bandwidth_floor": round(floor / median, 3),
        })  # fmt: skip
        print(
            f"{size:4d} members: {rows[-1]['ms_per_step']:9.2f} ms a step, {rows[-1]['member_steps_per_second']:9.1f} "
            f"member steps a second, ratio: {rows[-1]['ratio']:.2f}"
        )
    path = Path(__file__).parent / "results" / f"engine_batch_{options.device}.json"
    path.write_text(json.dumps(describe(__file__) | {"bandwidth": bandwidth, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
