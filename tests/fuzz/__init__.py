"""Damaged and odd inputs for every reader and every option: right, or one sentence and exit code 2.

``PYTHONPATH=tests python -m fuzz --inputs 5000`` tries many by hand; ``make test`` tries a few, always the same.
"""

import sys
from pathlib import Path

# what the other tests make their files with
for _folder in (Path(__file__).parents[1], Path(__file__).parents[1] / "page"):
    if str(_folder) not in sys.path:
        sys.path.append(str(_folder))
