"""Transports: the channel, the gyres, the overturning, heat.

All follow from the volume transports through the faces of the C-grid, so that they agree with one another: the
streamfunctions' differences are those transports, and the throughflow is the streamfunction's value on the southern wall.
The thickness of the faces is that of the mesh unless ``free_surface`` is asked for; then it follows the sea level.
"""

from __future__ import annotations

from collections.abc import Callable

import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean import eos
from warmstart.ocean.grid import Grid
from warmstart.physics.cgrid import (
    SVERDRUP,
    Range,
    at_north_face,
    east_transport,
    extreme,
    labelled,
    mean_over,
    north_transport,
    rows_between,
    span,
    take,
    total,
    total_beyond,
    turned,
    unknown,
)
from warmstart.physics.channel import Channel, find_channel


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
    >>> bool(channel_transport(*ws.basin()) > 0)
    True
    """
    text = "transport round the channel, through its narrowest section"
    return _round(state, grid, "channel_transport", text, lambda s, at: _mean(s, at.strait), free_surface)


def section_transport(state: xr.Dataset, grid: Grid, free_surface: bool = False) -> xr.DataArray:
    """Zonal transport through every section of the channel, from coast to coast; arguments as :func:`channel_transport`.

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
    >>> section_transport(*ws.basin()).dims
    ('x',)
    """
    channel = find_channel(grid)
    inside = east_transport(state, grid, free_surface).where(channel.faces, 0.0)
    section = (total(inside, ("z", "y")) / SVERDRUP).where(channel.sections)
    return labelled(section, "section_transport", "Sv", "zonal transport through a section of the channel")


def throughflow(state: xr.Dataset, grid: Grid, free_surface: bool = False) -> xr.DataArray:
    """Transport round the channel, mean over all its sections from coast to coast; arguments as :func:`channel_transport`.

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
    >>> throughflow(*ws.basin()).attrs["units"]
    'Sv'
    """
    text = "transport round the channel, mean over sections from coast to coast"
    return _round(state, grid, "throughflow", text, lambda s, at: _mean(s, at.sections), free_surface)


def throughflow_spread(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Largest minus smallest :func:`section_transport`, 0 for a non-divergent flow; arguments as there.

    Returns
    -------
    ``(...)`` [Sv]; NaN without an open channel, as :func:`channel_transport`.

    Examples
    --------
    >>> bool(throughflow_spread(*ws.basin()) > 0)  # this analytic flow has divergence
    True
    """

    def spread(flow: xr.DataArray, at: Channel) -> xr.DataArray:
        return extreme(flow, at.sections, "max") - extreme(flow, at.sections, "min")

    text = "range of the throughflow among sections of the channel"
    return _round(state, grid, "throughflow_spread", text, spread)


def _round(
    state: xr.Dataset,
    grid: Grid,
    name: str,
    text: str,
    reduce: Callable[[xr.DataArray, Channel], xr.DataArray],
    free_surface: bool = False,
) -> xr.DataArray:
    """A number of the transports through all sections of the channel; unknown on a mesh without one."""
    text += ", thickness under the free surface" if free_surface else ""
    try:
        channel = find_channel(grid)
    except UserError as error:
        return unknown(state, name, "Sv", text, str(error))
    return labelled(reduce(section_transport(state, grid, free_surface), channel), name, "Sv", text)


def _mean(section: xr.DataArray, columns: xr.DataArray) -> xr.DataArray:
    return mean_over(section, columns.astype("float64"))


def barotropic_streamfunction(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Streamfunction of the depth-integrated flow, 0 on the northern wall.

    Parameters
    ----------
    state, grid : ``uo(..., z, y, x)`` at U points [m s-1], and its mesh.

    Returns
    -------
    ``(..., y, x)`` at F points [Sv]: ``U = -dpsi/dy`` integrated southward from the northern wall, hence positive in
    clockwise gyres, 0 on the walls that are connected with the northern one, and equal to the :func:`throughflow` on
    the coast south of the channel. On a folded mesh it is integrated from the southern wall, and 0 on the coast north of the channel.
    ``V = dpsi/dx`` holds if the depth-integrated flow has no divergence.

    Examples
    --------
    >>> bool((barotropic_streamfunction(*ws.basin()).isel(y=-1) == 0).all())
    True
    """
    eastward = total(east_transport(state, grid), "z")
    if grid.fold is not None:  # no wall in the north
        around = throughflow(state, grid).fillna(0.0)
        psi = around - eastward.cumsum("y", skipna=False) / SVERDRUP
    else:
        psi = total_beyond(eastward, "y").shift(y=-1, fill_value=0.0) / SVERDRUP
    text = "barotropic streamfunction, clockwise positive"
    return labelled(psi, "barotropic_streamfunction", "Sv", text)


def gyre(state: xr.Dataset, grid: Grid, lat: Range, rotation: str) -> xr.DataArray:
    """Strongest value of the barotropic streamfunction between two latitudes.

    Parameters
    ----------
    state, grid : ``uo(..., z, y, x)`` at U points [m s-1], and its mesh.
    lat : southern and northern bound of the F points, both included [degrees_north].
    rotation : ``"clockwise"`` takes the maximum (subtropical gyre of the north), ``"anticlockwise"`` the minimum.

    Returns
    -------
    ``(...)`` [Sv]; NaN if no row lies between the latitudes.

    Examples
    --------
    >>> gyre(*ws.basin(), (0.0, 45.0), "clockwise").attrs["units"]
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
    state, grid : ``vo(..., z, y, x)`` at V points [m s-1], and its mesh.

    Returns
    -------
    ``(..., z, y)`` at the top face of each cell of the V rows [Sv]: minus the northward transport below that face,
    positive where water moves north above and south below. 0 at the surface where no net transport crosses the row.

    Examples
    --------
    >>> overturning(*ws.basin()).dims
    ('z', 'y')
    """
    northward = total(north_transport(state, grid).where(grid.unique("V"), 0.0), "x")
    text = "meridional overturning streamfunction, resolved flow"
    return labelled(-total_beyond(northward, "z") / SVERDRUP, "overturning", "Sv", text)


def overturning_cell(state: xr.Dataset, grid: Grid, lat: Range, below: float, rotation: str) -> xr.DataArray:
    """Strongest overturning between two latitudes, below a depth.

    Parameters
    ----------
    state, grid : ``vo(..., z, y, x)`` at V points [m s-1], and its mesh.
    lat : southern and northern bound of the V rows, both excluded [degrees_north].
    below : depth above which nothing counts [m].
    rotation : ``"northern"`` takes the maximum (sinking in the north), ``"abyssal"`` the minimum (sinking in the south).

    Returns
    -------
    ``(...)`` [Sv]; NaN if the mesh has nothing there.

    Examples
    --------
    >>> overturning_cell(*ws.basin(), (10.0, 65.0), 500.0, "northern").attrs["units"]
    'Sv'
    """
    inside = rows_between(grid, lat) & (grid.gdepw_1d > below)
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
    state, grid : ``thetao`` [degC] and ``vo`` [m s-1], ``(..., z, y, x)``, and their mesh.

    Returns
    -------
    ``(..., y)`` at V rows [W]. T at a face is the mean of its two cells; independent of the zero of temperature where
    no net volume crosses the row.

    Notes
    -----
    Formula of dinostics' ``MHT``; without the parts of eddy parametrisations and diffusion.

    Examples
    --------
    >>> heat_transport(*ws.basin()).dims
    ('y',)
    """
    text = "northward heat transport of the resolved flow"
    return labelled(eos.RHO0 * eos.CP * _carried(state, grid, "thetao"), "heat_transport", "W", text)


def salt_transport(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Northward transport of salt by the resolved flow, RHO0 sum(v S e1v e3v) / 1000.

    Parameters
    ----------
    state, grid : ``so`` [1e-3] and ``vo`` [m s-1], ``(..., z, y, x)``, and their mesh.

    Returns
    -------
    ``(..., y)`` at V rows [kg s-1]. S at a face is the mean of its two cells.

    Notes
    -----
    As :func:`heat_transport`; without the parts of eddy parametrisations and diffusion.

    Examples
    --------
    >>> salt_transport(*ws.basin()).attrs["units"]
    'kg s-1'
    """
    salt = 1e-3 * eos.RHO0 * _carried(state, grid, "so")
    return labelled(salt, "salt_transport", "kg s-1", "northward salt transport")


def _carried(state: xr.Dataset, grid: Grid, tracer: str) -> xr.DataArray:
    """Northward transport of a tracer through each V row, its value at a face the mean of both cells."""
    face = at_north_face(take(state, grid, tracer), grid).where(grid.mask("V") & grid.unique("V"), 0.0)
    return total(north_transport(state, grid) * face, ("z", "x"))


def salt_transport_largest(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Largest magnitude of the :func:`salt_transport` among the rows; arguments as there.

    Returns
    -------
    ``(...)`` [kg s-1]: small in equilibrium, where only the surface freshwater flux balances it.

    Examples
    --------
    >>> salt_transport_largest(*ws.basin()).attrs["units"]
    'kg s-1'
    """
    value = abs(salt_transport(state, grid)).max("y", skipna=False)
    return labelled(value, "salt_transport", "kg s-1", "largest meridional transport of salt")


def heat_transport_peak(state: xr.Dataset, grid: Grid, hemisphere: str) -> xr.DataArray:
    """Strongest poleward heat transport of one hemisphere.

    Parameters
    ----------
    state, grid : ``thetao`` [degC] and ``vo`` [m s-1], ``(..., z, y, x)``, and their mesh.
    hemisphere : ``"north"`` takes the maximum, ``"south"`` the minimum (southward is negative).

    Returns
    -------
    ``(...)`` [W].

    Examples
    --------
    >>> heat_transport_peak(*ws.basin(), "north").attrs["units"]
    'W'
    """
    lat: Range = {"north": (0.0, 90.0), "south": (-90.0, 0.0)}[hemisphere]
    kind = {"north": "max", "south": "min"}[hemisphere]
    text = f"{kind}imum northward heat transport, {span(lat)}"
    if why := turned(grid, lat):
        return unknown(state, "heat_transport_peak", "W", text, why)
    value = extreme(heat_transport(state, grid), rows_between(grid, lat), kind)
    return labelled(value, "heat_transport_peak", "W", text)
