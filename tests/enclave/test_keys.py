"""Keys are made here, of the kinds that the other sides expect."""

from __future__ import annotations

import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from enclave.keys import make_ssh_key, make_tls_key, valid_until


def test_an_ssh_key_that_openssh_reads_and_only_its_owner(tmp_path):
    key = make_ssh_key()
    key.write(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    shown = subprocess.run(["/usr/bin/ssh-keygen", "-y", "-f", tmp_path / "key"], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == key.public
    assert key.public.count(" ") == 1


def test_no_key_is_written_over_another_file(tmp_path):
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        make_ssh_key().write(tmp_path / "key")
    assert not (tmp_path / "elsewhere").exists()


def test_the_request_names_nobody():
    request = x509.load_pem_x509_csr(make_tls_key().request.encode())
    assert request.is_signature_valid
    assert list(request.subject) == []
    assert list(request.extensions) == []
    assert isinstance(request.public_key(), ec.EllipticCurvePublicKey)


def test_until_when_a_certificate_is_valid(tmp_path):
    make_ssh_key().write(tmp_path / "ca")
    (tmp_path / "key.pub").write_text(make_ssh_key().public)
    signing = ["/usr/bin/ssh-keygen", "-q", "-s", tmp_path / "ca", "-I", "x", "-n", "y", "-V", "-1m:+10m", tmp_path / "key.pub"]
    subprocess.run(signing, check=True)
    until = valid_until((tmp_path / "key-cert.pub").read_text())
    assert until == pytest.approx(time.time() + 600, abs=30)
    with pytest.raises(ValueError, match="not a certificate"):
        valid_until((tmp_path / "key.pub").read_text())
