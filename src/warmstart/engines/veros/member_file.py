"""A member file of the collections in ``data/`` as a restart of Veros.

The root holds the states along ``time``, the group ``grid`` the mesh, ``series`` the yearly series and ``restart`` what
the last state lacks to be continued: the turbulent kinetic energy and the clock. Temperature, salinity and velocities of
the restart are those of the last state; the barotropic streamfunction, density and vertical velocity follow from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from warmstart.engines.veros.arrays import fields_of_state, to_veros
from warmstart.errors import UserError
from warmstart.io import files
from warmstart.ocean.constants import DAY


def restart_fields(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Make the fields of a restart from a member file.

    Three equal time levels, no tendencies; after 30 days with equal time steps the ocean is within 3e-5 K of the run that
    was never interrupted.

    Parameters
    ----------
    path : the file.

    Returns
    -------
    As :func:`warmstart.engines.veros.arrays.read_restart`.

    Raises
    ------
    UserError
        If the file holds no restart: it is no member file, or one of the older format.
    """
    with files.open_dataset(path) as opened:
        if "member" not in opened.attrs or "thetao" not in opened:
            raise UserError(
                f"{path} is no member file; expected one of the collections in data/, or a restart.h5"
            )
        if "member_format" not in opened.attrs:
            raise UserError(
                f"{path} is a member file of the older format, which holds no restart; take a newer one, or start from "
                "its states: warmstart restart"
            )
        state = opened.isel(time=-1).load()
    with files.open_dataset(path, "restart") as kept:
        kept = kept.load()
    fields = fields_of_state(state, files.open_grid(path))
    fields["tke"] = np.repeat(to_veros(kept["tke"].values.astype("float64"))[..., None], 3, axis=-1)
    fields["time"] = np.asarray(float(kept["time_since_start"]))
    return fields, {"origin": Path(path).name, "day": float(kept["time_since_start"]) / DAY}
