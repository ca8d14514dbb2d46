"""DINO as an ordinary Veros setup, which is also what the pure step is traced from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import veros.core.density.nonlinear_eq2 as _vallis
from veros import VerosSetup, veros_routine
from veros.core.operators import at, update
from veros.core.operators import numpy as npx
from veros.variables import Variable

from warmstart.engines import dino
from warmstart.ocean import eos

#: Parameters that the forcing reads as Veros variables.
FORCING = (
    "restoring_temperature_north",
    "restoring_temperature_south",
    "restoring_temperature_equator",
    "restoring_salinity_north",
    "restoring_salinity_south",
    "restoring_salinity_equator",
    "heat_restoring",
    "salt_restoring",
    "seasonal_amplitude_north",
    "seasonal_amplitude_south",
)
SHAPES = ("shape_temperature", "shape_salinity", "dip_salinity", "southern")
WESTERLY_BOOST = 1.3  #: factor on the westerly stress in the TKE flux, as in DINO's usrdef_sbc.F90
LATERAL_VISCOSITY = 2e-11  #: times the grid spacing cubed [m-1 s-1]
STEEP_FRACTION = 0.18  #: Redi diffusivity left on steep slopes, as a fraction of the full one
SLOPE_LIMIT, SLOPE_WIDTH = 0.003, 0.001  #: isopycnal slope at which the tapering is one half, and its width


@contextlib.contextmanager
def seos() -> Iterator[None]:
    """Give Veros's Vallis equation of state the numbers of NEMO's S-EOS while the block runs.

    The two have the same functional form in temperature, salinity and depth; Veros offers no setting for the
    coefficients.
    """
    numbers = {
        "rho0": eos.RHO0,
        "theta0": eos.T0,
        "betaT": eos.A0 / eos.RHO0,
        "betaTs": eos.A0 * eos.LAMBDA1 / eos.RHO0,
        "betaS": eos.B0 / eos.RHO0,
        "gammas": eos.MU1 / (_vallis.grav * eos.RHO0),
    }
    former = {name: getattr(_vallis, name) for name in numbers}
    vars(_vallis).update(numbers)
    try:
        yield
    finally:
        vars(_vallis).update(former)


class DinoSetup(VerosSetup):  # type: ignore[misc]
    """DINO for Veros.

    Parameters
    ----------
    axes : the sector, from :func:`warmstart.engines.dino.mesh`.
    parameters : a value for each parameter of the table.
    dt_momentum, dt_tracer : time steps [s].
    """

    def __init__(
        self, axes: dino.Mesh, parameters: Mapping[str, float], dt_momentum: float, dt_tracer: float
    ) -> None:
        self.axes = axes
        self.parameters = dict(parameters)
        self.steps = (float(dt_momentum), float(dt_tracer))
        super().__init__()

    @veros_routine
    def set_parameter(self, state: Any) -> None:
        s, p, axes = state.settings, self.parameters, self.axes
        s.identifier = "dino"
        s.nx, s.ny, s.nz = axes.longitude.size, axes.latitude.size, axes.depth.size
        s.dt_mom, s.dt_tracer = self.steps
        s.runlen = 0.0
        s.x_origin = axes.longitude[0] + axes.resolution / 2
        s.y_origin = axes.latitude[0] + axes.row_height[0] / 2
        s.coord_degree = s.enable_cyclic_x = True
        s.rho_0 = eos.RHO0
        s.eq_of_state_type = 3
        s.enable_streamfunction = True
        # with it, and without the EKE or IDEMIX closures, lateral friction and GM would feed the TKE and the
        # background diffusivity would no longer be what the parameter says
        s.enable_conserve_energy = False
        s.enable_superbee_advection = True
        self._set_mixing(s, p)
        for name in SHAPES:
            state.var_meta[name] = Variable(name, ("yt",), "", "", time_dependent=False)
        for name in FORCING:
            state.var_meta[name] = Variable(name, None, "", "", time_dependent=False)

    def _set_mixing(self, s: Any, p: Mapping[str, float]) -> None:
        """Lateral and vertical mixing and friction."""
        s.enable_neutral_diffusion = s.enable_skew_diffusion = True
        s.K_iso_0 = s.K_gm_0 = p["eddy_diffusivity"]
        s.K_iso_steep = STEEP_FRACTION * p["eddy_diffusivity"]
        s.iso_slopec, s.iso_dslope = SLOPE_LIMIT, SLOPE_WIDTH
        s.enable_hor_friction = s.enable_hor_friction_cos_scaling = True
        s.A_h = lateral_viscosity(p["lateral_viscosity_factor"], self.axes.resolution)
        s.hor_friction_cosPower = 3
        s.enable_bottom_friction, s.r_bot = True, p["bottom_drag"]
        s.enable_implicit_vert_friction = True
        s.enable_tke = True
        s.c_k, s.c_eps, s.alpha_tke, s.mxl_min, s.tke_mxl_choice = 0.1, 0.7, 30.0, 1e-8, 2
        s.kappaM_min, s.kappaH_min = p["vertical_viscosity"], p["vertical_diffusivity"]

    @veros_routine
    def set_grid(self, state: Any) -> None:
        vs = state.variables
        vs.dxt = update(vs.dxt, at[...], self.axes.resolution)
        vs.dyt = update(vs.dyt, at[2:-2], npx.asarray(self.axes.row_height))
        vs.dzt = npx.asarray(self.axes.thickness[::-1].copy())

    @veros_routine
    def set_coriolis(self, state: Any) -> None:
        vs = state.variables
        vs.coriolis_t = update(
            vs.coriolis_t, at[...], 2 * dino.EARTH_ROTATION * npx.sin(vs.yt[None, :] * dino.RAD)
        )

    @veros_routine
    def set_topography(self, state: Any) -> None:
        vs = state.variables
        wet = dino.wet_levels(self.axes).T
        bottom = np.where(wet > 0, self.axes.depth.size - wet + 1, 0)
        vs.kbot = update(vs.kbot, at[2:-2, 2:-2], npx.asarray(bottom))

    @veros_routine
    def set_initial_conditions(self, state: Any) -> None:
        vs = state.variables
        for name, field in zip(("temp", "salt"), dino.initial_state(self.axes), strict=True):
            inner = npx.asarray(field[::-1].transpose(2, 1, 0))[..., None] * vs.maskT[2:-2, 2:-2, :, None]
            setattr(vs, name, update(getattr(vs, name), at[2:-2, 2:-2], inner))
        for name, shape in zip(SHAPES, dino.restoring_shapes(self.axes.latitude), strict=True):
            setattr(vs, name, update(getattr(vs, name), at[2:-2], npx.asarray(shape)))
        for name in FORCING:
            setattr(vs, name, self.parameters[name])
        stress, tke = wind_forcing(self.axes, self.parameters, np.asarray(vs.maskU[:, :, -1]))
        vs.surface_taux, vs.forc_tke_surface = npx.asarray(stress), npx.asarray(tke)

    @veros_routine
    def set_forcing(self, state: Any) -> None:
        vs, s = state.variables, state.settings
        day = (vs.time / 86400.0) % dino.YEAR_DAYS
        season = npx.cos((day - dino.SEASON_PEAK_DAY) / (dino.YEAR_DAYS / 2) * s.pi)
        north = vs.restoring_temperature_north + vs.seasonal_amplitude_north * season
        south = vs.restoring_temperature_south - vs.seasonal_amplitude_south * season
        polar = npx.where(vs.southern > 0.5, south, north)
        polar_salt = npx.where(vs.southern > 0.5, vs.restoring_salinity_south, vs.restoring_salinity_north)
        temperature = polar + (vs.restoring_temperature_equator - polar) * vs.shape_temperature
        salinity = (
            polar_salt + (vs.restoring_salinity_equator - polar_salt) * vs.shape_salinity + vs.dip_salinity
        )
        mask = vs.maskT[:, :, -1]
        vs.forc_temp_surface = (
            vs.heat_restoring / eos.CP / s.rho_0 * (temperature[None, :] - vs.temp[:, :, -1, vs.tau]) * mask
        )
        vs.forc_salt_surface = (
            vs.salt_restoring / s.rho_0 * (salinity[None, :] - vs.salt[:, :, -1, vs.tau]) * mask
        )

    @veros_routine
    def set_diagnostics(self, state: Any) -> None:
        state.diagnostics.clear()

    @veros_routine
    def after_timestep(self, state: Any) -> None:
        pass


def lateral_viscosity(factor: float, resolution: float) -> float:
    """Lateral viscosity at the equator [m2 s-1]: Munk scaling with the grid spacing cubed."""
    return factor * (resolution * dino.EARTH_RADIUS / 180.0 * np.pi) ** 3 * LATERAL_VISCOSITY


def wind_forcing(
    axes: dino.Mesh, parameters: Mapping[str, float], mask_u: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Zonal stress at U points and TKE flux at T points, with ghost cells.

    Parameters
    ----------
    axes : the sector.
    parameters : with the two wind stresses [Pa].
    mask_u : surface mask of the U points with ghost cells, shape ``(nx + 4, ny + 4)``.

    Returns
    -------
    Stress [Pa] and TKE flux [m3 s-3], shape ``(nx + 4, ny + 4)``.
    """
    stress = np.zeros(mask_u.shape)
    stress[2:-2, 2:-2] = dino.wind_stress(axes.latitude, parameters)[None, :]
    stress[:2], stress[-2:] = stress[-4:-2].copy(), stress[2:4].copy()
    stress = stress * mask_u
    friction = np.abs(stress) * np.where(stress > 0, WESTERLY_BOOST, 1.0) / eos.RHO0
    return stress, friction**1.5


def make_setup(
    resolution: float, levels: int, parameters: Mapping[str, float], dt_momentum: float, dt_tracer: float
) -> DinoSetup:
    """Set DINO up in Veros, ready to step.

    Parameters
    ----------
    resolution : zonal grid spacing [degrees].
    levels : number of levels.
    parameters : a value for each parameter of the table.
    dt_momentum, dt_tracer : time steps [s].

    Returns
    -------
    The Veros setup, initialised. Step it inside :func:`seos`.
    """
    with seos():
        simulation = DinoSetup(dino.mesh(resolution, levels), parameters, dt_momentum, dt_tracer)
        simulation.setup()
    return simulation
