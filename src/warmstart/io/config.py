"""Configurations: frozen models, read from YAML, overridden with ``--set a.b=c``."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from warmstart.errors import DAMAGE, UserError, reason, require_path, shortened
from warmstart.io import outputs

#: What a configuration may be: size [bytes], depth, values (those that aliases repeat counted each time), length of a text.
SIZE, DEPTH, VALUES, TEXT = 4 * 2**20, 50, 500_000, 100_000
#: The fast loader where PyYAML has it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Config(BaseModel):
    """Base of all configurations: immutable, and a misspelt key is an error.

    Examples
    --------
    >>> class Wind(Config):
    ...     speed: float
    >>> Wind(speed=3).speed
    3.0
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


ConfigT = TypeVar("ConfigT", bound=BaseModel)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises
    ------
    UserError
        If the file is missing, is a folder or no YAML, or holds no mapping.

    Examples
    --------
    >>> read_yaml("no-such-file.yaml")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-file.yaml does not exist; give an existing YAML file
    """
    path = require_path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a YAML file")
    if not path.is_file():
        raise UserError(f"{path} does not exist; give an existing YAML file")
    if path.stat().st_size > SIZE:
        raise UserError(
            f"{path} has {path.stat().st_size / 2**20:.1f} MiB; expected a YAML file of at most {SIZE / 2**20:g} MiB"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path} is not valid YAML: {reason(error)}; expected text in UTF-8") from error
    content = parse_yaml(text, str(path))
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no 'key: value' lines; expected a YAML mapping")
    return content


def parse_yaml(text: str, where: str) -> Any:
    """Read YAML that somebody wrote or damaged: no objects, no bombs, no numbers that nothing can hold.

    Parameters
    ----------
    text : the YAML.
    where : its source, for messages.

    Returns
    -------
    Its content: mappings, lists, text, numbers, dates.

    Raises
    ------
    UserError
        If it is no YAML, nested too deeply, too long, or holds a number beyond 64 bits or a NUL character.

    Examples
    --------
    >>> parse_yaml("[" * 5000, "here")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: here is not valid YAML: nested deeper than 50; expected a short mapping
    """
    if len(text) > SIZE:
        raise UserError(f"{where} is not valid YAML: {len(text)} characters; expected at most {SIZE}")
    try:
        _require_small(text)
        content = yaml.load(text, Loader=_LOADER)
        return _plain(content)
    except (yaml.YAMLError, *DAMAGE) as error:
        raise UserError(f"{where} is not valid YAML: {reason(error)}; expected a short mapping") from error


def _require_small(text: str) -> None:
    """Look at the structure before anything is built: depth, and the number of values with those that aliases repeat."""
    sizes: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, total))
            if len(open_) > DEPTH:
                raise ValueError(f"nested deeper than {DEPTH}")
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in (anchor for anchor, _ in open_):
                raise ValueError(f"*{event.anchor} holds itself")
            total += sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
        if total > VALUES:
            raise ValueError(f"more than {VALUES} values")


def _plain(content: Any) -> Any:
    """The content, refused where no configuration holds such a value."""
    if isinstance(content, dict):
        return {_plain(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_plain(value) for value in content]
    if isinstance(content, int) and not -(2**63) <= content < 2**63:
        raise ValueError(f"the number {shortened(hex(content), 40)} is too large")
    if isinstance(content, str) and ("\0" in content or len(content) > TEXT):
        raise ValueError(
            "a text holds a NUL character" if "\0" in content else f"a text of {len(content)} characters"
        )
    return content


def build(model: type[ConfigT], content: dict[str, Any], where: str, sets: Iterable[str] = ()) -> ConfigT:
    """Validate a mapping into a configuration.

    Parameters
    ----------
    model : the configuration class.
    content : its values.
    where : name of the source, for messages.
    sets : overrides ``"a.b=c"``; the value is read as YAML.

    Raises
    ------
    UserError
        With the path of every wrong key and what was expected there.

    Examples
    --------
    >>> class Wind(Config):
    ...     speed: float
    >>> build(Wind, {"speed": 3}, "here", ["speed=4"]).speed
    4.0
    """
    for key, value in pairs(sets, "--set", "train.steps=100").items():
        content = _with(content, key.split("."), value)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_line(e["loc"], e["msg"], e["input"]) for e in error.errors()]
        more = f"; and {len(lines) - 10} more" if len(lines) > 10 else ""
        known = ", ".join(model.model_fields)
        raise UserError(f"{where}: " + "; ".join(lines[:10]) + f"{more}. Known keys: {known}") from error
    except (OverflowError, RecursionError) as error:
        raise UserError(
            f"{where}: a value is too large ({reason(error)}); expected numbers of 64 bits"
        ) from error


def _line(keys: tuple[int | str, ...], message: str, value: Any) -> str:
    """One thing that is wrong; what concerns several keys names them itself, and is not followed by all that was given."""
    message = message.removeprefix("Value error, ")
    if not keys:
        return message
    named = shortened(".".join(map(str, keys)), 100)
    return f"{named}: {shortened(message, 300)} (got {shortened(reprlib.repr(value), 80)})"


def load_yaml(path: str | Path, model: type[ConfigT], sets: Iterable[str] = ()) -> ConfigT:
    """Read a configuration from YAML; as :func:`read_yaml`, then :func:`build`.

    Examples
    --------
    >>> load_yaml("no-such-file.yaml", Config)
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-file.yaml does not exist; give an existing YAML file
    """
    return build(model, read_yaml(path), str(path), sets)


def dump_yaml(
    config: BaseModel | dict[str, Any],
    path: str | Path,
    inputs: Iterable[Any] = (),
    former: BaseModel | dict[str, Any] | None = None,
) -> None:
    """Write a configuration or mapping as YAML, keys in order, with the mark of the product.

    Parameters
    ----------
    config : what to write.
    path : the file; replaced if it bears the mark.
    inputs : as of :func:`warmstart.io.outputs.require_free`.
    former : what the file holds, where the caller has read it: a file that is exactly its YAML may be replaced too.

    Raises
    ------
    UserError
        As :func:`warmstart.io.outputs.require_free`.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.yaml"
    >>> dump_yaml({"a": 1}, path)
    >>> read_yaml(path)
    {'a': 1}
    """
    text = _text(config)
    outputs.require_free(path, True, inputs, folder=False, ours=True)
    # what older versions wrote bears no mark, but nobody writes by hand what they wrote
    ours = Path(path).is_file() and Path(path).read_bytes() == _text(former or config).encode()
    with outputs.replacing(path, overwrite=True, inputs=inputs, folder=False, ours=ours) as temporary:
        temporary.write_text(f"{outputs.mark()}\n{text}", encoding="utf-8")


def _text(config: BaseModel | dict[str, Any]) -> str:
    content = config.model_dump(mode="json") if isinstance(config, BaseModel) else config
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _with(content: dict[str, Any], keys: list[str], value: Any) -> dict[str, Any]:
    """A copy of a nested mapping with one value replaced."""
    head, *rest = keys
    if not rest:
        return {**content, head: value}
    inner = content.get(head, {})
    return {**content, head: _with(inner if isinstance(inner, dict) else {}, rest, value)}


def pairs(items: Iterable[str] | None, option: str, example: str) -> dict[str, Any]:
    """Values of a repeated option ``KEY=VALUE``; read as YAML.

    Parameters
    ----------
    items : what was given.
    option, example : of the message.

    Raises
    ------
    UserError
        If an item has no ``=`` or no value.

    Examples
    --------
    >>> pairs(["steps=16"], "--sampling", "steps=32")
    {'steps': 16}
    """
    found = {}
    for item in items or []:
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            raise UserError(f"{option} {item}: expected KEY=VALUE, for example {option} {example}")
        said = f"{option} {item}"
        try:
            found[name.strip()] = parse_yaml(value, said)
        except UserError as error:
            raise UserError(
                f"{shortened(said, 200)}: {shortened(value, 100)!r} is no value; for example {option} {example}"
            ) from error
    return found


def numbers(
    items: Iterable[str] | None, option: str, counts: tuple[int, ...]
) -> dict[str, tuple[float, ...]]:
    """Values of a repeated option ``NAME=number,number,…``.

    Parameters
    ----------
    items : what was given.
    option : of the message.
    counts : how many numbers there may be.

    Raises
    ------
    UserError
        If an item has no name, something is no number, or there are fewer or more.

    Examples
    --------
    >>> numbers(["drake=-68,-55,-65,-65"], "--section", (4,))
    {'drake': (-68.0, -55.0, -65.0, -65.0)}
    """
    found: dict[str, tuple[float, ...]] = {}
    wanted = " or ".join(map(str, counts))
    for item in items or []:
        name, _, value = item.partition("=")
        try:
            read = tuple(float(part) for part in value.split(","))
        except ValueError:
            read = ()
        if not name.strip().isidentifier() or len(read) not in counts or any(v != v for v in read):
            raise UserError(
                f"{option} {item[:80]}: expected NAME= and {wanted} numbers with commas between them"
            )
        found[name.strip()] = read
    return found
