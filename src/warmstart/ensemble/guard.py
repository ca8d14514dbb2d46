"""Become another program that dies with the process that asked for it: ``python guard.py PARENT PROGRAM ARGUMENTS``.

Run as a script, so that a process with many threads need not run Python between fork and exec, which is unsafe.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Ask the kernel for a signal at the parent's death, then become `command`."""
    # only Linux has this; elsewhere the engine's lock keeps a second engine out until the orphan ends
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the line above
            sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
