"""What the console means for JupyterHub: a managed service, whom it may speak to, and what its tokens may."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from pathlib import Path
from urllib.parse import urlsplit

from jupyterhub.app import JupyterHub
from jupyterhub.services import service as jupyterhub_service
from jupyterhub.services.service import Service
from jupyterhub.utils import subdomain_hook_idna
from traitlets import default
from traitlets.config import Config

from spawner.hub import AUDIT_READ, HUB_PID, QUOTA_READ, QUOTA_WRITE
from spawner.site import Site

NAME = "quota"

HUB_SCOPES = ("list:users", "read:users", "read:servers", "delete:servers", "list:groups", "groups", "admin:groups")
"""What the console does at the hub it does with the token of whoever asks: these, as far as that person holds them."""

_starting: set[asyncio.Task[bool]] = set()


def configure(c: Config, site: Site, path: Path) -> None:
    """Set `c` so that the hub starts the console for the site file at `path`, and everybody may open it.

    The service has no role: it can do nothing at the hub by itself.
    """
    c.JupyterHub.services.append(
        {
            "name": NAME,
            "url": f"https://127.0.0.1:{site.hub.console_port}",
            "command": [sys.executable, "-m", "spawner.console"],
            # Only what it needs: JupyterHub adds the service's own token, certificate and addresses.
            "environment": {"RENKEI_SITE": str(path), "PYTHONPATH": os.environ.get("PYTHONPATH", ""), HUB_PID: str(os.getpid())},
            "oauth_no_confirm": True,
            "oauth_client_allowed_scopes": [QUOTA_READ, QUOTA_WRITE, AUDIT_READ, *HUB_SCOPES],
        }
    )
    c.JupyterHub.extra_user_scopes.add(f"access:services!service={NAME}")
    if site.hub.subdomain_host is not None:
        _name_certificates(urlsplit(site.hub.subdomain_host).hostname or "")
    _start_beside_the_hub()


def _start_beside_the_hub() -> None:
    """Let the hub be up before the console is, and without it.

    JupyterHub 6.1.1 starts services one after the other before it answers anybody, and exits where one does not come up; with
    `internal_ssl` it asks them with a context that is only good for servers, so none ever does.
    """
    original = JupyterHub.start_service

    async def start_service(self: JupyterHub, name: str, service: Service, ssl_context: ssl.SSLContext | None = None) -> bool:
        if name != NAME:
            return bool(await original(self, name, service, ssl_context))
        task = asyncio.create_task(original(self, name, service))  # makes a client's context itself
        _starting.add(task)
        task.add_done_callback(_starting.discard)
        return True

    JupyterHub.start_service = start_service


def _name_certificates(domain: str) -> None:
    """JupyterHub makes a service's certificate without the host name that the proxy then asks it for."""
    name = f"DNS:{subdomain_hook_idna(NAME, domain, kind='service')}"

    class NamedServiceSpawner(jupyterhub_service._ServiceSpawner):
        @default("ssl_alt_names")
        def _names(self) -> list[str]:
            return [name]

    jupyterhub_service._ServiceSpawner = NamedServiceSpawner
