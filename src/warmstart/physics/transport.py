"""Transports: the channel, the gyres, the overturning, heat.

All follow from the volume transports through the faces of the C-grid, so that they agree with one another: the
streamfunctions' differences are those transports, and the throughflow is the streamfunction's value on the southern wall.
The thickness of the faces is that of the mesh unless ``free_surface`` is asked for; then it follows the sea level.
"""

from __future__ import annotations

from typing import TypeAlias

import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean import eos
from warmstart.ocean.grid import Grid
from warmstart.physics.cgrid import (
    SVERDRUP,
    at_north_face,
    east_transport,
    extreme,
    labelled,
    north_transport,
    span,
    take,
    total,
    turned,
    unknown,
)
from warmstart.physics.channel import find_channel

Range: TypeAlias = tuple[float, float]


def channel_transport(state: xr.Dataset, grid: Grid, free_surface: bool = False) -> xr.DataArray:
    """Transport round the channel, through its strait: the narrowest section from coast to coast.

    Parameters
    ----------
    state : ``uo(..., z, y, x)`` at U points [m s-1].
    grid : its mesh, from whose masks the channel is found (:mod:`warmstart.physics.channel`).
    free_surface : whether the thickness of the faces follows ``zos``, or is that of the mesh.

    Returns
    -------
    ``(...)`` [Sv], positive eastward; NaN on a mesh without an open channel, the reason in the attribute ``comment``. Of
    several sections that are equally narrow the mean.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> bool(channel_transport(state, grid) > 0)
    True
    """
    text = "transport round the channel, through its narrowest section" + _thickness(free_surface)
    try:
        channel = find_channel(grid)
    except UserError as error:
        return unknown(state, "channel_transport", "Sv", text, str(error))
    section = section_transport(state, grid, free_surface)
    return labelled(_mean(section, channel.strait), "channel_transport", "Sv", text)


def section_transport(state: xr.Dataset, grid: Grid, free_surface: bool = False) -> xr.DataArray:
    """Zonal transport through every section of the channel, from coast to coast.

    Parameters
    ----------
    state : ``uo(..., z, y, x)`` at U points [m s-1].
    grid : its mesh.
    free_surface : as in :func:`channel_transport`.

    Returns
    -------
    ``(..., x)`` at U points [Sv], positive eastward; NaN in columns that lead to another coast. Equal at all x if the
    depth-integrated flow has no divergence.

    Raises
    ------
    UserError
        If the mesh has no open channel.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> section_transport(state, grid).dims
    ('x',)
    """
    channel = find_channel(grid)
    inside = east_transport(state, grid, free_surface).where(channel.faces, 0.0)
    section = (total(inside, ("z", "y")) / SVERDRUP).where(channel.sections)
    return labelled(section, "section_transport", "Sv", "zonal transport through a section of the channel")


def throughflow(state: xr.Dataset, grid: Grid, free_surface: bool = False) -> xr.DataArray:
    """Transport round the channel, mean over all its sections from coast to coast.

    Parameters
    ----------
    state : ``uo(..., z, y, x)`` at U points [m s-1].
    grid : its mesh.
    free_surface : as in :func:`channel_transport`.

    Returns
    -------
    ``(...)`` [Sv], positive eastward; NaN on a mesh without an open channel, as :func:`channel_transport`, whose value it
    has for a flow without depth-integrated divergence.

    Notes
    -----
    For such a flow also equal to ``ACC_Drake`` of nemo-spinup-evaluation 0.3.0 in DINO, the transport through the walled
    section at the first column.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> throughflow(state, grid).attrs["units"]
    'Sv'
    """
    text = "transport round the channel, mean over sections from coast to coast" + _thickness(free_surface)
    try:
        channel = find_channel(grid)
    except UserError as error:
        return unknown(state, "throughflow", "Sv", text, str(error))
    section = section_transport(state, grid, free_surface)
    return labelled(_mean(section, channel.sections), "throughflow", "Sv", text)


def throughflow_spread(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Largest minus smallest transport among the sections of the channel; 0 for a non-divergent flow.

    Parameters
    ----------
    state : ``uo(..., z, y, x)`` at U points [m s-1].
    grid : its mesh.

    Returns
    -------
    ``(...)`` [Sv]; NaN without an open channel, as :func:`channel_transport`.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> bool(throughflow_spread(state, grid) > 0)  # this analytic flow has divergence
    True
    """
    text = "range of the throughflow among sections of the channel"
    try:
        channel = find_channel(grid)
    except UserError as error:
        return unknown(state, "throughflow_spread", "Sv", text, str(error))
    section = section_transport(state, grid)
    spread = extreme(section, channel.sections, "max") - extreme(section, channel.sections, "min")
    return labelled(spread, "throughflow_spread", "Sv", text)


def _mean(section: xr.DataArray, columns: xr.DataArray) -> xr.DataArray:
    """Mean over some columns that keeps the NaN of a hole in the sea."""
    return total(section.where(columns, 0.0), "x") / columns.sum()


_STREAMFUNCTION = "barotropic streamfunction, clockwise positive"


def barotropic_streamfunction(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Streamfunction of the depth-integrated flow, 0 on the northern wall.

    Parameters
    ----------
    state : ``uo(..., z, y, x)`` at U points [m s-1].
    grid : its mesh.

    Returns
    -------
    ``(..., y, x)`` at F points [Sv]: ``U = -dpsi/dy`` integrated southward from the northern wall, hence positive in
    clockwise gyres, 0 on the walls that are connected with the northern one, and equal to the :func:`throughflow` on
    the coast south of the channel. On a folded mesh it is integrated from the southern wall, and 0 on the coast north of the channel.
    ``V = dpsi/dx`` holds if the depth-integrated flow has no divergence.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> bool((barotropic_streamfunction(state, grid).isel(y=-1) == 0).all())
    True
    """
    eastward = total(east_transport(state, grid), "z")
    if grid.fold is not None:  # no wall in the north
        around = throughflow(state, grid).fillna(0.0)
        psi = around - eastward.cumsum("y", skipna=False) / SVERDRUP
        return labelled(psi, "barotropic_streamfunction", "Sv", _STREAMFUNCTION)
    from_north = (
        eastward.isel(y=slice(None, None, -1)).cumsum("y", skipna=False).isel(y=slice(None, None, -1))
    )
    psi = from_north.shift(y=-1, fill_value=0.0) / SVERDRUP
    return labelled(psi, "barotropic_streamfunction", "Sv", _STREAMFUNCTION)


def gyre(state: xr.Dataset, grid: Grid, lat: Range, rotation: str) -> xr.DataArray:
    """Strongest value of the barotropic streamfunction between two latitudes.

    Parameters
    ----------
    state : ``uo(..., z, y, x)`` at U points [m s-1].
    grid : its mesh.
    lat : southern and northern bound of the F points, both included [degrees_north].
    rotation : ``"clockwise"`` takes the maximum (subtropical gyre of the north), ``"anticlockwise"`` the minimum.

    Returns
    -------
    ``(...)`` [Sv]; NaN if no row lies between the latitudes.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> gyre(state, grid, (0.0, 45.0), "clockwise").attrs["units"]
    'Sv'
    """
    rows = (grid.gphif >= lat[0]) & (grid.gphif <= lat[1])
    kind = {"clockwise": "max", "anticlockwise": "min"}[rotation]
    text = f"{kind}imum barotropic streamfunction, {span(lat)}"
    if grid.fold is None and bool(grid.mask("V").isel(y=-1).any()):
        why = "the northern edge of this mesh is open: the streamfunction has no coast there to start from"
        return unknown(state, "gyre", "Sv", text, why)
    value = extreme(barotropic_streamfunction(state, grid), rows, kind)
    return labelled(value, "gyre", "Sv", text)


def overturning(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Meridional overturning streamfunction in depth coordinates, of the resolved (Eulerian) flow.

    Parameters
    ----------
    state : ``vo(..., z, y, x)`` at V points [m s-1].
    grid : its mesh.

    Returns
    -------
    ``(..., z, y)`` at the top face of each cell of the V rows [Sv]: minus the northward transport below that face,
    positive where water moves north above and south below. 0 at the surface where no net transport crosses the row.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> overturning(state, grid).dims
    ('z', 'y')
    """
    northward = total(north_transport(state, grid).where(grid.unique("V"), 0.0), "x")
    below = northward.isel(z=slice(None, None, -1)).cumsum("z", skipna=False).isel(z=slice(None, None, -1))
    text = "meridional overturning streamfunction, resolved flow"
    return labelled(-below / SVERDRUP, "overturning", "Sv", text)


def overturning_cell(state: xr.Dataset, grid: Grid, lat: Range, below: float, rotation: str) -> xr.DataArray:
    """Strongest overturning between two latitudes, below a depth.

    Parameters
    ----------
    state : ``vo(..., z, y, x)`` at V points [m s-1].
    grid : its mesh.
    lat : southern and northern bound of the V rows, both excluded [degrees_north].
    below : depth above which nothing counts [m].
    rotation : ``"northern"`` takes the maximum (sinking in the north), ``"abyssal"`` the minimum (sinking in the south).

    Returns
    -------
    ``(...)`` [Sv]; NaN if the mesh has nothing there.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> overturning_cell(state, grid, (10.0, 65.0), 500.0, "northern").attrs["units"]
    'Sv'
    """
    rows = grid.gphiv.mean("x")
    inside = (rows > lat[0]) & (rows < lat[1]) & (grid.gdepw_1d > below)
    kind = {"northern": "max", "abyssal": "min"}[rotation]
    text = f"{kind}imum Eulerian overturning, {span(lat)}, below {below:g} m"
    if why := turned(grid, lat):
        return unknown(state, "overturning_cell", "Sv", text, why)
    value = extreme(overturning(state, grid), inside, kind)
    return labelled(value, "overturning_cell", "Sv", text)


def heat_transport(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Northward heat transport by the resolved flow, RHO0 CP sum(v T e1v e3v).

    Parameters
    ----------
    state : ``thetao`` [degC] and ``vo`` [m s-1], ``(..., z, y, x)``.
    grid : its mesh.

    Returns
    -------
    ``(..., y)`` at V rows [W]. T at a face is the mean of its two cells; independent of the zero of temperature where
    no net volume crosses the row.

    Notes
    -----
    Formula of dinostics' ``MHT``; without the parts of eddy parametrisations and diffusion.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> heat_transport(state, grid).dims
    ('y',)
    """
    face = at_north_face(take(state, grid, "thetao"), grid).where(grid.mask("V") & grid.unique("V"), 0.0)
    flux = total(north_transport(state, grid) * face, ("z", "x"))
    text = "northward heat transport of the resolved flow"
    return labelled(eos.RHO0 * eos.CP * flux, "heat_transport", "W", text)


def salt_transport(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Northward transport of salt by the resolved flow, RHO0 sum(v S e1v e3v) / 1000.

    Parameters
    ----------
    state : ``so`` [1e-3] and ``vo`` [m s-1], ``(..., z, y, x)``.
    grid : its mesh.

    Returns
    -------
    ``(..., y)`` at V rows [kg s-1]. S at a face is the mean of its two cells.

    Notes
    -----
    As :func:`heat_transport`; without the parts of eddy parametrisations and diffusion.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> salt_transport(state, grid).attrs["units"]
    'kg s-1'
    """
    face = at_north_face(take(state, grid, "so"), grid).where(grid.mask("V") & grid.unique("V"), 0.0)
    flux = total(north_transport(state, grid) * face, ("z", "x"))
    return labelled(1e-3 * eos.RHO0 * flux, "salt_transport", "kg s-1", "northward salt transport")


def salt_transport_largest(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Largest magnitude of the :func:`salt_transport` among the rows; arguments as there.

    Returns
    -------
    ``(...)`` [kg s-1]: small in equilibrium, where only the surface freshwater flux balances it.

    Notes
    -----
    As :func:`salt_transport`.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> salt_transport_largest(state, grid).attrs["units"]
    'kg s-1'
    """
    value = abs(salt_transport(state, grid)).max("y", skipna=False)
    return labelled(value, "salt_transport", "kg s-1", "largest meridional transport of salt")


def heat_transport_peak(state: xr.Dataset, grid: Grid, hemisphere: str) -> xr.DataArray:
    """Strongest poleward heat transport of one hemisphere.

    Parameters
    ----------
    state : ``thetao`` [degC] and ``vo`` [m s-1], ``(..., z, y, x)``.
    grid : its mesh.
    hemisphere : ``"north"`` takes the maximum, ``"south"`` the minimum (southward is negative).

    Returns
    -------
    ``(...)`` [W].

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> heat_transport_peak(state, grid, "north").attrs["units"]
    'W'
    """
    lat: Range = {"north": (0.0, 90.0), "south": (-90.0, 0.0)}[hemisphere]
    rows = grid.gphiv.mean("x")
    kind = {"north": "max", "south": "min"}[hemisphere]
    text = f"{kind}imum northward heat transport, {span(lat)}"
    if why := turned(grid, lat):
        return unknown(state, "heat_transport_peak", "W", text, why)
    value = extreme(heat_transport(state, grid), (rows > lat[0]) & (rows < lat[1]), kind)
    return labelled(value, "heat_transport_peak", "W", text)


def _thickness(free_surface: bool) -> str:
    return ", thickness under the free surface" if free_surface else ""
