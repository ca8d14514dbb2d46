"""Facts about the Newton step of a tiny DINO, printed as JSON; a process of its own, because of JAX's settings."""

import json
import sys

import numpy as np
import xarray as xr

from warmstart.engines.veros import environment

environment.configure()

from warmstart.engines.veros import newton_step as module  # noqa: E402
from warmstart.engines.veros.setup import make_setup  # noqa: E402
from warmstart.engines.veros.step import PureStep  # noqa: E402
from warmstart.ocean import eos, parameters  # noqa: E402
from warmstart.ocean.constants import DAY, YEAR  # noqa: E402

STEPS = (1800.0, 172800.0)
values = parameters.defaults()
step = PureStep(make_setup(10.0, 6, values, *STEPS))
theta = step.theta(values, *STEPS)
carry = step.advance(step.initial(), theta, 900)
wet = step.constants["maskT"][2:-2, 2:-2] > 0
kept = wet.ravel()
seasons = module._seasons(step, carry, theta, STEPS[1])
probe = module._probe(step)
matrix = module._matrix(probe, seasons, theta, True, wet.shape)
scale = abs(matrix).max()
area = (step.constants["dxt"][:, None] * step.constants["dyt"] * step.constants["cost"])[2:-2, 2:-2]
volume = (area[:, :, None] * step.constants["dzt"] * wet).ravel()
noise = np.random.default_rng(0).standard_normal(wet.shape) * wet
ghosts = np.zeros((wet.shape[0] + 4, wet.shape[1] + 4, wet.shape[2]))
ghosts[2:-2, 2:-2] = noise
directly = np.mean([np.asarray(probe(c, theta, True, ghosts[None]))[0, 2:-2, 2:-2] for c in seasons], axis=0)
facts = {
    "drift of a uniform tracer": float(abs((matrix @ kept.astype(float))[kept]).max() / scale),
    "change of content": float(abs(volume @ matrix).max() / (volume.max() * scale)),
    "matrix against the model": float(
        abs(matrix @ noise.ravel() - directly.ravel()).max() / abs(directly).max()
    ),
}
back = np.zeros(wet.shape)
back[:, :, -1] = values["heat_restoring"] / eos.RHO0 / eos.CP / float(step.constants["dzt"][-1])
rate = (matrix @ noise.ravel() - back.ravel() * noise.ravel()).reshape(wet.shape) * YEAR * DAY
upright = rate.transpose(2, 1, 0)[::-1]
rates = xr.Dataset({"thetao": (("z", "y", "x"), upright), "so": (("z", "y", "x"), 0.0 * upright)})
found = module.newton_step(step, carry, values, STEPS, rates)
facts["way back of a displaced tracer"] = float(abs(found["thetao"] + noise.transpose(2, 1, 0)[::-1]).max())
facts["step without a drift"] = float(abs(found["so"]).max())
sys.stdout.write(json.dumps(facts) + "\n")
