"""`python -m spawner.console`: started by the hub, which says in the environment who this is and where the hub is."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import ssl
import sys
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from jupyterhub.services.auth import HubOAuth
from jupyterhub.utils import make_ssl_context
from tornado.httpserver import HTTPServer

from spawner import site as sitefile
from spawner.audit import Audit
from spawner.console.access import CACHE_S
from spawner.console.api import BODY_LIMIT
from spawner.console.app import make_app
from spawner.console.hubapi import HubApi
from spawner.console.office import Office
from spawner.hub import HUB_PID
from spawner.quota.ledger import Ledger
from spawner.schedulers.choice import adapter
from spawner.store.database import database_of

_PR_SET_PDEATHSIG = 1


def end_with_the_hub() -> None:
    """A hub that was killed starts another console: this one must not keep the port, nor answer with a word that no hub knows."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # Imports take seconds, in which the hub may have been killed: whoever is the parent then is not asked.
    if str(os.getppid()) != os.environ.get(HUB_PID):
        sys.exit("the hub is gone")


async def serve(office: Office, hub: HubOAuth) -> None:
    """Listen until SIGTERM."""
    where = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    context = make_ssl_context(hub.keyfile, hub.certfile, cafile=hub.client_ca, purpose=ssl.Purpose.CLIENT_AUTH)
    server = HTTPServer(make_app(office, hub.base_url), ssl_options=context, max_body_size=BODY_LIMIT, xheaders=True)
    # Beside the one of a hub that was killed a moment ago.
    server.listen(where.port or 443, address=where.hostname or "127.0.0.1", reuse_port=True)
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    await over.wait()
    server.stop()


def main() -> None:
    """Read the site file and serve."""
    end_with_the_hub()
    logging.basicConfig(level=logging.INFO, format="[%(levelname)s console] %(message)s")
    logging.getLogger("tornado.access").setLevel(logging.WARNING)
    try:
        site = sitefile.load(Path(os.environ["RENKEI_SITE"]))
    except sitefile.SiteFileError as error:
        sys.exit(str(error))
    hub = HubOAuth.instance(cache_max_age=CACHE_S)
    database = database_of(site)
    office = Office(
        site=site,
        database=database,
        ledger=Ledger(database, ZoneInfo(site.hub.time_zone)),
        hub=HubApi(hub.api_url, make_ssl_context(hub.keyfile, hub.certfile, cafile=hub.client_ca)),
        scheduler=adapter(site),
        audit=Audit(site.hub.audit_log),
        log=logging.getLogger("console"),
    )
    asyncio.run(serve(office, hub))


if __name__ == "__main__":
    main()
