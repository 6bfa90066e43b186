"""Names in certificates, chains in the cache, and identities in all PEM forms. No connection is made."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from marbleops.wire.attest import UntrustedCoordinator
from marbleops.wire.identity import ClientIdentity, IdentityError
from marbleops.wire.marblerun.features import SignedQuote, verify_signed_quote
from marbleops.wire.marblerun.session import Certificates, Session, check_host
from tests.fakes.logins import of_no_known_version

PEM = serialization.Encoding.PEM
KEY = ec.derive_private_key(7, ec.SECP256R1())
OTHER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))


def certificate(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey = KEY) -> x509.Certificate:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    at = datetime(2026, 1, 1, tzinfo=UTC)
    names = [
        x509.DNSName("mesh.example"),
        x509.DNSName("*.pods.example"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(5)
        .not_valid_before(at)
        .not_valid_after(at + timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )


ROOT, INTERMEDIATE = certificate("root", "root"), certificate("intermediate", "root")


@pytest.mark.parametrize("host", ["mesh.example", "MESH.example.", "a.pods.example", "127.0.0.1", "0:0::1"])
def test_a_host_of_the_certificate_passes(host: str) -> None:
    check_host(ROOT, host)


@pytest.mark.parametrize(
    "host", ["localhost", "a.b.pods.example", "pods.example", "127.0.0.2", "example", ""]
)
def test_another_host_is_refused_and_the_valid_ones_named(host: str) -> None:
    with pytest.raises(UntrustedCoordinator, match=r"for mesh.example, \*.pods.example, 127.0.0.1, ::1, not"):
        check_host(ROOT, host)


def test_the_cache_holds_intermediate_and_root_and_nothing_else() -> None:
    both = INTERMEDIATE.public_bytes(PEM) + ROOT.public_bytes(PEM)

    assert Certificates.from_pem(both).pem == both
    other = ssl.DER_cert_to_PEM_cert(
        of_no_known_version(ROOT.public_bytes(serialization.Encoding.DER))
    ).encode()
    for wrong in (ROOT.public_bytes(PEM), both + both, b"", b"rubbish", other):
        with pytest.raises(ValueError):
            Certificates.from_pem(wrong)
    with pytest.raises(ValueError, match="not issued by"):
        Certificates.from_pem(ROOT.public_bytes(PEM) + INTERMEDIATE.public_bytes(PEM))


@pytest.mark.parametrize(
    "form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL]
)
def test_an_identity_is_read_from_every_pem_form(form: serialization.PrivateFormat) -> None:
    key = KEY.private_bytes(PEM, form, serialization.NoEncryption())

    identity = ClientIdentity.from_pem(ROOT.public_bytes(PEM), key)
    identity.present_in(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    assert repr(identity) == "ClientIdentity()"


def test_an_unusable_identity_says_why() -> None:
    pkcs8 = serialization.PrivateFormat.PKCS8
    good, plain = ROOT.public_bytes(PEM), serialization.NoEncryption()
    locked = serialization.BestAvailableEncryption(b"x")
    for cert, key, words in (
        (b"no", KEY.private_bytes(PEM, pkcs8, plain), "not a PEM certificate"),
        (good, b"no", "not a PEM private key"),
        (good, OTHER.private_bytes(PEM, pkcs8, plain), "do not belong together"),
        (good, KEY.private_bytes(PEM, pkcs8, locked), "encrypted"),
    ):
        with pytest.raises(IdentityError, match=words):
            ClientIdentity.from_pem(cert, key)


def test_nothing_is_sent_before_somebody_is_trusted() -> None:
    with Session("127.0.0.1:1") as session, pytest.raises(RuntimeError, match="trusts"):
        session.get("status")


def test_a_verdict_counts_only_under_the_root() -> None:
    signature = KEY.sign(b"cXVvdGU=UpToDate", ec.ECDSA(hashes.SHA256()))

    verify_signed_quote(SignedQuote(quote=b"quote", tcb_status="UpToDate", signature=signature), ROOT)
    with pytest.raises(UntrustedCoordinator, match="did not sign"):
        verify_signed_quote(SignedQuote(quote=b"quote", tcb_status="Revoked", signature=signature), ROOT)
