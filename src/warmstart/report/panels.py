"""Several fields on one figure: side by side with their difference, or as a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warmstart.grid import Grid
from warmstart.report.figures import Draw
from warmstart.report.style import canvas, colour_bar, levels, pretty_units


def difference(a: xr.DataArray, b: xr.DataArray) -> xr.DataArray:
    """Subtract fields and say so in the attributes.

    Parameters
    ----------
    a, b : of the same units.

    Returns
    -------
    ``a - b``; a difference of temperatures is in K.

    Examples
    --------
    >>> t = xr.DataArray(3.0, name="thetao", attrs={"units": "degC"})
    >>> difference(t, t).attrs["units"]
    'K'
    """
    units = a.attrs.get("units", "")
    name = a.attrs.get("long_name", str(a.name or "field"))
    return (
        (a - b)
        .assign_attrs(units="K" if units == "degC" else units, long_name=f"difference in {name}")
        .rename(None)
    )


def panels(
    axes: Sequence[Axes],
    draw: Draw,
    shown: Sequence[tuple[str, xr.DataArray]],
    grid: Grid,
    cmap: str,
    symmetric: bool = False,
) -> np.ndarray:
    """Draw fields beside one another with a common colour bar, and the difference of the first two with its own.

    Parameters
    ----------
    axes : one a field, and a last one for the difference if there are two fields or more.
    draw : such as :func:`section`.
    shown : title and field of each panel.
    grid : their mesh.
    cmap : cmocean colour map of the fields; the difference is drawn in ``balance``.
    symmetric : whether the fields are signed.

    Returns
    -------
    Colour boundaries of the difference, symmetric about 0; empty without a difference.

    Examples
    --------
    >>> from warmstart.report.figures import section
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> bounds = panels(canvas(1, 3)[1], section, [("a", state.thetao), ("b", state.thetao + 1)], grid, "thermal")
    >>> bool((bounds == -bounds[::-1]).all())
    True
    """
    common = levels([field for _, field in shown], symmetric)
    for ax, (title, field) in zip(axes, shown, strict=False):
        draw(field, grid, ax, common, cmap)
        ax.set_title(title)
    colour_bar(axes[: len(shown)], common, cmap, pretty_units(shown[0][1].attrs.get("units", "")))
    if len(shown) < 2:
        return np.zeros(0)
    change = difference(shown[0][1], shown[1][1])
    bounds = levels([change], symmetric=True, count=14)
    draw(change, grid, axes[len(shown)], bounds, "balance")
    axes[len(shown)].set_title("difference")
    colour_bar([axes[len(shown)]], bounds, "balance", pretty_units(change.attrs["units"]))
    for ax in axes[1:]:
        ax.set_ylabel("")
        ax.tick_params(labelleft=False)
    return bounds


def sheet(
    shown: Sequence[tuple[str, xr.DataArray]],
    grid: Grid,
    draw: Draw,
    cmap: str,
    symmetric: bool = False,
    columns: int = 4,
) -> Figure:
    """Draw many fields as small multiples with one colour bar.

    Parameters
    ----------
    shown : title and field of each panel.
    grid : their mesh.
    draw : such as :func:`section`.
    cmap : cmocean colour map.
    symmetric : whether the fields are signed.
    columns : panels a row.

    Returns
    -------
    The figure.

    Examples
    --------
    >>> from warmstart.report.figures import section
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> len(sheet([("a", state.thetao), ("b", state.thetao)], grid, section, "thermal").axes)
    5
    """
    rows = -(-len(shown) // columns)
    figure, axes = canvas(rows, columns, 10.0, 0.45 + 1.55 * rows, sharex=False)
    bounds = levels([field for _, field in shown], symmetric)
    for i, ax in enumerate(axes):
        if i >= len(shown):
            ax.set_axis_off()
            continue
        draw(shown[i][1], grid, ax, bounds, cmap)
        ax.set_title(shown[i][0], fontsize=7.5, pad=3)
        lowest = i + columns >= len(shown)
        ax.tick_params(labelleft=i % columns == 0, labelbottom=lowest, labelsize=6.5)
        ax.set_xlabel("latitude" if lowest else "")
        ax.set_ylabel("depth [m]" if i % columns == 0 else "")
        ax.set_yticks([0, 500, 1000, 2000, 3000] if ax.get_ylim()[0] > 3000 else ax.get_yticks())
    colour_bar(axes, bounds, cmap, pretty_units(shown[0][1].attrs.get("units", "")))
    return figure
