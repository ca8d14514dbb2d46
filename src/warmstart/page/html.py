"""The page: its parts, how numbers are written, and the template that lays it out."""

from __future__ import annotations

import importlib.resources
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jinja2
from markupsafe import Markup

from warmstart.plot.style import SUPERSCRIPT, pretty_units

MINUS, ABSENT = "\N{MINUS SIGN}", "\N{EN DASH}"


@dataclass(frozen=True)
class Plot:
    """A figure with its caption.

    Attributes
    ----------
    svg : from :func:`warmstart.plot.style.svg`.
    caption : what is shown, in which units, and what to take from it.
    """

    svg: str
    caption: str | Markup
    kind: str = "plot"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes
    ----------
    columns : heading and class of each column; the class ``n`` aligns numbers at the right.
    rows : cells, text is escaped and Markup is not.
    caption : above it.
    folded : whether it is shown only when asked for.
    muted : rows that matter less, by number.
    """

    columns: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[Any]]
    caption: str | Markup = ""
    folded: str = ""
    muted: frozenset[int] = frozenset()
    kind: str = "table"


@dataclass(frozen=True)
class Text:
    """A paragraph, or any markup.

    Attributes
    ----------
    body : text is escaped and Markup is not.
    css : class of the element.
    """

    body: str | Markup
    css: str = ""
    kind: str = "text"


@dataclass(frozen=True)
class Tile:
    """One headline number.

    Attributes
    ----------
    name : what it is.
    value : the number.
    units : of the number.
    note : what to compare it with, a line each.
    verdict : PASS, WARN, FAIL or empty.
    """

    name: str
    value: str | Markup
    units: str = ""
    note: Sequence[str | Markup] = ()
    verdict: str = ""


@dataclass(frozen=True)
class Chapter:
    """A part of the page with a place in its table of contents."""

    anchor: str
    title: str
    parts: Sequence[Plot | Table | Text] = ()
    tiles: Sequence[Tile] = field(default_factory=tuple)


def headings(*columns: str) -> list[tuple[str, str]]:
    """Heading and class of each column of a :class:`Table`, from ``"heading|class"``."""
    return [(heading, css) for heading, _, css in (column.partition("|") for column in columns)]


def code(text: Any) -> Markup:
    """A name or a command, as such."""
    return Markup("<code>{}</code>").format(text)


def number(value: float, digits: int = 4, trim: bool = False) -> str:
    """Write a number for readers, to a number of significant digits; a dash if it is not finite.

    Parameters
    ----------
    value : the number.
    digits : how many.
    trim : whether to leave out zeros at the end of the decimals.

    Examples
    --------
    >>> number(123.456), number(-2.5e-05, 2), number(0.0), number(0.5, trim=True)
    ('123.5', '−2.5×10⁻⁵', '0', '0.5')
    """
    if not math.isfinite(value):
        return ABSENT
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if -4 < exponent < 6:
        return _trimmed(f"{value:.{max(digits - 1 - exponent, 0)}f}", trim).replace("-", MINUS)
    mantissa = _trimmed(f"{value / 10**exponent:.{digits - 1}f}", trim).replace("-", MINUS)
    return f"{mantissa}\N{MULTIPLICATION SIGN}10{str(exponent).translate(SUPERSCRIPT)}"


def _trimmed(text: str, trim: bool) -> str:
    return text.rstrip("0").rstrip(".") if trim and "." in text else text


def exactly(value: float, digits: int = 4, trim: bool = False, factor: float = 1.0) -> Markup:
    """Write a number times a factor rounded, with its exact value for machines and under the mouse.

    Examples
    --------
    >>> str(exactly(123.456, 3))
    '<data value="123.456" title="123.456">123</data>'
    """
    if not math.isfinite(value):
        return Markup(ABSENT)
    shown = number(value * factor, digits, trim)
    return Markup('<data value="{0}" title="{0}">{1}</data>').format(repr(float(value)), shown)


def bounded(value: float, bound: str, digits: int = 4) -> Markup:
    """A value of a verification, with the sign of its bound before it.

    Examples
    --------
    >>> bounded(20.0, ">").startswith("&gt;")
    True
    """
    if not math.isfinite(value):
        return Markup(ABSENT)
    sign = f"{bound}\N{NO-BREAK SPACE}" if bound in (">", "<") else ""
    return Markup("{}{}").format(sign, exactly(value, digits, trim=True))


def span(low: float, high: float, digits: int = 4, trim: bool = True) -> str:
    """Write a range; a side that is open is left out.

    Examples
    --------
    >>> span(1.0, 2.5), span(float("nan"), 0.0)
    ('1 … 2.5', '≤ 0')
    """
    if math.isnan(low) and math.isnan(high):
        return ABSENT
    if math.isnan(low):
        return f"≤ {number(high, digits, trim)}"
    if math.isnan(high):
        return f"≥ {number(low, digits, trim)}"
    if low == high:
        return number(low, digits, trim)
    return f"{number(low, digits, trim)} … {number(high, digits, trim)}"


def moment(text: Any) -> str:
    """Write a time of ISO 8601 for readers.

    Examples
    --------
    >>> moment("2026-11-23T09:19:24+00:00")
    '2026-11-23 09:19 UTC'
    """
    from datetime import UTC, datetime

    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return str(text)


def with_units(text: str, units: str) -> str:
    r"""A number and its units, which no line break parts.

    Examples
    --------
    >>> with_units("3", "m s-1")
    '3\xa0m s⁻¹'
    """
    return f"{text}\N{NO-BREAK SPACE}{pretty_units(units)}".strip()


def badge(verdict: str) -> Markup:
    """A verdict as text and colour, told apart without colour vision too.

    Examples
    --------
    >>> str(badge("PASS"))
    '<span class="verdict pass">PASS</span>'
    """
    if verdict not in ("PASS", "WARN", "FAIL"):
        return Markup('<span class="verdict none">{}</span>').format(ABSENT)
    return Markup('<span class="verdict {}">{}</span>').format(verdict.lower(), verdict)


def gauge(values: Sequence[float], low: float, high: float, log: bool = False) -> Markup:
    """Draw as SVG where values lie about a range, a band: values are dots, arrows beyond the scale; nothing without a range.

    Parameters
    ----------
    values : to mark.
    low, high : of the range; a NaN leaves that side open.
    log : whether the scale is logarithmic.

    Examples
    --------
    >>> gauge([0.5], float("nan"), float("nan"))
    Markup('')
    """
    if not (math.isfinite(low) and math.isfinite(high) and high > low):
        return Markup("")
    width, left, band = 104.0, 18.0, 68.0

    def place(value: float) -> float:
        share = (value - low) / (high - low)
        if log and value > 0 and low > 0:
            share = math.log(value / low) / math.log(high / low)
        return min(max(left + band * share, 4.0), width - 4.0)

    dots = Markup("").join(
        Markup('<circle cx="{:.1f}" cy="7" r="3"/>').format(place(v)) for v in values if math.isfinite(v)
    )
    text = f"{', '.join(f'{v:.6g}' for v in values)} in {low:.6g} to {high:.6g}"
    return Markup(
        '<svg class="gauge" viewBox="0 0 {0:g} 14" role="img" aria-label="{1}"><rect x="{2:g}" y="4" width="{3:g}" height="6"/>{4}</svg>'
    ).format(width, text, left, band, dots)


def render(title: str, lead: Sequence[tuple[str, str]], sections: Sequence[Chapter], footer: str) -> str:
    """Lay out a page: HTML that needs nothing from outside.

    Parameters
    ----------
    title : of the page.
    lead : pairs of name and value under the title.
    sections : in order; those without content are left out.
    footer : last line.

    Examples
    --------
    >>> "<h1>states</h1>" in render("states", [], [], "")
    True
    """
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["units"] = pretty_units
    environment.filters["badge"] = badge
    source = importlib.resources.files("warmstart.page").joinpath("template.html").read_text(encoding="utf-8")
    shown = [section for section in sections if section.parts or section.tiles]
    return environment.from_string(source).render(title=title, lead=lead, sections=shown, footer=footer)
