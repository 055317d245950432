"""The other side of `bench spawn`: JupyterHub as it comes, with batchspawner as it comes, on the same hosts and the same Slurm."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from pathlib import PurePosixPath

from enclave.server_config import EXTENSIONS
from testbed.host import Host, TestbedError
from testbed.layout import NODES, address
from testbed.services import PYTHON, SOURCE, tail

PERSON = "tanaka"
"""Runs the sessions under this person's own Unix account, with a folder of the node as home."""

_PORT, _API_PORT, _HUB_PORT = 8100, 8101, 8181
_FOLDER = "/srv/stock"
_LOG = f"{_FOLDER}/hub.log"


@dataclass(frozen=True)
class StockHub:
    """A running one."""

    address: str
    """Public address, as a browser on the host `hub` reaches it."""
    password: str


def configuration(password: str, partition: str, gpus: int) -> dict[str, dict[str, object]]:
    """What JupyterHub is told, trait by trait: addresses, and what the job asks for. Everything else is its default."""
    programs = PurePosixPath(PYTHON).parent
    return {
        "JupyterHub": {
            "authenticator_class": "shared-password",
            "spawner_class": "batchspawner.SlurmSpawner",
            "bind_url": f"http://0.0.0.0:{_PORT}",
            "hub_bind_url": f"http://{address('hub')}:{_HUB_PORT}",
            "cookie_secret_file": f"{_FOLDER}/cookie_secret",
            "db_url": f"sqlite:///{_FOLDER}/jupyterhub.sqlite",
        },
        "SharedPasswordAuthenticator": {"user_password": password, "allow_all": True},
        "ConfigurableHTTPProxy": {
            "command": [PYTHON, "-m", "spawner.proxy"],
            "api_url": f"http://127.0.0.1:{_API_PORT}",
        },
        "SlurmSpawner": {
            "req_partition": partition,
            "req_gres": f"gpu:{gpus}" if gpus else "",
            "req_runtime": "1:00:00",
            "default_url": "/lab",
            # By their paths: sudo keeps its own PATH, and what the job's `srun` runs is looked for there.
            "batchspawner_singleuser_cmd": str(programs / "batchspawner-singleuser"),
            "cmd": [str(programs / "jupyterhub-singleuser")],
            "environment": {"JUPYTER_PATH": SOURCE, "PYTHONPATH": f"{SOURCE}:{SOURCE}/kernels"},
        },
    }


def start(hosts: dict[str, Host], partition: str, gpus: int) -> StockHub:
    """Start it on the host `hub` and wait for its login page; it lives as long as that host."""
    password = secrets.token_urlsafe(12)
    hub = hosts["hub"]
    for name in NODES:
        # The same server extensions as in a session of ours.
        settings = json.dumps({"ServerApp": {"jpserver_extensions": EXTENSIONS}})
        hosts[name].write(f"/home/{PERSON}/.jupyter/jupyter_server_config.json", settings, 0o600, PERSON)
        hosts[name].folder(f"/home/{PERSON}/.jupyter", 0o700, PERSON, PERSON)
    hub.folder(_FOLDER, 0o700)
    hub.write(f"{_FOLDER}/jupyterhub_config.json", json.dumps(configuration(password, partition, gpus)), 0o600)
    argv = ["env", f"--chdir={_FOLDER}", PYTHON, "-m", "jupyterhub", "--config", f"{_FOLDER}/jupyterhub_config.json"]
    hub.daemon(argv, None, _LOG, {"PYTHONPATH": SOURCE})
    public = f"http://{address('hub')}:{_PORT}"
    end = time.monotonic() + 60
    while hub.run(["curl", "--silent", "--fail", "--output", "/dev/null", f"{public}/hub/login"]).returncode != 0:
        if time.monotonic() > end:
            raise TestbedError(f"the stock hub did not start: {tail(hub, _LOG)}")
        time.sleep(0.2)
    return StockHub(public, password)
