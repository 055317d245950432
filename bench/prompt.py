"""A notebook server on TCP that waits for nothing before it sends, as one on a unix socket, where a session's listens, does."""

from __future__ import annotations

from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class PromptConnection(ZMQChannelsWebsocketConnection):
    """Tornado leaves Nagle's algorithm on: a picture then waits up to 40 ms until the browser has acknowledged what came before."""

    def connect(self) -> Any:  # noqa: ANN401  (jupyter_server's own two classes don't agree on it)
        """To the kernel, when the browser's websocket is open."""
        self.websocket_handler.set_nodelay(True)
        return super().connect()
