"""Put the last states of finished members on a finer mesh and write them as restarts that a plan starts its members from.

python data/refine.py data/dino-4deg/member_04[89].nc experiments/companion/regridded --resolution 2 --levels 18
warmstart simulate experiments/companion/first.yaml -o runs   # start: regridded

Member i of a plan with the same ranges and seed has the same parameters on both meshes.
"""

import argparse
import sys
from pathlib import Path

from warmstart.engines import dino
from warmstart.engines.veros.arrays import restart_from_state
from warmstart.errors import UserError
from warmstart.io.files import open_dataset, open_grid
from warmstart.io.outputs import require_free
from warmstart.ocean.grid import Grid
from warmstart.physics.regrid import regrid

STATE = ["thetao", "so", "uo", "vo"]


def refine(member: Path, grid: Grid, output: Path) -> None:
    """Write the last state of a member as a restart on another mesh.

    Parameters
    ----------
    member : its file.
    grid : the mesh to move to.
    output : the restart to write; the barotropic streamfunction follows from the velocities, the turbulence starts from zero.
    """
    with open_dataset(member) as ds:
        state = ds[STATE].isel(time=-1, drop=True).load()
    restart_from_state(regrid(state, open_grid(member), grid), grid, output)


def main() -> None:
    """Refine each member."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("members", nargs="+", type=Path, help="member files")
    parser.add_argument("output", type=Path, help="folder of the restarts, made if it does not exist")
    parser.add_argument("--resolution", type=float, required=True, help="zonal spacing of the new mesh [degrees]")
    parser.add_argument("--levels", type=int, required=True, help="levels of the new mesh")
    options = parser.parse_args()
    grid = dino.grid(options.resolution, options.levels)
    paths = {member: options.output / f"{member.stem}.h5" for member in options.members}
    options.output.mkdir(parents=True, exist_ok=True)
    for path in paths.values():
        require_free(path)
    for member, path in paths.items():
        refine(member, grid, path)
        print(f"{member.name}: {path}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"Error: {error}")
