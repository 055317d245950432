"""Small TLS authorities for tests: what JupyterHub's internal ones and the call-back's one are in life."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass
class Authority:
    """Signs certificates; `pem` is what others believe it by."""

    name: str

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._build(self.name, self._key.public_key(), ca=True, addresses=())
        self.pem = self._certificate.public_bytes(Encoding.PEM).decode()

    def _build(self, name: str, key: CertificatePublicKeyTypes, *, ca: bool, addresses: tuple[str, ...]) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(self.name))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(hours=2))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if addresses:
            names = [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def sign_request(self, request: str, *addresses: str) -> str:
        """A certificate over the request's key, for `addresses`."""
        key = x509.load_pem_x509_csr(request.encode()).public_key()
        return self._build("signed", key, ca=False, addresses=addresses).public_bytes(Encoding.PEM).decode()

    def context(self, folder: Path, side: int, *, believes: Authority | None, address: str = "127.0.0.1") -> ssl.SSLContext:
        """TLS with a fresh key of this authority; a server asks for a certificate of the one it `believes`."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._build(address, key.public_key(), ca=False, addresses=(address,))
        path = folder / f"{self.name}-{id(key)}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(side)
        context.load_cert_chain(path)
        path.unlink()
        if believes is not None:
            context.load_verify_locations(cadata=believes.pem)
            context.verify_mode = ssl.CERT_REQUIRED
        return context
