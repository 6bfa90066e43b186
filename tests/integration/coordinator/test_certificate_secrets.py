"""Certificate secrets before foreign judges: the openssl binary, Go's crypto/x509, and RSA keys of all sizes.

Go also makes the same certificates itself, with the defaults of marblerun-core 5.4; subject and extensions
must be the same bytes.
"""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key, load_der_public_key
from cryptography.x509.verification import PolicyBuilder, Store

from coordinator.domain import pki, secrets
from coordinator.domain.der_writer import object_identifier
from coordinator.domain.leaf import issue_leaf
from coordinator.domain.making import Making
from marbleops.attestation import der
from marbleops.manifest.certificate_der import read_certificate
from marbleops.manifest.certificate_template import HASHES, CertificateTemplateError
from marbleops.manifest.model import Secret
from tests.fakes.small_world import FakeEntropy

pytestmark = pytest.mark.integration

GO = shutil.which("go") or "/usr/local/go/bin/go"
PROGRAM = Path(__file__).resolve().parents[2] / "foreign" / "go" / "x509"
AT = datetime(2026, 11, 24, 1, 2, 3, 456, tzinfo=UTC)
SOON = AT + timedelta(hours=1)
MAKING = Making(at=AT, random=FakeEntropy("certificate secrets").bytes)
ROOT = pki.create_root(names=("localhost",), at=AT, random=MAKING.random)
AUTHORITIES = pki.renew(ROOT, names=("localhost",), at=AT, random=MAKING.random)

_NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME: these certificates are of one day."""

KINDS = [
    Secret(type="cert-rsa", size=2048, shared=True, valid_for=7),
    Secret(type="cert-rsa", size=3072, shared=True),
    Secret(type="cert-ecdsa", size=256, shared=True),
    Secret(type="cert-ecdsa", size=384, shared=True),
    Secret(type="cert-ecdsa", size=521, shared=True),
    Secret(type="cert-ecdsa", size=224, shared=True),
    Secret(type="cert-ed25519", shared=True),
]
NAMES = [f"{one.type}{one.size or ''}" for one in KINDS]

TEMPLATES: list[dict[str, Any]] = [
    {},
    {"DNSNames": [], "IPAddresses": [], "ExtKeyUsage": []},
    {"DNSNames": ["a.example", "*.b.example"], "IPAddresses": ["10.0.0.1", "::ffff:10.0.0.2", "2001:db8::1"]},
    {"DNSNames": ["a-single-name-that-is-longer-than-64-characters.namespace.svc.cluster.local"]},
    {
        "Subject": {
            "CommonName": "a name",
            "SerialNumber": "7*",
            "Country": ["Germany", "DE"],
            "Organization": ["b", "a", "ä & ö"],
            "OrganizationalUnit": ["unit"],
            "Locality": ["Bochum"],
            "Province": ["NRW"],
            "StreetAddress": ["1 Road"],
            "PostalCode": ["44801"],
        }
    },
    {"Subject": {"CommonName": "x", "ExtraNames": [{"Type": [2, 5, 4, 3], "Value": "other"}]}},
    {"KeyUsage": 511, "ExtKeyUsage": [0, 3, 13], "UnknownExtKeyUsage": [[1, 2, 840, 99999, 1]]},
    {"KeyUsage": 1},
    {"KeyUsage": 256},
    {"IsCA": True},
    {"IsCA": True, "MaxPathLen": 3, "SubjectKeyId": "AQID", "AuthorityKeyId": "BAUG"},
    {"IsCA": True, "MaxPathLenZero": True},
    {
        "EmailAddresses": ["a@b.example"],
        "URIs": [{"Scheme": "spiffe", "Host": "mesh", "Path": "/a b"}],
        "OCSPServer": ["http://ocsp.example"],
        "IssuingCertificateURL": ["http://ca.example"],
        "CRLDistributionPoints": ["http://crl.example/1", "http://crl.example/2"],
    },
    {
        "IsCA": True,
        "PermittedDNSDomainsCritical": True,
        "PermittedDNSDomains": [".mesh.example"],
        "ExcludedURIDomains": [".evil.example"],
        "PermittedEmailAddresses": ["b.example"],
        "PermittedIPRanges": [{"IP": "10.1.2.3", "Mask": "/wAAAA=="}],
    },
    {
        "ExtraExtensions": [
            {"Id": [1, 2, 3, 4], "Critical": True, "Value": "BQA="},
            {"Id": [2, 5, 29, 15], "Value": "AwIHgA=="},
        ]
    },
    {"SignatureAlgorithm": 10, "NotAfter": "2051-01-02T03:04:05+02:00"},
    {"SignatureAlgorithm": 12, "NotAfter": "2030-01-02T03:04:05.6Z"},
]


@pytest.fixture(scope="module")
def made() -> list[secrets.Material]:
    definitions = dict(zip(NAMES, KINDS, strict=True))
    secrets.check_definitions(definitions)
    stored = secrets.first_secrets(definitions, issuer=AUTHORITIES.marble_root, making=MAKING)
    return [stored[name] for name in NAMES]


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not Path(GO).exists():
        pytest.skip("no go here")
    binary = tmp_path_factory.mktemp("go") / "x509"
    subprocess.run([GO, "build", "-o", str(binary), "."], cwd=PROGRAM, check=True, timeout=100)
    return binary


@pytest.mark.parametrize("index", range(len(KINDS)), ids=NAMES)
def test_keys_are_of_the_definition(made: list[secrets.Material], index: int) -> None:
    """PKCS#8 and PKIX of one key, of the type and size asked for, and of the certificate."""
    material, definition = made[index], KINDS[index]
    key = load_der_private_key(material.private, None)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        assert definition.type == "cert-ed25519"
    else:
        assert isinstance(
            key, rsa.RSAPrivateKey if definition.type == "cert-rsa" else ec.EllipticCurvePrivateKey
        )
        assert key.key_size == definition.size
    certificate = x509.load_der_x509_certificate(material.cert)
    public = load_der_public_key(material.public)
    assert key.public_key() == public == certificate.public_key()
    assert certificate.not_valid_before_utc == AT.replace(microsecond=0)
    days = definition.valid_for or 365
    assert certificate.not_valid_after_utc == AT.replace(microsecond=0) + timedelta(days=days)


@pytest.mark.parametrize("index", range(len(KINDS)), ids=NAMES)
def test_openssl_verifies(made: list[secrets.Material], index: int, tmp_path: Path) -> None:
    """Under the marble root, under the intermediate alone as Redis users want it, and up to the root."""
    leaf = _pem(made[index].cert)
    intermediate, root = AUTHORITIES.intermediate.certificate_pem, ROOT.certificate_pem
    marble_root = AUTHORITIES.marble_root.certificate_pem
    for purpose in ("sslserver", "sslclient"):
        assert _openssl(tmp_path, leaf, marble_root, purpose=purpose)
        assert _openssl(tmp_path, leaf, intermediate, "-partial_chain", purpose=purpose)
        assert _openssl(tmp_path, leaf, root, chain=intermediate, purpose=purpose)
    assert not _openssl(tmp_path, leaf, root, purpose="sslserver")


def test_openssl_verifies_a_marble(tmp_path: Path) -> None:
    """The marble's own certificate, in the same three ways and with its chain."""
    leaf = _leaf().certificate_pem
    intermediate, root = AUTHORITIES.intermediate.certificate_pem, ROOT.certificate_pem
    for purpose in ("sslserver", "sslclient"):
        for strictness in ([], ["-x509_strict"]):
            marble_root = AUTHORITIES.marble_root.certificate_pem
            assert _openssl(tmp_path, leaf, marble_root, *strictness, purpose=purpose)
            assert _openssl(tmp_path, leaf, intermediate, "-partial_chain", *strictness, purpose=purpose)
            assert _openssl(tmp_path, leaf, root, *strictness, chain=intermediate, purpose=purpose)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "cert-ecdsa224"])
def test_a_mesh_of_two(made: list[secrets.Material], name: str, tmp_path: Path) -> None:
    """A marble with its own certificate talks to one that serves with the secret's."""
    material = made[NAMES.index(name)]
    served = _context(
        tmp_path, ssl.PROTOCOL_TLS_SERVER, _pem(material.cert), pki.pem("PRIVATE KEY", material.private)
    )
    leaf = _leaf()
    asking = _context(tmp_path, ssl.PROTOCOL_TLS_CLIENT, leaf.certificate_pem, leaf.key_pem)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = served.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    for _ in range(8):
        waiting = [side for side in waiting if not _shaken(side)]
    assert not waiting
    assert server.getpeercert(binary_form=True) == leaf.certificate_der
    assert client.getpeercert(binary_form=True) == material.cert


def test_python_verifies() -> None:
    """The verifiers of cryptography, as server and as client, take a marble, and secrets of KeyUsage 1.

    They refuse MarbleRun's default usage, which lets a certificate that is no authority sign certificates.
    """
    definitions = {name: replace(kind, cert={"KeyUsage": 1}) for name, kind in zip(NAMES, KINDS, strict=True)}
    chosen = {name: definitions[name] for name in NAMES[:1] + NAMES[2:5]}
    stored = secrets.first_secrets(chosen, issuer=AUTHORITIES.marble_root, making=MAKING)
    made = [x509.load_der_x509_certificate(one.cert) for one in stored.values()]
    for leaf in (_leaf().certificate, *made):
        for anchor, chain in (
            (AUTHORITIES.marble_root, []),
            (AUTHORITIES.intermediate, []),
            (ROOT, [AUTHORITIES.intermediate.certificate]),
        ):
            builder = PolicyBuilder().store(Store([anchor.certificate])).time(SOON)
            builder.build_server_verifier(x509.DNSName("localhost")).verify(leaf, chain)
            builder.build_client_verifier().verify(leaf, chain)


def test_go_verifies(made: list[secrets.Material], go: Path) -> None:
    """Go's own verifier, as server by name and as client."""
    intermediate, root, marble_root = (
        pair.certificate_pem.decode() for pair in (AUTHORITIES.intermediate, ROOT, AUTHORITIES.marble_root)
    )
    leaves = [_leaf().certificate_pem.decode(), *(_pem(one.cert).decode() for one in made)]
    asked = [
        {
            "Leaf": leaf,
            "Roots": roots,
            "Intermediates": chain,
            "Name": name,
            "Client": not name,
            "At": _go(SOON),
        }
        for leaf in leaves
        for roots, chain in ((marble_root, ""), (intermediate, ""), (root, intermediate))
        for name in ("localhost", "")
    ]
    answer = _ask(go, {"Verify": asked})
    assert answer["Verified"] == ["ok"] * len(asked)


@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_go_makes_the_same(go: Path) -> None:
    """Subject, issuer, algorithm, end and extensions of every template are those Go writes, byte for byte.

    Each certificate is then a template itself, as a finished certificate in DER.
    """
    made = [_make(template) for template in TEMPLATES]
    finished = [_base64(one.cert) for one in made if _is_readable(one.cert)]
    assert len(finished) > 10
    again = [_make(text) for text in finished]
    asked = [
        *(_asked(one, {"Template": template}) for template, one in zip(TEMPLATES, made, strict=True)),
        *(_asked(one, {"DER": text}) for text, one in zip(finished, again, strict=True)),
    ]
    answers = _ask(go, {"Make": asked})["Made"]
    for template, ours, theirs in zip([*TEMPLATES, *finished], [*made, *again], answers, strict=True):
        certificate = x509.load_der_x509_certificate(ours.cert)
        assert theirs["Error"] == "", template
        assert certificate.subject.public_bytes() == base64.b64decode(theirs["Subject"]), template
        assert certificate.issuer.public_bytes() == base64.b64decode(theirs["Issuer"])
        assert certificate.not_valid_after_utc == datetime.fromisoformat(theirs["NotAfter"]), template
        hashed = certificate.signature_hash_algorithm
        assert hashed is not None
        assert hashed.name == HASHES[theirs["Signature"]]
        wanted = [{**one, "ID": object_identifier(one["ID"])[2:]} for one in theirs["Extensions"]]
        assert _extensions(certificate) == wanted, template


def _make(template: Any) -> secrets.Material:
    definition = {"s": Secret(type="cert-ecdsa", size=256, shared=True, cert=template)}
    secrets.check_definitions(definition)
    return secrets.first_secrets(definition, issuer=AUTHORITIES.marble_root, making=MAKING)["s"]


def _asked(made: secrets.Material, template: dict[str, Any]) -> dict[str, Any]:
    issuer = AUTHORITIES.marble_root
    return {
        **template,
        "Public": _base64(made.public),
        "IssuerPEM": issuer.certificate_pem.decode(),
        "IssuerKey": _base64(issuer.key_pkcs8),
        "NotBefore": _go(AT),
        "NotAfter": _go(x509.load_der_x509_certificate(made.cert).not_valid_after_utc),
    }


def _is_readable(der_bytes: bytes) -> bool:
    """Whether a certificate can be a template: ``cryptography`` refuses some usages that Go takes."""
    try:
        read_certificate(der_bytes)
    except CertificateTemplateError:
        return False
    return True


def _leaf() -> pki.KeyPair:
    return issue_leaf(
        AUTHORITIES,
        csr=_csr(),
        uuid="02030400-0000-4000-8000-0000000000ab",
        marble_type="backend",
        at=AT,
        random=MAKING.random,
    )


def _csr() -> bytes:
    key = ec.generate_private_key(ec.SECP384R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    return builder.sign(key, hashes.SHA384()).public_bytes(Encoding.DER)


def _context(place: Path, protocol: int, certificate: bytes, key: bytes) -> ssl.SSLContext:
    (place / "pair.pem").write_bytes(certificate + key)
    context = ssl.SSLContext(protocol)
    context.load_cert_chain(place / "pair.pem")
    context.load_verify_locations(cadata=AUTHORITIES.marble_root.certificate_pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    return context


def _shaken(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def _openssl(
    place: Path, leaf: bytes, root: bytes, *options: str, purpose: str, chain: bytes | None = None
) -> bool:
    (place / "leaf.pem").write_bytes(leaf)
    (place / "root.pem").write_bytes(root)
    untrusted = []
    if chain is not None:
        (place / "chain.pem").write_bytes(chain)
        untrusted = ["-untrusted", str(place / "chain.pem")]
    command = [
        "openssl",
        "verify",
        "-no-CApath",
        "-no-CAfile",
        "-CAfile",
        str(place / "root.pem"),
        *untrusted,
    ]
    command += ["-purpose", purpose, "-attime", str(int(SOON.timestamp())), *options, str(place / "leaf.pem")]
    return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0


def _extensions(certificate: x509.Certificate) -> list[dict[str, Any]]:
    """Read the extensions without the judgement of ``cryptography``, which refuses some usages Go writes."""
    tagged = der.read_all(der.read_one(certificate.tbs_certificate_bytes, der.SEQUENCE))[-1]
    found = []
    for one in der.read_all(der.read_one(tagged.content, der.SEQUENCE)):
        oid, *flag, value = der.read_all(one.content)
        found.append({"ID": oid.content, "Critical": bool(flag), "Value": _base64(value.content)})
    return found


def _ask(go: Path, request: dict[str, Any]) -> dict[str, Any]:
    answered = subprocess.run(
        [str(go)], input=json.dumps(request).encode(), capture_output=True, check=True, timeout=20
    )
    read: dict[str, Any] = json.loads(answered.stdout)
    return read


def _go(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
