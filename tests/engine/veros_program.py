"""Facts about the pure step on a small basin, found in a process of its own because Veros locks its settings.

Prints one JSON object; ``test_veros_step.py`` says what each fact must be.
"""

import json

from warmstart.engine.veros import environment

environment.configure()

import jax
import numpy as np
import veros.core.density.nonlinear_eq2 as vallis
import veros.core.operators as operators
from veros.routines import VerosKernel

BEFORE = (VerosKernel.__call__, operators.update, vallis.rho0, operators.for_loop)

from warmstart.engine.veros.setup import make_setup
from warmstart.engine.veros.solver import DirectSolver
from warmstart.engine.veros.step import NOW, PureStep
from warmstart.parameters import defaults

FIELDS = ("temp", "salt", "u", "v", "psi")
INNER = (slice(2, -2), slice(2, -2))
simulation = make_setup(10.0, 6, defaults(), 1800.0, 172800.0)
step = PureStep(simulation)
constants = step.constants


def theta(dt_momentum=1800.0, dt_tracer=172800.0, **changes):
    return step.theta(defaults() | changes, dt_momentum, dt_tracer)


def now(carry):
    return {name: np.asarray(carry[name][NOW]) for name in FIELDS}


def difference(a, b):
    return max(float(abs(a[n] - b[n])[INNER].max() / max(abs(b[n][INNER]).max(), 1e-30)) for n in FIELDS)


def mean(field):
    volume = constants["area_t"][..., None] * constants["dzt"] * constants["maskT"]
    return float((field * volume)[INNER].sum() / volume[INNER].sum())


facts = {}
start = step.initial()
reference = step.advance(start, theta(), 20)
facts["patches are gone"] = BEFORE == (
    VerosKernel.__call__,
    operators.update,
    vallis.rho0,
    operators.for_loop,
)

# chunks, parameters and time steps reuse one program
in_chunks = step.advance(step.advance(start, theta(), 7), theta(), 13)
facts["7 and 13 steps against 20"] = difference(now(in_chunks), now(reference))
windy = step.advance(start, theta(wind_stress_south=0.3, vertical_diffusivity=1e-4), 20)
slow = step.advance(start, theta(3600.0, 86400.0), 20)
facts["programs compiled"] = step.advance._cache_size()
facts["effect of the wind"] = difference(now(windy), now(reference))
facts["time after 20 steps"] = [float(c["time"]) for c in (reference, slow)]

# each parameter of the table is heard
unheard = []
warm = step.advance(start, theta(), 200)
base = now(step.advance(warm, theta(), 5))
for name, value in defaults().items():
    if difference(now(step.advance(warm, theta(**{name: 1.3 * value}), 5)), base) == 0.0:
        unheard.append(name)
facts["parameters without effect"] = unheard

# without surface fluxes heat and salt stay
closed = step.advance(warm, theta(heat_restoring=0.0, salt_restoring=0.0), 50)
facts["change of mean T and S"] = [mean(now(closed)[n]) - mean(now(warm)[n]) for n in ("temp", "salt")]
facts["change with fluxes"] = mean(now(step.advance(warm, theta(), 50))["temp"]) - mean(now(warm)["temp"])

# a uniform ocean without wind and fluxes stays at rest
still = dict(start)
mask = constants["maskT"]
still["temp"], still["salt"] = (8.0 * mask,) * 3, (35.0 * mask,) * 3
calm = theta(heat_restoring=0.0, salt_restoring=0.0) | {
    name: 0.0 * theta()[name] for name in ("surface_taux", "forc_tke_surface")
}
from warmstart import eos
from warmstart.engine.veros.restart import in_situ_density

still["rho"] = (in_situ_density(8.0, 35.0, -constants["zt"]) * mask,) * 3
still["Nsqr"] = (np.zeros_like(mask, dtype=float),) * 3
# Veros's own start "from rest" carries the barotropic flow of its first pressure gradient
for name in ("u", "v", "psi", "dpsi", "dpsin"):
    still[name] = tuple(np.zeros_like(level) for level in start[name])
still = {n: tuple(map(jax.numpy.asarray, v)) if isinstance(v, tuple) else v for n, v in still.items()}
rested = now(step.advance(still, calm, 20))
facts["speed of a uniform ocean"] = float(max(abs(rested["u"]).max(), abs(rested["v"]).max()))

# two members side by side
members = [theta(), theta(wind_stress_south=0.3, eddy_diffusivity=500.0)]
stacked = jax.tree.map(lambda *a: jax.numpy.stack(a), *members)
both = step.advance_members(jax.tree.map(lambda a: jax.numpy.stack([a, a]), start), stacked, 5)
facts["vmap against single"] = [
    difference(now(jax.tree.map(lambda a, i=i: a[i], both)), now(step.advance(start, members[i], 5)))
    for i in range(2)
]

# the factorised solver does what the dense one does
sparse = DirectSolver(simulation.state, dense_limit=0)
rhs = np.random.default_rng(0).normal(size=constants["psin"].shape[:2])
a, b = (
    np.asarray(s.solve(None, jax.numpy.asarray(rhs), jax.numpy.zeros_like(rhs)))
    for s in (step.solver, sparse)
)
facts["sparse against dense solver"] = float(abs(a - b).max() / abs(a).max())

# the mesh of the package is that of Veros
from warmstart.engine import dino
from warmstart.engine.veros.restart import from_veros

mesh = dino.grid(10.0, 6)
pairs = {
    "tmask": from_veros(constants["maskT"]), "umask": from_veros(constants["maskU"]),
    "vmask": from_veros(constants["maskV"]), "gdept_1d": -constants["zt"][::-1], "e3t_1d": constants["dzt"][::-1],
    "gphit": np.repeat(constants["yt"][2:-2, None], mesh.shape[2], 1),
    "gphiv": np.repeat(constants["yu"][2:-2, None], mesh.shape[2], 1),
    "e1t": (constants["dxt"][2:-2, None] * constants["cost"][2:-2]).T,
    "e1v": (constants["dxt"][2:-2, None] * constants["cosu"][2:-2]).T,
    "e1u": (constants["dxu"][2:-2, None] * constants["cost"][2:-2]).T,
    "e2t": np.repeat(constants["dyt"][2:-2, None], mesh.shape[2], 1),
    "ff_t": constants["coriolis_t"][2:-2, 2:-2].T,
}  # fmt: skip
facts["mesh against Veros"] = {
    name: float(abs(mesh.ds[name].values - values).max() / abs(values).max())
    for name, values in pairs.items()
}
inner_e2v = mesh.e2v.values[:-1, 0] / constants["dyu"][2:-3] - 1
facts["mesh against Veros"]["e2v"] = float(abs(inner_e2v).max())

# the ordinary Veros step, once
from warmstart.engine.veros.setup import seos

one = now(
    step.advance(
        start,
        theta() | {"K_gm_0": 1000.0 + 0 * theta()["K_gm_0"], "K_iso_0": 1000.0 + 0 * theta()["K_iso_0"]},
        1,
    )
)
with seos():
    simulation.step(simulation.state)
vs = simulation.state.variables
facts["one step against Veros"] = difference(
    one, {n: np.asarray(getattr(vs, n)[..., int(vs.tau)]) for n in FIELDS}
)
print(json.dumps(facts))
