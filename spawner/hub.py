"""What the site file means for JupyterHub itself: addresses, files, TLS between its parts, and who may administer."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from jupyterhub.utils import subdomain_hook_idna
from tornado.httpserver import HTTPServer
from traitlets.config import Config

from spawner.connections import CappedServer
from spawner.site import Site

ADMINISTRATOR = "renkei-administrator"
QUOTA_READ = "custom:quota:read"
QUOTA_WRITE = "custom:quota:write"
AUDIT_READ = "custom:audit:read"
CUSTOM_SCOPES: dict[str, dict[str, object]] = {
    QUOTA_READ: {"description": "See everybody's sessions, usage, groups and rules in the console"},
    QUOTA_WRITE: {
        "description": "End, extend and write to sessions, and change groups, rules and exceptions, in the console",
        "subscopes": [QUOTA_READ],
    },
    AUDIT_READ: {"description": "Read the audit and the residue statements in the console"},
}
ADMINISTRATOR_SCOPES = (
    "admin-ui", "list:users", "read:users", "read:servers", "delete:servers", "list:services", "read:services", "read:hub",
    "read:metrics", "list:groups", "groups", "admin:groups", QUOTA_READ, QUOTA_WRITE, AUDIT_READ,
)  # fmt: skip
"""See who runs what, end it, and say who is in which group. Not: enter anybody's session, act for them, make tokens that could."""

TOKEN_DAYS = 30

HUB_PID = "RENKEI_HUB_PID"
"""In a service's environment: the process that started it, and without which it is nothing."""


def person_host(site: Site, user: str) -> str | None:
    """The host name that `user`'s notebook has in the browser, or None where all are at the hub's own."""
    if site.hub.subdomain_host is None:
        return None
    return str(subdomain_hook_idna(user, urlsplit(site.hub.subdomain_host).hostname, kind="user"))


def cap_connections() -> None:
    """Let JupyterHub's own server cap connections too: it makes a plain one, and takes no class or options for it."""
    HTTPServer.configure(CappedServer)


def configure(c: Config, site: Site) -> None:
    """Set `c` so that hub and proxy stand where `site` says."""
    cap_connections()
    state = Path(site.hub.state)
    hub = c.JupyterHub
    hub.bind_url = site.hub.bind_url
    # JupyterHub makes the certificates of its parts once, with the host's name in them: another name needs others.
    certificates = "internal-tls"
    if site.hub.subdomain_host is not None:
        hub.subdomain_host = site.hub.subdomain_host
        hub.subdomain_hook = subdomain_hook_idna
        certificates += f"-{urlsplit(site.hub.subdomain_host).hostname}"
    hub.hub_ip = site.hub.address
    hub.hub_connect_ip = site.hub.address
    hub.hub_port = site.hub.api_port
    hub.db_url = f"sqlite:///{state / 'jupyterhub.sqlite'}"
    hub.cookie_secret_file = str(state / "cookie_secret")
    if site.hub.tls_certificate is not None:
        hub.ssl_cert = site.hub.tls_certificate
        hub.ssl_key = site.hub.tls_key

    # Proxy, hub and sessions speak mutual TLS with each other, whatever browsers speak with the proxy.
    hub.internal_ssl = True
    hub.internal_certs_location = str(state / certificates)
    hub.trusted_alt_names = [f"IP:{site.hub.address}", f"DNS:{site.hub.address}"]
    c.ConfigurableHTTPProxy.command = list(site.hub.proxy_command)
    c.ConfigurableHTTPProxy.api_url = f"https://127.0.0.1:{site.hub.proxy_api_port}"
    c.ConfigurableHTTPProxy.pid_file = str(state / "proxy.pid")

    # Names of files are data, and addresses of notebooks hold them.
    hub.logging_config = {
        "filters": {"redact": {"()": "spawner.redact.Redact"}},
        "handlers": {"console": {"filters": ["redact"]}},
    }

    # Sessions outlive the hub; a limit on how many start at once would count the batch system's queue.
    hub.cleanup_servers = False
    # A session that does not answer yet (a cut line) must not keep those waiting that have to be taken up.
    hub.init_spawners_timeout = 1
    hub.concurrent_spawn_limit = 0
    hub.redirect_to_server = True
    hub.allow_named_servers = site.session.further_sessions > 0
    hub.named_server_limit_per_user = site.session.further_sessions
    hub.token_expires_in_max_seconds = TOKEN_DAYS * 86_400

    # JupyterHub's own role `admin` may enter every session: here nobody has it.
    hub.custom_scopes = CUSTOM_SCOPES
    hub.load_roles = [
        {"name": "admin", "users": []},
        {
            "name": ADMINISTRATOR,
            "description": "See who runs what, and end it",
            "scopes": list(ADMINISTRATOR_SCOPES),
            "users": list(site.login.admins),
        },
    ]
