"""How the notebook server starts kernels: without a step into the mount.

The process that starts a program waits until it has entered its folder. A kernel is therefore started in memory, and enters its
notebook's folder itself (kernels/ct): while the line is cut, it waits there, and the server does not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager, ServerKernelManager
from jupyter_server.utils import ApiPath, to_os_path
from traitlets import default

FOLDER = "RENKEI_FOLDER"
"""Environment variable of a kernel: where it works."""


class Kernel(ServerKernelManager):
    """One kernel."""

    async def start_kernel(self, **settings: object) -> None:  # type: ignore[override]  # as in its own class, which has no types
        """Starts it."""
        await super().start_kernel(**in_memory(settings, os.environ))


class Kernels(AsyncMappingKernelManager):
    """All kernels of a server."""

    @default("kernel_manager_class")
    def _default_kernel_manager_class(self) -> str:
        return f"{Kernel.__module__}.{Kernel.__name__}"

    def cwd_for_path(self, path: str, **_: object) -> str:
        """The folder at `path`, unseen: the contents manager has looked, in a thread, and the kernel itself does once more."""
        return str(to_os_path(ApiPath(path), self.root_dir))


def in_memory(settings: Mapping[str, Any], inherited: Mapping[str, str]) -> dict[str, Any]:
    """`settings` (jupyter_client's, for the start of a kernel) with the way to its folder left to itself."""
    if not settings.get("cwd"):
        return dict(settings)
    environment = {**(settings.get("env") or inherited), FOLDER: str(settings["cwd"])}
    return {**settings, "cwd": inherited.get("HOME", "/"), "env": environment}
