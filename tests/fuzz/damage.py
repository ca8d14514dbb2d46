"""What is done to a good file: each function takes its path and changes it in place."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import yaml


def write(path: Path, content: bytes) -> None:
    """Write a file of these bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def repeat(path: Path, begin: str, unit: str, times: int, end: str) -> None:
    """Write a file of one text many times over."""
    write(path, (begin + unit * times + end).encode())


def remove(path: Path) -> None:
    """Take a file or folder away."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def folder(path: Path) -> None:
    """Put an empty folder in its place."""
    remove(path)
    path.mkdir(parents=True)


def link(path: Path, target: str) -> None:
    """Put a symbolic link in its place."""
    remove(path)
    path.symlink_to(target)


def move(path: Path, name: str) -> None:
    """Give a file another name in the same folder."""
    path.rename(path.with_name(name))


def unreadable(path: Path) -> None:
    """Take the right to read; root has it nevertheless."""
    path.chmod(0)


def change(path: Path, places: Sequence[tuple[str, float, Any]]) -> None:
    """Change bytes.

    Parameters
    ----------
    path : the file.
    places : what, where in the file (0 to 1; ``head`` things lie in the first 4096 bytes, ``meta`` ones near a structure of
        HDF5), and how.
    """
    data = bytearray(path.read_bytes())
    for what, where, how in places:
        kind, _, action = what.partition(" ")
        size = len(data)
        if not size:
            return
        at = min(int(where * size), size - 1)
        if kind == "head":
            at = min(int(where * 4096), size - 1)
        elif kind == "meta":
            at = _structure(bytes(data), where, size)
        if action == "flip":
            data[at] ^= 1 << (how % 8)
        elif action == "set":
            data[at : at + len(how)] = how
        elif action == "cut":
            del data[at:]
        elif action == "zero":
            data[at : at + how] = bytes(min(how, size - at))
        elif action == "insert":
            data[at:at] = how
        elif action == "drop":
            del data[at : at + how]
    path.write_bytes(bytes(data))


def _structure(data: bytes, where: float, size: int) -> int:
    """A place within 64 bytes of something that HDF5 or NetCDF reads before values."""
    marks = []
    for mark in (b"TREE", b"OHDR", b"SNOD", b"HEAP", b"GCOL", b"FRHP", b"BTHD", b"units", b"thetao", b"_Netcdf4", b"DIMENSION"):  # fmt: skip
        at = data.find(mark)
        while at >= 0 and len(marks) < 400:
            marks.append(at)
            at = data.find(mark, at + 1)
    if not marks:
        return min(int(where * size), size - 1)
    number, rest = divmod(where * len(marks), 1)
    return min(marks[min(int(number), len(marks) - 1)] + int(rest * 64), size - 1)


def pack(path: Path, share: float) -> None:
    """Gzip a file and cut the end off."""
    packed = gzip.compress(path.read_bytes(), 1)
    path.write_bytes(packed[: int(len(packed) * share)])


def netcdf(path: Path, changes: Sequence[tuple[Any, ...]], form: str = "NETCDF4") -> None:
    """Write a NetCDF file anew with another structure; what NetCDF itself refuses stays as it was."""
    with netCDF4.Dataset(path) as old:
        tree = _tree(old)
    for name, *arguments in changes:
        group = tree
        if arguments and isinstance(arguments[0], str) and arguments[0].startswith("/"):
            group = tree["groups"].get(arguments[0].split("/")[1], tree)
            arguments[0] = arguments[0].split("/")[-1]
        _CHANGES[name](group, *arguments)
    # an empty variable takes no room in netCDF-4, and all of it in the classic formats
    for kind in ["NETCDF4"] if tree["groups"] or "huge" in tree["dims"] else [form, "NETCDF4"]:
        path.unlink(missing_ok=True)
        try:
            with netCDF4.Dataset(path, "w", format=kind) as new:
                _grow(new, tree)
        except RuntimeError:  # too large for a classic file
            continue
        break


def _tree(group: Any) -> dict[str, Any]:
    group.set_auto_maskandscale(False)
    return {
        "dims": {n: None if d.isunlimited() else len(d) for n, d in group.dimensions.items()},
        "attrs": {n: group.getncattr(n) for n in group.ncattrs()},
        "variables": {
            n: [v.dimensions, np.asarray(v[...]), {a: v.getncattr(a) for a in v.ncattrs()}]
            for n, v in group.variables.items()
        },
        "groups": {n: _tree(g) for n, g in group.groups.items()},
    }


def _grow(group: Any, tree: dict[str, Any]) -> None:
    import contextlib

    wrong = (
        RuntimeError,
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        IndexError,
        OverflowError,
        OSError,
    )
    for name, size in tree["dims"].items():
        with contextlib.suppress(*wrong):
            group.createDimension(name, size)
    for name, value in tree["attrs"].items():
        with contextlib.suppress(*wrong):
            group.setncattr(name, value)
    for name, (dims, values, attrs) in tree["variables"].items():
        with contextlib.suppress(*wrong):
            attrs = dict(attrs)
            dtype = str if values.dtype.kind in "OU" else values.dtype
            var = group.createVariable(name, dtype, dims, fill_value=attrs.pop("_FillValue", None))
            var.set_auto_maskandscale(False)
            for key, value in attrs.items():
                with contextlib.suppress(*wrong):
                    var.setncattr(key, value)
            if values.size:
                with contextlib.suppress(*wrong):
                    var[...] = values
    for name, inner in tree["groups"].items():
        _grow(group.createGroup(name), inner)


def zarr(path: Path, changes: Sequence[tuple[Any, ...]]) -> None:
    """Write a zarr store anew with another structure."""
    import zarr as library

    old = library.open_group(path, mode="r")
    content = _branch(old)
    for name, *arguments in changes:
        group = content
        if arguments and isinstance(arguments[0], str) and arguments[0].startswith("/"):
            group = content["groups"].get(arguments[0].split("/")[1], content)
            arguments[0] = arguments[0].split("/")[-1]
        _CHANGES[name](group, *arguments)
    shutil.rmtree(path)
    _plant(library.open_group(path, mode="w"), content)


def _branch(group: Any) -> dict[str, Any]:
    arrays = {n: a for n, a in group.arrays()}
    sizes = {d: s for a in arrays.values() for d, s in zip(a.metadata.dimension_names, a.shape, strict=True)}
    return {
        "dims": sizes,
        "attrs": dict(group.attrs),
        "variables": {
            n: [tuple(a.metadata.dimension_names), np.asarray(a[...]), dict(a.attrs)]
            for n, a in arrays.items()
        },
        "groups": {n: _branch(g) for n, g in group.groups()},
    }


def _plant(group: Any, content: dict[str, Any]) -> None:
    group.attrs.update({n: _plain(v) for n, v in content["attrs"].items()})
    for name, (dims, values, attrs) in content["variables"].items():
        text = values.dtype.kind in "OUT"
        shape = tuple(content["dims"].get(d) or 0 if d in ("huge", "empty") else n
                      for d, n in zip(dims, _sizes(dims, values, content["dims"]), strict=True))  # fmt: skip
        array = group.create_array(name.strip("/").replace("/", "_") or "other", shape=shape, dtype=str if text else values.dtype, chunks=tuple(min(max(n, 1), 1000) for n in shape) or "auto",
                                   dimension_names=list(dims), attributes={n: _plain(v) for n, v in attrs.items()})  # fmt: skip
        if values.size and values.shape == shape:
            array[...] = (
                np.array([str(v) for v in values.ravel().tolist()], object).reshape(shape) if text else values
            )
    for name, inner in content["groups"].items():
        _plant(group.create_group(name), inner)


def _sizes(dims: tuple[str, ...], values: np.ndarray, known: dict[str, Any]) -> tuple[int, ...]:
    return values.shape if values.ndim == len(dims) else tuple(known.get(d) or 0 for d in dims)


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value


def _drop(tree: dict[str, Any], name: str) -> None:
    tree["variables"].pop(name, None)


def _rename(tree: dict[str, Any], name: str, other: str) -> None:
    if name in tree["variables"]:
        tree["variables"][other] = tree["variables"].pop(name)


def _attribute(tree: dict[str, Any], name: str, key: str, value: Any) -> None:
    if name in tree["variables"]:
        tree["variables"][name][2][key] = value


def _lose(tree: dict[str, Any], name: str, key: str) -> None:
    if name in tree["variables"]:
        tree["variables"][name][2].pop(key, None)


def _global(tree: dict[str, Any], key: str, value: Any) -> None:
    tree["attrs"][key] = value


def _retype(tree: dict[str, Any], name: str, dtype: str) -> None:
    if name not in tree["variables"]:
        return
    dims, values, attrs = tree["variables"][name]
    attrs = {k: v for k, v in attrs.items() if k != "_FillValue"}
    with np.errstate(all="ignore"):
        if dtype == "text":
            values = np.full(values.shape, "warm", dtype=object)
        elif dtype == "S1":
            values = np.full(values.shape, b"w", dtype="S1")
        elif values.dtype.kind in "biuf":
            values = np.nan_to_num(values).astype(dtype)
    tree["variables"][name] = [dims, values, attrs]


def _fill(tree: dict[str, Any], name: str, value: Any, share: float) -> None:
    if name not in tree["variables"]:
        return
    values = tree["variables"][name][1].copy()
    if values.dtype.kind in "fiu":
        with np.errstate(all="ignore"):
            values.reshape(-1)[: max(1, int(values.size * share))] = np.float64(value).astype(values.dtype)
    tree["variables"][name][1] = values


def _shape(tree: dict[str, Any], name: str, how: str) -> None:
    """Another number, order or size of dimensions for one variable."""
    if name not in tree["variables"]:
        return
    dims, values, attrs = tree["variables"][name]
    if how == "scalar":
        dims, values = (), values.reshape(-1)[:1].reshape(()) if values.size else np.zeros(())
    elif how == "first":
        dims, values = (
            dims[1:],
            np.asarray(values[0], values.dtype) if values.ndim and values.shape[0] else values,
        )
    elif how == "reverse":
        dims, values = dims[::-1], values.T
    elif how == "more":
        tree["dims"]["more"] = 2
        dims, values = ("more", *dims), np.stack([values, values])
    elif how in ("one", "none", "longer") and values.ndim:
        axis = values.ndim - 1
        size = {"one": 1, "none": 0, "longer": values.shape[axis] + 1}[how]
        tree["dims"][f"{how}_{name}"] = size
        dims = (*dims[:-1], f"{how}_{name}")
        values = np.resize(values, (*values.shape[:-1], size))
    elif how == "huge":
        tree["dims"]["huge"] = 2_000_000_000
        dims, values = ("huge", *dims), np.zeros(0)
    elif how == "unlimited" and values.ndim:
        tree["dims"]["empty"] = None
        dims, values = ("empty", *dims[1:]), np.zeros((0, *values.shape[1:]), values.dtype)
    tree["variables"][name] = [dims, values, attrs]


def _dimension(tree: dict[str, Any], name: str, other: str) -> None:
    """Another name for a dimension."""
    if name not in tree["dims"] or other in tree["dims"]:
        return
    tree["dims"] = {other if n == name else n: s for n, s in tree["dims"].items()}
    for content in tree["variables"].values():
        content[0] = tuple(other if d == name else d for d in content[0])


def _records(tree: dict[str, Any], dim: str, count: int) -> None:
    """Another number of records, of all variables."""
    if dim not in tree["dims"]:
        return
    if tree["dims"][dim] is not None:
        tree["dims"][dim] = count
    for content in tree["variables"].values():
        if dim in content[0]:
            axis = content[0].index(dim)
            keep = np.arange(count) % max(content[1].shape[axis], 1)
            content[1] = np.take(content[1], keep, axis=axis) if content[1].shape[axis] else content[1]


def _new(tree: dict[str, Any], name: str, dims: tuple[str, ...], value: Any) -> None:
    sizes = [tree["dims"].get(d) or 1 for d in dims]
    tree["variables"][name] = [
        dims,
        np.full(sizes, value, dtype=object if isinstance(value, str) else None),
        {},
    ]


def _group(tree: dict[str, Any], name: str) -> None:
    tree["groups"].pop(name, None)


_CHANGES = {
    "drop": _drop, "rename": _rename, "attribute": _attribute, "lose": _lose, "global": _global, "retype": _retype,
    "fill": _fill, "shape": _shape, "dimension": _dimension, "records": _records, "new": _new, "group": _group,
}  # fmt: skip


def text(path: Path, changes: Sequence[tuple[str, int, str]]) -> None:
    """Change lines of a text file: replace, insert, drop, repeat, or replace one word."""
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    for what, number, how in changes:
        at = number % (len(lines) + 1)
        if what == "insert":
            lines.insert(at, how)
        elif not lines:
            continue
        else:
            at %= len(lines)
            if what == "replace":
                lines[at] = how
            elif what == "drop":
                del lines[at]
            elif what == "repeat":
                lines[at:at] = [lines[at]] * 3
            elif what == "join" and at + 1 < len(lines):
                lines[at : at + 2] = [lines[at] + lines[at + 1]]
            elif what == "word":
                words = lines[at].split(" ")
                words[number % len(words)] = how
                lines[at] = " ".join(words)
            elif what == "value":
                head, mark, _ = lines[at].partition("=" if "=" in lines[at] else ":")
                lines[at] = f"{head}{mark} {how}"
            elif what == "cell":
                cells = lines[at].split(",")
                cells[number // 7 % len(cells)] = how
                lines[at] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape")


def tree(path: Path, changes: Sequence[tuple[tuple[int, ...], str, Any]]) -> None:
    """Change a YAML or JSON file by its structure: a place, found by going down the numbers, is set, dropped or renamed."""
    content = path.read_text(encoding="utf-8")
    is_json = path.suffix == ".json"
    data = json.loads(content) if is_json else yaml.safe_load(content)
    for way, what, value in changes:
        data = _changed(data, list(way), what, value)
    if is_json:
        path.write_text(json.dumps(data, default=str), encoding="utf-8")
    else:
        path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _changed(data: Any, way: list[int], what: str, value: Any) -> Any:
    if isinstance(data, dict) and data:
        keys = list(data)
        key = keys[way[0] % len(keys)] if way else keys[0]
        inner = data[key]
        if len(way) > 1 and isinstance(inner, dict | list) and inner:
            return {**data, key: _changed(inner, way[1:], what, value)}
        if what == "drop":
            return {k: v for k, v in data.items() if k != key}
        if what == "rename":
            return {(value if k == key else k): v for k, v in data.items()}
        if what == "add":
            return {**data, "unknown": value}
        return {**data, key: value}
    if isinstance(data, list) and data:
        at = way[0] % len(data) if way else 0
        if len(way) > 1 and isinstance(data[at], dict | list) and data[at]:
            return [*data[:at], _changed(data[at], way[1:], what, value), *data[at + 1 :]]
        return data[:at] + data[at + 1 :] if what == "drop" else [*data[:at], value, *data[at + 1 :]]
    return value


def inside(path: Path, number: int, suffix: str, name: str, *arguments: Any) -> None:
    """Do something to one of the files in a folder, by its number in the order of names."""
    found = sorted(p for p in path.rglob("*") if p.is_file() and p.name.endswith(suffix))
    if found:
        globals()[name](found[number % len(found)], *arguments)


def safetensors(path: Path, changes: Sequence[tuple[int, str, Any]]) -> None:
    """Change the header of a safetensors file: names, shapes, types, offsets."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header, rest = json.loads(data[8 : 8 + size]), data[8 + size :]
    names = sorted(n for n in header if n != "__metadata__")
    for number, what, value in changes:
        name = names[number % len(names)]
        if name not in header:
            continue
        if what == "drop":
            header.pop(name)
        elif what == "rename":
            header[str(value)] = header.pop(name)
        elif what == "top":
            header = value
            break
        else:
            header[name] = {**header[name], what: value}
    packed = json.dumps(header).encode()
    path.write_bytes(len(packed).to_bytes(8, "little") + packed + rest)


def arrays(path: Path, changes: Sequence[tuple[int, str, Any]]) -> None:
    """Change arrays of a safetensors file and write it whole."""
    from safetensors.numpy import load, save

    content = load(path.read_bytes())
    names = sorted(content)
    for number, what, value in changes:
        name = names[number % len(names)]
        if name not in content:
            continue
        array = content[name]
        if what == "drop":
            del content[name]
        elif what == "fill":
            with np.errstate(all="ignore"):
                content[name] = np.full_like(array, value)
        elif what == "type":
            with np.errstate(all="ignore"):
                content[name] = array.astype(value)
        elif what == "flat":
            content[name] = array.reshape(-1)
        elif what == "cut" and array.ndim:
            content[name] = array[: array.shape[0] // 2]
        elif what == "empty":
            content[name] = array[..., :0] if array.ndim else array
        elif what == "more":
            content[name] = np.concatenate([array, array]) if array.ndim else array
    path.write_bytes(save({n: np.ascontiguousarray(v) for n, v in content.items()}))


def hdf5(path: Path, changes: Sequence[tuple[int, str, Any]]) -> None:
    """Change an HDF5 file by its structure."""
    import h5py

    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visititems(lambda n, item: names.append(n) if isinstance(item, h5py.Dataset) else None)
        for number, what, value in changes:
            name = sorted(names)[number % len(names)]
            if not isinstance(file.get(name), h5py.Dataset) or isinstance(file[name][()], h5py.Empty):
                continue
            old = file[name][()]
            if what == "attribute":
                file.attrs[f"a{number}"] = value
                continue
            del file[name]
            if what == "group":
                file.create_group(name)
            elif what == "scalar":
                file[name] = value
            elif what == "type":
                with np.errstate(all="ignore"):
                    file[name] = np.asarray(old).astype(value) if np.asarray(old).dtype.kind in "fiu" else old
            elif what == "cut":
                file[name] = np.asarray(old).reshape(-1)[: np.asarray(old).size // 2]
            elif what == "empty":
                file[name] = h5py.Empty("f8")
            elif what == "text":
                file[name] = "text"
            elif what == "fill":
                file[name] = np.full(np.shape(old), value, "f8")  # a text, too, may stand where a number was
