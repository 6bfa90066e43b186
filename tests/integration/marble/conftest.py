"""A throwaway mesh: certificates as marblerun-core section 3 draws them, and a marble port."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from coordinator.api.grpc import GrpcError, GrpcLimits, marble_protocol
from coordinator.api.tls import TlsLimits, make_context, serve
from marbleops.wire import marble_pb2
from tests.integration.edge.harness import Loop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from OpenSSL import SSL

Key = ec.EllipticCurvePrivateKey


def pem(one: x509.Certificate | Key) -> bytes:
    if isinstance(one, x509.Certificate):
        return one.public_bytes(Encoding.PEM)
    return one.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate(
    name: str, key: Key, issuer: str, issuer_key: Key, *, ca: bool, names: tuple[str, ...] = ("localhost",)
) -> x509.Certificate:
    def dn(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.now(UTC)
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    alternatives = [*(x509.DNSName(one) for one in names), x509.IPAddress(ip_address("127.0.0.1"))]
    builder = (
        x509.CertificateBuilder()
        .subject_name(dn(name))
        .issuer_name(dn(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )
    if ca:
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    return builder.sign(issuer_key, hashes.SHA384())


@dataclass
class Mesh:
    """Root, intermediate and marble root; issues leaves."""

    root_key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP384R1()))
    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP384R1()))

    def __post_init__(self) -> None:
        root, intermediate = "MarbleRun Coordinator", "MarbleRun Coordinator - Intermediate CA"
        self.root = certificate(root, self.root_key, root, self.root_key, ca=True)
        self.intermediate = certificate(intermediate, self.key, root, self.root_key, ca=True)
        self.marble_root = certificate(intermediate, self.key, intermediate, self.key, ca=True)

    def environment(self, *, names: tuple[str, ...] = ("localhost",)) -> dict[str, bytes]:
        """Issue a leaf and return a marble's predefined variables."""
        key = ec.generate_private_key(ec.SECP384R1())
        issuer = "MarbleRun Coordinator - Intermediate CA"
        leaf = certificate("a marble", key, issuer, self.key, ca=False, names=names)
        return {
            "MARBLE_PREDEFINED_ROOT_CA": pem(self.marble_root),
            "MARBLE_PREDEFINED_MARBLE_CERTIFICATE_CHAIN": pem(leaf) + pem(self.intermediate),
            "MARBLE_PREDEFINED_PRIVATE_KEY": pem(key),
            "MARBLE_PREDEFINED_COORDINATOR_ROOT_CA": pem(self.root),
        }

    def a_marbles_own(self) -> tuple[bytes, bytes]:
        """Return chain and key of a marble of this mesh, as the marble itself could present them."""
        given = self.environment()
        chain, key = "MARBLE_PREDEFINED_MARBLE_CERTIFICATE_CHAIN", "MARBLE_PREDEFINED_PRIVATE_KEY"
        return given[chain] + given["MARBLE_PREDEFINED_ROOT_CA"], given[key]


@dataclass
class MarblePort:
    """A Coordinator's marble port that gives out what a test tells it to."""

    mesh: Mesh
    files: dict[str, bytes] = field(default_factory=dict)
    env: dict[str, bytes] = field(default_factory=dict)
    argv: list[str] = field(default_factory=list)
    refusal: GrpcError | None = None
    requests: list[tuple[marble_pb2.ActivationReq, tuple[bytes, ...]]] = field(default_factory=list)
    port: int = 0
    connections: int = 0

    async def answer(self, request: bytes, certificates: tuple[bytes, ...]) -> bytes:
        self.requests.append((marble_pb2.ActivationReq.FromString(request), certificates))
        if self.refusal is not None:
            raise self.refusal
        env = self.mesh.environment() | self.env
        parameters = marble_pb2.Parameters(Files=self.files, Env=env, Argv=self.argv)
        return marble_pb2.ActivationResp(Parameters=parameters).SerializeToString()


@pytest.fixture(scope="session")
def mesh() -> Mesh:
    return Mesh()


@pytest.fixture(scope="session")
def other_mesh() -> Mesh:
    return Mesh()


@contextmanager
def marble_port_of(
    served: Mesh, presented: Mesh | None = None, *, then: tuple[bytes, bytes] | None = None
) -> Iterator[MarblePort]:
    """Serve activations of *served*, on a connection with the certificate of *presented*.

    With *then* (certificates and key), every connection but the first presents that instead.
    """
    identity = presented or served

    def context_of(certificates: bytes, key: bytes) -> SSL.Context:
        return make_context(
            certificates_pem=certificates, key_pem=key, alpn=(b"h2",), require_client_certificate=True
        )

    first = context_of(pem(identity.marble_root), pem(identity.key))
    later = first if then is None else context_of(*then)
    port = MarblePort(served)

    def choose() -> SSL.Context:
        port.connections += 1
        return first if port.connections == 1 else later

    loop = Loop()
    server = loop.run(
        serve(
            host="127.0.0.1",
            port=0,
            context_factory=choose,
            protocol_factory=marble_protocol(port.answer, GrpcLimits()),
            limits=TlsLimits(),
        )
    )
    port.port = server.port
    try:
        yield port
    finally:

        async def finish() -> None:
            server.close()
            await server.wait_closed()

        loop.run(finish())
        loop.stop()


@pytest.fixture
def marble_port(mesh: Mesh) -> Iterator[MarblePort]:
    with marble_port_of(mesh) as port:
        yield port


@pytest.fixture
def report_program(tmp_path: Path) -> list[str]:
    """Return a command that prints its arguments and environment as JSON."""
    program = tmp_path / "report.py"
    program.write_text("import json, os, sys\nprint(json.dumps([sys.argv, dict(os.environ)]))\n")
    return [sys.executable, str(program)]


def report(output: str) -> tuple[list[str], dict[str, str]]:
    argv, environ = json.loads(output)
    return argv, environ
