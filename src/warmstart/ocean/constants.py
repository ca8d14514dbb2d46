"""Constants of the calendar that engines and scores share."""

from __future__ import annotations

DAY = 86400.0  #: [s]
YEAR = 360  #: length of the engine's year [days]
