"""An order, a node and a welcome that tests start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from enclave.ground import Places
from enclave.messages import Destination, Order, ProofKind, Welcome
from enclave.sandbox import Node

TOKEN = "hub-token-0123456789abcdef"

DESTINATION = Destination(
    name="cloud",
    gateway="10.77.2.1",
    port=2201,
    account="jrs0017",
    host_keys="cloud ssh-ed25519 AAAA",
    path="/srv/cloud",
    folder="people/jrs0017",
)

PLACES = Places(Path("/tmp"))

NODE = Node(
    account="rs-tanaka",
    uid=20101,
    gid=20101,
    system=(),
    links=(("usr/bin", "/bin"), ("usr/lib", "/lib")),
    etc=("ld.so.cache", "localtime"),
    gpu_devices=(),
    places=PLACES,
    mounted=False,
    user_namespace=True,
)


def order(**changes: Any) -> Order:
    settings: dict[str, Any] = {
        "session": "a1b2c3d4e5f60718",
        "callback_url": "https://10.77.1.10:8443",
        "callback_ca": "",
        "proof": ProofKind.MUNGE,
        "software": ("/opt/renkei",),
        "kernels": "/opt/renkei/src/kernels",
    }
    return Order(**(settings | changes))


def welcome(**changes: Any) -> Welcome:
    settings: dict[str, Any] = {
        "key": "the-key",
        "user": "tanaka",
        "language": "ja",
        "deadline": 1_800_000_000.0,
        "environment": {
            "JUPYTERHUB_API_TOKEN": TOKEN,
            "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-tanaka",
            "JUPYTERHUB_SERVER_NAME": "",
            "JUPYTERHUB_SSL_KEYFILE": "/nowhere",
            "PATH": "/somewhere",
        },
        "base_url": "/user/tanaka/",
        "hub_api_url": "https://10.77.1.10:8081/hub/api",
        "tls_certificate": "",
        "tls_client_ca": "",
        "tls_hub_ca": "",
        "ssh_certificate": "",
        "destination": DESTINATION,
    }
    return Welcome(**(settings | changes))
