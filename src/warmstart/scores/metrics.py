"""The metrics of ``check``, one line each.

A new metric is one function of :mod:`warmstart.physics` with a docstring, and one line of :data:`METRICS`; the page of
metrics in the documentation follows from both. A rule that differs from the default (soft, inside the reference's
range) is one line of ``thresholds.yaml``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import xarray as xr

from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import DIAGNOSTICS
from warmstart.physics import (
    balance,
    budgets,
    census,
    column,
    geostrophy,
    literature,
    overturning,
    spectra,
    transport,
)
from warmstart.physics.section import transport_across
from warmstart.scores.thresholds import Box

__all__ = ["ALL", "DENSITY", "DRIFTS", "METRICS", "PUBLISHED", "SELDOM", "Metric", "named"]


class Metric(NamedTuple):
    """A function ``(state, grid) -> DataArray`` without spatial dims, and the variables that it needs."""

    function: Callable[[xr.Dataset, Grid], xr.DataArray]
    needs: tuple[str, ...] = ()


T, S, U, V, SSH = ("thetao",), ("so",), ("uo",), ("vo",), ("zos",)
TS, UV, EDDIES = T + S, U + V, (overturning.BOLUS["vo"],)
#: What the states of an engine seldom hold; metrics that need it are left out without a warning where it is missing.
SELDOM = tuple(DIAGNOSTICS)

#: Where the overturning cells of the north and of the abyss are looked for.
NORTHERN: dict[str, Any] = {"lat": (10.0, 65.0), "rotation": "northern"}
ABYSSAL: dict[str, Any] = {"lat": (-60.0, 90.0), "below": 1500.0, "rotation": "abyssal"}

#: Every metric of ``check``: one line each, in the order of the table. Unit and description come with the result.
METRICS: dict[str, Metric] = {
    "mask_violations": Metric(balance.mask_violations),
    "missing_values": Metric(balance.missing_values),
    "values_on_land": Metric(balance.values_on_land),
    "out_of_bounds": Metric(balance.out_of_bounds),
    "flow_through_walls": Metric(balance.flow_through_walls, UV),
    "divergence": Metric(balance.largest_divergence, UV),
    "inversions": Metric(column.inversions, TS),
    "inversions_1e-5": Metric(partial(column.inversions, threshold=1e-5), TS),
    "inversions_1e-2": Metric(partial(column.inversions, threshold=1e-2), TS),
    "inversions_volume": Metric(column.inversions_volume, TS),
    "inversions_in_situ": Metric(partial(column.inversions, reference="in situ"), TS),
    "convective_energy": Metric(column.convective_energy_mean, TS),
    "mixed_layer_mean": Metric(column.mixed_layer_mean, TS),
    "mixed_layer_deepest": Metric(column.mixed_layer_deepest, TS),
    "heat_content": Metric(budgets.heat_content, T),
    "salt_content": Metric(budgets.salt_content, S),
    "sea_volume": Metric(budgets.sea_volume, SSH),
    "thetao_mean": Metric(partial(budgets.volume_mean, variable="thetao"), T),
    "so_mean": Metric(partial(budgets.volume_mean, variable="so"), S),
    "thetao_deep": Metric(partial(budgets.volume_mean, variable="thetao", depth=budgets.DEEP), T),
    "so_deep": Metric(partial(budgets.volume_mean, variable="so", depth=budgets.DEEP), S),
    "surface_temperature": Metric(budgets.surface_temperature, T),
    "temperature_500m_30NS": Metric(census.temperature_500m, T),
    "temperature_bottom_water": Metric(partial(census.bottom_water_mean, variable="thetao"), T),
    "temperature_deep_water": Metric(partial(census.deep_water_mean, variable="thetao"), T),
    "salinity_bottom_water": Metric(partial(census.bottom_water_mean, variable="so"), S),
    "salinity_deep_water": Metric(partial(census.deep_water_mean, variable="so"), S),
    "channel_transport": Metric(transport.channel_transport, U),
    "throughflow": Metric(transport.throughflow, U),
    "throughflow_free_surface": Metric(partial(transport.throughflow, free_surface=True), U + SSH),
    "throughflow_spread": Metric(transport.throughflow_spread, U),
    "gyre_north": Metric(partial(transport.gyre, lat=(0.0, 45.0), rotation="clockwise"), U),
    "gyre_subpolar": Metric(partial(transport.gyre, lat=(45.0, 70.0), rotation="anticlockwise"), U),
    "gyre_south": Metric(partial(transport.gyre, lat=(-40.0, 0.0), rotation="anticlockwise"), U),
    "overturning_north": Metric(partial(transport.overturning_cell, **NORTHERN, below=500.0), V),
    "overturning_abyssal": Metric(partial(transport.overturning_cell, **ABYSSAL), V),
    "overturning_density_north": Metric(partial(overturning.overturning_density_cell, **NORTHERN), TS + V),
    # between the channel, where currents of hundreds of Sverdrup cross classes to and fro, and the sinking of the north
    # (experiments/signal-to-noise)
    "overturning_density_abyssal": Metric(
        partial(overturning.overturning_density_cell, lat=(-30.0, 30.0), rotation="abyssal", below=2000.0),
        TS + V,
    ),
    "overturning_residual_north": Metric(
        partial(overturning.residual_cell, **NORTHERN, below=500.0), V + EDDIES
    ),
    "overturning_residual_abyssal": Metric(partial(overturning.residual_cell, **ABYSSAL), V + EDDIES),
    "heat_transport_north": Metric(partial(transport.heat_transport_peak, hemisphere="north"), T + V),
    "heat_transport_south": Metric(partial(transport.heat_transport_peak, hemisphere="south"), T + V),
    "salt_transport": Metric(transport.salt_transport_largest, S + V),
    "continuity_residual": Metric(balance.largest_continuity_residual, (*UV, "wo")),
    "thermal_wind_residual": Metric(geostrophy.thermal_wind_residual, TS + UV),
    "geostrophic_residual": Metric(geostrophy.geostrophic_residual, TS + UV + SSH),
    "sea_level_residual": Metric(geostrophy.sea_level_residual, TS + SSH),
    "kinetic_energy": Metric(balance.kinetic_energy, UV),
    "small_scale_zos": Metric(partial(spectra.small_scale_share, variable="zos"), SSH),
    "small_scale_thetao": Metric(partial(spectra.small_scale_share, variable="thetao"), T),
    "small_scale_thetao_deep": Metric(partial(spectra.small_scale_share, variable="thetao", depth=2000.0), T),
    "small_scale_kinetic_energy": Metric(partial(spectra.small_scale_share, variable="kinetic_energy"), UV),
}

#: The definitions of others, as published; computed when asked for.
PUBLISHED: dict[str, Metric] = {
    function.__name__: Metric(function, needs)
    for function, needs in (
        (literature.nemo_spinup_evaluation_check_density_from_file, ("rhop",)),
        (literature.nemo_spinup_evaluation_check_density_computed, TS),
        (literature.nemo_spinup_evaluation_temperature_500m_30NS, T),
        (literature.nemo_spinup_evaluation_temperature_BWbox, T),
        (literature.nemo_spinup_evaluation_temperature_DWbox, T),
        (literature.nemo_spinup_evaluation_ACC_Drake, U),
        (literature.nemo_spinup_evaluation_ACC_Drake_2, U + SSH),
        (literature.nemo_spinup_evaluation_NASTG_BSF_max, V + SSH),
        (literature.dino_fusion_density_errors, TS),
    )
} | {
    f"dino_fusion_{box}_{variable}{'_by_index' * by_index}": Metric(
        partial(function, variable=variable, by_index=by_index), (variable,)
    )
    for box, function in (("BWbox", literature.dino_fusion_BWbox), ("DWbox", literature.dino_fusion_DWbox))
    for variable in TS
    for by_index in (False, True)
}
#: Everything that can be computed of a state by name.
ALL = METRICS | PUBLISHED
#: Trends along the states of one run, by name: the metric that they are of.
DRIFTS = {"drift_thetao_deep": "thetao_deep", "drift_so_deep": "so_deep"}
#: Metrics that need the density of sea water: they say nothing where the equation of state is not known.
DENSITY = (
    "inversions", "inversions_1e-5", "inversions_1e-2", "inversions_volume", "inversions_in_situ", "convective_energy",
    "mixed_layer_mean", "mixed_layer_deepest", "overturning_density_north", "overturning_density_abyssal",
    "thermal_wind_residual", "geostrophic_residual", "sea_level_residual",
)  # fmt: skip


def named(
    sections: Mapping[str, tuple[float, float, float, float]], boxes: Mapping[str, Box]
) -> dict[str, Metric]:
    """Metrics of sections and boxes.

    Parameters
    ----------
    sections : by name, longitude and latitude of the start and of the end.
    boxes : by name, their bounds.

    Returns
    -------
    ``section_NAME`` [Sv], ``box_NAME_thetao`` [degC] and ``box_NAME_so`` [1e-3].

    Examples
    --------
    >>> list(named({"drake": (-68.0, -55.0, -65.0, -65.0)}, {}))
    ['section_drake']
    """
    found = {
        f"section_{name}": Metric(partial(transport_across, start=p[:2], end=p[2:], name=name), UV)
        for name, p in sections.items()
    }
    for name, box in boxes.items():
        for variable in TS:
            mean = partial(budgets.volume_mean, variable=variable, lon=box.lon, lat=box.lat, depth=box.depth)
            found[f"box_{name}_{variable}"] = Metric(mean, (variable,))
    return found
