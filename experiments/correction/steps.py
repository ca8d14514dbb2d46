"""Newton steps of the pairs: where each run's temperature and salinity would come to rest in the circulation of its year 40.

python experiments/correction/steps.py states.zarr

The pairs of `pairs.py` hold temperature and salinity, not currents. So Veros starts from temperature and salinity of year 40 with the currents of
the member's equilibrium, runs thirty days with equal time steps, in which the currents follow the water, and a year in whose
circulation the step is taken (`warmstart.engines.veros.newton_step`). The drift is that of the pairs, years 31 to 40 less 21 to 30. Written to `steps/member_NNN.nc`
beside this file; a file that is there is not made again.
"""

import argparse
import logging
import sys
import time
from pathlib import Path

import numpy as np
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "left-out"))

from members import members, mesh
from pairs import RESOLUTION, SCALE, STARTS, TRACERS, Engine
from records import made_with

from warmstart.engines.veros import environment
from warmstart.engines.veros.arrays import fields_of_state
from warmstart.io.outputs import ATTRIBUTE, replacing, version
from warmstart.ocean import parameters
from warmstart.ocean.constants import DAY

HERE = Path(__file__).parent
log = logging.getLogger("steps")
DAYS = 30  #: with equal time steps
SECONDS = 1800.0  #: that time step, and the one of momentum afterwards
DT_TRACER = 2.0 * DAY
LATE, EARLY, YEARS = "years 31-40", "years 21-30", 10


def main() -> None:
    """Take the steps of all pairs, one member after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    parser.add_argument("-o", "--output", type=Path, default=HERE / "steps")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.output.mkdir(exist_ok=True)
    environment.configure()
    import jax

    from warmstart.engines.veros.newton_step import newton_step

    engine, grid, made = Engine(), mesh(options.store), made_with()
    wet = grid.tmask.values > 0
    for member in members(options.store, ("train", "validation")):
        source, path = (
            folder / f"member_{member.number:03d}.nc" for folder in (HERE / "pairs", options.output)
        )
        if not source.exists():
            continue
        with xr.open_dataset(source) as ds:
            pair = ds.load()
        wanted = [start for start in options.starts if start in pair["start"].values]
        if path.exists():
            with xr.open_dataset(path) as ds:
                if set(wanted) <= set(ds["start"].values):
                    continue
        began, found = time.process_time(), []
        values = {name: member.values[name] for name in parameters.PARAMETERS}
        for start in wanted:
            own = pair.sel(start=start).transpose("window", "lev", "lat", "lon", ...)
            state = member.truth[["thetao", "so", "uo", "vo", "zos"]].isel(sample=-1).reset_coords(drop=True)
            for name in TRACERS:
                last = (
                    member.truth[name].mean("sample").values
                    + own[f"{name}_error"].sel(window="year 40").values
                )
                state[name] = (state[name].dims, np.where(wet, last, np.nan))
            carry = engine.step.unpack(fields_of_state(state, grid))
            equal = engine.step.theta(values, SECONDS, SECONDS)
            carry = jax.block_until_ready(engine.step.advance(carry, equal, round(DAYS * DAY / SECONDS)))
            rates = xr.Dataset({
                name: (("z", "y", "x"), (own[f"{name}_error"].sel(window=LATE) - own[f"{name}_error"].sel(window=EARLY)).values / YEARS)
                for name in TRACERS
            })  # fmt: skip
            found.append(newton_step(engine.step, carry, values, (SECONDS, DT_TRACER), rates))
        out = xr.Dataset(coords={"start": wanted} | {n: pair[n] for n in ("lev", "lat", "lon")})
        for name, (_, units) in TRACERS.items():
            moved = np.stack([np.where(wet, one[name], np.nan) for one in found])
            meaning = "Newton step: to be added to come to rest in the circulation of year 40"
            out[f"{name}_step"] = (
                ("start", "lev", "lat", "lon"),
                moved,
                {"units": units, "long_name": meaning},
            )
        out.attrs = made | {ATTRIBUTE: version(), "member": member.number, "resolution": RESOLUTION}
        packed = {
            f"{name}_step": {"dtype": "int16", "scale_factor": SCALE[name], "_FillValue": -32768, "zlib": True, "complevel": 9, "shuffle": True}
            for name in TRACERS
        }  # fmt: skip
        limit = {name: 32000 * SCALE[name] for name in TRACERS}
        out = out.assign(
            {f"{n}_step": out[f"{n}_step"].clip(-limit[n], limit[n], keep_attrs=True) for n in TRACERS}
        )
        with replacing(path, overwrite=True) as temporary:
            out.to_netcdf(temporary, engine="h5netcdf", encoding=packed)
        log.info("member %d: %.0f CPU s", member.number, time.process_time() - began)


if __name__ == "__main__":
    main()
