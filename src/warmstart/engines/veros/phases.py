"""What a run of DINO in Veros goes through: a spin-up and a test of a start, with time steps that its mesh bears."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from warmstart.engines.base import Phase
from warmstart.equilibrium.acceleration import Acceleration
from warmstart.ocean.constants import DAY, YEAR

SYNCHRONOUS_DAYS = 30  #: days with equal time steps after a start from temperature and salinity alone
SYNCHRONOUS_STEP = 1800.0  #: [s]
UNTOUCHED_YEARS = 50  #: of a spin-up, before the deep ocean is extrapolated: the upper ocean comes first
FINEST_COARSE = 3.0  #: a mesh of this spacing or more takes the time steps of 4 degrees [degrees]


class TimeSteps(NamedTuple):
    """Time steps of momentum and of tracers [s]: of a spin-up; of the settling phase and of the retry after a blow-up."""

    accelerated: tuple[float, float]
    cautious: tuple[float, float]


AT_4_DEGREES = TimeSteps((1800.0, 2 * DAY), (3600.0, DAY))
AT_2_DEGREES = TimeSteps((1350.0, 1.25 * DAY), (1800.0, DAY))


def time_steps(resolution: float) -> TimeSteps:
    """Choose time steps that were found to be stable.

    Internal waves, slowed down by the longer step of the tracers (Bryan 1984, J. Phys. Oceanogr. 14, 666), limit the product of
    both steps, currents that of the tracers; both limits follow the spacing of the mesh. `experiments/time-steps` holds
    what was tried at 2 degrees. Finer meshes, where nothing was tried, have those steps halved with each halving of the spacing.

    Parameters
    ----------
    resolution : zonal spacing of the mesh [degrees].

    Returns
    -------
    Time steps; 30 days and a year are whole numbers of each.

    Examples
    --------
    >>> time_steps(4.0).accelerated, time_steps(1.0).cautious
    ((1800.0, 172800.0), (900.0, 43200.0))
    """
    if resolution >= FINEST_COARSE:
        return AT_4_DEGREES
    share = 0.5 ** max(0, math.ceil(math.log2(2.0 / resolution)))
    return TimeSteps(*((momentum * share, tracer * share) for momentum, tracer in AT_2_DEGREES))


def cautious(phases: Sequence[Phase], resolution: float) -> tuple[Phase, ...]:
    """The same phases with the time steps of the retry, where they are accelerated.

    Parameters
    ----------
    phases : of a run.
    resolution : zonal spacing of the mesh [degrees].

    Examples
    --------
    >>> [phase.dt_tracer for phase in cautious(verify_phases(1, resolution=4), 4)]
    [1800.0, 86400.0]
    """
    momentum, tracer = time_steps(resolution).cautious
    return tuple(
        p.model_copy(update={"dt_momentum": momentum, "dt_tracer": min(tracer, p.dt_tracer)})
        if p.dt_tracer > p.dt_momentum
        else p
        for p in phases
    )


def spinup_phases(
    years: int,
    settle_years: int = 20,
    until: Literal["near", "equilibrium"] | None = None,
    acceleration: Acceleration | None = None,
    *,
    resolution: float,
) -> tuple[Phase, ...]:
    """Phases of a spin-up: adjust, accelerate, settle.

    Parameters
    ----------
    years : year at which the accelerated spin-up ends.
    settle_years : years run after it at shorter time steps, from which four equilibrium states are kept.
    until : the verdict at which the spin-up may end before `years`; None: it does not.
    acceleration : extrapolation of the deep ocean on the way, from year 50 on.
    resolution : zonal spacing of the mesh [degrees], which decides the time steps (:func:`time_steps`).

    Returns
    -------
    30 days synchronous, then accelerated (1800 s / 2 days at 4 degrees) with states at years 10, 50, 100, 200 and every
    100 on, then settling (3600 s / 1 day) with four states at equal intervals (5 years by default).

    Examples
    --------
    >>> [(p.name, p.until_day / 360) for p in spinup_phases(600, resolution=4)][1:]
    [('spinup', 600.0), ('settle', 620.0)]
    """
    kept = [year for year in (10, 50, 100, *range(200, years + 1, 100)) if year <= years]
    steps = time_steps(resolution)
    phases = [_adjust()]
    if acceleration is not None and years > UNTOUCHED_YEARS:
        phases.append(_phase("upper ocean", UNTOUCHED_YEARS, steps.accelerated, [10, UNTOUCHED_YEARS]))
        kept = [year for year in kept if year > UNTOUCHED_YEARS]
    spinup = _phase("spinup", years, steps.accelerated, kept)
    phases.append(spinup.model_copy(update={"until": until, "acceleration": acceleration}))
    if settle_years:
        settled = sorted({years + round(settle_years * i / 4) for i in range(1, 5)})
        phases.append(_phase("settle", years + settle_years, steps.cautious, settled, "equilibrium"))
    return tuple(phases)


def verify_phases(years: int = 20, *, resolution: float) -> tuple[Phase, ...]:
    """Phases of a test of a start: 30 days synchronous with a row a day, then accelerated with a state a year.

    Parameters
    ----------
    years : length of the run.
    resolution : zonal spacing of the mesh [degrees], which decides the time steps (:func:`time_steps`).

    Returns
    -------
    Two phases; states are kept on day 0, day 30 and at the end of each year.

    Examples
    --------
    >>> [p.until_day for p in verify_phases(20, resolution=4)]
    [30.0, 7200.0]
    """
    daily = {"record_days": 1.0, "snapshot_days": (0.0, float(SYNCHRONOUS_DAYS))}
    run = _phase("run", years, time_steps(resolution).accelerated, [])
    return _adjust().model_copy(update=daily), run.model_copy(update={"snapshot_every_days": float(YEAR)})


def _adjust() -> Phase:
    return Phase(
        name="adjust", until_day=SYNCHRONOUS_DAYS, dt_momentum=SYNCHRONOUS_STEP, dt_tracer=SYNCHRONOUS_STEP
    )


def _phase(
    name: str,
    year: int,
    steps: tuple[float, float],
    kept: Sequence[int],
    label: Literal["transient", "equilibrium"] = "transient",
) -> Phase:
    days = tuple(float(y * YEAR) for y in kept)
    return Phase(
        name=name, until_day=year * YEAR, dt_momentum=steps[0], dt_tracer=steps[1], snapshot_days=days, label=label
    )  # fmt: skip
