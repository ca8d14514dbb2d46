"""Facts about the pure step on a small basin, found in a process of its own because Veros locks its settings.

Prints one JSON object; ``test_veros_step.py`` says what each fact must be.
"""

import json
import sys

import numpy as np

FIELDS = ("temp", "salt", "u", "v", "psi")
INNER = (slice(2, -2), slice(2, -2))


class Basin:
    """The small basin with its step, its start and a few shorthands."""

    def __init__(self):
        from warmstart.engines.veros.setup import make_setup
        from warmstart.engines.veros.step import PureStep
        from warmstart.ocean.parameters import defaults

        self.defaults = defaults()
        self.simulation = make_setup(10.0, 6, self.defaults, 1800.0, 172800.0)
        self.step = PureStep(self.simulation)
        self.constants = self.step.constants
        self.start = self.step.initial()

    def theta(self, dt_momentum=1800.0, dt_tracer=172800.0, **changes):
        return self.step.theta(self.defaults | changes, dt_momentum, dt_tracer)

    def run(self, carry, theta, n):
        """State after `n` steps."""
        return self.step.advance(carry, theta, n)

    def mean(self, carry, name):
        """Volume mean of a tracer."""
        c = self.constants
        volume = (c["area_t"][..., None] * c["dzt"] * c["maskT"])[INNER]
        return float((now(carry)[name][INNER] * volume).sum() / volume.sum())


def now(carry):
    from warmstart.engines.veros.step import NOW

    return {name: np.asarray(carry[name][NOW]) for name in FIELDS}


def difference(a, b):
    """Largest relative difference of all fields."""
    return max(float(abs(a[n] - b[n])[INNER].max() / max(abs(b[n][INNER]).max(), 1e-30)) for n in FIELDS)


def patched():
    """What tracing replaces in Veros."""
    import veros.core.density.nonlinear_eq2 as vallis
    import veros.core.operators as operators
    from veros.routines import VerosKernel

    return VerosKernel.__call__, operators.update, operators.for_loop, vallis.rho0


def programs(basin):
    """Chunks, parameters and time steps share one program."""
    reference = basin.run(basin.start, basin.theta(), 20)
    chunks = basin.run(basin.run(basin.start, basin.theta(), 7), basin.theta(), 13)
    windy = basin.run(basin.start, basin.theta(wind_stress_south=0.3, vertical_diffusivity=1e-4), 20)
    slow = basin.run(basin.start, basin.theta(3600.0, 86400.0), 20)
    return {
        "7 and 13 steps against 20": difference(now(chunks), now(reference)),
        "programs compiled": basin.step.advance._cache_size(),
        "effect of the wind": difference(now(windy), now(reference)),
        "time after 20 steps": [float(c["time"]) for c in (reference, slow)],
    }


def parameters(basin, warm):
    """Each parameter of the table is heard."""
    base = now(basin.run(warm, basin.theta(), 5))
    changed = {n: basin.run(warm, basin.theta(**{n: 1.3 * v}), 5) for n, v in basin.defaults.items()}
    return {"parameters without effect": [n for n, c in changed.items() if difference(now(c), base) == 0.0]}


def contents(basin, warm):
    """Heat and salt with and without surface fluxes."""
    closed = basin.run(warm, basin.theta(heat_restoring=0.0, salt_restoring=0.0), 50)
    opened = basin.run(warm, basin.theta(), 50)
    return {
        "change of mean T and S": [basin.mean(closed, n) - basin.mean(warm, n) for n in ("temp", "salt")],
        "change with fluxes": basin.mean(opened, "temp") - basin.mean(warm, "temp"),
    }


def rest(basin):
    """A uniform ocean without wind and fluxes; Veros's own start carries the flow of its first pressure gradient."""
    import jax.numpy as jnp

    from warmstart.engines.veros.arrays import in_situ_density

    mask = basin.constants["maskT"]
    fields = {"temp": 8.0 * mask, "salt": 35.0 * mask, "Nsqr": 0.0 * mask}
    fields["rho"] = in_situ_density(8.0, 35.0, -basin.constants["zt"]) * mask
    fields |= {n: 0.0 * np.asarray(basin.start[n][1]) for n in ("u", "v", "psi", "dpsi", "dpsin")}
    still = basin.start | {name: (jnp.asarray(values),) * 3 for name, values in fields.items()}
    calm = basin.theta(heat_restoring=0.0, salt_restoring=0.0)
    calm |= {name: 0.0 * calm[name] for name in ("surface_taux", "forc_tke_surface")}
    after = now(basin.run(still, calm, 20))
    return {"speed of a uniform ocean": float(max(abs(after["u"]).max(), abs(after["v"]).max()))}


def members(basin):
    """Two members in one vmap against each alone."""
    import jax

    thetas = [basin.theta(), basin.theta(wind_stress_south=0.3, eddy_diffusivity=500.0)]
    stack = [
        jax.tree.map(lambda *a: jax.numpy.stack(a), *pair) for pair in ((basin.start, basin.start), thetas)
    ]
    both = basin.step.advance_members(*stack, 5)
    return {
        "vmap against single": [
            difference(now(jax.tree.map(lambda a, i=i: a[i], both)), now(basin.run(basin.start, theta, 5)))
            for i, theta in enumerate(thetas)
        ]
    }


def solvers(basin):
    """The factorised solver against the dense one."""
    import jax.numpy as jnp

    from warmstart.engines.veros.solver import DirectSolver

    rhs = np.random.default_rng(0).normal(size=basin.constants["psin"].shape[:2])
    pair = (basin.step.solver, DirectSolver(basin.simulation.state, dense_limit=0))
    a, b = (np.asarray(s.solve(None, jnp.asarray(rhs), jnp.zeros_like(rhs))) for s in pair)
    return {"sparse against dense solver": float(abs(a - b).max() / abs(a).max())}


def mesh(basin):
    """The mesh of the package against Veros's own."""
    from warmstart.engines import dino
    from warmstart.engines.veros.arrays import from_veros

    c, grid, inner = basin.constants, dino.grid(10.0, 6), slice(2, -2)
    columns = np.ones(grid.shape[2])
    pairs = {
        "tmask": from_veros(c["maskT"]), "umask": from_veros(c["maskU"]), "vmask": from_veros(c["maskV"]),
        "gdept_1d": -c["zt"][::-1], "e3t_1d": c["dzt"][::-1],
        "gphit": np.outer(c["yt"][inner], columns), "gphiv": np.outer(c["yu"][inner], columns),
        "e1t": np.outer(c["cost"][inner], c["dxt"][inner]), "e1v": np.outer(c["cosu"][inner], c["dxt"][inner]),
        "e1u": np.outer(c["cost"][inner], c["dxu"][inner]), "e2t": np.outer(c["dyt"][inner], columns),
        "ff_t": c["coriolis_t"][inner, inner].T,
    }  # fmt: skip
    off = {n: float(abs(grid.ds[n].values - v).max() / abs(v).max()) for n, v in pairs.items()}
    off["e2v"] = float(abs(grid.e2v.values[:-1, 0] / c["dyu"][2:-3] - 1).max())  # the last row has no V face
    return {"mesh against Veros": off}


def ordinary_step(basin):
    """One step of the setup itself, which has no latitude in its eddy diffusivity; it changes the setup."""
    from warmstart.engines.veros.setup import seos

    theta = basin.theta()
    uniform = {n: basin.defaults["eddy_diffusivity"] + 0.0 * theta[n] for n in ("K_gm_0", "K_iso_0")}
    one = now(basin.run(basin.start, theta | uniform, 1))
    with seos():
        basin.simulation.step(basin.simulation.state)
    vs = basin.simulation.state.variables
    return {
        "one step against Veros": difference(
            one, {n: np.asarray(getattr(vs, n)[..., int(vs.tau)]) for n in FIELDS}
        )
    }


def main():
    from warmstart.engines.veros import environment

    environment.configure()
    before, basin = patched(), Basin()
    facts = programs(basin)
    facts["Veros is as it was"] = before == patched()
    warm = basin.run(basin.start, basin.theta(), 200)
    facts |= parameters(basin, warm) | contents(basin, warm) | rest(basin) | members(basin)
    facts |= solvers(basin) | mesh(basin) | ordinary_step(basin)
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
