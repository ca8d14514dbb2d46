"""Members that a plan lists one by one, in YAML or in a CSV table: their parameters, and if given a name and a split."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_serializer, model_validator

from warmstart import engines
from warmstart.errors import UserError, reason, require_path
from warmstart.io.config import Config
from warmstart.ocean import parameters as table
from warmstart.ocean.parameters import Parameter

LABELS = ("name", "split")  #: what a member may have beside parameters
MOST = 5000  #: members of a list; the resolved plan holds them all
LONGEST_NAME = 100  #: characters of a name
SAME = 1e-6  #: two values of a parameter are the same if they differ by less than this share of its range
DELIMITERS = ",;\t"  #: of columns
_HEADING = re.compile(r"^\s*([^\[\]()]+?)\s*(?:\[([^\[\]]*)\]|\(([^()]*)\))?\s*$")
_NUMBERED = re.compile(r"member_(\d+)")


class Listed(Config):
    """One member of a plan, ``{name: strong wind, split: test, wind_stress_south: 0.3 Pa}``.

    Attributes
    ----------
    name : what it is called in files and tables; its folder is ``member_NNN`` all the same.
    split : ``train``, ``validation`` or ``test``; None leaves it to the member's number.
    values : its parameters, in the units of the table; others have the plan's fixed value or the default.
    engine : whose parameters these are; the plan says it.

    Examples
    --------
    >>> Listed.model_validate({"name": "calm", "wind_stress_south": "50 mPa"}).values
    {'wind_stress_south': 0.05}
    """

    name: str | None = None
    split: Literal["train", "validation", "test"] | None = None
    values: dict[str, float] = Field(default_factory=dict)
    engine: str = Field(default=engines.DEFAULT, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _apart(cls, given: Any) -> Any:
        """Tell labels from parameters."""
        if isinstance(given, Listed):
            return given
        if not isinstance(given, dict):
            raise ValueError("expected a member's parameters, for example {wind_stress_south: 0.3 Pa}")
        labels = {key: given[key] for key in LABELS if given.get(key) is not None}
        engine = given.get("engine", engines.DEFAULT)
        known = engines.find(engine).parameters
        values = {str(key): value for key, value in given.items() if key not in (*LABELS, "engine")}
        parsed = {name: table.parse(value, name, known) for name, value in values.items()}
        return {**labels, "values": parsed, "engine": engine}

    @model_serializer
    def _together(self) -> dict[str, Any]:
        labels = {key: getattr(self, key) for key in LABELS if getattr(self, key) is not None}
        return {**labels, **self.values}

    @field_validator("name", mode="before")
    @classmethod
    def _as_text(cls, name: Any) -> Any:
        if isinstance(name, (int, float)) and not isinstance(name, bool):
            return str(name)
        if not isinstance(name, str):
            raise ValueError("expected text; put the name in quotes")
        name = name.strip()
        if not 0 < len(name) <= LONGEST_NAME:
            raise ValueError(f"expected 1 to {LONGEST_NAME} characters")
        if not name.isprintable() or name.startswith(".") or set(name) & set('/\\:*?"<>|'):
            raise ValueError(
                'expected a name that can be one of a file: no / \\ : * ? " < > |, no line break, no dot at its beginning'
            )
        return name


def same(
    one: dict[str, float], other: dict[str, float], known: Mapping[str, Parameter] | None = None
) -> bool:
    """Tell whether two complete sets of parameters are one, up to a millionth of each range.

    Parameters
    ----------
    one, other : a value for each parameter of the table, in its units.
    known : the table of their engine.

    Examples
    --------
    >>> same(table.defaults(), table.defaults()), same(table.defaults(), table.defaults() | {"bottom_drag": 1.001e-6})
    (True, False)
    """
    return all(
        abs(float(table.get(n, known).coordinate(v)) - float(table.get(n, known).coordinate(other[n]))) < SAME
        for n, v in one.items()
    )


def require_distinct(members: Sequence[Listed], values: Sequence[dict[str, float]]) -> None:
    """Refuse two members of one name, of the name of another's folder, or of one set of parameters.

    Raises
    ------
    UserError
        Naming both.

    Examples
    --------
    >>> require_distinct([Listed(name="a"), Listed(name="A")], [table.defaults()] * 2)
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: parameters: members 0 and 1 are both called 'A'; give each a name of its own
    """
    names: dict[str, int] = {}
    for i, member in enumerate(members):
        if member.name is None:
            continue
        number = _NUMBERED.fullmatch(member.name)
        if number and int(number[1]) != i:
            raise UserError(
                f"parameters: member {i} is called '{member.name}', the folder of another; choose another name"
            )
        first = names.setdefault(member.name.casefold(), i)
        if first != i:
            raise UserError(
                f"parameters: members {first} and {i} are both called '{member.name}'; give each a name of its own"
            )
    seen: dict[tuple[float, ...], int] = {}
    for j, own in enumerate(values):
        i = seen.setdefault(_rounded(own, engines.find(members[j].engine).parameters), j)
        if i != j:
            raise UserError(
                f"parameters: members {called(i, members)} and {called(j, members)} have the same values of all "
                "parameters; remove one of them"
            )


def _rounded(values: dict[str, float], known: Mapping[str, Parameter]) -> tuple[float, ...]:
    """Where a set lies in the ranges of the table, to a millionth: equal for values that differ by round-off only."""
    return tuple(round(float(table.get(n, known).coordinate(v)), 6) + 0.0 for n, v in values.items())


def called(number: int, members: Sequence[Listed]) -> str:
    """Number of a member, with its name if it has one.

    Examples
    --------
    >>> called(0, [Listed(name="calm")])
    "0 ('calm')"
    """
    name = members[number].name
    return f"{number}" if name is None else f"{number} ('{name}')"


def changes(former: Sequence[Listed], new: Sequence[Listed]) -> list[str]:
    """Say which members of a list are others than they were; members beyond the shorter list are none of them.

    Examples
    --------
    >>> before, after = (Listed.model_validate({"bottom_drag": drag}) for drag in (1e-6, 2e-6))
    >>> changes([before], [after, Listed()])
    ['member 0 (bottom_drag 1e-06 there, 2e-06 asked for)']
    """
    found = []
    for i, pair in enumerate(zip(former, new, strict=False)):
        before, after = (member.model_dump() for member in pair)
        what = "; ".join(
            f"{key} {before.get(key, 'not given')} there, {after.get(key, 'not given')} asked for"
            for key in {**before, **after}
            if before.get(key) != after.get(key)
        )
        if what:
            found.append(f"member {called(i, former)} ({what})")
    return found


def read_table(path: str | Path, known: Mapping[str, Parameter] | None = None) -> list[dict[str, Any]]:
    r"""Read the members of a plan from a CSV table.

    A column a parameter, its unit in the heading, ``wind_stress_south [Pa]``, or in a row of units below it, or with each
    value; columns ``name`` and ``split`` if wanted. An empty cell takes the plan's fixed value or the default.

    Parameters
    ----------
    path : the table: columns separated by commas, semicolons or tabs, UTF-8.
    known : the parameters of the engine; None takes the parameters table.

    Returns
    -------
    What the plan may give as a list: one mapping a member, in the units of the parameters table.

    Raises
    ------
    UserError
        Naming the line and the column.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "members.csv"
    >>> _ = path.write_text("name,wind_stress_south [mPa]\ncalm,50\n")
    >>> read_table(path)
    [{'name': 'calm', 'wind_stress_south': 0.05}]
    """
    rows = _rows(Path(path))
    if not rows:
        raise UserError(f"{path} is empty; expected a heading of parameter names, and a row a member")
    columns = _columns(rows[0][1], path, known)
    rows = rows[1:]
    if rows and _gives_units(rows[0][1], columns, known):
        units = rows[0][1]
        columns = [(name, unit or units[i].strip(" []()")) for i, (name, unit) in enumerate(columns)]
        rows = rows[1:]
    if not rows:
        raise UserError(f"{path} lists no member; expected a row a member below the heading")
    if len(rows) > MOST:
        raise UserError(f"{path} lists {len(rows)} members; expected at most {MOST}")
    return [_member(cells, columns, f"{path}, line {line}", known) for line, cells in rows]


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Number and cells of each line that holds anything; as many cells as the heading has."""
    require_path(path)
    if path.is_dir():
        raise UserError(f"parameters: {path} is a folder; expected a CSV table of members")
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            heading = text.readline()
            text.seek(0)
            delimiter = max(DELIMITERS, key=heading.count)
            reader = csv.reader(text, delimiter=delimiter, strict=True, skipinitialspace=True)
            rows = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except FileNotFoundError:
        raise UserError(f"parameters: {path} does not exist; expected a CSV table of members") from None
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise UserError(f"parameters: {path} is no CSV table: {reason(error)}") from error
    for line, cells in rows:
        if len(cells) != len(rows[0][1]):
            raise UserError(
                f"{path}, line {line}: {len(cells)} cells; expected {len(rows[0][1])}, as in the heading"
            )
    return rows


def _columns(
    heading: Sequence[str], path: str | Path, known: Mapping[str, Parameter] | None
) -> list[tuple[str, str]]:
    """Name and unit of each column."""
    columns: list[tuple[str, str]] = []
    for text in heading:
        match = _HEADING.match(text)
        if match is None:
            raise UserError(f"{path}: heading '{text}'; expected a name with a unit, wind_stress_south [Pa]")
        name = match[1].strip()
        if name not in LABELS:
            try:
                table.get(name, known)
            except UserError as error:
                raise UserError(f"{path}: {error}; other columns: {' and '.join(LABELS)}") from None
        if name in [known for known, _ in columns]:
            raise UserError(f"{path}: two columns {name}; remove one of them")
        columns.append((name, (match[2] or match[3] or "").strip()))
    return columns


def _gives_units(
    cells: Sequence[str], columns: Sequence[tuple[str, str]], known: Mapping[str, Parameter] | None
) -> bool:
    """Tell whether a row holds units: words, and no number but the unit 1 or 1e-3."""
    texts = [
        cell.strip(" []()") for cell, (name, _) in zip(cells, columns, strict=True) if name not in LABELS
    ]
    words = [text for text in texts if text and not re.match(r"[-+.\d]|nan|inf", text, re.IGNORECASE)]
    units = {table.get(name, known).units for name, _ in columns if name not in LABELS}
    return bool(words) and all(text in words or text in units for text in texts if text)


def _member(
    cells: Sequence[str],
    columns: Sequence[tuple[str, str]],
    where: str,
    known: Mapping[str, Parameter] | None,
) -> dict[str, Any]:
    member: dict[str, Any] = {}
    for cell, (name, unit) in zip(cells, columns, strict=True):
        text = cell.strip()
        if not text:
            continue
        if name in LABELS:
            member[name] = text
            continue
        plain = re.fullmatch(r"[-+.\deE]+", text) is not None
        try:
            member[name] = table.parse(f"{text} {unit}" if plain and unit else text, name, known)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
    return member
