"""The session's keys: made here, in memory, and gone with the job."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificate,
    load_ssh_public_identity,
)


@dataclass(frozen=True)
class SshKey:
    """The key of the session's mount."""

    private: bytes
    public: str
    """One OpenSSH line."""

    def write(self, path: Path) -> None:
        """Writes the private half to `path` (0600), which has to lie in memory. Raises OSError, also when there is a file."""
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:  # noqa: PTH123  (mode from the first byte)
            stream.write(self.private)


def make_ssh_key() -> SshKey:
    """A fresh Ed25519 key."""
    key = ed25519.Ed25519PrivateKey.generate()
    return SshKey(
        private=key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        public=key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
    )


@dataclass(frozen=True)
class TlsKey:
    """A private key that never leaves this process, and the request for its certificate."""

    private: bytes
    request: str


def make_tls_key() -> TlsKey:
    """A fresh P-256 key. The request names nobody: the hub takes the names from the scheduler."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return TlsKey(private=private, request=request.public_bytes(Encoding.PEM).decode())


def server_context(certificate: str, key: TlsKey, client_ca: str) -> ssl.SSLContext:
    """TLS for the doorway: only who holds a certificate of `client_ca` gets as far as a request.

    Raises ssl.SSLError or ValueError when certificate, key or authority are not what they should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=client_ca)
    _load_chain(context, certificate, key)
    return context


def client_context(ca: str, certificate: str = "", key: TlsKey | None = None) -> ssl.SSLContext:
    """TLS towards a server that `ca` vouches for, and no other authority; with a certificate of our own where given.

    Raises ssl.SSLError or ValueError like `server_context`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=ca)
    if key is not None:
        _load_chain(context, certificate, key)
    return context


def _load_chain(context: ssl.SSLContext, certificate: str, key: TlsKey) -> None:
    # OpenSSL's binding reads keys from files only: a file that has no name and lives in memory.
    with open(os.memfd_create("tls"), "wb") as stream:  # noqa: PTH123  (it has no path)
        stream.write(key.private + b"\n" + certificate.encode())
        stream.flush()
        context.load_cert_chain(f"/proc/self/fd/{stream.fileno()}")


def valid_until(ssh_certificate: str) -> float:
    """When `ssh_certificate` (OpenSSH's one line) stops being valid, in seconds since the epoch.

    Raises ValueError when it is no certificate.
    """
    return float(_certificate(ssh_certificate).valid_before)


def serial_of(ssh_certificate: str) -> int:
    """The serial number by which the destination's owner knows `ssh_certificate`. Raises ValueError when it is no certificate."""
    return _certificate(ssh_certificate).serial


def _certificate(line: str) -> SSHCertificate:
    certificate = load_ssh_public_identity(line.encode())
    if not isinstance(certificate, SSHCertificate):
        raise ValueError("a public key, not a certificate")  # noqa: TRY004  (a wrong value, not a wrong use)
    return certificate
