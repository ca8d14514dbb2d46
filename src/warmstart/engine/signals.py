"""SIGTERM as an exception, so that a program that is asked to end stops its engines first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

TERMINATED = 143  #: exit code of a program that SIGTERM ended


class Terminated(SystemExit):
    """The program was asked to end by SIGTERM; uncaught, it ends with exit code 143."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Raise :class:`Terminated` at SIGTERM while the block lasts; a second one ends the program at once.

    Only in the main thread, and only where nobody else listens to SIGTERM.

    Examples
    --------
    >>> import os
    >>> try:
    ...     with terminable():
    ...         os.kill(os.getpid(), signal.SIGTERM)
    ... except Terminated as error:
    ...     print(error.code)
    143
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Terminated(TERMINATED)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
