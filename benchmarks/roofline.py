"""What bounds a 4-degree step on one core: its work by XLA's account, the machine's measured limits, and where the time goes.

Called by ``engine_step.py``; ``python benchmarks/roofline.py`` prints its numbers as JSON.
"""

from __future__ import annotations

import collections
import glob
import gzip
import json
import re
import tempfile
import time
from pathlib import Path

import numpy as np

PROFILED_STEPS = 100
SECONDS = 1.0  #: of each measurement of the machine
#: Instructions that run no kernel themselves.
CONTAINERS = ("while", "conditional", "call", "tuple", "parameter", "get-tuple-element", "constant", "param")
#: Veros's files -> what they do.
ROUTINES = {
    "isoneutral/": "isoneutral and eddy mixing",
    "thermodynamics": "thermodynamics and density",
    "density/": "thermodynamics and density",
    "advection": "advection",
    "friction": "momentum and friction",
    "momentum": "momentum and friction",
    "external/": "streamfunction",
    "solver": "streamfunction",
    "tke": "turbulent kinetic energy",
    "eke": "turbulent kinetic energy",
    "diffusion": "vertical mixing and boundaries",
    "setup": "forcing",
}


def best(function, seconds=SECONDS):
    """Least wall seconds of a call, tried for some seconds: what the core can do when nothing disturbs it."""
    least, done = np.inf, 0
    function()
    end = time.monotonic() + seconds
    while time.monotonic() < end or done < 5:
        done += 1
        start = time.perf_counter()
        function()
        least = min(least, time.perf_counter() - start)
    return least


def bandwidth(bytes_in_use):
    """GB/s of ``y += a x`` (two loads and one store a value) on arrays of so many bytes together."""
    from scipy.linalg.blas import daxpy

    n = bytes_in_use // 16
    x, y = np.ones(n), np.zeros(n)
    times = max(1, int(2e6 / n))

    def many():
        for _ in range(times):
            daxpy(x, y, a=1e-9)

    return 24 * n * times / best(many) / 1e9


def peak():
    """GFLOP/s of a product of two matrices of 768 x 768 in double precision."""
    from scipy.linalg.blas import dgemm

    a = np.random.default_rng(0).random((768, 768)).T.copy().T
    return 2 * 768**3 / best(lambda: dgemm(1.0, a, a)) / 1e9


def caches():
    """Bytes of the data caches of core 0 by level, from Linux."""
    found = {}
    for folder in glob.glob("/sys/devices/system/cpu/cpu0/cache/index*"):
        level, kind, size = ((Path(folder) / n).read_text().strip() for n in ("level", "type", "size"))
        if kind != "Instruction":
            found[f"L{level}"] = int(size.rstrip("KM")) * (2**10 if size.endswith("K") else 2**20)
    return dict(sorted(found.items()))


def machine():
    """Measured limits of one core."""
    sizes = caches()
    within = {
        "L2": sizes.get("L2", 2**20) // 2,
        "L3": min(sizes.get("L3", 2**25) // 4, 8 * 2**20),
        "DRAM": 512 * 2**20,
    }
    return {
        "cache_bytes": sizes,
        "bandwidth_gb_s": {name: round(bandwidth(size), 1) for name, size in within.items()},
        "arrays_bytes": within,
        "peak_gflop_s": round(peak(), 1),
    }


def build():
    """Step, inputs and a state that has moved."""
    import jax

    from warmstart.engines.veros.setup import make_setup
    from warmstart.engines.veros.step import PureStep
    from warmstart.ocean.parameters import defaults

    step = PureStep(make_setup(4.0, 18, defaults(), 1800.0, 1800.0))
    theta = step.theta(defaults(), 1800.0, 172800.0)
    return step, theta, jax.block_until_ready(step.advance(step.initial(), theta, 50))


def cost(step, theta, carry):
    """Work of one step by XLA's account, and the memory it needs."""
    import jax

    compiled = jax.jit(step.step).lower(carry, theta).compile()
    account, memory = compiled.cost_analysis(), compiled.memory_analysis()
    return {
        "flop": int(account["flops"]),
        "transcendentals": int(account.get("transcendentals", 0)),
        "bytes_accessed": int(account["bytes accessed"]),
        "carry_bytes": int(sum(x.nbytes for x in jax.tree.leaves(carry))),
        "temporary_bytes": int(memory.temp_size_in_bytes),
    }


def profile(step, theta, carry):
    """Kernels of one step and their share of the time, by Veros routine and by kind, from one trace."""
    import jax

    program = step.advance.lower(carry, theta, PROFILED_STEPS).compile().as_text()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(step.advance(carry, theta, PROFILED_STEPS))
        trace = glob.glob(f"{folder}/**/*.trace.json.gz", recursive=True)[0]
        events = json.loads(gzip.decompress(Path(trace).read_bytes()))["traceEvents"]
    where = Instructions(program)
    spent = collections.defaultdict(list)
    for event in events:
        if event.get("ph") == "X" and event["name"] in where.frames:
            spent[event["name"]].append(event["dur"])
    spent = {name: d for name, d in spent.items() if len(d) >= PROFILED_STEPS}  # what runs once is no step
    # medians: the machine has other work; a kernel that was interrupted would count for many
    times = {name: np.median(d) * len(d) / PROFILED_STEPS for name, d in spent.items()}
    kernels = sum(len(d) for d in spent.values()) / PROFILED_STEPS
    total = sum(times.values())

    def shares(classify):
        sums = collections.Counter()
        for name, value in times.items():
            sums[classify(name)] += value
        return {name: round(100 * value / total, 1) for name, value in sums.most_common()}

    return {
        "kernels": round(kernels),
        "distinct_kernels": len(times),
        "us_in_kernels": round(total),
        "us_a_kernel": {
            "median": round(float(np.median([np.median(d) for d in spent.values()])), 1),
            "longest": round(float(max(np.median(d) for d in spent.values())), 1),
        },
        "percent_by_routine": shares(where.routine),
        "percent_by_kind": shares(where.kind),
    }


class Instructions:
    """Where each instruction of a compiled program comes from, by the stack frames it carries."""

    def __init__(self, program):
        tables = {
            name: re.search(rf"^{name}\n(.*?)\n\n", program, re.S | re.M).group(1)
            for name in ("FileNames", "FunctionNames", "FileLocations", "StackFrames")
        }
        files, functions = (
            dict(re.findall(r'^(\d+) "(.*)"$', tables[n], re.M)) for n in ("FileNames", "FunctionNames")
        )
        pairs = re.findall(
            r"^(\d+) \{file_name_id=(\d+) function_name_id=(\d+)", tables["FileLocations"], re.M
        )
        self.places = {i: (files[f], functions[g]) for i, f, g in pairs}
        frames = re.findall(
            r"^(\d+) \{file_location_id=(\d+)(?: parent_frame_id=(\d+))?", tables["StackFrames"], re.M
        )
        self.parents = {i: (place, parent) for i, place, parent in frames}
        # fused instructions run as one kernel; what they are made of tells where it comes from
        self.inside = collections.defaultdict(list)
        self.frames, self.text, computation = {}, {}, ""
        every = []
        for line in program.splitlines():
            if start := re.match(r"^(?:ENTRY )?%?([\w.\-]+) \(", line):
                computation = start.group(1)
            elif found := re.match(r"\s+(?:ROOT )?%([\w.\-]+) = (.*)", line):
                name, rest = found.groups()
                frame = re.search(r"stack_frame_id=(\d+)", rest)
                every.append((computation, name, rest, frame.group(1) if frame else "0"))
                self.inside[computation].append(frame.group(1) if frame else "0")
        fused = set(re.findall(r"calls=%([\w.\-]+)", program))
        for computation, name, rest, frame in every:
            if computation not in fused and not name.startswith(CONTAINERS):
                self.frames[name], self.text[name] = frame, rest

    def stack(self, frame):
        """Files and functions of a frame, innermost first."""
        seen = []
        while frame in self.parents and len(seen) < 100:
            place, parent = self.parents[frame]
            seen.append(self.places[place])
            if parent in ("", frame):
                break
            frame = parent
        return seen

    def routine(self, name):
        """The part of the model that most of what a kernel is made of comes from, by Veros's files."""
        if name.startswith("dot"):
            return "streamfunction"
        calls = re.search(r"calls=%([\w.\-]+)", self.text[name])
        frames = [self.frames[name], *(self.inside[calls.group(1)] if calls else ())]
        votes = collections.Counter(t for frame in frames if (t := self._title(frame)))
        return votes.most_common(1)[0][0] if votes else "not told (copies of XLA, shared operators)"

    def _title(self, frame):
        for file, _ in self.stack(frame):
            for key, title in ROUTINES.items():
                if key in file.split("veros/", 1)[-1]:
                    return title
        return None

    def kind(self, name):
        """What kind of kernel it is."""
        text = self.text[name]
        if any(
            "solve_tridiag" in function or "tridiag" in function
            for _, function in self.stack(self.frames[name])
        ):
            return "tridiagonal solves (loops over levels)"
        if name.startswith(("dot", "custom-call")):
            return "elliptic solve (dense product)"
        if "tanh" in name or "tanh(" in text:
            return "tanh of the slope tapering"
        if re.match(
            r"(copy|slice|stack|pad|concatenate|transpose|bitcast|broadcast)[\w.\-]*$", name
        ) and not (re.search(r"multiply|add|subtract|divide|select|minimum|maximum", name)):
            return "copies and slices"
        if "dynamic-update-slice" in name:
            return "arithmetic into a part of an array"
        return "arithmetic on whole arrays"


def main():
    """Measure and print."""
    from warmstart.engines.veros import environment

    environment.configure()
    parts = build()
    print(json.dumps({"step": cost(*parts), "profile": profile(*parts), "core": machine()}))


if __name__ == "__main__":
    main()
