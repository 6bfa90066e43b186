"""Activation: show a quote to the Coordinator, get credentials and parameters; nothing is written here.

The order of steps is the premain's (marblerun-api-cli-k8s 3.1). Like every MarbleRun marble this one cannot
know the server's certificate beforehand: the Coordinator proves itself to people, not to marbles. grpcio has
no *skip verification*, so the certificate is fetched first and then trusted for the call. Where
``EDG_MARBLE_COORDINATOR_ROOT`` names the Coordinator's root, the answer must lead to it, and the certificate
that carried the call must belong to the key that root vouches for; otherwise nothing of the answer is used.
"""

from __future__ import annotations

import hmac
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf.message import DecodeError
from OpenSSL import SSL

from marbleops.attestation.anchors import spki_der
from marbleops.attestation.binding import marble_report_data
from marbleops.marble.credentials import CERTIFICATE_CHAIN, COORDINATOR_ROOT_CA, ROOT_CA, TTLS_CONFIG
from marbleops.marble.identity import MarbleIdentity, load_or_make_uuid, make_identity, now
from marbleops.wire import marble_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from marbleops.attestation.platform.base import QuoteIssuer
    from marbleops.marble.settings import MarbleSettings
    from marbleops.wire.connection import Address

_METHOD = "/rpc.Marble/Activate"
_CONNECT_SECONDS = 10.0
_CALL_SECONDS = 60.0
_MAX_CERTIFICATE_FILE = 1024 * 1024


class ActivationError(Exception):
    """The Coordinator could not be reached, or its answer cannot be used."""


class ActivationRefused(ActivationError):  # noqa: N818  a refusal is an answer, not a failure
    """The Coordinator said no; ``code`` is the gRPC status name and ``reason`` its own words."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"the Coordinator refused this marble: {reason} ({code})")
        self.code = code
        self.reason = reason


class UntrustedAnswer(ActivationError):  # noqa: N818
    """The answer does not come from the Coordinator that ``EDG_MARBLE_COORDINATOR_ROOT`` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What the marble starts with. Files and environment hold secrets."""

    files: Mapping[str, bytes] = field(repr=False)
    env: Mapping[str, bytes] = field(repr=False)
    argv: tuple[str, ...]


def activate(settings: MarbleSettings, issuer: QuoteIssuer | None) -> Parameters:
    """Activate this marble; without an issuer the quote is empty, which only an insecure Coordinator accepts.

    Raises:
        ActivationRefused: the Coordinator said no.
        UntrustedAnswer: the answer does not lead to the pinned root.
        ActivationError: no answer, or one that cannot be used.
        IdentityError: the names or the UUID file are no good.
    """
    pinned = None if settings.coordinator_root is None else _read_root(settings)
    identity = make_identity(settings.dns_names, at=now())
    marble_uuid = load_or_make_uuid(settings.uuid_file)
    quote = b"" if issuer is None else issuer.quote(marble_report_data(identity.certificate_der))
    request = marble_pb2.ActivationReq(
        Quote=quote,
        CSR=identity.request.public_bytes(Encoding.DER),
        MarbleType=settings.marble_type,
        UUID=str(marble_uuid),
    )
    server = _fetch_certificate(settings.coordinator, identity)
    answer = _call(settings.coordinator, identity, server, request.SerializeToString())
    parameters = _read_answer(answer)
    if pinned is not None:
        check_pin(parameters, pinned=pinned, server=server)
    return parameters


def check_pin(parameters: Parameters, *, pinned: x509.Certificate, server: x509.Certificate) -> None:
    """Check that the answer and the connection that carried it belong to the pinned root.

    leaf → intermediate → root, the root is the pinned one, and the server's key is the intermediate's: marble
    root and intermediate are one key with two certificates (marblerun-core section 3).

    Raises:
        UntrustedAnswer: any of it is not so.
    """
    try:
        (root,) = _certificates(parameters, COORDINATOR_ROOT_CA)
        leaf, intermediate = _certificates(parameters, CERTIFICATE_CHAIN)
        (marble_root,) = _certificates(parameters, ROOT_CA)
        intermediate.verify_directly_issued_by(root)
        leaf.verify_directly_issued_by(intermediate)
        same_key = spki_der(server) == spki_der(intermediate) == spki_der(marble_root)
    except Exception as error:  # cryptography raises many kinds on hostile certificates
        raise UntrustedAnswer(
            f"the Coordinator's certificates do not lead to its own root ({type(error).__name__})"
        ) from error
    expected, found = (one.public_bytes(Encoding.DER) for one in (pinned, root))
    if not hmac.compare_digest(expected, found):
        raise UntrustedAnswer("this is another Coordinator than the one EDG_MARBLE_COORDINATOR_ROOT names")
    if not same_key:
        raise UntrustedAnswer(
            "the server that answered does not hold the key that the pinned root vouches for"
        )


def _certificates(parameters: Parameters, name: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(parameters.env[name])


def _read_root(settings: MarbleSettings) -> x509.Certificate:
    path = settings.coordinator_root
    assert path is not None
    try:
        with path.open("rb") as file:
            (root,) = x509.load_pem_x509_certificates(file.read(_MAX_CERTIFICATE_FILE))
    except (OSError, ValueError) as error:
        raise ActivationError(f"EDG_MARBLE_COORDINATOR_ROOT: {path}: {error}") from error
    return root


def _fetch_certificate(address: Address, identity: MarbleIdentity) -> x509.Certificate:
    """Return the certificate the server presents; a client certificate is shown, since it insists on one."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_alpn_protos([b"h2"])
    context.use_certificate(identity.certificate)
    context.use_privatekey(identity.key)
    tls = SSL.Connection(context, None)
    tls.set_connect_state()
    try:
        with socket.create_connection((address.host, address.port), _CONNECT_SECONDS) as tcp:
            while True:
                try:
                    tls.do_handshake()
                    break
                except SSL.WantReadError:
                    _drain(tls, tcp.sendall)
                    received = tcp.recv(65536)
                    if not received:
                        raise ConnectionResetError("the server closed the connection") from None
                    tls.bio_write(received)
            tls.shutdown()
            _drain(tls, tcp.sendall)
    except (OSError, SSL.Error) as error:
        raise ActivationError(f"no Coordinator answers at {address}: {error}") from error
    presented = tls.get_peer_certificate(as_cryptography=True)
    if presented is None:
        raise ActivationError(f"{address} presents no certificate")
    return presented


def _drain(tls: SSL.Connection, send: Callable[[bytes], None]) -> None:
    while True:
        try:
            send(tls.bio_read(65536))
        except SSL.WantReadError:
            return


def _call(address: Address, identity: MarbleIdentity, server: x509.Certificate, request: bytes) -> bytes:
    credentials = grpc.ssl_channel_credentials(
        root_certificates=server.public_bytes(Encoding.PEM),
        private_key=identity.key_pem,
        certificate_chain=identity.certificate.public_bytes(Encoding.PEM),
    )
    options = [
        ("grpc.ssl_target_name_override", _name_of(server)),
        ("grpc.enable_http_proxy", 0),
    ]
    with grpc.secure_channel(str(address), credentials, options) as channel:
        try:
            call: Any = channel.unary_unary(_METHOD)
            answer = call(request, timeout=_CALL_SECONDS)
        except grpc.RpcError as error:
            raise _translate(address, error) from error
    assert isinstance(answer, bytes)
    return answer


def _translate(address: Address, failed: Any) -> ActivationError:
    code, words = failed.code(), failed.details() or "no reason given"
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return ActivationError(f"{address}: no answer ({words})")
    return ActivationRefused(code.name, words)


def _name_of(server: x509.Certificate) -> str:
    """Return a name the certificate has, for the library's check; which one says nothing about identity."""
    try:
        names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return "localhost"
    for name in names.get_values_for_type(x509.DNSName):
        return name.replace("*", "any")
    return next((str(address) for address in names.get_values_for_type(x509.IPAddress)), "localhost")


def _read_answer(answer: bytes) -> Parameters:
    try:
        received = marble_pb2.ActivationResp.FromString(answer).Parameters
    except DecodeError as error:
        raise ActivationError("the Coordinator's answer is not an activation response") from error
    if TTLS_CONFIG in received.Env:
        # The premain of library OSes refuses it too: nothing here would wrap the application's sockets.
        raise ActivationError(f"the manifest gives this marble TLS tags ({TTLS_CONFIG}), not supported here")
    return Parameters(files=dict(received.Files), env=dict(received.Env), argv=tuple(received.Argv))
