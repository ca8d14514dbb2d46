"""States of Veros go to meshes of NEMO and back, and Veros runs a year from them.

python experiments/nemo-round-trip/make.py data/dino-4deg/member_000.nc MESH ...

Writes verify.csv beside this file: the last state of the member as it is (state 0), and after a passage through each mesh.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1]))

from forecasts import write_table
from records import made_with

import warmstart as ws
from warmstart.io import files
from warmstart.ocean.variables import STATE_VARIABLES

HERE = Path(__file__).parent


def main() -> None:
    """Move the state, restart and verify, keep the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("member", type=Path)
    parser.add_argument("meshes", type=Path, nargs="+", help="mesh_mask.nc of NEMO's DINO")
    options = parser.parse_args()
    header = made_with()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_states(options.member, options.meshes, work)
        ws.restart(work / "states.nc", work / "restarts")
        _, table = ws.verify(
            work / "restarts", work / "verify.nc", years=1, control=work / "control.nc", rest=False
        )
    write_table(table, HERE / "verify.csv", header)


def write_states(member: Path, meshes: list[Path], work: Path) -> None:
    """Write the last state of a member as it is, as control.nc, and with its passages, as states.nc."""
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
    files.write_dataset(work / "states.nc", together.assign(kept), grid)
    files.write_dataset(work / "control.nc", state.assign(kept), grid)


if __name__ == "__main__":
    main()
