"""The two clients: HTTPS as any program speaks it, and one gRPC call as a marble makes it. Nothing is verified."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from marbleops.marble.call import CallError, CallRefused, call_unary
from marbleops.marble.identity import MarbleIdentity, make_identity
from marbleops.wire.connection import Address
from marbleops.wire.marble_pb2 import ActivationReq, ActivationResp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SECONDS = 30.0
ACTIVATE = "/rpc.Marble/Activate"
PATIENCE = 20
"""How often a 429 is answered by waiting."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a Coordinator listens."""

    host: str
    rest: int
    mesh: int


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Rest:
    """HTTPS connections to one Coordinator, one kept open per client certificate."""

    target: Target
    folder: Path
    source: str = ""
    """The address to call from; empty: any."""
    _open: dict[str, http.client.HTTPSConnection] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, *, body: bytes | None, headers: Mapping[str, str], identity: str | None
    ) -> Answer:
        """Send one request; *identity* is PEM text of certificates and key."""
        answer = self._once(method, path, body, headers, identity or "")
        for _ in range(PATIENCE):
            if answer.status != http.HTTPStatus.TOO_MANY_REQUESTS:
                break
            time.sleep(float(answer.headers.get("retry-after", "1")))
            answer = self._once(method, path, body, headers, identity or "")
        return answer

    def close(self) -> None:
        """Drop all connections."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def _once(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], identity: str
    ) -> Answer:
        kept = identity in self._open
        try:
            return self._exchange(method, path, body, headers, identity)
        except (http.client.HTTPException, OSError):
            self._open.pop(identity).close()
            if not kept:
                raise
            return self._exchange(method, path, body, headers, identity)

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], identity: str
    ) -> Answer:
        connection = self._open.get(identity)
        if connection is None:
            connection = self._open[identity] = http.client.HTTPSConnection(
                self.target.host,
                self.target.rest,
                timeout=SECONDS,
                context=self._context(identity),
                source_address=(self.source, 0) if self.source else None,
            )
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, names, response.read())
        if response.will_close:
            self._open.pop(identity).close()
        return answer

    def _context(self, identity: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if identity:
            file = self.folder / f"identity-{len(list(self.folder.iterdir()))}.pem"
            file.touch(0o600)
            file.write_text(identity)
            context.load_cert_chain(file)
        return context


@cache
def marble_identity(*dns_names: str) -> MarbleIdentity:
    """Make the marble's own certificate and request once for all activations with these names."""
    return make_identity(dns_names, at=datetime.now(UTC))


def activate(target: Target, identity: MarbleIdentity, request: Mapping[str, Any]) -> dict[str, Any]:
    """Activate a marble; the answer is the gRPC code, and the parameters or the message."""
    message = ActivationReq(**request).SerializeToString()
    address = Address(host=target.host, port=target.mesh)
    try:
        answer = call_unary(address, identity, method=ACTIVATE, request=message)
    except CallRefused as refusal:
        return {"code": refusal.code, "message": refusal.message}
    except CallError as error:
        return {"code": "NO ANSWER", "message": str(error)}
    parameters = ActivationResp.FromString(answer.message).Parameters
    return {
        "code": "OK",
        "Files": {name: _text(value) for name, value in sorted(parameters.Files.items())},
        "Env": {name: _text(value) for name, value in sorted(parameters.Env.items())},
        "Argv": list(parameters.Argv),
        "server": answer.server.public_bytes(Encoding.PEM).decode(),
    }


def _text(value: bytes) -> str:
    """Show bytes as text where they are, else as ``hex:...``."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"hex:{value.hex()}"


def handshake(
    target: Target, port: str, *, alpn: list[str], versions: tuple[int, int] | None
) -> dict[str, Any]:
    """Make a TLS handshake without a client certificate and tell what the server wants and shows."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if versions is not None:
        context.set_min_proto_version(versions[0])
        context.set_max_proto_version(versions[1])
    if alpn:
        context.set_alpn_protos([name.encode() for name in alpn])
    number = target.rest if port == "rest" else target.mesh
    with contextlib.closing(socket.create_connection((target.host, number), SECONDS)) as tcp:
        tcp.settimeout(None)
        connection = SSL.Connection(context, tcp)
        connection.set_connect_state()
        try:
            connection.do_handshake()
            if port == "marble":
                connection.recv(1)  # TLS 1.3: the server tells only now that it wanted a certificate
        except SSL.ZeroReturnError:
            return {"done": False}
        except SSL.Error:
            return {"done": False}
        chain = connection.get_peer_cert_chain(as_cryptography=True) or []
        return {
            "done": True,
            "version": connection.get_protocol_version_name(),
            "alpn": connection.get_alpn_proto_negotiated().decode(),
            "acceptableCAs": len(connection.get_client_ca_list()),
            "chain": "".join(one.public_bytes(Encoding.PEM).decode() for one in chain),
        }
