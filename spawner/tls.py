"""Certificates for the hub's inner conversations, signed in memory by the authorities that JupyterHub keeps for itself."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
from collections.abc import Sequence
from pathlib import Path

from certipy import Certipy
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

EARLY = dt.timedelta(minutes=5)
"""How long before now a certificate is valid already, for clocks that differ."""

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


class BadRequestError(ValueError):
    """What should be a certificate signing request is none that we sign."""


class InternalAuthority:
    """One of JupyterHub's internal authorities (`hub-ca`, `notebooks-ca`, ...) in `folder`, its internal_certs_location.

    Raises certipy.CertNotFoundError when JupyterHub has not made it: that needs internal_ssl.
    """

    def __init__(self, folder: str, name: str) -> None:
        files = Certipy(store_dir=folder).store.get_record(name)["files"]
        self.pem = Path(files["cert"]).read_text()
        self._certificate = x509.load_pem_x509_certificate(self.pem.encode())
        key = serialization.load_pem_private_key(Path(files["key"]).read_bytes(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError(f"{files['key']}: expected an RSA key, as certipy makes them")
        self._key = key

    def sign(self, public_key: PublicKey, *, name: str, addresses: Sequence[str], hosts: Sequence[str], until: float) -> str:
        """A certificate (PEM) over `public_key` for exactly these names, valid until `until` (seconds since the epoch)."""
        now = dt.datetime.now(dt.UTC)
        names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        names += [x509.DNSName(host) for host in hosts]
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - EARLY)
            .not_valid_after(dt.datetime.fromtimestamp(until, dt.UTC))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server_context(self, folder: str, address: str, lifetime_s: float) -> ssl.SSLContext:
        """A TLS server for `address` with a key made now; the key touches the disk in `folder` for a moment, mode 0600."""
        key = ec.generate_private_key(ec.SECP256R1())
        until = dt.datetime.now(dt.UTC).timestamp() + lifetime_s
        certificate = self.sign(key.public_key(), name="renkei-callback", addresses=(address,), hosts=(), until=until)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Python's ssl reads keys from files only.
        path = Path(folder) / f".callback-{os.getpid()}.pem"
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(handle, "w") as stream:
                stream.write(private + certificate)
            context.load_cert_chain(path)
        finally:
            path.unlink()
        return context


def requested_key(pem: str) -> PublicKey:
    """The public key of a certificate signing request; its names and everything else in it are ignored.

    Raises BadRequestError when it is none, is not signed by its own key, or the key is of a weak or unusual kind.
    """
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        signed = request.is_signature_valid
        key = request.public_key()
    except Exception as error:  # the parser raises many kinds, and what it reads is hostile
        raise BadRequestError(f"no certificate signing request: {type(error).__name__}") from error
    if not signed:
        raise BadRequestError("the request is not signed by its own key")
    strong_rsa = isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= 4096
    strong_ec = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1)
    if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) and (
        strong_rsa or strong_ec or isinstance(key, ed25519.Ed25519PublicKey)
    ):
        return key
    raise BadRequestError(f"a key of a kind that is not signed: {type(key).__name__}")
