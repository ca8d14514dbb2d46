"""A table of named things that shows itself as one: in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Generic, TypeVar

T = TypeVar("T")
WIDTH = 110  #: of a line in a terminal [characters]


class Listing(dict[str, T], Generic[T]):
    """Things by their name; shown as one line each.

    Parameters
    ----------
    rows : the things, each with a ``name``.
    columns : names of the attributes that are shown.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> Listing([SimpleNamespace(name="bottom_drag", units="s-1", default=1e-6)], ("units", "default"))
    name         units  default
    bottom_drag  s-1    1e-06
    """

    def __init__(self, rows: Iterable[T], columns: tuple[str, ...]) -> None:
        super().__init__({r.name: r for r in rows})  # type: ignore[attr-defined]
        self.columns = columns

    def __repr__(self) -> str:
        lines = self._cells()
        wide = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        shown = ("  ".join(c.ljust(w) for c, w in zip(line, wide, strict=True)).rstrip() for line in lines)
        return "\n".join(s if len(s) <= WIDTH else f"{s[: WIDTH - 1]}…" for s in shown)

    def _repr_html_(self) -> str:
        head, *body = ("".join(f"<td>{escape(c)}</td>" for c in line) for line in self._cells())
        rows = "".join(f"<tr>{line}</tr>" for line in body)
        return f"<table><thead><tr>{head.replace('td>', 'th>')}</tr></thead><tbody>{rows}</tbody></table>"

    def _cells(self) -> list[list[str]]:
        """The heads, then a row each, as text."""
        named = ("name", *self.columns)
        return [list(named), *([_text(getattr(row, c)) for c in named] for row in self.values())]


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return " … ".join(map(_text, value)) if isinstance(value, tuple) else str(value)
