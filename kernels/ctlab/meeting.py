"""Where the processes of one training meet: over loopback and memory, on one node, without a name in any file system."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from functools import cache

import torch
from torch._C._distributed_c10d import Backend, FileStore, PrefixStore, Store
from torch.distributed import ProcessGroup

LONGEST = timedelta(minutes=30)
"""After which a process that waits in the middle of a step for the others gives up. Whoever leads them gives up sooner."""
QUIET: Mapping[str, str] = {
    # In a session there is no other interface, and elsewhere no other is wanted.
    "NCCL_SOCKET_IFNAME": "lo",
    # NCCL's own watchdog ends the process when another has died: that would be the notebook's kernel. We watch them ourselves.
    "TORCH_NCCL_ASYNC_ERROR_HANDLING": "0",
    "TORCH_NCCL_ENABLE_MONITORING": "0",
    "TORCH_NCCL_DUMP_ON_TIMEOUT": "0",
}
"""The environment in which GPUs meet."""


@cache
def place() -> int:
    """A descriptor of nameless memory by which processes that have it find each other.

    One for the life of this process: a store finds it by its number, also one that is given up later than others think.
    """
    return os.memfd_create("ctlab-meeting")


def meet(descriptor: int, name: str, rank: int, processes: int, where: torch.device) -> ProcessGroup:
    """Joins the others at `descriptor` under a `name` that was not used before; returns when all are there.

    `where` is the device of this process; GPUs have to be different ones.
    """
    # By that path each opens it for itself, so that the store's locks hold between them.
    store = PrefixStore(name, FileStore(f"/proc/self/fd/{descriptor}", processes))
    group = ProcessGroup(store, rank, processes)
    kind = ProcessGroup.BackendType.NCCL if where.type == "cuda" else ProcessGroup.BackendType.GLOO
    backend = (_between_gpus if where.type == "cuda" else _between_cpus)(store, rank, processes)
    group._set_default_backend(kind)
    group._register_backend(torch.device(where.type), kind, backend)
    # GPUs connect at their first common word, and each waits for all meanwhile: so here, where somebody looks after it.
    group.broadcast(torch.zeros(1, device=where), 0).wait()
    return group


def _between_gpus(store: Store, rank: int, processes: int) -> Backend:
    # Not in every build of torch.
    from torch.distributed import ProcessGroupNCCL

    options = ProcessGroupNCCL.Options()
    options._timeout = LONGEST
    return ProcessGroupNCCL(store, rank, processes, options)


def _between_cpus(store: Store, rank: int, processes: int) -> Backend:
    from torch.distributed import ProcessGroupGloo

    options = ProcessGroupGloo._Options()  # type: ignore[attr-defined]  # missing in torch's types, as is that it may be handed over
    options._timeout = LONGEST
    options._devices = [ProcessGroupGloo.create_device(hostname="127.0.0.1")]
    return ProcessGroupGloo(store, rank, processes, options)
