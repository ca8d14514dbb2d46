"""Several fields on one figure: side by side with their difference, or as a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warmstart.ocean.grid import Grid
from warmstart.plot.figures import Draw
from warmstart.plot.style import colour_bar, levels, pretty_units

#: Width of a figure and the room around its panels [inches]; fixed, so that panels of different rows line up.
WIDTH, LEFT, GAP, HEAD, FOOT, BAR, TICKS = 10.0, 0.56, 0.10, 0.46, 0.44, 0.09, 0.47
#: About how many colour classes a field and a difference get.
CLASSES, CLASSES_DIFFERENCE = 28, 14


class PanelKind(NamedTuple):
    """One quantity to compare: its title, how to draw it, the fields to show, and their colours."""

    title: str
    draw: Draw
    fields: Sequence[tuple[str, xr.DataArray]]
    cmap: str
    symmetric: bool = False


def difference(a: xr.DataArray, b: xr.DataArray) -> xr.DataArray:
    """Subtract fields of the same units and say so in the attributes; a difference of temperatures is in K.

    Examples
    --------
    >>> t = xr.DataArray(3.0, name="thetao", attrs={"units": "degC"})
    >>> difference(t, t).attrs["units"]
    'K'
    """
    units = a.attrs.get("units", "")
    name = a.attrs.get("long_name", str(a.name or "field"))
    attrs = {"units": "K" if units == "degC" else units, "long_name": f"difference in {name}"}
    return (a - b).assign_attrs(attrs).rename(None)


def compared(kinds: Sequence[PanelKind], grid: Grid, per_row: int, height: float) -> Figure:
    """Draw quantities, each as its fields and the difference of the first two, or alone.

    Parameters
    ----------
    kinds : what to draw, with the same number of fields each.
    grid : the mesh.
    per_row : quantities a row.
    height : of a panel [inches].

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> len(compared([PanelKind("T", ws.plot.section, [("a", state.thetao)], "thermal")], grid, 1, 2.5).axes)
    2
    """
    rows = -(-len(kinds) // per_row)
    pitch = HEAD + height + FOOT
    figure = Figure(figsize=(WIDTH, rows * pitch))
    for i, kind in enumerate(kinds):
        row, column = divmod(i, per_row)
        bottom = (rows - 1 - row) * pitch + FOOT
        width = WIDTH / per_row
        axes, bars = _slots(figure, len(kind.fields), width * column, width, bottom, height)
        panels(axes, bars, kind, grid)
        axes[0].annotate(
            kind.title, (0, 1), xytext=(0, 19), xycoords="axes fraction", textcoords="offset points",
            fontweight="bold", fontsize=9, va="bottom", annotation_clip=False,
        )  # fmt: skip
    return figure


def _slots(
    figure: Figure, fields: int, left: float, width: float, bottom: float, height: float
) -> tuple[list[Axes], list[Axes]]:
    """Axes of the fields and of their difference, and of the one or two colour bars [inches]."""
    count = fields + (fields > 1)
    bars = 1 + (fields > 1)
    panel = (width - LEFT - (fields - 1) * GAP - bars * (GAP + BAR + TICKS)) / count
    axes, scales, x = [], [], left + LEFT
    for i in range(count):
        axes.append(_place(figure, x, bottom, panel, height))
        x += panel + GAP
        if i >= fields - 1:
            scales.append(_place(figure, x, bottom, BAR, height))
            x += BAR + TICKS
    return axes, scales


def _place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    total = figure.get_size_inches()
    return figure.add_axes((left / total[0], bottom / total[1], width / total[0], height / total[1]))


def panels(axes: Sequence[Axes], bars: Sequence[Axes], kind: PanelKind, grid: Grid) -> np.ndarray:
    """Draw fields beside one another with a common colour bar, and the difference of the first two with its own.

    Parameters
    ----------
    axes : one a field, and a last one for the difference if there are two fields or more.
    bars : axes of the colour bars, of the fields and of the difference.
    kind : what to draw; the difference is drawn in ``balance``.
    grid : the mesh.

    Returns
    -------
    Colour boundaries of the difference, symmetric about 0; empty without a difference.

    Examples
    --------
    >>> from warmstart.plot.style import canvas
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> axes = canvas(1, 5)[1]
    >>> kind = PanelKind("T", ws.plot.section, [("a", state.thetao), ("b", state.thetao + 1)], "thermal")
    >>> bounds = panels(axes[:3], axes[3:], kind, grid)
    >>> bool((bounds == -bounds[::-1]).all())
    True
    """
    shown = kind.fields
    common = levels([field for _, field in shown], kind.symmetric, CLASSES)
    for ax, (title, field) in zip(axes, shown, strict=False):
        kind.draw(field, grid, ax, common, kind.cmap)
        ax.set_title(title)
    units = pretty_units(shown[0][1].attrs.get("units", ""))
    colour_bar(axes[: len(shown)], common, kind.cmap, units, bars[0])
    bounds = np.zeros(0)
    if len(shown) > 1:
        change = difference(shown[0][1], shown[1][1])
        bounds = levels([change], symmetric=True, count=CLASSES_DIFFERENCE)
        kind.draw(change, grid, axes[len(shown)], bounds, "balance")
        axes[len(shown)].set_title("difference")
        colour_bar([axes[len(shown)]], bounds, "balance", pretty_units(change.attrs["units"]), bars[1])
    for ax in axes[1:]:
        ax.set_ylabel("")
        ax.tick_params(labelleft=False)
    for ax in axes:
        ax.set_aspect("auto")
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
    draw : such as :func:`warmstart.plot.figures.section`.
    cmap : cmocean colour map.
    symmetric : whether the fields are signed.
    columns : panels a row.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> len(sheet([("a", state.thetao), ("b", state.thetao)], grid, ws.plot.section, "thermal").axes)
    3
    """
    rows, height, head = -(-len(shown) // columns), 1.1, 0.24
    width = (WIDTH - LEFT - columns * GAP - BAR - TICKS) / columns
    figure = Figure(figsize=(WIDTH, rows * (height + head) + FOOT))
    bounds = levels([field for _, field in shown], symmetric, CLASSES)
    for i, (title, field) in enumerate(shown):
        row, column = divmod(i, columns)
        bottom = FOOT + (rows - 1 - row) * (height + head)
        ax = _place(figure, LEFT + column * (width + GAP), bottom, width, height)
        draw(field, grid, ax, bounds, cmap)
        ax.set_title(title, fontsize=7.5, pad=3)
        lowest = i + columns >= len(shown)
        ax.tick_params(labelleft=column == 0, labelbottom=lowest, labelsize=6.5)
        ax.set_xlabel("latitude" if lowest else "")
        ax.set_ylabel("depth [m]" if column == 0 else "")
        ax.set_yticks([t for t in (0, 500, 1000, 2000, 3000, 5000) if t <= ax.get_ylim()[0]])
    tall = min(rows * (height + head) - head, 3.0)
    top = FOOT + rows * (height + head) - head
    bar = _place(figure, LEFT + columns * (width + GAP), top - tall, BAR, tall)
    colour_bar(figure.axes[:-1], bounds, cmap, pretty_units(shown[0][1].attrs.get("units", "")), bar)
    return figure
