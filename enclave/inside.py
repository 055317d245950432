"""The notebook server's start, inside the sandbox: `python -m enclave.inside LISTENING REPORT GPUS`.

The first two are open descriptors, the third is how many GPUs were asked for. A child tells the enclave what is seen from here.
Meanwhile this process imports what takes long, then reads its `Settings` from standard input and becomes a jupyterhub-singleuser.
Standard input stays open as long as the session is wanted: its end is the order to stop.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from jupyterhub.singleuser.extension import JupyterHubSingleUser


def main(descriptor: int, report: int, gpus: int) -> None:
    """Runs the server on the listening socket that is open as `descriptor`, once `report` was told what is seen from here.

    A negative `report`: nobody asks, since a sandbox like this one has told.
    """
    if report >= 0:
        from enclave.preflight import probe

        probe.report(report, gpus=gpus > 0)
    # jsonschema offers to check internationalised addresses with it; building its grammar takes longer than all other imports
    # together, and no schema here asks for that.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    _import_what_takes_long()
    orders = _take_standard_input()
    line = orders.readline()
    if not line:
        return
    _apply(line)
    threading.Thread(target=_stop_at_end_of, args=(orders,), daemon=True).start()
    _serve(socket.socket(fileno=descriptor))


def _import_what_takes_long() -> None:
    """None of these reads the hub's variables when imported; jupyterhub.services.auth does, and has to wait for them."""
    for module in (
        "enclave.contents",
        "enclave.kernelstart",
        "jupyter_server.serverapp",
        "jupyter_server.services.kernels.websocket",
        "jupyterhub.httpclient",
        "jupyterhub.log",
        "jupyterlab.labapp",
    ):
        importlib.import_module(module)


def _take_standard_input() -> BinaryIO:
    # Kernels inherit descriptor 0: they get nothing to read there.
    orders = os.fdopen(os.dup(0), "rb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return orders


def _stop_at_end_of(orders: BinaryIO) -> None:
    orders.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _apply(line: bytes) -> None:
    import msgspec

    from enclave.server_config import Settings

    settings = msgspec.json.decode(line, type=Settings)
    os.environ.update(settings.environment)
    for name, text in settings.files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def server_class(listening: socket.socket) -> type[JupyterHubSingleUser]:
    """jupyterhub-singleuser as a session runs it: on `listening`, with fewer services than jupyter_server has."""
    from jupyter_server.serverapp import ServerApp
    from jupyterhub.singleuser.extension import JupyterHubSingleUser

    from enclave.server_config import SERVICES

    class SessionServerApp(ServerApp):
        """A server on a socket that it was given: no port, and no path that code in the sandbox could put elsewhere."""

        default_services = SERVICES  # type: ignore[assignment]  # fewer than jupyter_server has

        def _find_http_port(self) -> None:
            """There is none to find."""

        def _bind_http_server(self) -> None:
            self.http_server.add_socket(listening)

    # Set, not subclassed: jupyter_server finds an extension by the module that its class is defined in.
    JupyterHubSingleUser.serverapp_class = SessionServerApp
    return JupyterHubSingleUser  # type: ignore[no-any-return]  # JupyterHub has no types


def _serve(listening: socket.socket) -> None:
    listening.setblocking(False)  # noqa: FBT003  (socket has no name for it)
    server_class(listening).launch_instance([])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
