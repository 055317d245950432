"""A program that reads on a node and is asked line by line."""

from __future__ import annotations

import os
from collections.abc import Sequence

from bench.mounts import UNIX_ACCOUNT
from testbed import services
from testbed.host import Host, TestbedError


class Asked:
    """A module of `bench` on a node, as a session's account: a line in, a line out. Raises TestbedError when it has ended."""

    def __init__(self, node: Host, module: str, arguments: Sequence[str]) -> None:
        path = ":".join([services.SOURCE, f"{services.SOURCE}/kernels", os.environ.get("PYTHONPATH", "")])
        argv = ["env", f"PYTHONPATH={path}", "OMP_WAIT_POLICY=PASSIVE", "PYTHONDONTWRITEBYTECODE=1", services.PYTHON]
        self.process = node.popen([*argv, "-m", module, *arguments], UNIX_ACCOUNT)

    def ask(self, line: str) -> str:
        """Its answer."""
        assert self.process.stdin is not None  # noqa: S101  (for the type checker: popen makes pipes)
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()
        return self.line()

    def line(self) -> str:
        """What it says next."""
        assert self.process.stdout is not None  # noqa: S101
        line = self.process.stdout.readline()
        if not line:
            errors = self.process.stderr.read() if self.process.stderr else b""
            raise TestbedError(f"the reading program ended: {errors.decode(errors='replace')[-800:]}")
        return line.decode().strip()

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
