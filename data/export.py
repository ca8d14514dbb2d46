"""Turn the folder of a finished member into one compressed NetCDF file of this collection.

python data/export.py runs/member_000 data/dino-4deg/member_000.nc

Four equilibrium states and those of years 10, 50, 200 and 500, with the mesh in the group ``grid`` and the yearly series in
the group ``series``. Temperature and salinity keep 8 significant digits, velocities and sea level 5.
"""

import sys
from pathlib import Path

import xarray as xr
import yaml

from warmstart.engine.dino import grid as dino_grid
from warmstart.files import open_dataset, open_grid, replacing

TRANSIENT_YEARS = (10, 50, 200, 500)
DIGITS = {"thetao": 8, "so": 8, "uo": 5, "vo": 5, "zos": 5}


def main(run: Path, output: Path) -> None:
    """Write the member; the mesh must be the configuration's own."""
    states, series = open_dataset(run / "states.nc").load(), open_dataset(run / "series.nc").load()
    mesh = open_grid(run / "states.nc")
    mesh.require_same(dino_grid(float(mesh.ds.attrs["resolution"]), mesh.shape[0]), str(run))
    status = yaml.safe_load((run / "status.yaml").read_text())
    keep = (states.phase == "equilibrium") | states.year.isin(TRANSIENT_YEARS)
    states = states.isel(time=keep.values).drop_encoding()
    states.attrs |= {
        "member": int(run.name.split("_")[-1]),
        "cpu_seconds": status["cpu_seconds"],
        "blow_ups": len(status["blow_ups"]),
    }
    encoding = {
        n: {"zlib": True, "complevel": 9, "shuffle": True, "significant_digits": d} for n, d in DIGITS.items()
    }
    series = series[[n for n in series.data_vars if series[n].dims]].drop_encoding()
    with replacing(output, overwrite=False) as temporary:
        states.to_netcdf(temporary, engine="netcdf4", encoding=encoding)
        mesh.ds.drop_encoding().to_netcdf(
            temporary, mode="a", group="grid", engine="netcdf4", encoding=small(mesh.ds)
        )
        series.to_netcdf(temporary, mode="a", group="series", engine="netcdf4", encoding=small(series))


def small(ds: xr.Dataset) -> dict[str, dict[str, object]]:
    """Compress every array."""
    return {
        str(n): {"zlib": True, "complevel": 9, "shuffle": True}
        for n, v in ds.variables.items()
        if v.ndim and v.dtype.kind in "fi"
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
