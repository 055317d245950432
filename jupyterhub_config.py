"""The hub in one screen: one site file sets everything. RENKEI_SITE names it; /etc/renkei/site.toml otherwise."""

import os
import sys
from pathlib import Path

from spawner import hub, login, mount_spawner, pages, site
from spawner.console import service as console

c = get_config()  # noqa: F821  (traitlets gives it to this file)

try:
    file = Path(os.environ.get("RENKEI_SITE", "/etc/renkei/site.toml"))
    here = site.load(file)
    hub.configure(c, here)
    pages.configure(c, here)
    login.configure(c, here)
    mount_spawner.configure(c, here)
    console.configure(c, here, file)
except site.SiteFileError as error:
    sys.exit(str(error))
