"""Arrays that are computed when they are read: a file opens without loading anything, with or without dask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from warmstart.errors import UserError, reading

#: What a reader gets: one integer or slice an axis.
Key: TypeAlias = tuple[int | slice, ...]
Reader: TypeAlias = Callable[[Key], np.ndarray]
#: What is small enough to be read whatever the file says [bytes], and what no compression reaches.
LARGE, RATIO = 2**28, 2000
#: Attributes that are text, whatever a program wrote.
TEXTS = (
    "units", "long_name", "standard_name", "calendar", "bounds", "cell_methods", "online_operation", "axis", "positive", "role",
)  # fmt: skip
ADVICE = "the file is damaged or not what it says: copy it or make it again"


class _Array(BackendArray):
    """An array whose content a function reads; xarray slices it without reading."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, read: Reader) -> None:
        self.shape, self.dtype, self._read = shape, dtype, read

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._basic
        )

    def _basic(self, key: tuple[Any, ...]) -> np.ndarray:
        # numpy integers of arrays of indices become plain ones
        return self._read(tuple(k if isinstance(k, slice) else int(k) for k in key))


class _Guarded(BackendArray):
    """A variable of a file, read when it is asked for; damage found then is a sentence."""

    def __init__(self, name: str, inner: xr.Variable, path: Path) -> None:
        self.shape, self.dtype = inner.shape, inner.dtype
        self._name, self._inner, self._path = name, inner, path

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._outer
        )

    def _outer(self, key: tuple[Any, ...]) -> np.ndarray:
        with reading(f"{self._name} of {self._path}", ADVICE):
            part = self._inner[key]
            require_held(self._path, self._name, part.nbytes)
            return np.asarray(part.values)


def guard(ds: xr.Dataset, path: Path) -> xr.Dataset:
    """Let every later reading of a variable of an opened file end in numbers or in a sentence.

    Parameters
    ----------
    ds : just opened, nothing read but its indexes; changed in place.
    path : its file or store.

    Raises
    ------
    UserError
        Later, when damaged values are read, or more than the file can hold.

    Examples
    --------
    >>> guard(xr.Dataset({"a": ("x", [1.0])}), Path("a.nc"))["a"].values.tolist()
    [1.0]
    """
    for name, var in ds.variables.items():
        var.attrs |= {key: str(var.attrs[key]) for key in TEXTS if key in var.attrs}
        if name not in ds.indexes and not isinstance(var, xr.IndexVariable):
            inner = var.copy(deep=False)
            array: Any = indexing.LazilyIndexedArray(_Guarded(str(name), inner, path))
            var.data = indexing.MemoryCachedArray(indexing.CopyOnWriteArray(array))
    return ds


def require_held(path: Path, name: str, size: int) -> None:
    """Refuse to read much more than a file can hold, compressed as it may be: its header is damaged, or it was never written.

    Parameters
    ----------
    path : file or store.
    name : of the variable.
    size : of its values [bytes].

    Raises
    ------
    UserError
        If the values take more than 256 MiB and more than 2000 times the file.

    Examples
    --------
    >>> require_held(Path("a.nc"), "thetao", 1000)
    """
    if size <= LARGE:
        return
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    if size > RATIO * sum(p.stat().st_size for p in files):
        raise UserError(
            f"{path}: {name} would be {size / 2**30:.3g} GiB, more than the file can hold; it is damaged or was never "
            "written: copy it or make it again"
        )


def variable(
    dims: tuple[str, ...], shape: tuple[int, ...], dtype: Any, read: Reader, attrs: Mapping[Any, Any]
) -> xr.Variable:
    """Make a variable that is read on demand.

    Parameters
    ----------
    dims : names of the dimensions.
    shape : their sizes.
    dtype : type of the values.
    read : gives the values for one integer or slice an axis; integers drop their axis.
    attrs : attributes.

    Examples
    --------
    >>> lazy = variable(("x",), (4,), "float64", lambda key: np.arange(4.0)[key], {})
    >>> lazy[1:3].values.tolist()
    [1.0, 2.0]
    """
    return xr.Variable(dims, indexing.LazilyIndexedArray(_Array(shape, np.dtype(dtype), read)), dict(attrs))


def take(source: xr.Variable, key: Key) -> np.ndarray:
    """Read part of a variable.

    Examples
    --------
    >>> take(xr.Variable(("x",), [1, 2, 3]), (slice(1, None),)).tolist()
    [2, 3]
    """
    return np.asarray(source[key].values)
