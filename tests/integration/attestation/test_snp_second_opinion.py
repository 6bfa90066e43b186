"""OpenSSL and ``cryptography`` read and judge the certificates of SEV-SNP as we do."""

from __future__ import annotations

import subprocess
import warnings
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from marbleops.attestation.platform.softsnp import SoftSnp
from marbleops.attestation.snp.certificate import parse_certificate
from marbleops.attestation.snp.endorsements import SnpEndorsements
from marbleops.attestation.snp.report import SigningKey

VECTORS = Path(__file__).resolve().parents[3].parent / "shared" / "vectors" / "attestation"
pytestmark = pytest.mark.integration
AT = datetime(2026, 6, 1, tzinfo=UTC)
MACHINE = SoftSnp(seed=b"second opinion".ljust(32, b"."))


def openssl(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=30
    )


@pytest.mark.parametrize(("kind", "authority"), [(SigningKey.VCEK, "ask"), (SigningKey.VLEK, "asvk")])
def test_openssl_verifies_what_we_simulate(tmp_path: Path, kind: SigningKey, authority: str) -> None:
    """The chain, the revocation list, and the authority that it revokes."""
    for prefix, revoked in (("", ()), ("revoked-", (authority.upper(),))):
        for name, content in MACHINE.files(at=AT, kind=kind, revoked=revoked).items():
            (tmp_path / f"{prefix}{name}").write_bytes(content)
    leaf = kind.lower()
    for name in ("ark", authority, leaf):
        openssl(tmp_path, "x509", "-inform", "der", "-in", f"{name}.der", "-out", f"{name}.pem")
    for name in ("crl", "revoked-crl"):
        openssl(tmp_path, "crl", "-inform", "der", "-in", f"{name}.der", "-out", f"{name}.pem")
    verify = ("verify", "-attime", str(int(AT.timestamp())), "-CAfile", "ark.pem")

    assert openssl(tmp_path, *verify, "-untrusted", f"{authority}.pem", f"{leaf}.pem").returncode == 0
    checked = ("-crl_check", "-CRLfile")
    assert openssl(tmp_path, *verify, *checked, "crl.pem", f"{authority}.pem").returncode == 0
    refused = openssl(tmp_path, *verify, *checked, "revoked-crl.pem", f"{authority}.pem")
    assert "certificate revoked" in refused.stderr


def documents() -> list[bytes]:
    given = [MACHINE.files(at=AT, kind=kind) for kind in (SigningKey.VCEK, SigningKey.VLEK)]
    found = [one for files in given for name, one in files.items() if name != "crl.der"]
    for folder in ("go-sev-guest", "trustee/snp"):
        if (VECTORS / folder).is_dir():
            files = {path.name: path.read_bytes() for path in (VECTORS / folder).iterdir()}
            found.extend(one.encoding for one in SnpEndorsements.from_files(files).certificates)
    return found


def test_cryptography_reads_the_same() -> None:
    """As long as it reads the serial number 0: every field we use, of simulated and of real certificates."""
    for document in documents():
        ours = parse_certificate(document)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = x509.load_der_x509_certificate(document)
            assert ours.serial == theirs.serial_number

        assert ours.tbs == theirs.tbs_certificate_bytes
        assert ours.signature == theirs.signature
        assert ours.issuer == theirs.issuer.public_bytes()
        assert ours.subject == theirs.subject.public_bytes()
        assert (ours.not_before, ours.not_after) == (theirs.not_valid_before_utc, theirs.not_valid_after_utc)
        assert len(ours.extensions) == len(theirs.extensions)
