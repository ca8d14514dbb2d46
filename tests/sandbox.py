"""A mount namespace in which everything is read-only but one folder: what goes wrong there goes wrong nowhere else."""

import os
import shutil
import subprocess
from pathlib import Path

#: Exit code of what finds itself outside of a sandbox.
NO_SANDBOX = 77

_SHUT = r"""
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
awk '{print $5}' /proc/self/mountinfo | sort -r | while read -r place; do
    [ "$place" = "$1" ] || mount -o remount,bind,ro "$place" 2>/dev/null || true
done
for outside in / /etc /usr /var /tmp "$2"; do
    if [ -d "$outside" ] && touch "$outside/warmstart-sandbox-leaks" 2>/dev/null; then
        rm -f "$outside/warmstart-sandbox-leaks"; echo "$outside can be written to: this is no sandbox"; exit 77
    fi
done
cd "$3"; shift 3
exec "$@"
"""


def run(folder: Path, here: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command where only `folder` can be written to, in the folder `here` below it.

    Exit code 77 says that there is no such namespace here, and the output why.
    """
    if shutil.which("unshare") is None:
        return subprocess.CompletedProcess(command, NO_SANDBOX, "unshare is not installed", "")
    private = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*private, "true"], capture_output=True, check=False).returncode:
        return subprocess.CompletedProcess(command, NO_SANDBOX, "mount namespaces are not allowed here", "")
    return subprocess.run(
        [*private, "bash", "-c", _SHUT, "bash", str(folder), str(Path(__file__).parent), str(here), *command],
        env={**os.environ, "TMPDIR": str(folder), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
