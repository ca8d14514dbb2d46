"""Seconds a sample and GFLOP/s: the U-Net and the sampler here against those of azula, diffusers and physicsnemo.

All draw states of DINO at 4 degrees (73 channels of 49 x 13 cells) with about 10 M parameters and the same number of
network evaluations, on one thread, taking turns; the times are medians. Each network takes the map as it is where it can;
those of diffusers and physicsnemo need sizes that can be halved twice and get it filled up to 52 x 16. Each library
samples with its own solver for noise in the form of Karras et al. (2022). Then the same solvers draw from a Gaussian law
with a power-law spectrum, whose standard deviations are known: the relative error at equal evaluations.

Run ``pip install -r benchmarks/requirements.txt``, then ``python benchmarks/sampling.py``; it prints the tables and writes
``benchmarks/results/sampling.json``. With ``--shipped`` it times the shipped generator instead, constraints and all, beside a
sample of the network above (no rival needed): a sample takes one thread, so that it is the same on every machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from machine import describe
from torch.utils.flop_counter import FlopCounterMode

CHANNELS, ROWS, COLUMNS = 73, 49, 13
FILLED = (52, 16)
EVALUATIONS = 25  #: odd: Heun's method takes two a step and one in the last
#: The network here; parameters sit at the coarse scales, where an evaluation of them costs least.
WIDTHS, BLOCKS = (64, 128, 256, 288), 1
RESULTS = Path(__file__).parent / "results"


def mend_torchvision():
    """Make a torchvision importable that was built for another torch: the CPU build of torch lacks its operators."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor boxes) -> Tensor")
        mend_torchvision.kept = library


def karras(net):
    """Denoiser of a network in the preconditioning for data of standard deviation 1."""
    from warmstart.generator.network.denoiser import preconditioning

    def denoise(z, sigma):
        skip, out, scale = preconditioning(sigma.reshape(-1, *[1] * (z.ndim - 1)))
        return skip * z + out * net((z * scale).float(), torch.log(sigma).float() / 4).to(z.dtype)

    return denoise


def ours():
    """The U-Net here with the exponential Adams-Bashforth scheme on noise levels even in the logarithm."""
    from warmstart.generator.network.sampler import solve
    from warmstart.generator.network.unet import UNet
    from warmstart.generator.noise import Stream
    from warmstart.generator.settings import NetworkConfig, SamplingConfig

    config = NetworkConfig(widths=WIDTHS, blocks=BLOCKS, embedding=128, attention=4, halve="all")
    net = UNet(CHANNELS, 3, 10, torch.ones(5, ROWS, COLUMNS), config, periodic_x=True).eval()
    features, maps = torch.zeros(1, 10), torch.zeros(1, 3, ROWS, COLUMNS)
    denoise = karras(lambda x, noise: net(x, noise, features, maps))
    noise, sampling = Stream(0).normal((CHANNELS, ROWS, COLUMNS)), SamplingConfig(steps=EVALUATIONS)
    inputs = (torch.zeros(1, CHANNELS, ROWS, COLUMNS), torch.zeros(1), features, maps)
    return net, inputs, lambda: solve(denoise, noise, sampling)


def azula():
    """azula's U-Net with its exponential Adams-Bashforth scheme, order 2 as by default."""
    from azula.denoise import KarrasDenoiser
    from azula.nn.unet import UNet
    from azula.noise import VESchedule
    from azula.sample import xEABSampler

    net = UNet(
        CHANNELS,
        CHANNELS,
        cond_channels=8,
        hid_channels=(64, 128, 256),
        hid_blocks=(2, 2, 2),
        mod_features=256,
        norm="group",
    ).eval()
    modulation, maps = torch.zeros(1, 256), torch.zeros(1, 8, ROWS, COLUMNS)

    class Backbone(torch.nn.Module):
        def forward(self, x, t):
            return net(x, modulation, maps)

    sampler = xEABSampler(KarrasDenoiser(Backbone(), VESchedule(2e-3, 80.0)), steps=EVALUATIONS, silent=True)
    start = 80 * torch.randn(1, CHANNELS, ROWS, COLUMNS)
    return net, (torch.zeros(1, CHANNELS, ROWS, COLUMNS), modulation, maps), lambda: sampler(start)


def diffusers():
    """diffusers' U-Net with its DPM-Solver++ 2M for the preconditioning of Karras et al."""
    from diffusers import EDMDPMSolverMultistepScheduler, UNet2DModel

    kinds = {"down_block_types": ("DownBlock2D",) * 3, "up_block_types": ("UpBlock2D",) * 3}
    net = UNet2DModel(
        sample_size=FILLED, in_channels=CHANNELS, out_channels=CHANNELS, layers_per_block=2,
        block_out_channels=(64, 128, 192), add_attention=False, **kinds,
    ).eval()  # fmt: skip
    scheduler = EDMDPMSolverMultistepScheduler(sigma_min=2e-3, sigma_max=80.0, sigma_data=1.0)
    start = 80 * torch.randn(1, CHANNELS, *FILLED)

    def sample():
        scheduler.set_timesteps(EVALUATIONS)
        z = start
        for t in scheduler.timesteps:
            answer = net(scheduler.scale_model_input(z, t), t).sample
            z = scheduler.step(answer, t, z).prev_sample
        return z

    return net, (torch.zeros(1, CHANNELS, *FILLED), torch.zeros(1)), sample


def physicsnemo():
    """physicsnemo's SongUNet with its Heun solver."""
    from physicsnemo.diffusion.noise_schedulers import EDMNoiseScheduler
    from physicsnemo.diffusion.samplers import sample as draw
    from physicsnemo.models.diffusion_unets import SongUNet

    net = SongUNet(
        img_resolution=list(FILLED), in_channels=CHANNELS, out_channels=CHANNELS, model_channels=64,
        channel_mult=[1, 2, 3], num_blocks=2, attn_resolutions=[], use_apex_gn=False,
    ).eval()  # fmt: skip
    schedule = EDMNoiseScheduler(sigma_min=2e-3, sigma_max=80.0)
    clean = karras(lambda x, noise: net(x, noise, None))
    denoiser = schedule.get_denoiser(x0_predictor=clean)
    start = 80 * torch.randn(1, CHANNELS, *FILLED)
    steps = (EVALUATIONS + 1) // 2
    return (
        net,
        (torch.zeros(1, CHANNELS, *FILLED), torch.zeros(1), None),
        lambda: draw(denoiser, start, schedule, num_steps=steps, solver="heun"),
    )


RIVALS = {"warmstart": ours, "azula": azula, "diffusers": diffusers, "physicsnemo": physicsnemo}


def operations(net, inputs):
    """Floating-point operations of one evaluation; counted with the network in training, whose kernels the counter knows."""
    net.train()
    with FlopCounterMode(display=False) as counter:
        net(*inputs)
    net.eval()
    return counter.get_total_flops()


def calls(net, sample):
    """Evaluations of the network that one sample takes."""
    count = []
    hook = net.register_forward_hook(lambda *_: count.append(1))
    sample()
    hook.remove()
    return len(count)


def speed(turns):
    """Time every rival, one sample each in turn."""
    made = {name: make() for name, make in RIVALS.items()}
    table = {}
    for name, (net, inputs, sample) in made.items():
        table[name] = {
            "parameters": sum(p.numel() for p in net.parameters()),
            "evaluations": calls(net, sample),
            "gflop_per_evaluation": round(operations(net, inputs) / 1e9, 3),
        }
    seconds = {name: [] for name in made}
    for _ in range(turns):
        for name, (_, _, sample) in made.items():
            start = time.perf_counter(), time.process_time()
            sample()
            seconds[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    for name, row in table.items():
        wall, cpu = (statistics.median(t) for t in zip(*seconds[name], strict=True))
        row |= {"seconds_per_sample": round(wall, 3), "cpu_seconds_per_sample": round(cpu, 3)}
        row["gflop_per_cpu_second"] = round(row["gflop_per_evaluation"] * row["evaluations"] / cpu, 1)
        row["all_cpu_seconds"] = [round(t, 3) for _, t in seconds[name]]
    fastest = min(t["cpu_seconds_per_sample"] for name, t in table.items() if name != "warmstart")
    return table, round(fastest / table["warmstart"]["cpu_seconds_per_sample"], 2)


def accuracy(modes=32):
    """Mean relative error of the standard deviations that each solver draws from a law with std k^-1, k = 1 ... modes."""
    from azula.denoise import GaussianDenoiser
    from azula.linalg.covariance import DiagonalCovariance
    from azula.noise import VESchedule
    from azula.sample import HeunSampler, xEABSampler
    from diffusers import EDMDPMSolverMultistepScheduler
    from physicsnemo.diffusion.noise_schedulers import EDMNoiseScheduler
    from physicsnemo.diffusion.samplers import sample as draw

    from warmstart.generator.network.sampler import solve
    from warmstart.generator.settings import SamplingConfig

    variance = torch.arange(1, modes + 1, dtype=torch.float64) ** -2.0
    clean = lambda z, sigma: z * variance / (variance + sigma.reshape(-1, 1) ** 2)  # noqa: E731
    # the law is diagonal and the solvers linear: noise 1 in every mode comes out as the standard deviation
    unit = torch.ones(1, modes, dtype=torch.float64)
    exact = GaussianDenoiser(
        torch.zeros(modes, dtype=torch.float64), DiagonalCovariance(variance), VESchedule(2e-3, 80.0)
    )

    def with_diffusers(steps):
        scheduler = EDMDPMSolverMultistepScheduler(
            sigma_min=2e-3, sigma_max=80.0, sigma_data=1.0, prediction_type="epsilon"
        )
        scheduler.set_timesteps(steps)
        z = (80 * unit)[..., None, None]
        for t, sigma in zip(scheduler.timesteps, scheduler.sigmas[:-1].double(), strict=True):
            wanted = clean(z[..., 0, 0], sigma[None])[..., None, None]
            skip, out = 1 / (1 + sigma**2), sigma / (1 + sigma**2) ** 0.5
            z = scheduler.step((wanted - skip * z) / out, t, z).prev_sample
        return z[..., 0, 0]

    def with_physicsnemo(steps):
        schedule = EDMNoiseScheduler(sigma_min=2e-3, sigma_max=80.0)
        denoiser = schedule.get_denoiser(x0_predictor=clean)
        return draw(denoiser, 80 * unit, schedule, num_steps=(steps + 1) // 2, solver="heun")

    def with_azula(sampler, steps, **options):
        made = sampler(exact, silent=True, dtype=torch.float64, **options)
        made.steps = steps
        return made(80 * unit)

    def with_ours(method, steps, **options):
        source = lambda: torch.zeros_like(unit)  # noqa: E731
        return solve(clean, unit, SamplingConfig(method=method, steps=steps, **options), source)

    solvers = {
        "warmstart adams-bashforth": lambda n: with_ours("adams-bashforth", n),
        "warmstart dpm-solver": lambda n: with_ours("dpm-solver", n),
        "azula exponential Adams-Bashforth, order 2": lambda n: with_azula(xEABSampler, n),
        "azula Heun": lambda n: with_azula(HeunSampler, n // 2),
        "diffusers DPM-Solver++ 2M": with_diffusers,
        "physicsnemo Heun": with_physicsnemo,
    }
    std = variance.sqrt()
    return {
        name: {n: float(f"{float(((solver(n)[0] - std).abs() / std).mean()):.2g}") for n in (17, 25, 33)}
        for name, solver in solvers.items()
    }


def shipped(turns):
    """Seconds a state of the shipped generator, constraints and all, and a sample of the network timed above: one thread each."""
    import warmstart as ws
    from warmstart.generator.checkpoint import load

    torch.set_num_threads(1)
    generator = load("dino-4deg")
    seconds = {"shipped generator, a state": [], "network of 10 M parameters, a sample": []}
    work = (lambda: ws.generate(generator), ours()[2])
    for turn in range(turns + 1):
        for times, do in zip(seconds.values(), work, strict=True):
            start = time.perf_counter(), time.process_time()
            do()
            if turn:  # the first is to warm up
                times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    medians = {
        name: [statistics.median(t) for t in zip(*times, strict=True)] for name, times in seconds.items()
    }
    return {
        name: {"seconds": round(wall, 3), "cpu_seconds": round(cpu, 3)}
        for name, (wall, cpu) in medians.items()
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--shipped", action="store_true", help="time the shipped generator")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    if options.shipped:
        times = shipped(options.turns)
        (RESULTS / "sampling_shipped.json").write_text(
            json.dumps(describe(__file__) | times, indent=1) + "\n"
        )
        print(*(f"{name}: {t['seconds']} s, {t['cpu_seconds']} CPU s" for name, t in times.items()), sep="\n")
        return
    torch.set_num_threads(1)
    mend_torchvision()
    table, ratio = speed(options.turns)
    errors = accuracy()
    result = describe(__file__) | {
        "ratio_to_fastest_rival": ratio,
        "networks": table,
        "relative_error": errors,
    }
    (RESULTS / "sampling.json").write_text(json.dumps(result, indent=1) + "\n")
    for name, row in table.items():
        print(
            f"{name:12} {row['parameters'] / 1e6:5.2f} M, {row['gflop_per_evaluation']:.2f} GFLOP an evaluation, "
            f"{row['cpu_seconds_per_sample']:.2f} s a sample of {row['evaluations']}, {row['gflop_per_cpu_second']} GFLOP/s"
        )
    print(f"ratio: {ratio} (fastest rival / warmstart, CPU seconds a sample)")
    for name, row in errors.items():
        print(f"{name:45}", *(f"{n}: {e:.2g}" for n, e in row.items()))


if __name__ == "__main__":
    main()
