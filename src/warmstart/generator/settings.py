"""Configuration of a generator: what the training YAML may say, and what a saved generator says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PositiveInt, field_validator, model_validator

from warmstart.generator.quantities import QUANTITIES
from warmstart.io.config import Config, build, load_yaml
from warmstart.ocean import parameters
from warmstart.ocean.variables import VARIABLES, Variable


class _Finite(Config):
    """A part of the configuration whose numbers are finite."""

    model_config = ConfigDict(allow_inf_nan=False)


class ConditionConfig(_Finite):
    """What the generator is told about the simulation.

    Attributes
    ----------
    parameters : names of the parameters; None takes all that the training members vary, ``[]`` none.
    forcing : names of the profiles that the network sees as maps; None takes those of the store and the diffusivities.
    initial_state : whether to learn from the members' transients what a young state says about the equilibrium; it needs
        a store that holds them.
    dropout : probability with which the network is not told each of parameters, forcing, state and age in training.
    parameter_noise : standard deviation of noise on the scaled parameters in training (the range is -0.5 to 0.5).
    """

    parameters: tuple[str, ...] | None = None
    forcing: tuple[str, ...] | None = None
    initial_state: bool = True
    dropout: float = Field(default=0.15, ge=0, le=1)
    parameter_noise: float = Field(default=0.1, ge=0)


class MeanConfig(_Finite):
    """The mean as a function of the parameters and of the initial state.

    Attributes
    ----------
    model : ``gaussian-process``, ``ridge`` (linear) or ``climatology`` (the mean of the members, whatever is given).
    variance : share of the variance between members that its modes keep.
    theory : whether the pycnocline of theory, which follows from the parameters, is an input too
        (:mod:`warmstart.regression.theory`); where the members vary none of its parameters, it is not.
    relevance : whether a Gaussian process weighs its inputs by what they are worth on left-out members
        (:mod:`warmstart.regression.gaussian_process`).
    parts : whether the barotropic flow, the surface water, and the rest are regressed each with modes and relevances
        of its own (:mod:`warmstart.generator.fit`).
    """

    model: Literal["gaussian-process", "ridge", "climatology"] = "gaussian-process"
    variance: float = Field(default=0.999, gt=0, le=1)
    theory: bool = True
    relevance: bool = True
    parts: bool = True


class ResidualConfig(_Finite):
    """What is added to the mean.

    Attributes
    ----------
    model : ``diffusion``, ``gaussian`` (a normal law of the same modes), ``none`` (the mean alone), ``one-pass`` (a network
        that turns noise into a sample in one evaluation, trained on the fair CRPS) or ``deterministic`` (a network that
        answers the expected residual, trained on the mean square).
    coordinates : ``eof`` works on whitened joint modes of the residual, ``vertical`` on the maps of vertical modes of each
        variable, ``grid`` on the scaled maps.
    variance : share of the residual's variance that the joint modes keep.
    modes : at most so many joint modes.
    amplitude : factor on the residual; ``calibrated`` finds it on left-out members.
    """

    model: Literal["diffusion", "gaussian", "none", "one-pass", "deterministic"] = "one-pass"
    coordinates: Literal["eof", "vertical", "grid"] = "eof"
    variance: float = Field(default=0.999, gt=0, le=1)
    modes: int = Field(default=48, ge=1)
    amplitude: Annotated[float, Field(ge=0, le=100)] | Literal["calibrated"] = "calibrated"

    @property
    def has_network(self) -> bool:
        """Whether there is something to train."""
        return self.model not in ("gaussian", "none")


class NetworkConfig(Config):
    """The U-Net.

    Attributes
    ----------
    widths : channels at each scale, finest first; each further scale halves rows and columns.
    blocks : residual blocks at each scale, on the way down and on the way up; one number for all scales, or one a scale.
    embedding : width of the embedding of noise level and parameters.
    patch : cells a side that the stem gathers into channels (space to depth), so that a large grid enters at a fraction of
        its rows and columns; 1 gathers none.
    attention : heads of the attention block at the coarsest scale; 0 has none.
    halve : ``even`` halves an even number of columns only, so that a periodic basin has no seam anywhere, and fills the rows
        up with land; ``all`` halves any number, and the last coarse row or column may cover a single fine one.
    recompute : whether training computes each block again in the backward pass instead of keeping what is inside it: a third
        more operations for a fraction of the memory.
    """

    widths: tuple[PositiveInt, ...] = Field(default=(24, 32, 48), min_length=1)
    blocks: PositiveInt | tuple[PositiveInt, ...] = 1
    embedding: int = Field(default=64, ge=8)
    patch: int = Field(default=1, ge=1, le=16)
    attention: int = Field(default=0, ge=0)
    halve: Literal["even", "all"] = "even"
    recompute: bool = False

    @model_validator(mode="after")
    def _fitting(self) -> NetworkConfig:
        if isinstance(self.blocks, tuple) and len(self.blocks) != len(self.widths):
            raise ValueError(
                f"blocks has {len(self.blocks)} numbers; expected one, or {len(self.widths)} as widths has"
            )
        if self.attention and self.widths[-1] % self.attention:
            raise ValueError(
                f"attention has {self.attention} heads, which do not divide the last width {self.widths[-1]}"
            )
        return self


class TrainingConfig(_Finite):
    """The training loop.

    Attributes
    ----------
    steps : number of optimiser steps.
    batch : examples a step.
    learning_rate : peak of the cosine schedule.
    warmup : steps of linear increase before it.
    weight_decay : of AdamW.
    clip : largest norm of the gradient.
    ema : decay of the running average of the weights.
    mixing : residuals of so many members are combined into one example, with random weights of unit norm, the largest
        positive: the covariance stays, single members are not memorised; 1 takes them as they are. Diffusion takes 2.
    noise_mean, noise_std : of the logarithm of the training noise level.
    validate_every : steps between validations.
    patience : validations without improvement after which training stops; 0 never stops.
    checkpoint_every : steps between checkpoints.
    threads : CPU threads.
    device : ``cpu`` or ``cuda``; under ``torchrun`` each process takes the GPU of its local rank.
    precision : of the convolutions, ``float32`` or ``bfloat16``; weights, losses and solver stay in float32 or better.
    compile : whether to compile the blocks of the network.
    """

    steps: int = Field(default=1000, ge=0)
    batch: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=5e-4, gt=0)
    warmup: int = Field(default=100, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.995, ge=0, lt=1)
    mixing: int = Field(default=1, ge=1)
    noise_mean: float = -0.4
    noise_std: float = Field(default=1.4, gt=0)
    validate_every: int = Field(default=50, ge=1)
    patience: int = Field(default=8, ge=0)
    checkpoint_every: int = Field(default=50, ge=1)
    threads: int = Field(default=1, ge=1)
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False


Method = Literal["adams-bashforth", "dpm-solver", "heun", "dpm-solver-2s", "ddpm"]

#: What each method was published with, for the noise of data of standard deviation 1; the first two are this package's.
PUBLISHED: dict[str, dict[str, Any]] = {
    "adams-bashforth": {"steps": 24, "sigma_min": 2e-3, "sigma_max": 80.0, "rho": None},
    "dpm-solver": {"steps": 24, "sigma_min": 2e-3, "sigma_max": 80.0, "rho": None},
    # Karras et al. 2022, table 5 (ImageNet): 256 noise levels
    "heun": {
        "steps": 511, "sigma_min": 2e-3, "sigma_max": 80.0, "rho": 7.0,
        "churn": 40.0, "churn_min": 0.05, "churn_max": 50.0, "churn_noise": 1.003,
    },
    # Price et al. 2025 (GenCast), table of the sampler: 20 noise levels; no upper limit of the churn
    "dpm-solver-2s": {
        "steps": 39, "sigma_min": 0.03, "sigma_max": 80.0, "rho": 7.0,
        "churn": 2.5, "churn_min": 0.75, "churn_max": 1e3, "churn_noise": 1.05,
    },
    # Nichol and Dhariwal 2021, as DINO-Fusion runs it; noise above sigma_max, which no network here has seen, is left out
    "ddpm": {"steps": 1000, "sigma_min": 2e-3, "sigma_max": 80.0, "rho": None},
}  # fmt: skip


class SamplingConfig(_Finite):
    """The sampler; what is not given has the value that the method was published with (:data:`PUBLISHED`).

    Attributes
    ----------
    method : ``adams-bashforth`` (exponential, third order), ``dpm-solver`` (DPM-Solver++ 2M), ``heun`` (Karras et al. 2022,
        with churn), ``dpm-solver-2s`` (GenCast's DPM-Solver++ 2S with churn) or ``ddpm`` (ancestral).
    steps : network evaluations a sample, twice as many with guidance; an odd number for ``heun`` and ``dpm-solver-2s``, which
        take two a step and one in the last.
    sigma_min, sigma_max : noise levels; the data have standard deviation 1. ``ddpm`` ends without noise whatever `sigma_min`.
    rho : spacing of the noise levels (Karras et al. 2022, eq. 5); None spaces them evenly in the logarithm. ``ddpm`` has its
        own cosine schedule.
    churn, churn_min, churn_max, churn_noise : noise added in every step (Karras et al. 2022, algorithm 2: S_churn, S_tmin,
        S_tmax, S_noise); for ``heun`` and ``dpm-solver-2s``.
    guidance : weight of the condition (classifier-free guidance); 1 is the trained conditional law, 0 the unconditional.
    guide : what steers the samples, for comparison with what is published (:mod:`warmstart.generator.network.guides`): ``none``,
        ``zero-mean`` (DINO-Fusion's gradient, with ``ddpm``) or ``stratification`` (after Gorce et al. 2025).

    Examples
    --------
    >>> SamplingConfig(method="dpm-solver-2s").steps
    39
    """

    method: Method = "adams-bashforth"
    steps: int = Field(default=24, ge=2, le=100_000)
    sigma_min: float = Field(default=2e-3, ge=1e-6)
    sigma_max: float = Field(default=80.0, gt=0, le=1e4)
    rho: float | None = Field(default=None, ge=1, le=100)
    churn: float = Field(default=0.0, ge=0, le=1e4)
    churn_min: float = Field(default=0.0, ge=0, le=1e4)
    churn_max: float = Field(default=0.0, ge=0, le=1e4)
    churn_noise: float = Field(default=1.0, gt=0, le=2)
    guidance: float = Field(default=1.0, ge=0, le=100)
    guide: Literal["none", "zero-mean", "stratification"] = "none"

    @model_validator(mode="before")
    @classmethod
    def _published(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        method = given.get("method", "adams-bashforth")
        return (PUBLISHED.get(method, {}) if isinstance(method, str) else {}) | given

    @model_validator(mode="after")
    def _possible(self) -> SamplingConfig:
        if self.sigma_min >= self.sigma_max:
            raise ValueError("sigma_min must be below sigma_max")
        if self.method in ("heun", "dpm-solver-2s") and self.steps % 2 == 0:
            raise ValueError(
                f"steps is {self.steps}; {self.method} evaluates the network twice a step and once in the last: "
                f"an odd number, for example {self.steps + 1}"
            )
        if self.churn and self.method not in ("heun", "dpm-solver-2s"):
            raise ValueError(f"{self.method} has no churn; only heun and dpm-solver-2s have")
        if self.guide == "zero-mean" and self.method != "ddpm":
            raise ValueError(f"guide zero-mean acts between the steps of ddpm, not of {self.method}")
        return self

    @property
    def evaluations(self) -> int:
        """Evaluations of the network a sample, those without the condition counted."""
        return self.steps if self.guidance == 1 else 2 * self.steps


def resampled(stored: SamplingConfig, changes: Mapping[str, Any]) -> SamplingConfig:
    """A sampler with some settings, as a YAML has them, changed; another method brings those that it was published with.

    Raises
    ------
    UserError
        If a key is unknown or a value cannot be.

    Examples
    --------
    >>> resampled(SamplingConfig(steps=30), {"method": "ddpm"}).steps
    1000
    """
    same = changes.get("method", stored.method) == stored.method
    kept = stored.model_dump() if same else {"guidance": stored.guidance}
    return build(SamplingConfig, kept | dict(changes), "sampling")


#: How far a state is moved, from not at all to wholly.
Share = Annotated[float, Field(ge=0, le=1)]


class GeneratorConfig(Config):
    """All that a training YAML may say; what it does not say is as in the shipped ``dino-4deg``, but for the shape of its mesh.

    Attributes
    ----------
    description : one line for the model card.
    licence : of the weights.
    seed : of weights, data order and noise.
    shape : levels, rows and columns of the mesh it is for: ``plan`` counts it, ``train`` refuses a store of another shape;
        None takes any.
    condition, mean, residual, network, training, sampling : the parts.
    quantities : share of the way, 0 to 1, that a state is moved to each quantity that has a regression of its own
        (:mod:`warmstart.generator.quantities`); 0 leaves it as it is drawn. What is not named keeps its default. Keys of former
        versions (``mean.mixed_layer``, ``mean.transports``, ``residual.balance``) are understood.

    Examples
    --------
    >>> GeneratorConfig(training={"steps": 10}).training.steps
    10
    >>> GeneratorConfig(quantities={"currents": 0.5}).quantities
    {'mixed_layer': 1.0, 'transports': 1.0, 'currents': 0.5}
    """

    description: str = "Equilibrium states of an ocean model from the parameters of the simulation."
    licence: str = "CC-BY-4.0"
    seed: int = Field(default=0, ge=0)
    shape: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    condition: ConditionConfig = ConditionConfig()
    mean: MeanConfig = MeanConfig()
    residual: ResidualConfig = ResidualConfig()
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    sampling: SamplingConfig = SamplingConfig()
    quantities: dict[str, Share] = Field(default={}, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, given: Any) -> Any:
        """Take the keys with which former versions switched quantities."""
        if not isinstance(given, dict):
            return given
        for name, (part, key) in ((n, q.former) for n, q in QUANTITIES.items() if q.former):
            if isinstance(given.get(part), Mapping) and key in given[part]:
                kept = {k: v for k, v in given[part].items() if k != key}
                shares = given.get("quantities") or {}
                given = given | {part: kept, "quantities": {**shares, name: given[part][key]}}
        return given

    @field_validator("quantities", mode="after")
    @classmethod
    def _complete(cls, shares: dict[str, float]) -> dict[str, float]:
        """Every quantity that there is, in their order."""
        if unknown := [n for n in shares if n not in QUANTITIES]:
            raise ValueError(f"{', '.join(unknown)}: expected {', '.join(QUANTITIES)}")
        return {name: shares.get(name, quantity.share) for name, quantity in QUANTITIES.items()}

    @property
    def evaluations(self) -> int:
        """Evaluations of the network that a sample takes."""
        once = {"none": 0, "gaussian": 0, "one-pass": 1, "deterministic": 1}
        return once.get(self.residual.model, self.sampling.evaluations)


class ParameterRange(Config):
    """What training saw of one parameter.

    Attributes
    ----------
    low, high : range, in `units`; equal where the parameter did not vary.
    units : of the parameter.
    varies : whether the generator depends on it.
    description : of a parameter that is not in the table.
    namelist : NEMO's group and entry that hold such a parameter, ``group/entry``.
    default : of such a parameter, if its engine gives one.
    """

    low: float
    high: float
    units: str
    varies: bool
    description: str = ""
    namelist: str = ""
    default: float | None = None

    def parameter(self, name: str) -> parameters.Parameter:
        """The parameter of that name: of the table, or one of the user's own."""
        if name in parameters.PARAMETERS:
            return parameters.PARAMETERS[name]
        group, _, entry = self.namelist.partition("/")
        own = parameters.own(name, self.units, self.description, (group, entry) if entry else None)
        return own if self.default is None else replace(own, default=self.default)


class OwnVariable(Config):
    """A variable of the states that is not in the variables table; as :class:`~warmstart.ocean.variables.Variable`."""

    standard_name: str = ""
    long_name: str
    units: str
    point: Literal["T", "U", "V", "W"]
    three_d: bool
    bounds: tuple[float, float]
    cmap: str = "matter"


def own_variables(tables: Mapping[str, Variable]) -> dict[str, OwnVariable]:
    """Those of the variables of a state that are not in the table, to be saved with a generator.

    Examples
    --------
    >>> own_variables(VARIABLES)
    {}
    """
    return {
        name: OwnVariable(**{key: getattr(table, key) for key in OwnVariable.model_fields})
        for name, table in tables.items()
        if name not in VARIABLES
    }


class SavedConfig(Config):
    """``config.yaml`` of a saved generator.

    Attributes
    ----------
    format : version of the folder's layout.
    warmstart_version, created, store : where it came from.
    grid_fingerprint : of the mesh; a generator serves this mesh only.
    variables : in channel order.
    own_variables : those of them that are not in the variables table.
    parameters : what training saw.
    forcing : names of the forcing profiles that the network reads.
    ages : years of spin-up of the initial states it was trained on; empty where it takes none.
    training_members : their numbers.
    amplitude : factor on the residual, for each of what may be given.
    scores : of validation and of cross-validation, by model and metric.
    config : the configuration it was trained with.
    """

    format: Literal[1] = 1
    warmstart_version: str
    created: str
    store: dict[str, Any]
    grid_fingerprint: str
    variables: tuple[str, ...]
    own_variables: dict[str, OwnVariable] = Field(default_factory=dict)
    parameters: dict[str, ParameterRange]
    forcing: tuple[str, ...]
    ages: tuple[float, ...] = ()
    training_members: tuple[int, ...]
    amplitude: dict[str, float]
    scores: dict[str, Any]
    config: GeneratorConfig

    @property
    def tables(self) -> dict[str, Variable]:
        """What the variables are."""
        own = {n: Variable(name=n, **v.model_dump()) for n, v in self.own_variables.items()}
        return VARIABLES | own

    @property
    def inputs(self) -> tuple[str, ...]:
        """Parameters that the generator depends on, in the order of its inputs."""
        return tuple(name for name, seen in self.parameters.items() if seen.varies)


def resolve(config: GeneratorConfig | dict[str, Any] | str | Path | None, sets: Any = ()) -> GeneratorConfig:
    """Read a training configuration from whatever names it.

    Parameters
    ----------
    config : a YAML file, a mapping, a configuration, or None for the defaults.
    sets : overrides ``"a.b=c"``.

    Raises
    ------
    UserError
        If a key or a value is wrong.

    Examples
    --------
    >>> resolve(None, ["training.steps=3"]).training.steps
    3
    """
    if isinstance(config, (str, Path)):
        return load_yaml(config, GeneratorConfig, sets)
    if isinstance(config, GeneratorConfig):
        config = config.model_dump()
    return build(GeneratorConfig, config or {}, "configuration", sets)
