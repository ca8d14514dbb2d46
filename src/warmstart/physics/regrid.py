"""States move between grids: conservative in the vertical, bilinear or conservative in the horizontal."""

from __future__ import annotations

import logging
from typing import Literal

import numpy as np
import xarray as xr
from scipy.sparse import csr_matrix, kron

from warmstart.errors import UserError
from warmstart.ocean.constants import EARTH_RADIUS
from warmstart.ocean.grid import Grid
from warmstart.ocean.places import bare, locate
from warmstart.ocean.sea import require_whole
from warmstart.ocean.variables import VARIABLES
from warmstart.physics.convection import adjust_columns
from warmstart.physics.interpolation import (
    fill,
    integrate_columns,
    limited_slopes,
    linear_weights,
    overlap_lengths,
)
from warmstart.physics.streamfunction import (
    barotropic_streamfunction,
    coasts,
    face_differences,
    with_streamfunction,
)

log = logging.getLogger(__name__)

Method = Literal["bilinear", "conservative"]
#: Weight of wet cells below which a value counts as unknown.
SLIGHT = 1e-6
#: Pairs of columns at once: bounds the memory.
CHUNK = 50_000
#: Share of the target's sea without sea of the source in its place above which the log says so.
NOTICEABLE = 0.01


def regrid(
    state: xr.Dataset, source: Grid, target: Grid, method: Method = "bilinear", stable: bool = True
) -> xr.Dataset:
    """Move states to another grid.

    Temperature and salinity are averaged over the target's levels from a limited linear profile of each column, which
    conserves its content. In the horizontal they are interpolated bilinearly from wet cells only, or averaged over
    the areas that cells share (``"conservative"``, which conserves the content of the common volume). Sea without
    a value is filled along its level from its neighbours, then from above; where that is a noticeable share, the log
    warns of it. A re-entrant source goes on beyond its first and last column. Columns are then mixed, conservatively,
    until they are stable. Of the velocities, the shear is interpolated at their own points and the transport follows from
    the interpolated streamfunction, so that the flow has no divergence, none goes through walls, and the transport through
    a re-entrant channel stays. The sea level has a mean of zero.

    Parameters
    ----------
    state : ``thetao`` [degC], ``so`` [1e-3] and any of ``uo vo`` [m s-1] and ``zos`` [m]; dims ``([sample|time], z, y, x)``.
    source : its mesh; longitude along x and latitude along y only.
    target : the mesh to move to, likewise.
    method : of the horizontal.
    stable : whether to mix unstable columns.

    Returns
    -------
    The same variables on `target`, in double precision, NaN on land. Variables along ``y`` alone (forcing) are interpolated in latitude,
    those without a spatial dimension are kept. Coordinates of :func:`warmstart.open_state` are those of `target`.

    Raises
    ------
    UserError
        If a mesh is not rectilinear, the grids do not overlap, or a variable is not finite in the sea.

    Examples
    --------
    >>> (state, source), (_, target) = ws.basin(nx=6, ny=8, nz=4), ws.basin(nx=11, ny=15, nz=6)
    >>> regrid(state, source, target).thetao.sizes["x"]
    11
    """
    if method not in ("bilinear", "conservative"):
        raise UserError(f"method '{method}': expected 'bilinear' or 'conservative'")
    if source.shape == target.shape and source.fingerprint == target.fingerprint:
        return state
    plain = bare(state)
    if plain is not state:
        return locate(regrid(plain, source, target, method, stable), target)
    _refuse_unusable(state, source)
    for grid, name in ((source, "source"), (target, "target")):
        _refuse_curvilinear(grid, name)
    lead = [d for d in state["thetao"].dims if d not in ("z", "y", "x")]
    if not lead:
        return _one(state, source, target, method, stable, warn=True)
    dim = lead[0]
    count = state.sizes[dim]
    moved = [_one(state.isel({dim: i}), source, target, method, stable, warn=i == 0) for i in range(count)]
    along = [n for n in moved[0].variables if n in VARIABLES or dim in state[n].dims]
    together = xr.concat([m[[n for n in along if n in m]] for m in moved], dim)
    return together.assign({n: v for n, v in moved[0].data_vars.items() if n not in along})


def _one(
    state: xr.Dataset, source: Grid, target: Grid, method: Method, stable: bool, warn: bool
) -> xr.Dataset:
    """One state."""
    thetao, so = (
        _tracer(state[n].transpose("z", "y", "x").values, source, target, method, warn and n == "thetao")
        for n in ("thetao", "so")
    )
    wet = target.tmask.values > 0
    if stable:
        thetao, so = adjust_columns(thetao, so, target.e3t_0.values, target.gdepw_0.values, wet)
    values = {"thetao": thetao, "so": so}
    if "uo" in state and "vo" in state:
        uo, vo = (state[n].transpose("z", "y", "x").values for n in ("uo", "vo"))
        values["uo"], values["vo"] = velocities(uo, vo, source, target)
    if "zos" in state:
        values["zos"] = _sea_level(state["zos"].transpose("y", "x").values, source, target)
    out: dict[str, xr.Variable] = {}
    for name, array in values.items():
        mask = target.mask(VARIABLES[name].point, VARIABLES[name].three_d).values
        attrs = VARIABLES[name].attrs | dict(state[name].attrs)
        sea = np.where(mask, array, np.nan)
        out[name] = xr.Variable(VARIABLES[name].dims, sea, attrs)
    others = {n: v for n, v in state.variables.items() if n not in VARIABLES and not {"z", "x"} & set(v.dims)}
    for other, var in others.items():
        out[str(other)] = _along_latitude(var, source, target) if "y" in var.dims else var
    ds = xr.Dataset(out, attrs=state.attrs)
    return ds.set_coords([n for n in state.coords if n in ds and n not in ("y",)])


def _along_latitude(var: xr.Variable, source: Grid, target: Grid) -> xr.Variable:
    """A profile of latitude."""
    weights = linear_weights(_axes(source)["y"], _axes(target)["y"])
    lead = [d for d in var.dims if d != "y"]
    values = weights @ var.transpose("y", *lead).values.reshape(source.shape[1], -1)
    values = values.reshape(target.shape[1], *(var.sizes[d] for d in lead))
    return xr.Variable(("y", *lead), values, var.attrs).transpose(*var.dims)


def _refuse_unusable(state: xr.Dataset, source: Grid) -> None:
    """Refuse states that are not on the source, or have holes."""
    for name in ("thetao", "so"):
        if name not in state:
            raise UserError(f"the state holds no {name}; expected at least thetao and so")
    for name in (n for n in VARIABLES if n in state):
        table = VARIABLES[name]
        if tuple(state.sizes[d] for d in table.dims) != source.shape[3 - len(table.dims) :]:
            sizes = dict(state[name].sizes)
            raise UserError(f"{name} has sizes {sizes}, its mesh {source.shape}; expected the same")
    require_whole(state, source, advice="; nothing was moved")


def _refuse_curvilinear(grid: Grid, which: str) -> None:
    """Refuse a mesh that is turned or bent."""
    lon, lat = grid.glamt.values, grid.gphit.values
    near = 1e-3 * np.abs(np.diff(lon[0])).max(initial=1e-9)
    increasing = (np.diff(lon[0]) > 0).all() and (np.diff(lat[:, 0]) > 0).all()
    if not increasing or np.ptp(lon, axis=0).max() > near or np.ptp(lat, axis=1).max() > near:
        advice = "states move between meshes with longitude along x and latitude along y only"
        raise UserError(f"the {which} mesh is curvilinear; {advice}")


def _axes(grid: Grid) -> dict[str, np.ndarray]:
    """Positions along the axes [degrees]: T points, eastern and northern edges, all edges."""
    x, y = grid.glamt.values[0], grid.gphit.values[:, 0]
    half = 0.5 * np.diff(x)
    edges_x = np.concatenate([[x[0] - half[0]], x[:-1] + half, [x[-1] + half[-1]]])
    north = grid.gphiv.values[:, 0]
    if not (np.diff(north) > 0).all() or (north <= y).any():
        north = np.append(0.5 * (y[1:] + y[:-1]), 1.5 * y[-1] - 0.5 * y[-2])
    edges_y = np.concatenate([[2 * y[0] - north[0]], north])
    return {"x": x, "y": y, "edges_x": edges_x, "edges_y": edges_y}


def _width(axes: dict[str, np.ndarray]) -> float:
    """Length of the mesh along x, after which a re-entrant one repeats [degrees]."""
    return float(axes["edges_x"][-1] - axes["edges_x"][0])


def _nearby_axes(source: Grid, target: Grid) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Axes of two meshes, longitudes of the source counted such that its middle is nearest to the target's."""
    s, t = _axes(source), _axes(target)
    apart = (t["edges_x"][[0, -1]] - s["edges_x"][[0, -1]]).mean()
    turns = 360.0 * np.round(apart / 360.0)
    return s | {"x": s["x"] + turns, "edges_x": s["edges_x"] + turns}, t


def _bilinear(source: Grid, target: Grid, east: bool = False, north: bool = False) -> csr_matrix:
    """Weights between T points, or between the points east or north of them."""
    s, t = _nearby_axes(source, target)
    period = _width(s) if source.periodic_x else None
    from_x, to_x = (a["edges_x"][1:] if east else a["x"] for a in (s, t))
    from_y, to_y = (a["edges_y"][1:] if north else a["y"] for a in (s, t))
    x, y = linear_weights(from_x, to_x, period), linear_weights(from_y, to_y)
    return kron(y, x, format="csr")


def _shared_areas(source: Grid, target: Grid) -> csr_matrix:
    """Areas that the cells of two meshes share on the sphere [m2], sparse ``(target, source)``.

    A re-entrant source repeats after its own width, 360 degrees or that of its sector; any other lies once on the sphere.
    """
    s, t = _nearby_axes(source, target)
    period = _width(s) if source.periodic_x else 360.0
    x = overlap_lengths(np.deg2rad(s["edges_x"]), np.deg2rad(t["edges_x"]), float(np.deg2rad(period)))
    y = overlap_lengths(*(np.sin(np.deg2rad(a["edges_y"])) for a in (s, t)))
    return kron(y, x, format="csr") * EARTH_RADIUS**2


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(values.shape[0], -1)


def _tracer(values: np.ndarray, source: Grid, target: Grid, method: Method, warn: bool = False) -> np.ndarray:
    """A field at T points on the target's sea; NaN on land. On demand the log says how much had to be filled."""
    wet = target.tmask.values > 0
    weights = _shared_areas(source, target) if method == "conservative" else _bilinear(source, target)
    moved, _ = _moved(values, weights, source, target)
    filled = fill(moved, wet, target.periodic_x)
    if np.isnan(filled[wet]).any():
        raise UserError("the grids do not overlap: no sea of the target has a value")
    volume = target.volume.values
    share = float(volume[np.isnan(moved)].sum() / volume.sum())
    if warn and share > NOTICEABLE:
        text = "%.1f %% of the target's sea has no sea of the source in its place: filled from its neighbours"
        log.warning(text, 100 * share)
    return filled


def _columns(grid: Grid, point: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Upper faces, thickness and masks of the columns, dims ``(z, column)``."""
    wet, h = grid.ds[f"{point}mask"].values > 0, grid.ds[f"e3{point}_0"].values
    # the faces that add up to the thickness, which in NEMO's files those of the 1-D levels do not
    top = np.concatenate([np.zeros_like(h[:1]), np.cumsum(h, axis=0)[:-1]])
    return _flat(top), _flat(h), _flat(wet)


def _moved(
    values: np.ndarray, weights: csr_matrix, source: Grid, target: Grid, point: str = "t"
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean over the water that the target's cells find in the source's columns, and its weight times thickness.

    Dims ``(z, y, x)``; NaN where a cell finds no water.
    """
    pairs = weights.tocoo()
    (top, h, wet), (to_top, to_h, to_wet) = _columns(source, point), _columns(target, point)
    faces, floor = np.stack([to_top, to_top + to_h]), (to_h * to_wet).sum(axis=0)
    flat = _flat(np.nan_to_num(values.astype("float64")))
    slopes = limited_slopes(flat, h, wet)
    content, weight = np.zeros(to_top.shape), np.zeros(to_top.shape)
    for part in np.array_split(np.arange(pairs.nnz), max(1, pairs.nnz // CHUNK)):
        if not part.size:
            continue
        i, j, share = pairs.row[part], pairs.col[part], pairs.data[part]
        integral, covered = integrate_columns(
            flat[:, j], top[:, j], h[:, j], wet[:, j], faces[:, :, i], floor[i], slopes[:, j]
        )
        gather = csr_matrix((share, (np.arange(i.size), i)), shape=(i.size, to_top.shape[1]))
        content += (integral * to_wet[:, i]) @ gather
        weight += (covered * to_wet[:, i]) @ gather
    known = weight > SLIGHT * weights.max() * to_h
    mean = np.where(known, content / np.where(known, weight, 1.0), np.nan)
    return mean.reshape(target.shape), weight.reshape(target.shape)


def _sea_level(zos: np.ndarray, source: Grid, target: Grid) -> np.ndarray:
    """Sea level on the target, of mean zero."""
    known = source.mask("T", three_d=False).values.ravel()
    weights = _bilinear(source, target)
    total = weights @ np.where(known, np.nan_to_num(zos.astype("float64")).ravel(), 0.0)
    weight = weights @ known
    moved = np.where(weight > SLIGHT, total / np.where(weight > SLIGHT, weight, 1.0), np.nan)
    wet = target.mask("T", three_d=False).values[None]
    level = fill(moved.reshape(1, *target.shape[1:]), wet, target.periodic_x)[0]
    area = target.area.values
    return level - (np.where(area > 0, level, 0.0) * area).sum() / area.sum()


def velocities(uo: np.ndarray, vo: np.ndarray, source: Grid, target: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Move velocities: the shear at its own points, the transport by its streamfunction.

    Parameters
    ----------
    uo, vo : at U and V points of the source [m s-1], dims ``(z, y, x)``; land is ignored.
    source, target : rectilinear meshes.

    Returns
    -------
    Velocities at U and V points of the target, 0 on land; their depth-integrated flow has no divergence.

    Examples
    --------
    >>> (state, source), (_, target) = ws.basin(nx=6, ny=8, nz=4), ws.basin(nx=11, ny=15, nz=6)
    >>> velocities(state.uo.values, state.vo.values, source, target)[0].shape
    (6, 15, 11)
    """
    flow = [
        np.where(source.ds[f"{p}mask"].values > 0, np.nan_to_num(v.astype("float64")), 0.0)
        for v, p in ((uo, "u"), (vo, "v"))
    ]
    moved = []
    for velocity, p in zip(flow, "uv", strict=True):
        _, h, wet = _columns(source, p)
        depth = np.maximum((h * wet).sum(axis=0), 1e-9)
        shear = (_flat(velocity) - (_flat(velocity) * h * wet).sum(axis=0) / depth).reshape(source.shape)
        weights = _bilinear(source, target, east=p == "u", north=p == "v")
        moved.append(np.nan_to_num(_moved(shear, weights, source, target, p)[0]))
    u, v = moved
    return with_streamfunction(u, v, _streamfunction(flow, source, target), target)


def _streamfunction(flow: list[np.ndarray], source: Grid, target: Grid) -> np.ndarray:
    """Streamfunction of the source's transport at the F points of the target, constant along each coast [m3 s-1]."""
    psi = barotropic_streamfunction(flow[0], flow[1], source)
    s, t = _nearby_axes(source, target)
    period = _width(s) if source.periodic_x else None
    x = linear_weights(s["edges_x"][1:], t["edges_x"][1:], period)
    y = linear_weights(s["edges_y"], t["edges_y"])
    moved = (y @ psi @ x.T).ravel()
    depths = [(target.ds[f"e3{p}_0"] * (target.ds[f"{p}mask"] > 0)).sum("z").values.ravel() for p in "uv"]
    _, members = coasts(face_differences(target), np.concatenate(depths) > 0, target.shape[2])
    for coast in np.flatnonzero(np.bincount(members) > 1):
        # most of a coast's points lie on land of the source too, where the value is the wall's own
        moved[members == coast] = np.median(moved[members == coast])
    return moved.reshape(target.shape[1] + 1, target.shape[2])
