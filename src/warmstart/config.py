"""Configurations: frozen models, read from YAML, overridden with ``--set a.b=c``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from warmstart.errors import UserError


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


ConfigT = TypeVar("ConfigT", bound=Config)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Parameters
    ----------
    path : the file.

    Returns
    -------
    Its content.

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
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a YAML file")
    if not path.is_file():
        raise UserError(f"{path} does not exist; give an existing YAML file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no 'key: value' lines; expected a YAML mapping")
    return content


def build(model: type[ConfigT], content: dict[str, Any], where: str, sets: Iterable[str] = ()) -> ConfigT:
    """Validate a mapping into a configuration.

    Parameters
    ----------
    model : the configuration class.
    content : its values.
    where : name of the source, for messages.
    sets : overrides ``"a.b=c"``; the value is read as YAML.

    Returns
    -------
    The configuration.

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
    for item in sets:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise UserError(f"--set {item}: expected key=value, for example --set train.steps=100")
        try:
            content = _with(content, key.strip().split("."), yaml.safe_load(value))
        except yaml.YAMLError as error:
            raise UserError(
                f"--set {item}: {value!r} is no value; for example --set train.steps=100"
            ) from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_line(e["loc"], e["msg"], e["input"]) for e in error.errors()]
        known = ", ".join(model.model_fields)
        raise UserError(f"{where}: " + "; ".join(lines) + f". Known keys: {known}") from error


def _line(keys: tuple[int | str, ...], message: str, value: Any) -> str:
    """One thing that is wrong; what concerns several keys names them itself, and is not followed by all that was given."""
    message = message.removeprefix("Value error, ")
    return f"{'.'.join(map(str, keys))}: {message} (got {value!r})" if keys else message


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


def dump_yaml(config: Config | dict[str, Any], path: str | Path) -> None:
    """Write a configuration or mapping as YAML, keys in order.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.yaml"
    >>> dump_yaml({"a": 1}, path)
    >>> read_yaml(path)
    {'a': 1}
    """
    content = config.model_dump(mode="json") if isinstance(config, BaseModel) else config
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    temporary.replace(path)


def _with(content: dict[str, Any], keys: list[str], value: Any) -> dict[str, Any]:
    """A copy of a nested mapping with one value replaced."""
    head, *rest = keys
    if not rest:
        return {**content, head: value}
    inner = content.get(head, {})
    return {**content, head: _with(inner if isinstance(inner, dict) else {}, rest, value)}
