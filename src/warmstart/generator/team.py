"""The processes that train together: one, or those that torchrun started."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import distributed, nn

from warmstart.errors import UserError


@dataclass(frozen=True)
class Team:
    """A process among those that train together; all of them draw the same batch and each works on its part.

    Attributes
    ----------
    rank, world, local : number of this process, how many there are, and its number on this machine.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def device(self, kind: str) -> torch.device:
        """The CPU, or the GPU of this process."""
        return torch.device(kind, self.local) if kind == "cuda" else torch.device(kind)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over the processes."""
        if self.world == 1:
            return module
        return nn.parallel.DistributedDataParallel(module, broadcast_buffers=False)

    def mean(self, value: torch.Tensor) -> float:
        """Mean of a number over the processes."""
        if self.world > 1:
            value = value.clone()
            distributed.all_reduce(value)
            value /= self.world
        return float(value)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.world > 1:
            distributed.barrier()


@contextlib.contextmanager
def team(device: str, batch: int) -> Iterator[Team]:
    """Join the processes that torchrun started; alone without it.

    Parameters
    ----------
    device : ``cpu`` or ``cuda``: how they talk.
    batch : examples a step, which the processes share.

    Raises
    ------
    UserError
        If the batch can not be shared evenly.

    Examples
    --------
    >>> with team("cpu", 8) as alone:
    ...     alone.world
    1
    """
    rank, world, local = (
        int(os.environ.get(n, d)) for n, d in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
    )
    if world == 1:
        yield Team()
        return
    if batch % world:
        raise UserError(
            f"training.batch is {batch}, which {world} processes can not share evenly; choose a multiple of {world}"
        )
    if device == "cuda":
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Team(rank, world, local)
    finally:
        distributed.destroy_process_group()
