"""Constants that several rooms share: of the calendar and of the Earth."""

from __future__ import annotations

DAY = 86400.0  #: [s]
YEAR = 360  #: length of the engine's year [days]
EARTH_RADIUS = 6.371e6  #: [m]
