"""Write the data card of a collection, README.md, and a contact sheet of its members, contact-sheet.png.

python data/card.py data/dino-4deg
python data/card.py data/dino-2deg
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))

from verdicts import years_until

from warmstart.ocean import parameters
from warmstart.store.members import BLOW_UPS, find_members
from warmstart.ocean.constants import DAY
from warmstart.engines.veros.phases import time_steps
from warmstart.equilibrium.verdict import judge
from warmstart.errors import UserError
from warmstart.io.files import open_dataset, open_grid
from warmstart.io.outputs import replacing
from warmstart.physics.column import n2
from warmstart.physics.transport import overturning

REGRIDDED = "regridded"  #: start of members that were put on a finer mesh (data/refine.py)
COLUMNS = 6  #: members in a row of the contact sheet
#: How the labels of held-out members came about: whoever scores a generator on them has to know.
AIMED = (
    "Held-out members are no exception to how the runs were brought to rest: from the second round on, the first shift of a run, a "
    "validation or test member's too, aims at what a regression on all members before it expects, held-out ones among them. What is "
    "called their equilibrium is where the ocean model itself then stayed; which of two equilibria it stays in may depend on that aim "
    "(`experiments/equilibria`, member 3)."
)
BUDGET = 700_000  #: bytes of the contact sheet


def describe(path: Path) -> dict[str, object]:
    """What a member file shows: attributes, and what its last states and its series say."""
    grid = open_grid(path)
    with open_dataset(path) as opened:
        ds = opened.load()
    with open_dataset(path, "series") as opened:
        series = opened.load()
    settled = ds.isel(time=np.flatnonzero(ds.phase.values == "equilibrium")).mean("time", keep_attrs=True)
    settled["uo"], settled["vo"] = settled.uo.astype("float64"), settled.vo.astype("float64")
    verdict = judge(series)
    stability = n2(settled, grid).values
    weight = np.where(np.isfinite(stability), grid.volume.values, 0.0)
    lat, depth = grid.gphit.values.mean(1), grid.gdept_1d.values
    volume = grid.volume.values
    wet = volume.sum(2)
    section = np.where(
        wet > 0, np.nansum(settled.thetao.values * volume, axis=2) / np.where(wet > 0, wet, 1), np.nan
    )
    tail = series.isel(time=slice(-20, None))
    return {
        "near": years_until(series, "near"), "there": years_until(series, "equilibrium"), "path": path, "attrs": ds.attrs, "verdict": verdict, "index": int(ds.attrs["member"]),
        "values": {n: float(v) for n, v in parameters.extract(ds).items()},
        "states": int((ds.phase == "equilibrium").sum()), "transients": int((ds.phase == "transient").sum()),
        "channel": float(tail.channel_transport.mean()), "north": float(tail.overturning_north.mean()),
        "abyssal": float(tail.overturning_abyssal.mean()), "deep": float(tail.thetao_deep.mean()),
        "n2": float((np.nan_to_num(stability) * weight).sum() / weight.sum()), "psi": overturning(settled, grid).values, "section": section,
        "lat": lat, "depth": depth,
    }  # fmt: skip


def contact_sheet(members: list[dict], output: Path) -> None:
    """Overturning, and below it zonal-mean temperature, of every member against latitude and depth."""
    rows = -(-len(members) // COLUMNS)
    height = 2.0 * rows + 0.4
    figure, axes = plt.subplots(
        rows * 2,
        COLUMNS,
        figsize=(1.7 * COLUMNS, height),
        dpi=130,
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for k, m in enumerate(members):
        top, below = axes[2 * (k // COLUMNS), k % COLUMNS], axes[2 * (k // COLUMNS) + 1, k % COLUMNS]
        psi = m["psi"] if m["psi"].shape[0] == m["depth"].size else m["psi"][: m["depth"].size]
        flow = top.pcolormesh(m["lat"], m["depth"], psi, cmap="RdBu_r", vmin=-25, vmax=25, rasterized=True)
        heat = below.pcolormesh(
            m["lat"], m["depth"], m["section"], cmap="viridis", vmin=0, vmax=20, rasterized=True
        )
        top.set_title(f"{m['index']:03d} {m['verdict'].verdict}", fontsize=6, pad=2)
        for axis in (top, below):
            axis.set_axis_on()
            axis.set(ylim=(m["depth"][-1], 0), xticks=(-60, 0, 60), yticks=(0, 2000))
            axis.tick_params(labelsize=5, length=2, pad=1)
    figure.supxlabel("latitude, degrees north", fontsize=7, y=0.1 / height)
    figure.supylabel("depth, m", fontsize=7, x=0.006)
    figure.subplots_adjust(
        left=0.06, right=0.9, top=1 - 0.25 / height, bottom=0.5 / height, hspace=0.25, wspace=0.08
    )
    for mappable, place, text in ((flow, 0.55, "overturning, Sv"), (heat, 0.1, "zonal-mean T, °C")):
        bar = figure.colorbar(mappable, cax=figure.add_axes((0.92, place, 0.012, 0.35)))
        bar.set_label(text, fontsize=6)
        bar.ax.tick_params(labelsize=5)
    from PIL import Image

    with replacing(output, overwrite=True, ours=True) as temporary:
        figure.savefig(temporary, format="png")
        Image.open(temporary).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(temporary, format="png", optimize=True)
        if temporary.stat().st_size > BUDGET:
            raise UserError(
                f"the contact sheet has {temporary.stat().st_size} bytes; expected at most {BUDGET}"
            )
    plt.close(figure)


def span(values: list[float], form: str = ".3g") -> str:
    """Lowest, median and highest of what is known."""
    known = [v for v in values if np.isfinite(v)]
    return f"{min(known):{form}} | {np.median(known):{form}} | {max(known):{form}}" if known else "– | – | –"


def years_of(members: list[dict]) -> list[str]:
    """Model years after which each kind of start could have been ended."""
    lines = ["| start | members | years to near: least, median, most | not near | years to equilibrium | not at equilibrium |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for start in sorted({str(m["attrs"].get("start", "rest")) for m in members}):
        group = [m for m in members if str(m["attrs"].get("start", "rest")) == start]
        cells = []
        for name in ("near", "there"):
            years = [m[name] for m in group]
            known = [y for y in years if np.isfinite(y)]
            cells += [
                f"{min(known):.0f}, {np.median(known):.0f}, {max(known):.0f}" if known else "–",
                str(len(years) - len(known)),
            ]
        lines.append(f"| {start} | {len(group)} | {' | '.join(cells)} |")
    return lines


def card(folder: Path, members: list[dict], blown: list) -> str:
    """The text of README.md."""
    first = members[0]
    grid = open_grid(first["path"])
    counts = {v: sum(m["verdict"].verdict == v for m in members) for v in ("equilibrium", "near", "drifting")}
    splits = [parameters.split_of(m["index"]) for m in members]
    older = [m for m in members if "member_format" not in m["attrs"]]
    total = sum(p.stat().st_size for p in folder.iterdir() if p.is_file())
    varied = [n for n in parameters.PARAMETERS if len({m["values"].get(n) for m in members}) > 1]
    momentum, tracer = time_steps(float(grid.ds.attrs["resolution"])).cautious
    history = "companion" if any(m["attrs"].get("start") == REGRIDDED for m in members) else "equilibria"
    example = f"{folder.name}/{first['path'].name}"
    lines = [
        f"# DINO at {float(grid.ds.attrs['resolution']):g} degrees in Veros: {len(members)} members",
        "",
        "Written by `python data/card.py`; do not edit. "
        f"{counts['equilibrium']} at equilibrium, {counts['near']} near, {counts['drifting']} drifting, {len(blown)} blown up; "
        f"{splits.count('train')} train, {splits.count('validation')} validate, {splits.count('test')} test (by Sobol index: the "
        "fourth and the eighth of eight). Equilibrium: the ocean below 2000 m drifts by less than 0.01 K/century over the last 200 years and "
        "no transport has a trend; near: less than 0.05 K/century, over what the last stretch without a shift has of them, 50 at least. Each verdict is taken here from the series in the file.",
        "",
        f"Mesh: {grid!r}. {total / 2**20:.1f} MiB in all. Parameters of member i: `examples/ensemble-dino-4deg.yaml`, which never "
        f"change with the number of members. How they came about: `experiments/{history}`.",
        "",
        *([AIMED, ""] if history == "equilibria" else []),
        "`member_NNN.nc` holds states at the end of December (`phase`: `transient` on the way, `equilibrium` at the end, after 20 years at "
        f"{momentum:g} s / {tracer / DAY:g} day), parameters, forcing profiles, and the groups `grid` (mesh), `series` (a row a year) and `restart`. "
        "Temperature and salinity are packed in steps of 1e-6 K and 1e-7, velocities and sea level of 1e-6: static inversions are the same "
        "pair by pair, heat and salt within 1e-7, N² within 1e-4 of its root mean square (`tests/experiments/test_member_files.py`).",
        "",
        "```console",
        f"$ python data/export.py runs/member_* data/{folder.name}            # how the files were made",
        f"$ warmstart dataset data/{folder.name} -o states.zarr",
        f"$ python data/export.py data/{example} restart.h5 # Veros's own layout; a plan's start may be the .nc itself",
        f"$ python data/continue.py data/{example}          # 50 years on: does it keep its verdict?",
        "```",
    ]  # fmt: skip
    if older:
        lines += ["", f"{len(older)} files are of the older format, with 8 digits of T and S and **without a restart**: "
                      + ", ".join(f"{m['index']:03d}" for m in older) + "."]  # fmt: skip
    lines += ["", "| | lowest | median | highest |", "|---|---|---|---|"]
    for key, text in (("channel", "transport of the channel, Sv"), ("north", "northern cell, Sv"), ("abyssal", "abyssal cell, Sv"),
                      ("deep", "T below 2000 m, °C"), ("n2", "mean N², s⁻²")):  # fmt: skip
        lines.append(f"| {text} | {span([m[key] for m in members])} |")
    lines.append(f"| drift, K/century | {span([m['verdict'].drift for m in members], '+.3f')} |")
    lines.append(
        f"| CPU seconds of a run | {span([float(m['attrs'].get('cpu_seconds', np.nan)) for m in members], '.0f')} |"
    )
    lines += [
        "",
        *years_of(members),
        "",
        "Blown up twice, and lost: " + (", ".join(f"{b.index:03d} in year {b.year:g}" for b in blown) or "none") + ". "
        "Blown up once, and repeated with smaller time steps: "
        + (", ".join(f"{m['index']:03d}" for m in members if int(m["attrs"].get("blow_ups", 0))) or "none") + ".",
    ]
    lines += ["", "![overturning and zonal-mean temperature of every member](contact-sheet.png)", ""]
    heads = [
        "member",
        "split",
        "verdict",
        "drift ± 95 %, K/century, years",
        "e-folding, years",
        "T > 2000 m, °C",
        "channel, Sv",
        "north, Sv",
        "states",
    ]
    heads += [f"{n} [{parameters.PARAMETERS[n].units}]" for n in varied]
    lines += ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for m in members:
        v = m["verdict"]
        half = (v.interval[1] - v.interval[0]) / 2
        e_folding = f"{v.approach.years:.0f}" if np.isfinite(v.approach.years) else "–"
        cells = [f"{m['index']:03d}", parameters.split_of(m["index"]), v.verdict, f"{v.drift:+.3f} ± {half:.3f}, {v.years:.0f}", e_folding, f"{m['deep']:.2f}",
                 f"{m['channel']:.0f}", f"{m['north']:.1f}", f"{m['transients']} + {m['states']}"]  # fmt: skip
        cells += [format(m["values"][n], ".3g") for n in varied]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(folder: Path) -> None:
    """Write both files of a collection."""
    found, blown = find_members(folder)
    members = [describe(m.path) for m in sorted(found, key=lambda m: m.index)]
    contact_sheet(members, folder / "contact-sheet.png")
    with replacing(folder / "README.md", overwrite=True, ours=True) as temporary:
        temporary.write_text(card(folder, members, blown), encoding="utf-8")
    print(f"{folder}: {len(members)} members, {len(blown)} listed in {BLOW_UPS} or blown up")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(Path(sys.argv[1]))
    except UserError as error:
        sys.exit(f"Error: {error}")
