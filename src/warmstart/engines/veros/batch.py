"""Several members in one program: the step mapped over members, each with its own parameters, time steps and phase."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from warmstart.engines.base import load_job
from warmstart.engines.veros import environment
from warmstart.engines.veros.run import CALL_SECONDS, TERMINATED, Run, build_step, emit, heed_signals
from warmstart.engines.veros.run_state import FAILED, Report, opened
from warmstart.errors import UserError


def run_batch(paths: Sequence[str | Path], device: str = "cpu", report: Report = emit) -> int:
    """Run or continue several jobs of one configuration as one program.

    Parameters
    ----------
    paths : the YAML files of their :class:`warmstart.engines.base.Job`.
    device : ``cpu`` or ``gpu``.
    report : called with an event name and keywords, ``folder`` among them.

    Returns
    -------
    Exit code: 0 all finished, 3 at least one blew up twice, 143 stopped by SIGTERM after checkpoints.

    Raises
    ------
    UserError
        If a job is invalid, the jobs are of several configurations, or there is no such device.
    """
    jobs = [load_job(path) for path in paths]
    if len({job.configuration for job in jobs}) != 1:
        raise UserError("a batch runs on one grid; expected jobs of the same configuration")
    if len({job.folder for job in jobs}) != len(jobs):
        raise UserError("two jobs of the batch have the same folder; expected one folder a member")
    said = [functools.partial(report, folder=str(job.folder)) for job in jobs]
    code = 0
    with contextlib.ExitStack() as stack:
        ends = [stack.enter_context(opened(job, say)) for job, say in zip(jobs, said, strict=True)]
        waiting = [(job, say) for job, say, end in zip(jobs, said, ends, strict=True) if end is None]
        if waiting:
            environment.configure(device=device)
            step = build_step(waiting[0][0])
            runs = [Run(job, say) for job, say in waiting]
            for run in runs:
                run.step = step
            code = Batch(runs, len(jobs)).execute()
    return code if code == TERMINATED else FAILED if FAILED in (*ends, code) else 0


class Batch:
    """Runs that share one mapped step.

    Parameters
    ----------
    runs : each with its :class:`~warmstart.engines.veros.step.PureStep`, the same for all.
    width : places of the program, at least the number of runs. Places without a run stand still, so that what is
        left of a batch continues with the program, and the rounding, that it began with.
    """

    def __init__(self, runs: Sequence[Run], width: int) -> None:
        self.runs, self.width = list(runs), width
        self.advance = self.runs[0].step.advance_members
        self.stopping = False
        self.step_seconds = math.inf

    def execute(self) -> int:
        """Run to the end of all, or to a signal; return the exit code."""
        talks = [run.requests() for run in self.runs]
        asked: list[tuple[dict[str, Any], int] | None] = [next(talk, None) for talk in talks]
        # a run that has come to its end keeps its place: the program is compiled for this number of members
        both = zip(asked, self.runs, strict=True)
        inputs = [request[0] if request else run.idle() for request, run in both]
        spare = self.width - len(self.runs)
        carry = _stack([run.carry for run in self.runs] + spare * [self.runs[0].carry])
        theta = _stack(inputs + spare * inputs[:1])
        while any(asked):
            left = [request[1] if request else 0 for request in asked] + spare * [0]
            if self.stopping:
                return self._stop(carry, asked)
            done, carry = self._advance(carry, theta, left)
            for i, run in enumerate(self.runs):
                request = asked[i]
                if request is None:
                    continue
                run.progress.steps += done[i]
                if done[i] < left[i]:
                    asked[i] = (request[0], left[i] - done[i])
                    continue
                run.carry = held = _member(carry, i)
                asked[i] = request = next(talks[i], None)
                if run.carry is not held:
                    carry = _replace(carry, run.carry, i)
                if request is not None and request[0] is not inputs[i]:
                    inputs[i] = request[0]
                    theta = _replace(theta, request[0], i)
        return max(run.code for run in self.runs)

    def _stop_in_order(self, *_: Any) -> None:
        self.stopping = True

    def _stop(self, carry: Any, asked: Sequence[Any]) -> int:
        for i, run in enumerate(self.runs):
            if asked[i] is not None:
                run.carry = _member(carry, i)
                run.save()
        return TERMINATED

    def _advance(self, carry: Any, theta: Any, left: Sequence[int]) -> tuple[list[int], Any]:
        """Do up to so many steps of each member, in a call short enough to answer a signal."""
        import jax
        import jax.numpy as jnp

        first = math.isinf(self.step_seconds)
        most = 2 if first else max(1, int(CALL_SECONDS / self.step_seconds))
        steps = [min(most, n) for n in left]
        if first:  # compile before the clock starts
            jax.block_until_ready(self.advance(carry, theta, jnp.zeros(len(steps), int)))
            heed_signals(self._stop_in_order)
        before = time.monotonic()
        carry = jax.block_until_ready(self.advance(carry, theta, jnp.asarray(steps)))
        self.step_seconds = max((time.monotonic() - before) / max(steps), 1e-6)
        return steps, carry


def _stack(trees: Sequence[Any]) -> Any:
    import jax
    import jax.numpy as jnp

    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _member(tree: Any, index: int) -> Any:
    import jax

    return jax.tree.map(lambda leaf: leaf[index], tree)


def _replace(tree: Any, part: Any, index: int) -> Any:
    import jax

    return jax.tree.map(lambda leaf, new: leaf.at[index].set(new), tree, part)
