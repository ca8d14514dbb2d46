"""Figures of ocean states: functions that take xarray objects and draw on Matplotlib axes.

``figures`` (sections, maps, profiles, series) are given here; ``panels`` put several fields on one figure.
"""

from warmstart.plot.figures import (
    horizontal_mean,
    map_xy,
    overturning,
    profile,
    section,
    series,
    streamfunction_map,
    zonal_mean,
)

__all__ = [
    "horizontal_mean",
    "map_xy",
    "overturning",
    "profile",
    "section",
    "series",
    "streamfunction_map",
    "zonal_mean",
]
