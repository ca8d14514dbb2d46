"""A generator as a folder: ``weights.safetensors config.yaml normalizer.nc README.md``; nothing is ever unpickled."""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from warmstart import files
from warmstart.config import dump_yaml, load_yaml
from warmstart.data.layout import Layout
from warmstart.data.normalize import Normalizer
from warmstart.errors import UserError, require_path
from warmstart.generator import shapes, stored
from warmstart.generator.backbone import UNet
from warmstart.generator.config import SavedConfig
from warmstart.generator.denoiser import FLAGS, STATE_FLAGS, Denoiser
from warmstart.generator.mixed_layer import MixedLayer
from warmstart.generator.residual import Coordinates, Law
from warmstart.generator.spinup import SpinupModel
from warmstart.generator.thermal_wind import Ageostrophic
from warmstart.generator.transports import Transports
from warmstart.grid import Grid
from warmstart.physics.theory import Theory, theory_of
from warmstart.regression.mean import MeanModel
from warmstart.variables import VARIABLES

WEIGHTS, CONFIG, NORMALIZER, CARD = "weights.safetensors", "config.yaml", "normalizer.nc", "README.md"


@dataclass(frozen=True, eq=False)
class Generator:
    """A trained generator in memory.

    Attributes
    ----------
    config : what it was trained with and on.
    layout, normalizer : channels, and their means and standard deviations.
    mean : the mean as a function of the parameters.
    spinup : the mean as a function of an initial state, with and without parameters; None where it takes none.
    laws : of the residual, for each of what may be given: ``parameters``, ``state``, ``both``.
    forcing : linear map from scaled parameters to standardised forcing profiles, ``(1 + parameter, forcing, y)``.
    denoiser : the network in its preconditioning; None where the residual needs none.
    mixed_layer : depth of the mixed layer as a function of the parameters; None where columns are left as they are drawn.
    transports : of heat and salt as a function of the parameters; None where states carry what they are drawn with.
    currents : ageostrophic flow as a function of the parameters; None where no balance is asked for, and in
        generators of earlier versions.
    name, hash : where it came from, and a hash of weights, configuration and normaliser.
    """

    config: SavedConfig
    layout: Layout
    normalizer: Normalizer
    mean: MeanModel
    spinup: SpinupModel | None
    laws: dict[str, Law]
    forcing: np.ndarray
    denoiser: Denoiser | None
    mixed_layer: MixedLayer | None = None
    transports: Transports | None = None
    currents: Ageostrophic | None = None
    name: str = ""
    hash: str = ""

    @property
    def grid(self) -> Grid:
        """The mesh it serves."""
        return self.layout.grid

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each parameter that it depends on."""
        return {n: (p.low, p.high) for n, p in self.config.parameters.items() if p.varies}

    @property
    def coordinates(self) -> Coordinates:
        """Of the residual about the mean that is given the parameters."""
        return self.laws["parameters"].coordinates

    @property
    def all_coordinates(self) -> dict[str, Coordinates]:
        """Of the residual, by what the mean is given: the same modes, other standard deviations."""
        return {given: law.coordinates for given, law in self.laws.items()}

    def predict(
        self, inputs: np.ndarray | None, initial: tuple[np.ndarray, float] | None
    ) -> tuple[np.ndarray, float]:
        """Mean state from what is given.

        Parameters
        ----------
        inputs : scaled parameters, ``(parameter,)``; None where they are not given.
        initial : state ``(wet,)`` in standardised units and its years of spin-up; None where it is not given.

        Returns
        -------
        mean : ``(wet,)``, standardised units.
        spread : its predictive standard deviation, standardised units.

        Raises
        ------
        UserError
            If a state is given to a generator that takes none.
        """
        if initial is None:
            if inputs is None:
                raise UserError("nothing to predict from: give parameters, an initial state, or both")
            known = self.known(inputs)
            return self.mean.predict(known), self.mean.spread(known)
        (state, age), spinup = initial, self.takes_states()
        if inputs is None:
            return spinup.predict(self.mean.offset, np.zeros(0), state, age, "state")
        known = self.known(inputs)
        return spinup.predict(self.mean.predict(known), known, state, age, "both")

    def known(self, inputs: np.ndarray) -> np.ndarray:
        """Inputs of the mean model from scaled parameters ``(..., parameter)``: with the features of theory, if it takes them."""
        return self.theory.extend(inputs) if self.theory is not None else inputs

    @functools.cached_property
    def theory(self) -> Theory | None:
        """What theory adds to the inputs of the mean model."""
        if not self.config.config.mean.theory:
            return None
        fixed = {n: p.low for n, p in self.config.parameters.items() if not p.varies}
        return theory_of(self.ranges, fixed)

    def takes_states(self) -> SpinupModel:
        """The model of initial states.

        Raises
        ------
        UserError
            If there is none.
        """
        if self.spinup is None:
            raise UserError(
                "this generator takes no initial state: it was trained on a store without transients, or with "
                "condition.initial_state: false; give parameters only, or train another"
            )
        return self.spinup


def build_denoiser(config: SavedConfig, coordinates: Coordinates) -> Denoiser:
    """Make the untrained network of a configuration.

    Parameters
    ----------
    config : what it is trained with and on.
    coordinates : of the residual.
    """
    layout = coordinates.layout
    features = len(config.inputs) + (STATE_FLAGS if config.ages else FLAGS)
    maps = len(config.forcing) + (layout.shape[0] if config.ages else 0)
    static = torch.as_tensor(layout.static_maps())
    net = UNet(layout.shape[0], maps, features, static, config.config.network, layout.grid.periodic_x)
    return Denoiser(net, coordinates)


def save(generator: Generator, folder: Path) -> None:
    """Write a generator into an empty folder; the model card is written elsewhere.

    Parameters
    ----------
    generator : what to write.
    folder : existing folder.
    """
    arrays = stored.flatten(generator.mean, "mean") | {"forcing": generator.forcing}
    arrays |= {"residual.basis": stored.half(generator.coordinates.basis)}
    if generator.coordinates.rotation is not None:
        arrays |= {"residual.rotation": generator.coordinates.rotation}
    for given, law in generator.laws.items():
        arrays |= {f"residual.{given}.scale": law.coordinates.scale}
        arrays |= {f"residual.{given}.spread": np.array([law.reference_spread])}
    if generator.mixed_layer is not None:
        arrays |= stored.flatten(generator.mixed_layer.model, "mixed_layer")
    if generator.transports is not None:
        arrays |= stored.flatten(generator.transports.model, "transports")
        arrays["transports.scale"] = generator.transports.scale
        arrays["transports.residuals"] = generator.transports.residuals
    if generator.currents is not None:
        arrays |= stored.flatten(generator.currents.model, "currents")
        arrays["currents.scale"] = np.array([generator.currents.scale])
    if generator.spinup is not None:
        arrays |= stored.flatten_spinup(generator.spinup)
    if generator.denoiser is not None:
        arrays |= {
            f"net.{n}": v.detach().cpu().numpy() for n, v in generator.denoiser.net.state_dict().items()
        }
    # as bytes: safetensors' own writer makes files that nobody else may read
    (folder / WEIGHTS).write_bytes(to_bytes({n: np.ascontiguousarray(v) for n, v in arrays.items()}))
    dump_yaml(generator.config, folder / CONFIG)
    files.write_dataset(folder / NORMALIZER, _normalizer_dataset(generator), generator.grid)


def _normalizer_dataset(generator: Generator) -> xr.Dataset:
    """Statistics by variable and level, with the spread of the training members about their mean state."""
    layout, mean = generator.layout, generator.mean
    weights = layout.weights.sum((1, 2))
    between = (
        (mean.coefficients**2).mean(0) @ mean.basis**2 if len(mean.basis) else np.zeros(layout.mask.sum())
    )
    share = (layout.from_wet(between) * layout.weights).sum((1, 2)) / np.where(weights > 0, weights, 1.0)
    members = max(len(mean.inputs), 2)
    spread = np.sqrt(share * members / (members - 1)) * generator.normalizer.std
    ds = xr.Dataset(attrs=files.provenance(config=generator.config.config.model_dump(mode="json")))
    for name, channels in layout.slices.items():
        dims = ("z",) if VARIABLES[name].three_d else ()
        for what, values, meaning in (
            ("mean", generator.normalizer.mean, "mean over wet cells and training snapshots"),
            ("std", generator.normalizer.std, "standard deviation over wet cells and training snapshots"),
            ("spread", spread, "standard deviation between training members about their mean state"),
        ):
            block = values[channels] if dims else values[channels.start]
            ds[f"{name}_{what}"] = (dims, block, {"units": VARIABLES[name].units, "long_name": meaning})
    return ds


def locate(generator: str | Path) -> Path:
    """Find a generator folder by path, or a shipped one by name.

    Parameters
    ----------
    generator : folder, or name such as ``dino-4deg``.

    Raises
    ------
    UserError
        If neither exists, or files are missing from it.

    Examples
    --------
    >>> locate("no-such-generator")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no generator 'no-such-generator': expected a folder made by 'warmstart train' or a shipped name...
    """
    shipped = Path(str(importlib.resources.files("warmstart") / "pretrained"))
    named = shipped / str(generator)
    path = require_path(generator)
    if not path.is_dir() and named.is_dir() and named.parent == shipped:
        path = named
    if not path.is_dir():
        known = sorted(p.name for p in shipped.iterdir() if p.is_dir()) if shipped.is_dir() else []
        raise UserError(
            f"no generator '{generator}': expected a folder made by 'warmstart train' or a shipped name "
            f"({', '.join(known) or 'none is installed'})"
        )
    missing = [n for n in (WEIGHTS, CONFIG, NORMALIZER) if not (path / n).is_file()]
    if missing:
        raise UserError(
            f"{path} is no generator: {', '.join(missing)} missing; expected a folder made by 'warmstart train'"
        )
    return path


def load(path: str | Path, grid: Grid | None = None) -> Generator:
    """Load a generator.

    Parameters
    ----------
    path : its folder, or the name of a shipped one.
    grid : the mesh it is wanted for; None takes its own.

    Returns
    -------
    The generator.

    Raises
    ------
    UserError
        If it is missing, damaged, or made for another mesh.

    Examples
    --------
    >>> load("no-such-generator")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no generator 'no-such-generator': expected a folder made by 'warmstart train' or a shipped name...
    """
    folder = locate(path)
    config = load_yaml(folder / CONFIG, SavedConfig)
    layout = Layout(files.open_grid(folder / NORMALIZER), config.variables)
    if layout.grid.fingerprint != config.grid_fingerprint:
        raise UserError(
            f"{folder}: the mesh in {NORMALIZER} is not the one in {CONFIG}; the folder was mixed up, train again"
        )
    if grid is not None:
        layout.grid.require_same(grid, "what the generator is asked for")
    arrays = _read_arrays(folder / WEIGHTS)
    shapes.require(arrays, config, layout, folder / WEIGHTS)
    try:
        return _assemble(config, layout, arrays, folder)
    except (KeyError, RuntimeError) as error:
        raise UserError(
            f"{folder / WEIGHTS} does not fit {CONFIG}: {error}; the folder was mixed up, train again"
        ) from error


def _assemble(config: SavedConfig, layout: Layout, arrays: dict[str, np.ndarray], folder: Path) -> Generator:
    """Put the stored arrays together."""
    normalizer = _read_normalizer(layout, folder / NORMALIZER)
    wide = {n: a.astype("float64") for n, a in arrays.items() if not n.startswith("net.")}
    basis, rotation = wide["residual.basis"], wide.get("residual.rotation")
    laws = {
        given: Law(
            Coordinates(layout, basis, wide[f"residual.{given}.scale"], rotation),
            float(wide[f"residual.{given}.spread"][0]),
            amplitude,
        )
        for given, amplitude in config.amplitude.items()
    }
    spinup = stored.read_spinup(wide, layout, config.ages) if config.ages else None
    mixed_layer = (
        MixedLayer(stored.read_mean(wide, "mixed_layer"), layout.grid)
        if "mixed_layer.offset" in wide
        else None
    )
    transports = (
        Transports(
            stored.read_mean(wide, "transports"), wide["transports.scale"], wide["transports.residuals"]
        )
        if "transports.offset" in wide
        else None
    )
    currents = (
        Ageostrophic(stored.read_mean(wide, "currents"), float(wide["currents.scale"][0]), layout.grid)
        if "currents.offset" in wide
        else None
    )
    denoiser = None
    if config.config.residual.has_network:
        denoiser = build_denoiser(config, laws["parameters"].coordinates)
        denoiser.net.load_state_dict(
            {n.removeprefix("net."): torch.as_tensor(a) for n, a in arrays.items() if n.startswith("net.")}
        )
        denoiser.eval()
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes() + (folder / CONFIG).read_bytes())
    digest.update(normalizer.mean.tobytes() + normalizer.std.tobytes())
    generator = Generator(
        config, layout, normalizer, stored.read_mean(wide, "mean"), spinup, laws, wide["forcing"],
        denoiser, mixed_layer, transports, currents, folder.resolve().name, digest.hexdigest()[:16],
    )  # fmt: skip
    known = generator.mean.inputs
    own = generator.known(known[:, : len(generator.ranges)])
    # climatology knows no inputs: all are 0
    if known.any() and (own.shape != known.shape or not np.allclose(own, known, atol=1e-6)):
        raise UserError(
            f"{folder} was trained with another version of the theory in its mean (mean.theory); train it again"
        )
    return generator


def _read_normalizer(layout: Layout, path: Path) -> Normalizer:
    """Means and standard deviations of the channels."""
    with files.open_dataset(path) as opened:
        mean, std = (
            np.concatenate([np.atleast_1d(opened[f"{n}_{what}"].values) for n in layout.variables])
            for what in ("mean", "std")
        )
    fit = mean.shape == std.shape == layout.shape[:1]
    if not (fit and np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        raise UserError(
            f"{path}: expected {layout.shape[0]} finite means and positive standard deviations; the file is damaged, "
            "copy or train it again"
        )
    return Normalizer(layout, mean, std)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a safetensors file."""
    try:
        with safe_open(path, framework="numpy") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"cannot read {path}: {error}; the file is damaged, copy or train it again"
        ) from error
