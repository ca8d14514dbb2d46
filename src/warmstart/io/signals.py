"""How a program ends that is asked to: at once and with nothing half-written, or after its engines."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from warmstart.io import outputs

TERMINATED = 143  #: exit code of a program that SIGTERM ended


class Terminated(SystemExit):
    """The program was asked to end by SIGTERM; uncaught, it ends with exit code 143."""


def end_at_once() -> None:
    """End the program at Ctrl-C and SIGTERM, wherever it is, with what it was making removed.

    For the command line alone. An exception instead could be raised between any two steps of a library: there are some
    that keep a lock then, and wait for it themselves for ever.

    Examples
    --------
    >>> import subprocess, sys
    >>> program = "import os, signal; from warmstart.io import signals; signals.end_at_once(); os.kill(os.getpid(), 15)"
    >>> subprocess.run([sys.executable, "-c", program], check=False).returncode
    143
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        # ignored is how a shell wants it for what runs in the background
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _end(number: int, *_: Any) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    outputs.abandon()
    said = b"interrupted; the same command continues\n" if number == signal.SIGINT else b""
    with contextlib.suppress(OSError):  # a terminal that has gone
        os.write(2, (b"\n\x1b[?25h" if os.isatty(2) else b"") + said)  # progress bars hide the cursor
    with contextlib.suppress(Exception):  # it may have been interrupted while it wrote
        sys.stdout.flush()
    os._exit(128 + number)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Raise :class:`Terminated` at SIGTERM and KeyboardInterrupt at Ctrl-C while the block lasts.

    For what has to stop other programs before it ends. A second SIGTERM ends the program at once. Only in the main thread, and only
    where nobody else listens to SIGTERM.

    Examples
    --------
    >>> try:
    ...     with terminable():
    ...         os.kill(os.getpid(), signal.SIGTERM)
    ... except Terminated as error:
    ...     print(error.code)
    143
    """
    main = threading.current_thread() is threading.main_thread()
    known = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if not main or known[signal.SIGTERM] not in (signal.SIG_DFL, _end):
        yield
        return

    def end(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Terminated(TERMINATED)

    signal.signal(signal.SIGTERM, end)
    if known[signal.SIGINT] is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in known.items():
            signal.signal(number, handler)
