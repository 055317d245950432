"""JupyterHub's own upgrade of its database, as the installation guide says it: no hub begins by it."""

import subprocess
import sys

from tests.spawner.hubs import ROOT, SITE


def test_upgrade_db_brings_jupyterhub_s_tables_and_begins_no_hub(tmp_path):
    site = tmp_path / "site.toml"
    ports = {"api": 1, "callback": 2, "proxy": 3, "console": 4}
    site.write_text(SITE.format(url="http://127.0.0.1:5", folder=tmp_path, python=sys.executable, tls="", login="[login]", **ports))
    command = [sys.executable, "-m", "jupyterhub", "upgrade-db", "-f", str(ROOT / "jupyterhub_config.py")]
    environment = {"RENKEI_SITE": str(site), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("renkei.sqlite*"))
