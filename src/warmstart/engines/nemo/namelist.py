"""Fortran namelists as NEMO reads them: the first group of a name, its last value of an entry; and copies with entries set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warmstart.errors import UserError
from warmstart.io import outputs

CFG, REF = "namelist_cfg", "namelist_ref"
#: Groups that NEMO looks for in ``namelist_cfg`` alone.
CFG_ONLY = ("namusr_def",)
#: A namelist of a modeller is some tens of kilobytes.
LARGEST = 16 * 2**20
#: Values of one entry.
MOST = 10_000

_SKIPPED = re.compile(r"(?:[\s,;]+|![^\n]*)+")
_OUTSIDE = re.compile(r"![^\n]*|[&$](?P<name>[A-Za-z]\w*)")
_ENTRY = re.compile(r"(?P<name>[A-Za-z_]\w*(?:\([^()\n]*\)|%\w+)*)\s*=")
_END = re.compile(r"/|[&$](?:end\b)?", re.IGNORECASE)
_STRING = re.compile(r"'(?:[^'\n]|'')*'|\"(?:[^\"\n]|\"\")*\"")
_REPEAT = re.compile(r"(?P<count>\d{1,6})\*")
_ATOM = re.compile(r"\([^()\n]*\)|[^\s,;!/&$'\"=*()]+")
_INTEGER = re.compile(r"[+-]?\d{1,18}$")
_REAL = re.compile(
    r"(?P<mantissa>[+-]?(?:\d+\.?\d*|\.\d+))(?:[EeDdQq]?(?P<exponent>[+-]\d+)|[EeDdQq](?P<plain>\d+))?$"
)
_SPECIAL = re.compile(r"(?P<sign>[+-]?)(?P<word>inf|infinity|nan(?:\([^()]*\))?)$", re.IGNORECASE)
_LOGICAL = re.compile(r"\.?(?P<letter>[tf])[a-z]*\.?$", re.IGNORECASE)


@dataclass
class _Entry:
    """The values of one entry, and where they stand in the text."""

    values: list[Any]
    begin: int
    end: int


@dataclass
class _Group:
    """One group: entries in the order of the text, and where its terminator stands."""

    begin: int
    end: int = 0
    entries: list[tuple[str, _Entry]] = field(default_factory=list)


def read_namelist(namelist: str | Path) -> dict[str, dict[str, Any]]:
    """Read a Fortran namelist: groups of entries, names in lower case.

    Of several groups of one name the first counts, of several values of one entry in a group the last, as in NEMO. An entry
    without a value (``rn_x = ,``) is left out: Fortran leaves the variable as it is.

    Parameters
    ----------
    namelist : the file.

    Returns
    -------
    Group to entry to value: number, text, logical, or a list of them.

    Raises
    ------
    UserError
        If there is no such file, it is no namelist, or NEMO could not read it either; with the line.

    Examples
    --------
    >>> read_namelist("namelist_cfg")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: namelist namelist_cfg does not exist; give the namelist_cfg of the run
    """
    found: dict[str, dict[str, Any]] = {}
    for name, group in _parse(_text(Path(namelist)), namelist).items():
        held = ((entry, e.values) for entry, e in group.entries if e.values)
        found[name] = {entry: values[0] if len(values) == 1 else values for entry, values in held}
    return found


def read(cfg: str | Path) -> dict[str, dict[str, Any]]:
    """Read a configuration's namelist over the reference namelist.

    Parameters
    ----------
    cfg : ``namelist_cfg``, or the folder of a run; ``namelist_ref`` is taken where it lies beside it.

    Returns
    -------
    Entries by group, names in lower case; those of `cfg` go first. ``&namusr_def`` is that of `cfg` alone.

    Raises
    ------
    UserError
        As :func:`read_namelist`.
    """
    cfg = Path(cfg) / CFG if Path(cfg).is_dir() else Path(cfg)
    ref = cfg.parent / REF
    groups = read_namelist(ref) if cfg.name != REF and ref.is_file() else {}
    groups = {name: entries for name, entries in groups.items() if name not in CFG_ONLY}
    for name, entries in read_namelist(cfg).items():
        groups[name] = groups.get(name, {}) | entries
    return groups


def patch_namelist(namelist: str | Path, target: str | Path, wanted: Mapping[str, Mapping[str, Any]]) -> None:
    """Copy a namelist and set entries in it; comments and everything else stay, byte for byte.

    Parameters
    ----------
    namelist : the user's ``namelist_cfg``.
    target : the copy to write; it must not exist.
    wanted : group to entry to value: numbers, text, logicals. An entry that the group lacks is added at its end, a group that
        the file lacks at the end of the file.

    Raises
    ------
    UserError
        As :func:`read_namelist`.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "namelist_cfg").write_text("&namrun nn_no = 1 / ! mine")
    >>> patch_namelist(folder / "namelist_cfg", folder / "copy", {"namrun": {"nn_no": 2}})
    >>> (folder / "copy").read_text()
    '&namrun nn_no = 2 / ! mine'
    """
    outputs.require_free(target, inputs=[namelist], folder=False)
    text = _text(Path(namelist))
    groups = _parse(text, namelist)
    changes: list[tuple[int, int, str]] = []
    for name, entries in wanted.items():
        if name.lower() not in groups:
            lines = "".join(f"   {n} = {fortran(v)}\n" for n, v in entries.items())
            changes.append((len(text), len(text), f"\n&{name}\n{lines}/\n"))
            continue
        group = groups[name.lower()]
        held, new = dict(group.entries), ""
        for entry, value in entries.items():
            if entry.lower() in held:
                old = held[entry.lower()]
                changes.append((old.begin, old.end, " " * (old.begin == old.end) + fortran(value)))
            else:
                new += f"   {entry} = {fortran(value)}\n"
        if new:
            alone = not text[: group.end].rpartition("\n")[2].strip()
            changes.append((group.end, group.end, new if alone else f"\n{new}"))
    for begin, end, new in sorted(changes, key=lambda c: c[:2], reverse=True):
        text = text[:begin] + new + text[end:]
    Path(target).write_bytes(text.encode("utf-8", "surrogateescape"))


def fortran(value: Any) -> str:
    """Write a value as Fortran reads it.

    Parameters
    ----------
    value : number, text, logical, or a list of them.

    Examples
    --------
    >>> fortran(True), fortran(2e-5), fortran([1, 2])
    ('.true.', '2e-05', '1, 2')
    """
    if isinstance(value, list | tuple):
        return ", ".join(fortran(one) for one in value)
    if isinstance(value, bool):
        return ".true." if value else ".false."
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    return repr(float(value)) if isinstance(value, float) else str(value)


def _text(path: Path) -> str:
    if not path.is_file():
        raise UserError(f"namelist {path} does not exist; give the namelist_cfg of the run")
    if path.stat().st_size > LARGEST:
        raise UserError(
            f"{path} has {path.stat().st_size} bytes, too many for a namelist; give the namelist_cfg of the run"
        )
    return path.read_bytes().decode("utf-8", "surrogateescape")


def _parse(text: str, path: str | Path) -> dict[str, _Group]:
    """The first group of each name."""
    groups: dict[str, _Group] = {}
    position = 0
    while match := _OUTSIDE.search(text, position):
        position = match.end()
        if match["name"] is None:
            continue
        group = _Group(position)
        position = _group(text, group, match["name"], path)
        groups.setdefault(match["name"].lower(), group)
    if not groups:
        raise UserError(f"{path} is no namelist: it has no &group; give the namelist_cfg of the run")
    return groups


def _group(text: str, group: _Group, name: str, path: str | Path) -> int:
    """Read the entries of a group up to its terminator; where to go on."""
    position = _skip(text, group.begin)
    while position < len(text):
        if end := _END.match(text, position):
            if end[0] in "&$":
                break
            group.end = position
            return end.end()
        entry = _ENTRY.match(text, position)
        if entry is None:
            raise _error(
                path, text, position, f"expected an entry 'name = value' or the '/' that ends &{name}"
            )
        held = _Entry([], entry.end(), entry.end())
        position = _read_values(text, held, path)
        group.entries.append((re.sub(r"\s", "", entry["name"]).lower(), held))
    raise _error(path, text, group.begin, f"&{name} is not ended by '/'; NEMO could not read it")


def _read_values(text: str, held: _Entry, path: str | Path) -> int:
    """Values up to the next entry or the end of the group."""
    position = _skip(text, held.begin)
    first = True
    while position < len(text) and not _END.match(text, position) and not _ENTRY.match(text, position):
        begin, count = position, 1
        if repeat := _REPEAT.match(text, position):
            count, position = int(repeat["count"]), repeat.end()
        if string := _STRING.match(text, position):
            quote = string[0][0]
            value: Any = string[0][1:-1].replace(2 * quote, quote)
            position = string.end()
        elif atom := _ATOM.match(text, position):
            value, position = _scalar(atom[0]), atom.end()
        elif repeat is not None:
            value = None  # so many values that stay as they are
        else:
            opened = text[position] in "'\""
            what = "a quote that is not closed" if opened else f"{text[position]!r} is no value"
            raise _error(path, text, position, f"{what}; correct it")
        if len(held.values) + count > MOST:
            raise _error(path, text, begin, f"more than {MOST} values of one entry; correct it")
        if value is not None:
            held.values += [value] * count
        held.begin, held.end, first = begin if first else held.begin, position, False
        position = _skip(text, position)
    return position


def _skip(text: str, position: int) -> int:
    """Past blanks, separators and comments."""
    match = _SKIPPED.match(text, position)
    return match.end() if match else position


def _scalar(atom: str) -> Any:
    """A number, a logical, or the text as it is."""
    if _INTEGER.match(atom):
        return int(atom)
    if real := _REAL.match(atom):
        return float(f"{real['mantissa']}e{real['exponent'] or real['plain'] or 0}")
    if special := _SPECIAL.match(atom):
        return float(special["sign"] + special["word"][:3])
    if logical := _LOGICAL.match(atom):
        return logical["letter"].lower() == "t"
    return atom


def _error(path: str | Path, text: str, position: int, what: str) -> UserError:
    line = text.count("\n", 0, position) + 1
    return UserError(f"{path} cannot be read as a namelist, line {line}: {what}")


def number(groups: Mapping[str, Mapping[str, Any]], group: str, *names: str) -> float | None:
    """A number that a namelist holds, by any of its names.

    Parameters
    ----------
    groups : from :func:`read`.
    group : name of the group.
    names : of the entry, newest first: older versions call it otherwise.

    Returns
    -------
    Its value; None if the entry is not there.

    Raises
    ------
    UserError
        If it is no finite number.

    Examples
    --------
    >>> number({"namdom": {"rn_rdt": 5400.0}}, "namdom", "rn_Dt", "rn_rdt")
    5400.0
    """
    for name in names:
        value = groups.get(group, {}).get(name.lower())
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
            raise UserError(f"&{group} {name} = {value!r}: expected a finite number")
        return float(value)
    return None
