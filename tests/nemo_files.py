"""Files as NEMO writes them, for tests in a fresh clone, and the rules that its restarts obey."""

from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

from warmstart.engines.nemo.template import PROGNOSTIC, open_template
from warmstart.ocean import eos
from warmstart.ocean.basin import finish
from warmstart.ocean.grid import HORIZONTAL, MASKS, THREE_D, VERTICAL
from warmstart.ocean.variables import VARIABLES

DATA = Path(__file__).parents[2] / "shared" / "data" / "nemo_dino"
NOW = ("tn", "sn", "un", "vn", "sshn")
BEFORE = {"tb": "tn", "sb": "sn", "ub": "un", "vb": "vn", "sshb": "sshn"}
SCALARS = {"kt": 5760.0, "ndastp": 11230.0, "adatrj": 360.0, "ntime": 0.0, "rdt": 5400.0}
FORCING = ("utau_b", "vtau_b", "qns_b", "emp_b", "sfx_b", "sbc_hc_b", "sbc_sc_b", "fraqsr_1lev")
TURBULENCE = ("en", "avt_k", "avm_k", "dissl")
#: Variables besides coordinates and scalars, as each version writes them without XIOS.
CONTENT = {
    "5.0 RK3": (*TURBULENCE, "fraqsr_1lev", *NOW, "uu_n", "vv_n", "ssha"),
    "5.0 MLF": (*FORCING, *TURBULENCE, "qsr_hc_b", *BEFORE, *NOW),
    "4.2 MLF": (*FORCING, *TURBULENCE, "qsr_hc_b", *BEFORE, *NOW, "rhop"),
}
SURFACE = (
    *FORCING,
    "sshb",
    "sshn",
    "ssha",
    "uu_n",
    "vv_n",
    "ssu_m",
    "ssv_m",
    "sst_m",
    "sss_m",
    "ssh_m",
    "e3t_m",
    "ub2_b",
    "vb2_b",
    "un_bf",
    "vn_bf",
    "sshb_e",
    "sshbb_e",
    "ub_e",
    "ubb_e",
    "vb_e",
    "vbb_e",
)


def state_of(path, grid):
    """The five fields of a restart as a state, straight from the file."""
    template = open_template(path, grid)
    fields = {name: (VARIABLES[name].dims, template.read(nemo)) for name, nemo in PROGNOSTIC.items()}
    template.source.close()
    return finish(xr.Dataset(fields), grid)


def read(path):
    """Every variable as it lies in the file."""
    with netCDF4.Dataset(path) as ds:
        ds.set_auto_maskandscale(False)
        return {name: np.asarray(var[...]) for name, var in ds.variables.items()}


def structure(path):
    """Everything of a file but its values: format, dimensions, attributes, types, order, storage."""
    with netCDF4.Dataset(path) as ds:
        four = ds.data_model.startswith("NETCDF4")
        return {
            "format": ds.data_model,
            "dims": [(name, len(dim), dim.isunlimited()) for name, dim in ds.dimensions.items()],
            "attrs": [(name, np.asarray(ds.getncattr(name)).tolist()) for name in ds.ncattrs()],
            "variables": [
                (name, str(var.dtype), var.dimensions, {a: str(var.getncattr(a)) for a in var.ncattrs()},
                 (var.filters(), var.chunking()) if four else None)
                for name, var in ds.variables.items()
            ],
        }  # fmt: skip


def differing(a, b):
    """Names of variables whose bits differ."""
    first, second = read(a), read(b)
    assert list(first) == list(second)
    return {name for name in first if first[name].tobytes() != second[name].tobytes()}


def write_template(
    path,
    grid,
    kind,
    seed=0,
    rows=None,
    extra=(),
    unlimited=True,
    form="NETCDF3_64BIT_OFFSET",
    single=(),
    scalars=None,
):
    """A restart with the structure that a version writes and noise for content; `rows` writes one piece of it."""
    rng = np.random.default_rng(seed)
    nz, ny, nx = grid.shape
    rows = rows or slice(0, ny)
    wet, now = {p: grid.ds[f"{p}mask"].values > 0 for p in "tuv"}, {}
    lon, lat = ("x", "y") if kind.startswith("4.2") else ("nav_lon", "nav_lat")
    with netCDF4.Dataset(path, "w", format=form) as ds:
        for name, size in (("x", nx), ("y", rows.stop - rows.start), ("nav_lev", nz)):
            ds.createDimension(name, size)
        ds.createDimension("time_counter", None if unlimited else 1)
        ds.setncatts(_domain(grid, rows))
        for name, source in ((lon, "glamt"), (lat, "gphit")):
            ds.createVariable(name, "f4", ("y", "x"))[:] = grid.ds[source].values[rows]
        ds.createVariable("nav_lev", "f4", ("nav_lev",))[:] = grid.gdept_1d.values
        ds.createVariable("time_counter", "f4", ("time_counter",))[0:1] = SCALARS["kt"]
        for name, value in {**SCALARS, **(scalars or {})}.items():
            ds.createVariable(name, "f8", ())[...] = value
        for name in (*CONTENT[kind], *extra):
            noise = rng.normal(size=grid.shape)
            values = {"t": 10 + noise, "s": 35 + 0.1 * noise}.get(name[0], 0.05 * noise)
            values = np.where(wet["u" if name[0] == "u" else "v" if name[0] == "v" else "t"], values, 0.0)
            if name.startswith("ssh"):
                area = grid.area.values
                level = 0.05 * (noise - (noise[0] * area).sum() / area.sum())
                values = np.where(wet["t"], level, 0.0)
            if name == "rhop":
                rho = eos.RHO0 + eos.density_anomaly(now["tn"], now["sn"], 0.0)
                values = np.where(wet["t"], rho, 0.0)
            if name in NOW:
                now[name] = values
            flat = name in SURFACE
            dims = ("time_counter", "y", "x") if flat else ("time_counter", "nav_lev", "y", "x")
            var = ds.createVariable(name, "f4" if name in single else "f8", dims)
            var[0] = values[0, rows] if flat else values[:, rows]
    return path


def _domain(grid, rows):
    _, ny, nx = grid.shape
    pieces = (
        [(0, ny)]
        if rows.stop - rows.start == ny
        else [(0, rows.start or rows.stop), (rows.start or rows.stop, ny)]
    )
    ints = lambda *v: np.array(v, "i4")  # noqa: E731
    return {
        "DOMAIN_number_total": np.int32(len(pieces)), "DOMAIN_number": np.int32(rows.start > 0),
        "DOMAIN_dimensions_ids": ints(1, 2), "DOMAIN_size_global": ints(nx, ny),
        "DOMAIN_size_local": ints(nx, rows.stop - rows.start), "DOMAIN_position_first": ints(1, rows.start + 1),
        "DOMAIN_position_last": ints(nx, rows.stop), "DOMAIN_halo_size_start": ints(0, 0),
        "DOMAIN_halo_size_end": ints(0, 0), "DOMAIN_type": "BOX",
    }  # fmt: skip


def write_mesh(path, grid):
    """``mesh_mask.nc`` of a mesh."""
    nz, ny, nx = grid.shape
    with netCDF4.Dataset(path, "w", format="NETCDF4_CLASSIC") as ds:
        for name, size in (("x", nx), ("y", ny), ("nav_lev", nz), ("time_counter", None)):
            ds.createDimension(name, size)
        ds.setncatts({"CfgName": "DINO", "CfgIndex": np.int32(4), "Iperio": np.int32(grid.periodic_x)})
        for names, dims in (
            (HORIZONTAL, ("y", "x")),
            ((*THREE_D, *MASKS), ("nav_lev", "y", "x")),
            (VERTICAL, ("nav_lev",)),
        ):
            for name in names:
                if name != "bathymetry":
                    ds.createVariable(name, "i1" if name in MASKS else "f8", ("time_counter", *dims))[0] = (
                        grid.ds[name].values
                    )
    return path


#: Depth means that a restart may hold of a velocity, and its point.
BAROTROPIC = (("uu_n", "un", "u"), ("vv_n", "vn", "v"), ("ub_e", "un", "u"), ("ubb_e", "un", "u"),
              ("vb_e", "vn", "v"), ("vbb_e", "vn", "v"))  # fmt: skip


def broken_rules(path, grid, stable=False):
    """Names of the rules that a restart breaks: what NEMO refuses, takes silently and wrongly, or keeps for ever."""
    with netCDF4.Dataset(path) as ds:
        ds.set_auto_maskandscale(False)
        dims = {name: ds.variables[name].dimensions for name in NOW if name in ds.variables}
        fixed = [
            name
            for name, d in dims.items()
            if d[0] != "time_counter" or not ds.dimensions[d[0]].isunlimited()
        ]
        doubles = all(ds.variables[name].dtype == np.float64 for name in dims)
    fields = read(path)
    mask = {p: grid.ds[f"{p}mask"].values > 0 for p in "tuv"}
    point = {"tn": "t", "sn": "t", "un": "u", "vn": "v", "tb": "t", "sb": "t", "ub": "u", "vb": "v"}
    land = [n for n, p in point.items() if n in fields and np.any(fields[n][0][~mask[p]] != 0)]
    land += [n for n in ("sshn", "sshb", "ssha") if n in fields and np.any(fields[n][0][~mask["t"][0]] != 0)]
    sea, area = fields["sn"][0][mask["t"]], grid.area.values
    depth = {p: (grid.ds[f"e3{p}_0"].values * mask[p]) for p in "uv"}

    def mean(name, p):
        return (fields[name][0] * depth[p]).sum(0) / np.maximum(depth[p].sum(0), 1e-9)

    step = float(fields.get("rdt", 5400.0))
    top, face = grid.gdepw_0.values, mask["t"][:-1] & mask["t"][1:]
    above, below = (
        eos.density_anomaly(fields["tn"][0][part], fields["sn"][0][part], top[1:])
        for part in (slice(None, -1), slice(1, None))
    )
    courant = [np.abs(fields[n][0]) * step / grid.ds[e].values for n, e in (("un", "e1u"), ("vn", "e2v"))]

    rules = {
        "the five fields are there": list(dims) == [n for n in NOW if n in fields] and len(dims) == 5,
        "fields are in double precision": doubles,
        "fields have an UNLIMITED time first": not fixed,
        "sizes are the mesh's": all(fields[n].shape == (1, *grid.shape) for n in NOW if n != "sshn"),
        "land is zero, velocities with their own masks": not land,
        "there is no NaN anywhere": all(np.isfinite(v).all() for v in fields.values()),
        "stp_ctl passes": bool(
            (np.abs(fields["sshn"]) <= 20).all() and (np.abs(fields["un"]) <= 10).all()
            and (np.abs(fields["vn"]) <= 10).all() and (sea > 0).all() and (sea < 100).all()
        ),
        "temperature and salinity are those of an ocean": bool(
            ((fields["tn"][0] > -3) & (fields["tn"][0] < 40) & (fields["sn"][0] < 45))[mask["t"]].all() and (sea > 20).all()
        ),
        "no time step carries water through a cell": max(c.max() for c in courant) < 0.5,
        "columns are stable": not stable or not (face & (above > below)).any(),
        "the mean sea level is zero": abs(float((fields["sshn"][0] * area).sum() / area.sum())) < 1e-12,
        "before-fields equal now-fields": all(np.array_equal(fields[b], fields[n]) for b, n in BEFORE.items() if b in fields),
        "barotropic velocities are those of the fields": all(
            np.allclose(fields[b][0], mean(n, p), rtol=0, atol=1e-15)
            for b, n, p in BAROTROPIC if b in fields
        ),
        "barotropic transports are those of the fields": all(
            np.allclose(fields[b][0], mean(n, p) * depth[p].sum(0), rtol=1e-12, atol=1e-12)
            for b, n, p in (("ub2_b", "un", "u"), ("vb2_b", "vn", "v")) if b in fields
        ),
        "no time filter of a former step is left": not any(np.any(fields[n]) for n in ("un_bf", "vn_bf") if n in fields),
        "barotropic levels of the sea are that of the fields": all(
            np.array_equal(fields[n], fields["sshn"]) for n in ("sshb_e", "sshbb_e") if n in fields
        ),
        "ssha is the sea level": "ssha" not in fields or np.array_equal(fields["ssha"], fields["sshn"]),
        "rhop is that of the fields": "rhop" not in fields or np.allclose(
            fields["rhop"][0], np.where(mask["t"], eos.RHO0 + eos.density_anomaly(fields["tn"][0], fields["sn"][0], 0.0), 0.0),
            rtol=0, atol=1e-11,
        ),
    }  # fmt: skip
    return [rule for rule, kept in rules.items() if not kept]
