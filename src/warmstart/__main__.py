"""The program ``warmstart``, and ``python -m warmstart``."""


def main() -> None:
    """Run the command line; from its first moment on, an interruption ends it with a sentence."""
    from warmstart.io.signals import end_at_once

    end_at_once()
    from warmstart.cli import main as run

    run()


if __name__ == "__main__":
    main()
