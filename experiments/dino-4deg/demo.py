"""What the demo shows, as two tables: its metrics and its verification.

python experiments/dino-4deg/demo.py

Runs the demo of the shipped generator in a temporary folder, 20 years of the ocean model from each start, and writes demo_metrics.csv and
demo_verify.csv beside this file. Four minutes on two cores.
"""

import sys
import tempfile
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from forecasts import write_table
from records import made_with

import warmstart as ws

HERE = Path(__file__).parent
TABLES = {"metrics.csv": "demo_metrics.csv", "verify.csv": "demo_verify.csv"}


def main() -> None:
    """Run it, keep its tables."""
    header = made_with()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "demo"
        ws.demo(output)
        for made, kept in TABLES.items():
            write_table(pd.read_csv(output / made, comment="#", keep_default_na=False), HERE / kept, header)


if __name__ == "__main__":
    main()
