"""Arrays that are computed when they are read: a NEMO file opens without loading anything, with or without dask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

#: What a reader gets: one integer or slice an axis.
Key: TypeAlias = tuple[int | slice, ...]
Reader: TypeAlias = Callable[[Key], np.ndarray]


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

    Returns
    -------
    The variable; nothing is read yet.

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
