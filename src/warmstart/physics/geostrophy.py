"""Balance of the flow with the density: pressure, geostrophic velocity, thermal wind, steric height.

Pressure and its gradients are taken at constant depth whatever the levels do (partial bottom cells, terrain-following
coordinates). A face without water on both sides has no gradient; near walls the mean is over the faces that have one.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from warmstart.ocean import eos
from warmstart.ocean.grid import Grid
from warmstart.physics.cgrid import labelled, mean_over, over_map, take, total
from warmstart.physics.density import in_situ_density

#: Depth of the layer that the wind drives, where the flow is not geostrophic [m].
EKMAN = 100.0
#: Latitude on either side of the equator where f is too small for balance [degrees].
EQUATOR = 5.0


def pressure(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Hydrostatic pressure of what differs from water of the reference density at rest.

    Parameters
    ----------
    state : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``; ``zos(..., y, x)`` [m] where there is one.
    grid : their mesh.

    Returns
    -------
    ``(..., z, y, x)`` at T points [Pa], NaN on land: g RHO0 zos plus g times the integral of the density anomaly from the
    surface to the centre of the cell, the density linear between centres.

    Notes
    -----
    NEMO manual 4.2, section 5.4 (``dynhpg``).

    Examples
    --------
    >>> pressure(*ws.basin()).attrs["units"]
    'Pa'
    """
    value = _pressure(state, grid, in_situ_density(state, grid))
    return labelled(value, "pressure", "Pa", "hydrostatic pressure anomaly")


def _pressure(state: xr.Dataset, grid: Grid, density: xr.DataArray) -> xr.DataArray:
    """Pressure anomaly [Pa] of a density anomaly and the sea level, where there is one."""
    apart = grid.gdept_0 - grid.gdept_0.shift(z=1)
    layer = 0.5 * (density + density.shift(z=1)) * apart
    first = xr.DataArray(np.arange(grid.shape[0]) == 0, dims="z")
    layer = xr.where(first, density * grid.gdept_0, layer).where(grid.mask("T"), 0.0)
    value = eos.G * layer.cumsum("z", skipna=False)
    if "zos" in state:
        value = value + eos.G * eos.RHO0 * take(state, grid, "zos")
    return value.where(grid.mask("T")).transpose(*density.dims)


def geostrophic_flow(state: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Velocity in geostrophic balance with density and sea level; arguments as :func:`pressure`.

    Returns
    -------
    ``uo`` at U points and ``vo`` at V points, ``(..., z, y, x)`` [m s-1], NaN on land and within :data:`EQUATOR`:
    f u = -dp/dy / RHO0 and f v = dp/dx / RHO0, gradients at constant depth, averaged from the four faces around.

    Notes
    -----
    Gill (1982), section 7.6.

    Examples
    --------
    >>> geostrophic_flow(*ws.basin()).uo.dims
    ('z', 'y', 'x')
    """
    density, depth = in_situ_density(state, grid), grid.gdept_0
    p = _pressure(state, grid, density)
    slope = {
        point: _gradient(p, density, depth, axis, length).where(grid.mask(point), 0.0)
        for point, axis, length in (("U", "x", grid.e1u), ("V", "y", grid.e2v))
    }
    # the faces of the other direction around a face: for U those at V (j, j - 1; i, i + 1), for V the reverse
    f = {"U": 0.5 * (grid.ff_t + grid.ff_t.roll(x=-1)), "V": 0.5 * (grid.ff_t + grid.ff_t.roll(y=-1))}
    u = -_around(slope["V"], grid.mask("V"), "y", "x") / (eos.RHO0 * f["U"])
    v = _around(slope["U"], grid.mask("U"), "x", "y") / (eos.RHO0 * f["V"])
    out = {}
    for name, flow, point in (("uo", u, "U"), ("vo", v, "V")):
        valid = grid.mask(point) & _off_equator(grid, point)
        text = f"geostrophic {dict(U='zonal', V='meridional')[point]} velocity"
        out[name] = labelled(flow.where(valid).transpose(*p.dims), name, "m s-1", text)
    return xr.Dataset(out)


def _gradient(
    p: xr.DataArray, density: xr.DataArray, depth: xr.DataArray, axis: str, length: xr.DataArray
) -> xr.DataArray:
    """Pressure gradient at constant depth between each cell and its next neighbour along an axis."""
    along = p.roll({axis: -1}) - p
    lift = eos.G * 0.5 * (density.roll({axis: -1}) + density) * (depth.roll({axis: -1}) - depth)
    return (along - lift) / length


def _four(field: xr.DataArray, back: str, ahead: str) -> xr.DataArray:
    """Sum of the four faces around: here and one back along one axis, each also one ahead along the other."""
    pair = field + field.roll({back: 1})
    return pair + pair.roll({ahead: -1})


def _around(slope: xr.DataArray, open_face: xr.DataArray, back: str, ahead: str) -> xr.DataArray:
    """Mean over the open ones of the four faces around."""
    count = _four(open_face.astype("int8"), back, ahead)
    return _four(slope, back, ahead) / count.where(count > 0)


def _off_equator(grid: Grid, point: str) -> xr.DataArray:
    return abs(grid.ds[f"gphi{point.lower()}"]) > EQUATOR


def geostrophic_residual(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """RMS difference between the flow and the :func:`geostrophic_flow`, below the Ekman layer and away from the equator.

    Parameters
    ----------
    state, grid : ``thetao`` [degC], ``so`` [1e-3], ``uo vo`` [m s-1], ``(..., z, y, x)``, and ``zos(..., y, x)`` [m], and their mesh.

    Returns
    -------
    ``(...)`` [m s-1], volume-weighted, below :data:`EKMAN`. Friction and the lateral boundaries leave a residual in every
    simulated ocean; what counts is how it compares with that of the engine's own states.

    Notes
    -----
    Gill (1982), section 7.6.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> flow = geostrophic_flow(state, grid)
    >>> float(geostrophic_residual(state.assign(flow), grid))
    0.0
    """
    value = _rms(state, geostrophic_flow(state, grid), grid, shear=False)
    text = f"RMS of the ageostrophic flow below {EKMAN:g} m, beyond {EQUATOR:g} degrees of the equator"
    return labelled(value, "geostrophic_residual", "m s-1", text)


def thermal_wind_residual(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """RMS difference between the vertical shear of the flow and that in balance with the density.

    Parameters
    ----------
    state, grid : ``thetao`` [degC], ``so`` [1e-3] and ``uo vo`` [m s-1], ``(..., z, y, x)``, and their mesh.

    Returns
    -------
    ``(...)`` [s-1], volume-weighted, below :data:`EKMAN`, away from the equator, where no wall ends between the levels. Sea level and
    any flow that does not change with depth cancel.

    Notes
    -----
    f du/dz = g / RHO0 d(rho)/dy, f dv/dz = -g / RHO0 d(rho)/dx (Gill 1982, section 7.7), as the difference between
    neighbouring levels of the :func:`geostrophic_flow`.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> flow = geostrophic_flow(state, grid)
    >>> bool(thermal_wind_residual(state.assign(flow + 0.3), grid) < 1e-15)
    True
    """
    balanced = geostrophic_flow(state.drop_vars("zos", errors="ignore"), grid)
    value = _rms(state, balanced, grid, shear=True)
    text = f"RMS of the shear out of thermal-wind balance below {EKMAN:g} m, beyond {EQUATOR:g} degrees"
    return labelled(value, "thermal_wind_residual", "s-1", text)


def _rms(state: xr.Dataset, balanced: xr.Dataset, grid: Grid, shear: bool) -> xr.DataArray:
    """Volume-weighted RMS of state minus balanced flow over both components, or of their shears."""
    square, volume = xr.DataArray(0.0), xr.DataArray(0.0)
    for name, point, size in (
        ("uo", "U", grid.e1u * grid.e2u * grid.e3u_0),
        ("vo", "V", grid.e1v * grid.e2v * grid.e3v_0),
    ):
        axis = {"U": "x", "V": "y"}[point]
        other = grid.mask({"U": "V", "V": "U"}[point]).astype("int8")
        count = _four(other, {"U": "y", "V": "x"}[point], axis)
        valid = grid.mask(point) & _off_equator(grid, point) & (count > 0) & (grid.gdept_0 > EKMAN)
        if grid.fold is not None:  # across the fold x and y run the other way
            inside = xr.DataArray(np.arange(grid.shape[1]) < grid.shape[1] - 2, dims="y")
            valid = valid & grid.unique(point) & inside
        residual = take(state, grid, name) - balanced[name]
        if shear:
            depth = 0.5 * (grid.gdept_0 + grid.gdept_0.roll({axis: -1}))
            # where the floor closes one of the four faces, the two levels do not average the same gradients
            valid = valid & valid.shift(z=1, fill_value=False) & (count == count.shift(z=1))
            residual = (residual.shift(z=1) - residual) / (depth - depth.shift(z=1))
        weight = size.where(valid, 0.0)
        square = square + total(residual.where(valid, 0.0) ** 2 * weight, ("z", "y", "x"))
        volume = volume + weight.sum()
    return (square / volume.where(volume > 0)) ** 0.5


def steric_height(state: xr.Dataset, grid: Grid, depth: float = 2000.0) -> xr.DataArray:
    """Height by which light water stands above water of the reference density, down to a depth.

    Parameters
    ----------
    state, grid : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``, and their mesh.
    depth : lower bound of the integral [m].

    Returns
    -------
    ``(..., y, x)`` [m]: minus the integral of the density anomaly over RHO0; NaN on land and where the sea is shallower.

    Notes
    -----
    Gill and Niiler (1973, doi:10.1016/0011-7471(73)90027-1).

    Examples
    --------
    >>> steric_height(*ws.basin()).attrs["units"]
    'm'
    """
    thickness = (depth - grid.gdepw_0).clip(0.0).where(grid.mask("T"), 0.0)
    thickness = xr.where(thickness < grid.e3t_0, thickness, grid.e3t_0)
    deep = _deeper(grid, depth)
    density = in_situ_density(state, grid).where(thickness > 0, 0.0)
    height = (-total(density * thickness, "z") / eos.RHO0).where(deep & (grid.area > 0))
    text = f"steric height of the upper {depth:g} m"
    return labelled(over_map(height, state), "steric_height", "m", text)


def _deeper(grid: Grid, depth: float) -> xr.DataArray:
    return grid.e3t_0.where(grid.mask("T"), 0.0).sum("z") >= depth * (1 - 1e-6)


def sea_level_residual(state: xr.Dataset, grid: Grid, depth: float = 2000.0) -> xr.DataArray:
    """RMS difference between the shapes of the sea level and of the steric height.

    Parameters
    ----------
    state, grid : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``, and ``zos(..., y, x)`` [m], and their mesh.
    depth : as in :func:`steric_height` [m].

    Returns
    -------
    ``(...)`` [m], area-weighted, both without their means: the part of the sea level that the flow at `depth` balances.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> bool(sea_level_residual(state.assign(zos=steric_height(state, grid)), grid) < 1e-12)
    True
    """
    area = grid.area.where(_deeper(grid, depth), 0.0)
    difference = take(state, grid, "zos") - steric_height(state, grid, depth)
    rms = mean_over((difference - mean_over(difference, area)) ** 2, area) ** 0.5
    text = f"RMS difference of sea level and steric height of the upper {depth:g} m"
    return labelled(rms, "sea_level_residual", "m", text)
