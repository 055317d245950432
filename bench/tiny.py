"""What `bin/bench load` runs in the place of the notebook server: answers everything, and costs next to nothing.

Copied over `enclave/inside.py` of the nodes' own source for the bench: same arguments, same descriptors, same order to stop.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer


class Answer(BaseHTTPRequestHandler):
    """Says `{}` to whatever is asked."""

    def do_GET(self) -> None:
        """JupyterHub asks whether the server is there."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET  # noqa: N815  (the base class's names)

    def address_string(self) -> str:
        """A unix socket has none."""
        return "-"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
        """Nothing."""


def main(descriptor: int, report: int, gpus: int) -> None:
    """Serve on the listening socket that is open as `descriptor`, until standard input ends."""
    if report >= 0:
        from enclave.preflight import probe

        probe.report(report, gpus=gpus > 0)
    sys.stdin.buffer.readline()
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    server = HTTPServer(("", 0), Answer, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=descriptor)
    server.serve_forever()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
