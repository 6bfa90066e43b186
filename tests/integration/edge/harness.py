"""A server on its own loop in a thread, so that blocking clients of every make can talk to it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from coordinator.api import tls

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from concurrent.futures import Future
    from pathlib import Path

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A self-signed certificate with its key."""

    certificate_pem: bytes
    key_pem: bytes
    der: bytes

    def files(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write both as PEM files."""
        certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
        certificate.write_bytes(self.certificate_pem)
        key.write_bytes(self.key_pem)
        return certificate, key


def self_signed(name: str, *, kind: str = "p384", days: int = 30) -> Credential:
    """Make a credential; negative *days* make an expired one."""
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP384R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA384())
    )
    return Credential(
        certificate_pem=certificate.public_bytes(Encoding.PEM),
        key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        der=certificate.public_bytes(Encoding.DER),
    )


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.problems: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.problems.append(context))
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* in the loop and wait for it."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(20)

    def stop(self) -> None:
        """End the loop and its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What a test needs of a running server."""

    port: int
    loop: Loop
    server: tls.TlsServer
    credential: Credential


@contextmanager
def running(
    server_credential: Credential,
    protocol_factory: Callable[[], asyncio.Protocol],
    *,
    require: bool = False,
    alpn: tuple[bytes, ...] = (b"http/1.1",),
    limits: tls.TlsLimits | None = None,
    context_factory: Callable[[], Any] | None = None,
) -> Iterator[Edge]:
    """Serve *protocol_factory* on the loopback until the block ends."""
    context = tls.make_context(
        certificates_pem=server_credential.certificate_pem,
        key_pem=server_credential.key_pem,
        alpn=alpn,
        require_client_certificate=require,
    )
    loop = Loop()
    server = loop.run(
        tls.serve(
            host="127.0.0.1",
            port=0,
            context_factory=context_factory or (lambda: context),
            protocol_factory=protocol_factory,
            limits=limits or tls.TlsLimits(),
        )
    )
    try:
        yield Edge(port=server.port, loop=loop, server=server, credential=server_credential)
    finally:

        async def finish() -> None:
            server.close()
            await server.wait_closed()

        loop.run(finish())
        loop.stop()
    assert loop.problems == []
