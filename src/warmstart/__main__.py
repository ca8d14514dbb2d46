"""``python -m warmstart`` is the command line."""

from warmstart.cli import main

main()
