"""Runtime settings that Veros and XLA read once, before they are imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from warmstart.errors import UserError

#: Veros locks its runtime settings when its core is imported; XLA reads its flags when it starts.
SETTINGS = {
    "VEROS_BACKEND": "jax",
    "VEROS_FLOAT_TYPE": "float64",  # in single precision the salinity increment of a step is below one ulp
    "VEROS_LOGLEVEL": "error",
    "VEROS_DISKLESS_MODE": "1",
    "VEROS_USE_SPECIAL_TDMA": "0",  # the shipped Cython solver calls an interface that jaxlib has dropped
    "JAX_ENABLE_X64": "1",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.05",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}

#: One process uses one core: members run side by side in processes, not in threads.
SINGLE_THREAD = {"PJRT_NPROC": "1", "NPROC": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
XLA_FLAGS = ("--xla_cpu_multi_thread_eigen=false",)


def cache_folder() -> Path:
    """Folder of compiled JAX programs: ``$XDG_CACHE_HOME/warmstart/jax`` or ``~/.cache/warmstart/jax``."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "warmstart" / "jax"


def configure(single_thread: bool = True, device: str = "cpu") -> None:
    """Set the environment of the engine; call before anything imports JAX or Veros.

    Parameters
    ----------
    single_thread : whether this process shall use one core only.
    device : ``cpu`` or ``gpu``.

    Raises
    ------
    UserError
        If JAX or Veros are loaded already with other settings, or JAX sees no GPU.
    """
    if "veros.core" in sys.modules and os.environ.get("VEROS_BACKEND") != SETTINGS["VEROS_BACKEND"]:
        raise UserError(
            "Veros is loaded already with another backend; run the engine in a process of its own"
        )
    os.environ.update(SETTINGS)
    os.environ.setdefault("JAX_PLATFORMS", {"cpu": "cpu", "gpu": "cuda,cpu"}[device])
    os.environ.setdefault("VEROS_DEVICE", device)
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder()))
    if single_thread:
        os.environ.update(SINGLE_THREAD)
        present = os.environ.get("XLA_FLAGS", "").split()
        os.environ["XLA_FLAGS"] = " ".join([*present, *(flag for flag in XLA_FLAGS if flag not in present)])
    if device == "gpu":
        _require_gpu()


def _require_gpu() -> None:
    import jax

    try:
        seen = jax.default_backend()
    except RuntimeError as error:
        seen = str(error)
    if seen != "gpu":
        raise UserError(
            f"JAX sees no GPU ({seen}); install its CUDA build, pip install 'jax[cuda13]', on a machine with an NVIDIA "
            "GPU, or use --device cpu"
        )
