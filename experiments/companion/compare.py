"""Tabulate what the finer mesh changes: each member at 2 degrees beside the one at 4 degrees that it started from.

python experiments/companion/compare.py

Means of the last 20 years of either, at settling time steps. Writes compare.csv beside this file: member, quantity, unit, at 4 and at 2 degrees,
and the drift of the deep ocean over the 200 years at 2 degrees with its verdict.
"""

import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from forecasts import write_table
from records import made_with

from warmstart.equilibrium.verdict import judge
from warmstart.io.files import open_dataset

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "data"
KNOWN = {
    "thetao_deep": "degC", "so_deep": "1e-3", "thetao_mean": "degC", "kinetic_energy": "m2 s-2",
    "channel_transport": "Sv", "overturning_north": "Sv", "overturning_abyssal": "Sv",
}  # fmt: skip
LAST = 20  #: years


def main() -> None:
    """One row a member and quantity."""
    rows = []
    for path in sorted((DATA / "dino-2deg").glob("member_*.nc")):
        with open_dataset(path, "series") as opened:
            fine = opened.load()
        with open_dataset(DATA / "dino-4deg" / path.name, "series") as opened:
            coarse = opened.load()
        found = judge(fine)
        for name, unit in KNOWN.items():
            rows.append({
                "member": int(path.stem.removeprefix("member_")), "quantity": name, "unit": unit,
                "at_4_degrees": float(coarse[name][-LAST:].mean()), "at_2_degrees": float(fine[name][-LAST:].mean()),
                "drift_K_per_century": round(found.drift, 4), "verdict": found.verdict,
            })  # fmt: skip
    table = pd.DataFrame(rows).round({"at_4_degrees": 6, "at_2_degrees": 6})
    write_table(table, HERE / "compare.csv", made_with())


if __name__ == "__main__":
    main()
