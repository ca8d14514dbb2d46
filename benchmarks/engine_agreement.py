"""How far the pure step is from the unmodified Veros step after 60 steps at 4 degrees.

Both start from rest and step at 1800 s / 2 days with the same forcing. The difference of a field is
max|a - b| / max|b|. Three comparisons:

same rounding
    Both programs are compiled without fused multiply-adds and algebraic rewriting, the pure step takes the constants
    of the grid as inputs and calls Veros's own elliptic solver: what is left is the transcription of the step.
as it runs
    Both as they are used: round-off differs in each operation.
one ulp
    Veros's own sensitivity as a yardstick: the pure step against itself, with initial temperatures that are
    changed in the last bit.

Run ``python benchmarks/engine_agreement.py``; it writes ``benchmarks/results/engine_agreement.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

FIELDS = ("temp", "salt", "u", "v", "psi")
SAME_ROUNDING = "--xla_cpu_max_isa=AVX --xla_disable_hlo_passes=algsimp"


class VerosSolver:
    """Veros's own elliptic solver behind a host callback."""

    def __init__(self, state):
        from veros.core.external.solvers import get_linear_solver

        self.veros = get_linear_solver(state)

    def solve(self, state, rhs, x0, boundary_val=None):
        import jax

        return jax.pure_callback(self.on_host, jax.ShapeDtypeStruct(x0.shape, x0.dtype), rhs, x0)

    def on_host(self, rhs, x0):
        import numpy as np
        import scipy.sparse.linalg

        rhs, x0 = np.asarray(rhs), np.asarray(x0)
        right = np.where(np.asarray(self.veros._boundary_mask), rhs, x0).reshape(-1) * self.veros._rhs_scale
        solution, _ = scipy.sparse.linalg.bicgstab(
            self.veros._matrix,
            right,
            x0=x0.reshape(-1),
            atol=1e-8,
            rtol=0,
            maxiter=1000,
            **self.veros._extra_args,
        )
        return solution.reshape(x0.shape)


def veros_steps(simulation, counts):
    """Fields of the unmodified Veros step after each of `counts` steps.

    Veros has no setting for an eddy diffusivity that depends on latitude, so it is scaled right after its own routine
    has set it.
    """
    import numpy as np
    from veros import veros_routine
    from veros.core import eke

    from warmstart.engines.dino import RAD
    from warmstart.engines.veros.setup import seos

    cosine = np.cos(np.asarray(simulation.state.variables.yt) * RAD)[None, :, None]
    original = eke.set_eke_diffusivities

    @veros_routine
    def scaled(state):
        original(state)
        state.variables.K_gm = state.variables.K_gm * cosine
        state.variables.K_iso = state.variables.K_iso * cosine

    eke.set_eke_diffusivities, out = scaled, {}
    try:
        with seos():
            for n in range(1, max(counts) + 1):
                simulation.step(simulation.state)
                vs = simulation.state.variables
                if n in counts:
                    out[n] = {name: np.asarray(getattr(vs, name)[..., int(vs.tau)]) for name in FIELDS}
    finally:
        eke.set_eke_diffusivities = original
    return out


def pure_steps(step, carry, counts, same_rounding):
    """Fields of the pure step after each of `counts` steps."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from warmstart.engines.veros.step import NOW
    from warmstart.ocean.parameters import defaults

    theta, out, done = step.theta(defaults(), 1800.0, 172800.0), {}, 0
    constants = {
        k: jnp.asarray(v) for k, v in step.constants.items() if same_rounding and v.dtype.kind == "f"
    }
    advance = jax.jit(lambda c, k, n: jax.lax.fori_loop(0, n, lambda _, x: step.step(x, theta, k), c))
    for n in sorted(counts):
        carry = advance(carry, constants, n - done)
        out[n], done = {name: np.asarray(carry[name][NOW]) for name in FIELDS}, n
    return out


def differences(a, b):
    """Relative difference of each field in the interior."""
    inner = (slice(2, -2), slice(2, -2))
    return {name: float(abs(a[name] - b[name])[inner].max() / abs(b[name][inner]).max()) for name in FIELDS}


def compare(same_rounding, resolution, levels, counts):
    """One process: step both ways and compare."""
    from warmstart.engines.veros import environment

    environment.configure()
    import numpy as np

    from warmstart.engines.veros.setup import make_setup
    from warmstart.engines.veros.step import PureStep
    from warmstart.ocean.parameters import defaults

    simulation = make_setup(resolution, levels, defaults(), 1800.0, 172800.0)
    step = PureStep(simulation, VerosSolver(simulation.state) if same_rounding else None)
    carry = step.initial()
    reference, pure = veros_steps(simulation, counts), pure_steps(step, carry, counts, same_rounding)
    title = "same rounding" if same_rounding else "as it runs"
    result = {title: {n: differences(pure[n], reference[n]) for n in counts}}
    if not same_rounding:
        flip = np.random.default_rng(0).integers(-1, 2, carry["temp"][1].shape) * 2.2e-16
        nudged = carry | {"temp": tuple(level * (1 + flip) for level in carry["temp"])}
        moved = pure_steps(step, nudged, counts, same_rounding)
        result["one ulp"] = {n: differences(moved[n], pure[n]) for n in counts}
    return result


def in_process(same_rounding, options):
    """Run :func:`compare` in a process with its own compiler flags."""
    env = os.environ | ({"XLA_FLAGS": SAME_ROUNDING} if same_rounding else {})
    part = "same" if same_rounding else "as-is"
    command = [sys.executable, __file__, "--part", part, "--resolution", str(options.resolution)]
    command += ["--levels", str(options.levels), "--steps", *map(str, options.steps)]
    out = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    return json.loads(out.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=["same", "as-is"], help="one comparison only, as one JSON line")
    parser.add_argument("--resolution", type=float, default=4.0)
    parser.add_argument("--levels", type=int, default=18)
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 10, 60])
    options = parser.parse_args()
    if options.part:
        print(json.dumps(compare(options.part == "same", options.resolution, options.levels, options.steps)))
        return
    results = in_process(True, options) | in_process(False, options)
    print(f"{'':14s} {'steps':>5s} " + " ".join(f"{name:>8s}" for name in FIELDS))
    for title, rows in results.items():
        for n, row in rows.items():
            print(f"{title:14s} {n:>5s} " + " ".join(f"{row[name]:8.1e}" for name in FIELDS))
    from machine import describe

    path = Path(__file__).parent / "results" / "engine_agreement.json"
    path.write_text(json.dumps(describe(__file__) | {"max|a-b| / max|b|": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
