"""The look of the figures: typography, units, colour classes, axes of latitude and depth, and SVG for a page.

Nothing here touches pyplot or Matplotlib's global style.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

import cmocean
import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Colormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator

from warmstart.ocean.variables import VARIABLES

INK, MUTED, RULE, LAND = "#1d2733", "#5c6773", "#d5d9de", "#aeb4ba"
#: Colours of starts and states, distinguishable without red-green vision (Okabe and Ito 2008).
COLOURS = {
    "generated": "#0072b2",
    "control": "#1d2733",
    "rest": "#d55e00",
    "nearest": "#009e73",
    "mean": "#cc79a7",
}
#: Depth above which sections and profiles are stretched [m].
UPPER = 1000.0

_STYLE: dict[str, Any] = {
    "font.family": "sans-serif", "font.size": 8.0, "axes.titlesize": 8.5, "axes.labelsize": 8.0,
    "axes.titlelocation": "left", "axes.titlepad": 5.0, "axes.titleweight": "regular", "axes.edgecolor": MUTED,
    "axes.labelcolor": INK, "axes.titlecolor": INK, "axes.linewidth": 0.6, "axes.axisbelow": True,
    "text.color": INK, "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5, "ytick.labelsize": 7.5, "xtick.major.size": 2.5, "ytick.major.size": 2.5,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "lines.linewidth": 1.3, "lines.solid_capstyle": "round",
    "legend.frameon": False, "legend.fontsize": 8.0, "figure.facecolor": "none", "axes.facecolor": "#ffffff",
    "svg.fonttype": "none", "svg.hashsalt": "warmstart", "path.simplify": True, "figure.dpi": 100.0,
}  # fmt: skip

_UNITS = {"degC": "°C", "1e-3": "g kg⁻¹", "1": "", "d": "days"}
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Apply the look of the report to the figures made inside the block, and to nothing else.

    Examples
    --------
    >>> with style():
    ...     ax = canvas(1, 1)[1][0]
    """
    with matplotlib.rc_context(cast(Any, _STYLE)):
        yield


def canvas(
    rows: int, columns: int, width: float = 10.0, height: float = 3.0, **grid: Any
) -> tuple[Figure, list[Axes]]:
    """Make a figure with a row-major list of axes, without pyplot.

    Parameters
    ----------
    rows, columns : of axes.
    width, height : of the figure [inches].
    grid : passed to :meth:`matplotlib.figure.Figure.subplots`.

    Examples
    --------
    >>> fig, axes = canvas(2, 3)
    >>> len(axes)
    6
    """
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.05))
    return figure, list(figure.subplots(rows, columns, squeeze=False, **grid).ravel())


def svg(figure: Figure, name: str, dpi: int = 200) -> str:
    """Render a figure as SVG that can stand inside a page: text is text, meshes are images at `dpi`.

    Parameters
    ----------
    figure : from :func:`canvas`.
    name : unique in the page; keeps the identifiers of several figures apart.
    dpi : resolution of rasterised parts.

    Returns
    -------
    The ``<svg>`` element, the same for the same figure, without any reference to the outside.

    Examples
    --------
    >>> svg(canvas(1, 1)[0], "empty")[:4]
    '<svg'
    """
    import io

    text = io.StringIO()
    with style():
        figure.savefig(text, format="svg", dpi=dpi, metadata={"Date": None, "Creator": None})
    body = text.getvalue()
    body = body[body.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", body).replace("xlink:href", "href")
    body = re.sub(r'<g id="(?:[a-zA-Z]+_)+\d+">', "<g>", body)
    for pattern in (r'(\sid=")', r"(url\(#)", r'(href="#)'):
        body = re.sub(pattern, rf"\1{name}-", body)
    body = re.sub(r'(<image[^>]*?)\sid="[^"]*"', r"\1", body)
    # the page chooses the typeface, so that figures and text are of one piece
    body = re.sub(r"font-family: [^;\"]*;?\s*", "", body)
    body = re.sub(r"font: ((?:\w+ )?)([\d.]+px) [^;\"]*", r"font-weight: \1; font-size: \2", body)
    body = body.replace("font-weight: ; ", "")
    size = r'<svg width="[\d.]+pt" height="[\d.]+pt"'
    return re.sub(size, f'<svg role="img" aria-label="{name}"', body, count=1).strip()


def pretty_units(units: str) -> str:
    """Write UDUNITS for readers.

    Examples
    --------
    >>> pretty_units("m s-1"), pretty_units("degC")
    ('m s⁻¹', '°C')
    """
    if units in _UNITS:
        return _UNITS[units]
    raised = re.sub(r"(?<=[A-Za-z])-?\d+", lambda m: m[0].translate(SUPERSCRIPT), units)
    return raised.replace("1e-3", "g kg⁻¹")


def label(da: xr.DataArray, text: str | None = None) -> str:
    """Label of an axis: what it is and its units.

    Parameters
    ----------
    da : with the attributes ``long_name`` and ``units``, or a name of the variables table.
    text : instead of the long name.

    Examples
    --------
    >>> label(xr.DataArray(0.0, name="thetao"))
    'potential temperature [°C]'
    """
    table = VARIABLES.get(str(da.name))
    words = text or da.attrs.get("long_name") or (table.long_name if table else str(da.name or ""))
    units = pretty_units(da.attrs.get("units") or (table.units if table else ""))
    return f"{words} [{units}]" if units else words


def power(values: Any) -> tuple[float, str]:
    """Choose a power of ten that makes small or large values readable.

    Parameters
    ----------
    values : to be shown on an axis.

    Returns
    -------
    factor : to divide by.
    words : to write before the units; empty for 1.

    Examples
    --------
    >>> power([2e-6, 4e-6])
    (1e-06, '10⁻⁶ ')
    """
    finite = np.abs(np.asarray(values, float))
    finite = finite[np.isfinite(finite)]
    largest = float(finite.max()) if finite.size else 0.0
    if largest == 0 or 1e-3 <= largest < 1e5:
        return 1.0, ""
    exponent = math.floor(math.log10(largest))
    return 10.0**exponent, f"10{str(exponent).translate(SUPERSCRIPT)} "


def levels(fields: Sequence[xr.DataArray], symmetric: bool = False, count: int = 16) -> np.ndarray:
    """Choose round, increasing boundaries of colour classes for fields that share a colour bar.

    Parameters
    ----------
    fields : what is shown; values beyond the central 99 % are clipped into the outermost classes.
    symmetric : whether the boundaries lie symmetric about 0, 0 among them.
    count : about how many classes.

    Examples
    --------
    >>> levels([xr.DataArray([-0.1, 0.8])], symmetric=True, count=4).tolist()
    [-0.8, -0.4, 0.0, 0.4, 0.8]
    """
    values = np.concatenate([np.asarray(f.values, float).ravel() for f in fields])
    values = values[np.isfinite(values)]
    steps = [1, 2, 2.5, 4, 5, 10]
    if symmetric:
        # a little more, so that a uniform field lies in the last class and not beyond it
        limit = float(np.percentile(np.abs(values), 99.5)) * (1 + 1e-6) if values.size else 0.0
        locator = MaxNLocator(max(count // 2, 1), steps=steps)
        half = np.asarray(locator.tick_values(0.0, limit if limit > 0 else 1.0))
        half = half[half > 0]
        return np.concatenate([-half[::-1], [0.0], half])
    low, high = np.percentile(values, [0.5, 99.5]) if values.size else (0.0, 1.0)
    if not high > low:
        low, high = low - 0.5, low + 0.5
    return np.asarray(MaxNLocator(count, steps=steps).tick_values(float(low), float(high)))


def colouring(name: str, bounds: np.ndarray) -> dict[str, Any]:
    """Keyword arguments ``cmap``, by its cmocean name, and ``norm`` of classes, with arrows for what lies beyond them.

    Examples
    --------
    >>> sorted(colouring("balance", np.array([-1.0, 0.0, 1.0])))
    ['cmap', 'norm']
    """
    cmap: Colormap = cmocean.cm.cmap_d[name]
    return {"cmap": cmap, "norm": BoundaryNorm(bounds, cmap.N, extend="both")}


def depth_axis(ax: Axes, bottom: float, named: bool = True) -> None:
    """Let depth point down, the upper 1000 m as tall as all below.

    Parameters
    ----------
    ax : the axes; y is depth [m].
    bottom : deepest depth [m].
    named : whether to write label and tick labels.

    Examples
    --------
    >>> depth_axis(canvas(1, 1)[1][0], 4000.0)
    """
    ratio = max((bottom - UPPER) / UPPER, 1.0)
    if bottom > 1.5 * UPPER:
        ax.set_yscale("function", functions=(lambda d: _squeeze(d, ratio), lambda s: _stretch(s, ratio)))
        deep = np.arange(2000.0, bottom + 1, 1000.0)
        ticks = [0.0, 250.0, 500.0, 750.0, UPPER, *deep[:: math.ceil(deep.size / 5) or 1]]
        ax.axhline(UPPER, color=INK, lw=0.5, ls=(0, (1, 3)), zorder=3)
    else:
        ticks = list(MaxNLocator(5).tick_values(0.0, bottom))
    ax.set_ylim(bottom, 0.0)
    ax.set_yticks([t for t in ticks if t <= bottom], minor=False)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    ax.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    ax.tick_params(labelleft=named)
    if named:
        ax.set_ylabel("depth [m]")


def _squeeze(depth: Any, ratio: float) -> Any:
    depth = np.asarray(depth, float)
    return np.where(depth <= UPPER, depth, UPPER + (depth - UPPER) / ratio)


def _stretch(scaled: Any, ratio: float) -> Any:
    scaled = np.asarray(scaled, float)
    return np.where(scaled <= UPPER, scaled, UPPER + (scaled - UPPER) * ratio)


def degrees(value: float, hemispheres: str) -> str:
    """Write a latitude (``"NS"``) or a longitude (``"EW"``).

    Examples
    --------
    >>> degrees(-60, "NS")
    '60°S'
    """
    return f"{abs(value):g}°{'' if value == 0 else hemispheres[int(value < 0)]}"


def latitude_axis(axis: Any, edges: np.ndarray) -> None:
    """Tick an axis with latitudes every 30 degrees, or finer in a small domain.

    Parameters
    ----------
    axis : ``ax.xaxis`` or ``ax.yaxis``.
    edges : latitudes of the domain [degrees_north].

    Examples
    --------
    >>> latitude_axis(canvas(1, 1)[1][0].xaxis, np.array([-70.0, 70.0]))
    """
    step = 30.0 if np.ptp(edges) > 90 else 10.0 if np.ptp(edges) > 30 else 5.0
    axis.set_ticks(np.arange(math.ceil(np.min(edges) / step), math.floor(np.max(edges) / step) + 1) * step)
    axis.set_major_formatter(FuncFormatter(lambda v, _: degrees(v, "NS")))


def colour_bar(
    axes: Sequence[Axes], bounds: np.ndarray, cmap: str, text: str, bar: Axes | None = None
) -> None:
    """Give axes a colour bar.

    Parameters
    ----------
    axes : that share it.
    bounds : of its classes.
    cmap : cmocean colour map.
    text : units, written on top.
    bar : axes to draw it on; None takes room at the right of `axes`.

    Examples
    --------
    >>> colour_bar(canvas(1, 2)[1], np.array([0.0, 1.0, 2.0]), "thermal", "°C")
    """
    where: dict[str, Any] = (
        {"cax": bar} if bar is not None else {"ax": list(axes), "aspect": 24, "pad": 0.015, "fraction": 0.05}
    )
    drawn = axes[0].figure.colorbar(ScalarMappable(**colouring(cmap, bounds)), extendfrac=0.03, **where)
    step = bounds[1] - bounds[0]
    stride = next((k for k in (1, 2, 4, 5, 10) if bounds.size <= 9 * k), 20)
    ticks = [t for t in bounds if round(t / step) % stride == 0]
    drawn.set_ticks(ticks, labels=[f"{t:g}".replace("-", "\N{MINUS SIGN}") for t in ticks])
    drawn.minorticks_off()
    drawn.ax.tick_params(length=0, labelsize=7)
    drawn.outline.set_linewidth(0.4)  # type: ignore[operator]
    drawn.ax.set_title(text, fontsize=7.5, loc="left", color=MUTED)
