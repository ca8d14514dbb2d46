"""States of Veros go to meshes of NEMO and back: ``make.py MEMBER.nc states.nc control.nc mesh_mask.nc …``."""

import sys

import xarray as xr

import warmstart as ws
from warmstart import files
from warmstart.variables import STATE_VARIABLES


def main(member: str, output: str, control: str, *meshes: str) -> None:
    """Write the last state of a member: as it is, and after a passage through each mesh."""
    grid = files.open_grid(member)
    with files.open_dataset(member) as ds:
        last = ds.isel(time=-1).load()
    state = last[list(STATE_VARIABLES)].drop_vars(["year", "phase"])
    states = [state]
    for mesh in meshes:
        other = ws.open_grid(mesh)
        states.append(ws.regrid(ws.regrid(state, grid, other), other, grid))
    together = xr.concat(states, "sample")
    kept = {n: v for n, v in last.data_vars.items() if n not in STATE_VARIABLES}
    kept |= {n: v for n, v in last.coords.items() if v.attrs.get("role") == "parameter"}
    files.write_dataset(output, together.assign(kept), grid)
    files.write_dataset(control, state.assign(kept), grid)


if __name__ == "__main__":
    main(*sys.argv[1:])
