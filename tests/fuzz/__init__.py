"""Damaged and odd inputs for every reader and every option: right, or one sentence and exit code 2.

``python -m tests.fuzz --inputs 5000`` tries many by hand; ``make test`` tries a few, always the same.
"""

import sys
from pathlib import Path

# what the other tests make their files with lies in the folder above
if (_TESTS := str(Path(__file__).parents[1])) not in sys.path:
    sys.path.insert(0, _TESTS)
