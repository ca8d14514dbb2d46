"""Real NEMO files, read with plain netCDF4: what the tests compare with must not come from the code under test."""

from pathlib import Path
from types import SimpleNamespace

import netCDF4
import numpy as np
import pytest

NEMO = Path(__file__).resolve().parents[2] / "shared" / "data" / "nemo_dino"
needs_nemo = pytest.mark.skipif(not NEMO.is_dir(), reason="the NEMO files of ../shared are not here")


def read(path):
    """Every variable of a file as a plain array, without its time axis of one."""
    with netCDF4.Dataset(path) as file:
        file.set_auto_mask(False)
        arrays = {name: np.asarray(v[:]) for name, v in file.variables.items()}
    return SimpleNamespace(**{n: a[0] if a.ndim > 1 and a.shape[0] == 1 else a for n, a in arrays.items()})
