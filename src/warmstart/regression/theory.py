"""What a theory says of the equilibrium before any simulation: the depth of the pycnocline and what balances in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from warmstart.errors import UserError
from warmstart.ocean import parameters
from warmstart.ocean.constants import EARTH_RADIUS
from warmstart.ocean.eos import density

ROTATION, GRAVITY, REFERENCE_DENSITY = 7.292e-5, 9.81, 1026.0  #: [s-1], [m s-2], [kg m-3]
#: Of DINO: width [degrees of longitude], latitude of the strongest southern westerlies and of the walls [degrees].
WIDTH, WESTERLIES, WALL = 50.0, 45.0, 70.0
EDDY_LENGTH = 7.5e5  #: meridional scale of the front that eddies flatten [m]
SINKING_LATITUDE = 60.0  #: [degrees]
EFFICIENCY = 0.02  #: of the northern sinking, so that the pycnocline of the default parameters is about a kilometre deep
SHALLOWEST, DEEPEST, HALVINGS = 1.0, 1e5, 60  #: of the bisection [m], [m], and its length

#: Parameters that it takes.
NEEDED = (
    "wind_stress_south",
    "restoring_temperature_north",
    "restoring_temperature_equator",
    "restoring_salinity_north",
    "restoring_salinity_equator",
    "vertical_diffusivity",
    "eddy_diffusivity",
)


#: What a regression is told of it, and the sample of the box of parameters that scales it.
FEATURES = ("depth", "southern", "mixing", "sinking")
POINTS, SEED = 256, 0


def pycnocline(values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Solve the balance of the pycnocline: what winds and mixing bring in, eddies and northern sinking take out.

    Gnanadesikan (1999, Science 283, 2077), eq. 6, for the depth D: Ekman transport of the southern westerlies, minus eddy
    transport A D, plus upwelling by mixing B / D, equals sinking C g' D^2; g' is the contrast in density between the restoring
    values at the equator and in the north.

    Parameters
    ----------
    values : a number, or arrays of one shape, for each of :data:`NEEDED`, in the units of the parameters table.

    Returns
    -------
    ``depth`` [m], and the transports ``ekman``, ``eddies``, ``mixing`` and ``sinking`` [m3 s-1], each in the shape of the
    parameters.

    Examples
    --------
    >>> from warmstart.ocean.parameters import defaults
    >>> found = pycnocline(defaults())
    >>> bool(500 < found["depth"] < 2000)
    True
    """
    wind, cold, warm, fresh, salty, diffusivity, eddy_diffusivity = (
        np.asarray(values[n], float) for n in NEEDED
    )
    contrast = np.asarray(density(cold, fresh, 0.0)) - np.asarray(density(warm, salty, 0.0))
    reduced_gravity = GRAVITY * np.maximum(contrast, 0.0) / REFERENCE_DENSITY
    width = np.radians(WIDTH) * EARTH_RADIUS * np.cos(np.radians(WESTERLIES))
    area = np.radians(WIDTH) * EARTH_RADIUS**2 * (np.sin(np.radians(WALL)) + np.sin(np.radians(WESTERLIES)))
    ekman = wind * width / (REFERENCE_DENSITY * coriolis(WESTERLIES))
    eddy, mixing = eddy_diffusivity * width / EDDY_LENGTH, diffusivity * area
    sinking = EFFICIENCY * reduced_gravity / coriolis(SINKING_LATITUDE)
    shape = np.broadcast_shapes(*(np.shape(a) for a in (ekman, eddy, mixing, sinking)))
    low, high = np.full(shape, np.log(SHALLOWEST)), np.full(shape, np.log(DEEPEST))
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        depth = np.exp(middle)
        # what comes in less what goes out falls with depth, so that there is one root
        deeper = ekman - eddy * depth + mixing / depth - sinking * depth**2 > 0
        low, high = np.where(deeper, middle, low), np.where(deeper, high, middle)
    depth = np.exp(0.5 * (low + high))
    return {
        "depth": depth,
        "ekman": np.broadcast_to(ekman, shape),
        "eddies": eddy * depth,
        "mixing": mixing / depth,
        "sinking": sinking * depth**2,
    }


def coriolis(latitude: float) -> float:
    """Coriolis parameter at a latitude [degrees], without its sign [s-1].

    Examples
    --------
    >>> round(coriolis(90.0), 7)
    0.0001458
    """
    return float(2.0 * ROTATION * np.sin(np.radians(abs(latitude))))


@dataclass(frozen=True, eq=False)
class Theory:
    """What theory makes of the parameters, as further inputs of a regression.

    A regression on a few dozen members can not find out by itself how wind, mixing, eddies and the contrast in density act
    together; the balance of the pycnocline says it in closed form, and the regression learns what is left.

    Attributes
    ----------
    ranges : lowest and highest value of the parameters that vary, in the order of the inputs.
    fixed : the others that theory needs.
    centre, spread : of the features over the box, ``(feature,)``.
    """

    ranges: dict[str, tuple[float, float]]
    fixed: dict[str, float]
    centre: np.ndarray
    spread: np.ndarray

    def extend(self, inputs: np.ndarray) -> np.ndarray:
        """Append the features to scaled parameters.

        Parameters
        ----------
        inputs : parameters scaled to -0.5 to 0.5 across their ranges, ``(..., parameter)``.

        Returns
        -------
        ``(..., parameter + feature)``.
        """
        values = {
            name: parameters.get(name).over(*bounds).value(inputs[..., i] + 0.5)
            for i, (name, bounds) in enumerate(self.ranges.items())
            if name in parameters.PARAMETERS
        }
        return np.concatenate([inputs, (_features(self.fixed | values) - self.centre) / self.spread], -1)


def theory_of(ranges: Mapping[str, tuple[float, float]], fixed: Mapping[str, float]) -> Theory:
    """Build the map from parameters to parameters and features.

    Parameters
    ----------
    ranges : lowest and highest value of each parameter that varies.
    fixed : the values of the others.

    Returns
    -------
    The map; over the box its features have a mean of 0 and the spread of a parameter.

    Raises
    ------
    UserError
        If a parameter that theory needs is in neither, or none of them varies.

    Examples
    --------
    >>> from warmstart.ocean.parameters import defaults
    >>> theory_of({"wind_stress_south": (0.1, 0.3)}, defaults()).extend(np.zeros(1)).shape
    (5,)
    """
    missing = [name for name in NEEDED if name not in ranges and name not in fixed]
    if missing:
        raise UserError(f"theory of the pycnocline needs {', '.join(missing)}; give them, or do without it")
    if not any(name in ranges for name in NEEDED):
        raise UserError(f"theory of the pycnocline says nothing: none of {', '.join(NEEDED)} varies")
    others = {name: fixed[name] for name in NEEDED if name not in ranges}
    known = {name: bounds for name, bounds in ranges.items() if name in parameters.PARAMETERS}
    box = parameters.sobol(known, POINTS, SEED)
    sample = _features(others | {name: np.array([member[name] for member in box]) for name in known})
    # a uniform parameter of width 1 has this standard deviation
    spread = np.maximum(sample.std(0), 1e-12) * np.sqrt(12.0)
    return Theory(dict(ranges), others, sample.mean(0), spread)


def _features(values: Mapping[str, Any]) -> np.ndarray:
    """Logarithm of the depth, and the transports in Sverdrups, ``(..., feature)``."""
    found = pycnocline(values)
    southern = found["ekman"] - found["eddies"]
    return np.stack(
        [np.log(found["depth"]), southern / 1e6, found["mixing"] / 1e6, found["sinking"] / 1e6], -1
    )
