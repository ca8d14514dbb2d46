"""What the command line prints: lines and tables."""

from __future__ import annotations

from typing import Any

import typer


def say(message: str) -> None:
    """Print a line."""
    typer.echo(message)


def print_table(table: Any, title: str, parameters: str = "none") -> None:
    """Print a table with rich: numbers to four digits, right-aligned; of the parameters none or the varied ones."""
    from rich.console import Console
    from rich.table import Table

    from warmstart.parameters import PARAMETERS

    view = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    frame = table.reset_index() if table.index.name else table
    varied = [n for n in PARAMETERS if parameters == "varied" and n in frame and frame[n].nunique() > 1]
    frame = frame.drop(columns=[n for n in frame if n in PARAMETERS and n not in varied])
    for column in frame.columns:
        numeric = frame[column].dtype.kind in "if"
        view.add_column(str(column), justify="right" if numeric else "left", overflow="fold")
    for row in frame.itertuples(index=False):
        view.add_row(*(_cell(value) for value in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(view)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return str(value)
