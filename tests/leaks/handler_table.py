"""`python -m tests.leaks.handler_table`: every route and method of the notebook server as a session starts it, as JSON.

A process of its own, because Jupyter's applications are singletons. The hub that the server asks at its start is a socket here.
"""

from __future__ import annotations

import http.server
import json
import os
import socket
import socketserver
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class _Hub(http.server.BaseHTTPRequestHandler):
    """Answers every question with the version of the JupyterHub that is installed."""

    def do_GET(self) -> None:
        from jupyterhub import __version__

        body = json.dumps({"version": __version__}).encode()
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", __version__)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: standard output is for the table."""


def _rows(rules: Any) -> Iterator[tuple[str, list[str]]]:
    """Pattern and the methods that its handler defines, in the order in which they are tried."""
    from tornado.web import RequestHandler

    for rule in rules:
        if hasattr(rule.target, "rules"):
            yield from _rows(rule.target.rules)
        else:
            defined = [each for each in METHODS if getattr(rule.target, each.lower()) is not getattr(RequestHandler, each.lower())]
            yield rule.matcher.regex.pattern, defined


def main() -> None:
    """Starts the server as `enclave.inside` does, up to the point where it would listen."""
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hub = socketserver.ThreadingUnixStreamServer(f"{folder}/hub.sock", _Hub)
        threading.Thread(target=hub.serve_forever, daemon=True).start()

        from enclave.inside import server_class
        from tests.enclave.lab import OWN, server_settings

        early, made = server_settings(folder)
        os.environ.update(early | made.environment)
        (folder / "cloud" / OWN / "tutorials").mkdir(parents=True)
        for path, text in made.files.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text)
        application = server_class(socket.socket()).initialize_server([])
        json.dump(list(_rows(application.web_app.default_router.rules)), sys.stdout)


if __name__ == "__main__":
    main()
