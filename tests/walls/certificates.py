"""Certificates that somebody could show at a port of a site's, good and bad ones."""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from testbed.host import Host

BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
INTERNAL = "/var/lib/renkei/hub/internal-tls"


@dataclass(frozen=True)
class Signer:
    """One authority: its certificate and its key."""

    certificate: x509.Certificate
    key: object

    def sign(self, *, hours: float = 1, usage: tuple[x509.ObjectIdentifier, ...] = BOTH, name: str = "renkei-other") -> str:
        """A fresh key and its certificate (PEM), valid from a day before now until `hours` from now."""
        now = dt.datetime.now(dt.UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(hours=hours))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return pem(key) + certificate.public_bytes(Encoding.PEM).decode()


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def of_the_site(hub: Host, name: str) -> Signer:
    """JupyterHub's internal authority `name`."""
    files = {kind: hub.path(f"{INTERNAL}/{name}/{name}.{kind}").read_bytes() for kind in ("crt", "key")}
    return Signer(x509.load_pem_x509_certificate(files["crt"]), load_pem_private_key(files["key"], None))


def stranger(name: str) -> Signer:
    """Another authority that calls itself `name`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(days=2))
        .not_valid_after(now + dt.timedelta(days=2)).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    return Signer(certificate, key)


def component(hub: Host, name: str) -> str:
    """Key and certificate of a part of JupyterHub's: `hub-internal`, `proxy-client`."""
    return "".join(hub.path(f"{INTERNAL}/{name}/{name}.{kind}").read_text() for kind in ("key", "crt"))


CLIENT = """
import ssl, sys, socket, json
where, port, version, path, pem = json.load(sys.stdin)
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.maximum_version = getattr(ssl.TLSVersion, version)
if pem:
    with open(FILE, "w") as stream:
        stream.write(pem)
    context.load_cert_chain(FILE)
try:
    with context.wrap_socket(socket.create_connection((where, port), 5)) as channel:
        channel.sendall(f"GET {path} HTTP/1.1\\r\\nHost: {where}:{port}\\r\\nConnection: close\\r\\n\\r\\n".encode())
        said = channel.recv(100).decode()
    print(said.split()[1] if said.startswith("HTTP") else "no answer")
except OSError as error:
    print("refused" if isinstance(error, (ssl.SSLError, ConnectionResetError)) else type(error).__name__)
"""
"""Asks one port over TLS with one certificate: the status of the answer, or `refused`."""


def client() -> str:
    """CLIENT, with a file in memory for the key."""
    return CLIENT.replace("FILE", repr(f"/dev/shm/{secrets.token_hex(8)}"))
