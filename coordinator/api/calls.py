"""What the calls of MarbleRun's interface take (marblerun-api-cli-k8s 1.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509

from coordinator.api import gojson
from coordinator.api.body import MAX_QUERY_VALUE
from coordinator.domain.secrets import UserSecret
from coordinator.errors import MalformedRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestCall:
    """A manifest to set, to update to, or to acknowledge."""

    manifest: bytes | None = gojson.blob("manifest")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverCall:
    """One party's recovery secret, plain or encrypted for this Coordinator, and her signature over it."""

    secret: bytes | None = gojson.blob("recoverySecret")
    signature: bytes | None = gojson.blob("recoverySecretSignature")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteCall:
    """A quote to vouch for."""

    quote: bytes | None = gojson.blob("sgxQuote")


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterCall:
    """A monotonic counter and what it should at least be."""

    name: str = gojson.text("name")
    value: int = gojson.uint64("value")


def _certificate(value: Any, _before: bytes | None) -> bytes | None:
    """Read a certificate: base64 DER. Text that is no base64 counts as none, as MarbleRun takes it."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("expected a certificate in DER as base64 text")  # noqa: TRY004  it is the body's value
    try:
        der = gojson.read_base64(value)
    except ValueError:
        return None
    try:
        x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion) as error:
        raise ValueError("x509: malformed certificate") from error
    return der


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretCall:
    """The value of one secret."""

    cert: bytes | None = gojson.custom("Cert", _certificate)
    private: bytes | None = gojson.blob("Private")
    key: bytes | None = gojson.blob("Key")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsCall:
    """Secrets to upload, by name."""

    secrets: Mapping[str, SecretCall] = gojson.table("secrets", SecretCall)


def manifest_in(body: bytes) -> bytes:
    """Read the manifest of a version 2 call; empty where there is none, which no manifest is.

    Raises:
        MalformedRequestError: the body cannot be read.
    """
    return gojson.first(body, ManifestCall).manifest or b""


def secrets_in(body: bytes) -> Mapping[str, UserSecret]:
    """Read the uploads of a version 2 call.

    Raises:
        MalformedRequestError: the body cannot be read.
    """
    return _uploads(gojson.first(body, SecretsCall).secrets)


def secrets_v1_in(body: bytes) -> Mapping[str, UserSecret]:
    """Read the uploads of a version 1 call, whose body is the map itself and nothing after it.

    Raises:
        MalformedRequestError: the body cannot be read.
    """
    return _uploads(gojson.whole_table(body, SecretCall))


def nonce_in(request: web.BaseRequest) -> bytes | None:
    """Read the nonce a client wants in a quote: base64url with padding; None without one.

    Raises:
        MalformedRequestError: it is no base64url, or longer than any.
    """
    text = request.query.get("nonce", "")
    if len(text) > MAX_QUERY_VALUE:
        raise MalformedRequestError(f"invalid query: bad nonce format: over {MAX_QUERY_VALUE} characters")
    try:
        return gojson.read_base64(text, url=True) or None
    except ValueError as error:
        raise MalformedRequestError(f"invalid query: bad nonce format: {error}") from error


def names_in(request: web.BaseRequest) -> tuple[str, ...]:
    """Read the names of secrets that a client asks for.

    Raises:
        MalformedRequestError: there is none, or an empty one.
    """
    names = tuple(request.query.getall("s", ()))
    if not names:
        raise MalformedRequestError("invalid query: endpoint requires at least one query parameter")
    if not all(names):
        raise MalformedRequestError("malformed query string: empty query parameter")
    return names


def _uploads(given: Mapping[str, SecretCall]) -> Mapping[str, UserSecret]:
    return {name: UserSecret(cert=one.cert, private=one.private, key=one.key) for name, one in given.items()}
