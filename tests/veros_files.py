"""Files as any set-up of Veros writes them: levels from the sea floor up, axes of their own for each point."""

import json

import netCDF4
import numpy as np

NX, NY, RADIUS = 6, 5, 6370e3
DZ = np.array([900.0, 500.0, 150.0, 50.0])  # from the sea floor up
RNG = np.random.default_rng(4)


def write_snapshot(path, records=2, units="degrees_east", equation=3, metrics=True, drop=()):
    """A file as Veros writes it: levels from the sea floor up, axes of their own for each point, -1e18 on land."""
    xt, yt = 2.0 + 4.0 * np.arange(NX), -50.0 + 5.0 * np.arange(NY)
    axes = {"xt": xt, "xu": xt + 2.0, "yt": yt, "yu": yt + 2.5, "zw": np.cumsum(DZ) - DZ.sum()}
    axes["zt"] = axes["zw"] - np.array([0.5, 0.4, 0.4, 0.4]) * DZ  # in the middle of the lowest cell only
    floor = np.where(RNG.random((NY, NX)) < 0.3, 1, 0)  # the lowest level of the column
    dry = np.zeros((NY, NX), bool)
    dry[[0, -1]] = dry[2, 3] = True
    t = (np.arange(4)[:, None, None] >= floor) & ~dry
    masks = {"temp": t, "salt": t, "u": t & np.roll(t, -1, axis=2)}
    masks["v"] = t & np.concatenate([t[:, 1:], 0 * t[:, :1]], axis=1)
    dims = {
        "temp": ("zt", "yt", "xt"),
        "salt": ("zt", "yt", "xt"),
        "u": ("zt", "yt", "xu"),
        "v": ("zt", "yu", "xt"),
    }
    fields = {
        n: RNG.normal({"temp": 10.0, "salt": 35.0}.get(n, 0.0), 0.5, (records, 4, NY, NX)) for n in dims
    }
    with netCDF4.Dataset(path, "w") as ds:
        ds.setup_settings = json.dumps(
            {"identifier": "mine", "radius": RADIUS, "enable_cyclic_x": True, "eq_of_state_type": equation}
        )
        for n, v in axes.items():
            ds.createDimension(n, v.size)
            ds.createVariable(n, "f8", (n,))[:] = v
            ds[n].units = units if n[0] == "x" else "degrees_north" if n[0] == "y" else "m"
        ds.createDimension("Time", None)
        ds.createVariable("Time", "f8", ("Time",))[:] = 360.0 * (1 + np.arange(records))
        ds["Time"].units = "days"
        cell = (
            np.deg2rad(4.0)
            * RADIUS
            * np.cos(np.deg2rad(yt))[:, None]
            * np.deg2rad(5.0)
            * RADIUS
            * np.ones(NX)
        )
        if metrics:
            flat = {"dzt": (("zt",), DZ), "ht": (("yt", "xt"), (DZ[:, None, None] * t).sum(0))}
            flat |= {
                "hu": (("yt", "xu"), (DZ[:, None, None] * masks["u"]).sum(0)),
                "hv": (("yu", "xt"), (DZ[:, None, None] * masks["v"]).sum(0)),
            }
            for n, (d, v) in flat.items():
                ds.createVariable(n, "f8", d)[:] = v
        for n in set(fields) - set(drop):
            var = ds.createVariable(n, "f8", ("Time", *dims[n]), fill_value=-1e18)
            for r in range(records):
                var[r] = np.where(masks[n], fields[n][r], -1e18)
    return path, fields, masks, cell
