"""An analytic ocean basin for documentation and tests: a real mesh, a stratified state, no simulation."""

from __future__ import annotations

import numpy as np
import xarray as xr

from warmstart.ocean import eos
from warmstart.ocean.constants import EARTH_RADIUS
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import VARIABLES

OMEGA = 7.292115e-5  #: rotation of the Earth [s-1]


def mesh(
    lon: np.ndarray,
    lat: np.ndarray,
    depth_w: np.ndarray,
    bottom: np.ndarray,
    periodic_x: bool,
    **attrs: object,
) -> Grid:
    """Build a C-grid mesh on a spherical sector from its coordinates and its bathymetry.

    Parameters
    ----------
    lon : longitudes of the T points, evenly spaced, shape ``(x,)`` [degrees_east].
    lat : latitudes of the T points, shape ``(y,)`` [degrees_north].
    depth_w : depths of the cell faces, surface first, shape ``(z + 1,)`` [m].
    bottom : number of wet levels of each column, shape ``(y, x)``.
    periodic_x : whether the last column is the western neighbour of the first.
    attrs : attributes of the mesh (``configuration``, ``resolution``, ``engine``).

    Returns
    -------
    The mesh; T points lie midway between faces in the vertical.

    Examples
    --------
    >>> mesh(np.array([0., 4.]), np.array([0., 4.]), np.array([0., 10.]), np.ones((2, 2)), False).shape
    (1, 2, 2)
    """
    ny, nx = bottom.shape
    dlon = lon[1] - lon[0]
    faces = np.concatenate(
        [[1.5 * lat[0] - 0.5 * lat[1]], 0.5 * (lat[1:] + lat[:-1]), [1.5 * lat[-1] - 0.5 * lat[-2]]]
    )
    north = faces[1:]
    dy = np.deg2rad(np.diff(faces)) * EARTH_RADIUS
    dy_v = np.deg2rad(np.diff(np.append(lat, 2 * lat[-1] - lat[-2]))) * EARTH_RADIUS
    dx, dx_v = (np.deg2rad(dlon) * EARTH_RADIUS * np.cos(np.deg2rad(p)) for p in (lat, north))
    row = {"gphit": lat, "gphiu": lat, "gphiv": north, "gphif": north, "e1t": dx, "e1u": dx, "e1v": dx_v, "e1f": dx_v,
           "e2t": dy, "e2u": dy, "e2v": dy_v, "e2f": dy_v,
           "ff_t": 2 * OMEGA * np.sin(np.deg2rad(lat)), "ff_f": 2 * OMEGA * np.sin(np.deg2rad(north))}  # fmt: skip
    ds = xr.Dataset(
        {n: (("y", "x"), np.repeat(v[:, None], nx, axis=1)) for n, v in row.items()}, attrs=dict(attrs)
    )
    for point, shift in (("t", 0.0), ("u", 0.5), ("v", 0.0), ("f", 0.5)):
        ds[f"glam{point}"] = (("y", "x"), np.repeat((lon + shift * dlon)[None, :], ny, axis=0))
    dz, centre = np.diff(depth_w), 0.5 * (depth_w[1:] + depth_w[:-1])
    dz_w = np.diff(centre, prepend=-centre[0])
    ds = ds.assign(gdept_1d=("z", centre), gdepw_1d=("z", depth_w[:-1]), e3t_1d=("z", dz))
    shape = (dz.size, ny, nx)
    thick = dict.fromkeys(("e3t_0", "e3u_0", "e3v_0"), dz)
    for name, level in {**thick, "e3w_0": dz_w, "gdept_0": centre, "gdepw_0": depth_w[:-1]}.items():
        ds[name] = (("z", "y", "x"), np.broadcast_to(level[:, None, None], shape).copy())
    ds["bathymetry"] = (("y", "x"), np.asarray(depth_w)[bottom.astype(int)])
    tmask = (np.arange(dz.size)[:, None, None] < bottom[None]).astype("int8")
    ds = ds.assign({n: (("z", "y", "x"), m) for n, m in face_masks(tmask, periodic_x).items()})
    ds.attrs["periodic_x"] = int(periodic_x)
    return Grid(ds)


def face_masks(tmask: np.ndarray, periodic_x: bool) -> dict[str, np.ndarray]:
    """Masks of all points from that of T, dims ``(z, y, x)``, 0 or 1: a face is open where both its sides are wet.

    Examples
    --------
    >>> face_masks(np.ones((1, 2, 2), int), periodic_x=False)["umask"].tolist()
    [[[1, 0], [1, 0]]]
    """
    east = np.roll(tmask, -1, axis=-1)
    if not periodic_x:
        east[..., -1] = 0
    umask = tmask * east
    north_t, north_u = (np.concatenate([m[:, 1:], np.zeros_like(m[:, :1])], axis=1) for m in (tmask, umask))
    return {"tmask": tmask, "umask": umask, "vmask": tmask * north_t, "fmask": umask * north_u}


def basin(
    nx: int = 10, ny: int = 16, nz: int = 6, channel: bool = True, depth: float = 4000.0
) -> tuple[xr.Dataset, Grid]:
    """Make a stratified state in a sector with a re-entrant southern channel.

    Parameters
    ----------
    nx, ny, nz : columns, rows and levels; the outermost rows, and column 0 outside the channel, are land.
    channel : whether rows between 65S and 45S are open to the east and west.
    depth : depth of the flat bottom [m]; one step shallower along the northern wall.

    Returns
    -------
    state : ``thetao so uo vo zos``, dims ``(z, y, x)``, NaN on land: warm and salt above cold and fresh,
        an eastward jet in the channel, one gyre north of it, no flow through walls.
    grid : its mesh.

    Examples
    --------
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> state.thetao.dims
    ('z', 'y', 'x')
    """
    lon, lat = np.linspace(0.0, 50.0, nx), np.linspace(-70.0, 70.0, ny)
    depth_w = depth * (np.linspace(0, 1, nz + 1) ** 1.7)
    bottom = np.full((ny, nx), nz)
    bottom[-2] = max(nz - 1, 1)
    bottom[[0, -1]] = 0
    inside = (lat > -65) & (lat < -45)
    bottom[~inside if channel else slice(None), 0] = 0
    about = {"configuration": "analytic basin", "resolution": 50.0 / (nx - 1), "engine": "none"}
    grid = mesh(lon, lat, depth_w, bottom, channel, **about)
    z, y = grid.gdept_0, np.cos(np.deg2rad(grid.gphit))
    state = xr.Dataset(
        {"thetao": 2.0 + 24.0 * y * np.exp(-z / 800.0), "so": 35.0 + 1.2 * y * np.exp(-z / 700.0)}
    )
    state["uo"] = 0.1 * np.exp(-z / 1500.0) * np.sin(np.deg2rad(grid.gphiu) * 9) ** 2
    state["vo"] = (
        0.02 * np.exp(-z / 1500.0) * np.sin(2 * np.pi * (grid.glamv / 50.0)) * np.cos(np.deg2rad(grid.gphiv))
    )
    steric = -(eos.density_anomaly(state.thetao, state.so, z) * grid.e3t_0 * grid.tmask).sum("z") / eos.RHO0
    state["zos"] = steric - (steric * grid.area).sum() / grid.area.sum()
    return finish(state, grid), grid


def finish(state: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Mask a state at its own C-grid points and give it its CF attributes.

    Parameters
    ----------
    state : ``(..., z, y, x)`` with variables of the variables table.
    grid : its mesh.

    Examples
    --------
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> bool(finish(state.fillna(0.0), grid).thetao.isnull().any())
    True
    """
    new = {}
    for name in (n for n in VARIABLES if n in state):
        table = VARIABLES[name]
        da = state[name].where(grid.mask(table.point, table.three_d))
        lead = [d for d in da.dims if d not in table.dims]
        new[name] = da.transpose(*lead, *table.dims).assign_attrs(table.attrs)
    return state.assign(new)
