"""Activation: show a quote to the Coordinator, get credentials and parameters; nothing is written here.

The order of steps is the premain's (marblerun-api-cli-k8s 3.1). Like every MarbleRun marble this one cannot
know the server's certificate beforehand: the Coordinator proves itself to people, not to marbles. Where
``EDG_MARBLE_COORDINATOR_ROOT`` names the Coordinator's root, the answer must lead to it, and the certificate
of the connection that carried the call must belong to the key that root vouches for; otherwise nothing of the
answer is used.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf.message import DecodeError

from marbleops.attestation.anchors import spki_der
from marbleops.attestation.binding import marble_report_data
from marbleops.marble.call import CallAnswer, CallError, CallRefused, call_unary
from marbleops.marble.credentials import CERTIFICATE_CHAIN, COORDINATOR_ROOT_CA, ROOT_CA, TTLS_CONFIG
from marbleops.marble.identity import load_or_make_uuid, make_identity, now
from marbleops.marble.settings import SettingsError
from marbleops.wire import marble_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marbleops.attestation.platform.base import QuoteIssuer
    from marbleops.marble.identity import MarbleIdentity
    from marbleops.marble.settings import MarbleSettings

_METHOD = "/rpc.Marble/Activate"
_NO_ANSWER = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
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


class UnsupportedParameters(ActivationError):  # noqa: N818
    """The manifest asks for something that this program cannot do; the activation counted nevertheless."""


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
        UnsupportedParameters: the marble has TLS tags.
        ActivationError: no answer, or one that cannot be used.
        SettingsError: the pinned root cannot be read.
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
    answer = _call(settings, identity, request.SerializeToString())
    parameters = _read_answer(answer.message)
    if pinned is not None:
        check_pin(parameters, pinned=pinned, server=answer.server)
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
        authority = intermediate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        same_key = spki_der(server) == spki_der(intermediate) == spki_der(marble_root)
    except Exception as error:  # cryptography raises many kinds on hostile certificates
        raise UntrustedAnswer(
            f"the Coordinator's certificates do not lead to its own root ({type(error).__name__})"
        ) from error
    expected, found = (one.public_bytes(Encoding.DER) for one in (pinned, root))
    if not hmac.compare_digest(expected, found):
        raise UntrustedAnswer("this is another Coordinator than the one EDG_MARBLE_COORDINATOR_ROOT names")
    if not same_key or not authority:  # below a root there may be certificates that are no authority's
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
        raise SettingsError(f"EDG_MARBLE_COORDINATOR_ROOT: {path}: {error}") from error
    return root


def _call(settings: MarbleSettings, identity: MarbleIdentity, request: bytes) -> CallAnswer:
    address = settings.coordinator
    try:
        return call_unary(address, identity, method=_METHOD, request=request)
    except CallError as error:
        raise ActivationError(
            f"no Coordinator answers at {address}: {error} (EDG_MARBLE_COORDINATOR_ADDR names the port for "
            "marbles, 2001 unless it was changed)"
        ) from error
    except CallRefused as refusal:
        if refusal.code in _NO_ANSWER:
            raise ActivationError(f"{address}: no answer ({refusal.message})") from refusal
        raise ActivationRefused(refusal.code, refusal.message) from refusal


def _read_answer(answer: bytes) -> Parameters:
    try:
        received = marble_pb2.ActivationResp.FromString(answer).Parameters
    except DecodeError as error:
        raise ActivationError("the Coordinator's answer is not an activation response") from error
    if TTLS_CONFIG in received.Env:
        # The premain of library OSes refuses it too: nothing here would wrap the application's sockets.
        raise UnsupportedParameters(
            f"the manifest gives this marble TLS tags ({TTLS_CONFIG}), which need a runtime that wraps "
            "sockets, like EGo: take TLS out of Marbles.<type>, and use the MARBLE_PREDEFINED_* certificates"
        )
    return Parameters(files=dict(received.Files), env=dict(received.Env), argv=tuple(received.Argv))
