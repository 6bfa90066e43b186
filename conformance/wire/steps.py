"""Runs the steps of one case against a Coordinator and lists what is not as expected."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL

from conformance.wire.certificates import load
from conformance.wire.client import Rest, Target, activate, handshake, marble_identity
from conformance.wire.pattern import CaseError, Scope, compact, decode, encode, fill, go_json, mismatches
from conformance.wire.users import oaep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conformance.wire.starter import Host

TLS_VERSIONS = {"1.0": 0x301, "1.1": 0x302, "1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
SHOWN = 400


@dataclass(slots=True)
class Session:
    """One Coordinator under test, for any number of cases in turn."""

    host: Host
    against: str
    target: Target
    rest: Rest = field(init=False)
    _folder: tempfile.TemporaryDirectory[str] = field(init=False)

    def __post_init__(self) -> None:
        """Connect."""
        self._folder = tempfile.TemporaryDirectory()
        self._connect(self.target)

    def close(self) -> None:
        """Drop all connections."""
        self.rest.close()
        self._folder.cleanup()

    def call_from(self, number: int) -> None:
        """Call from another loopback address, since rates are limited per address and cases come quickly."""
        if self.target.host.startswith("127."):
            self.rest.close()
            self.rest.source = f"127.1.{number // 250}.{number % 250 + 1}"

    def run(self, steps: list[dict[str, Any]], scope: Scope) -> list[str]:
        """Run *steps* in order, up to the first one whose outcome is not as expected; list how."""
        for number, step in enumerate(steps, 1):
            if step.get("only", self.against) != self.against:
                continue
            try:
                found = STEPS[step["do"]](self, step, scope)
            except CaseError as error:
                found = [str(error)]
            if found:
                return [f"step {number} ({title(step)}): {line}" for line in found]
        return []

    def expected(self, step: Mapping[str, Any]) -> Any:
        """Return what is expected of the Coordinator under test."""
        return step.get("marblerun", step["expect"]) if self.against == "marblerun" else step["expect"]

    def replaced_by(self, target: Target) -> None:
        """Go on with the Coordinator at *target*."""
        self.rest.close()
        self._connect(target)

    def _connect(self, target: Target) -> None:
        self.target = target
        self.rest = Rest(target, Path(self._folder.name))


def title(step: Mapping[str, Any]) -> str:
    """Name a step in a few words."""
    words = [str(step[key]) for key in ("do", "method", "path", "marble", "as") if key in step]
    return " ".join(words)


def _rest(session: Session, step: dict[str, Any], scope: Scope) -> list[str]:
    answer = session.rest.ask(
        step["method"],
        fill(step["path"], scope),
        body=_body(step.get("body"), scope),
        headers=step.get("headers", {}),
        identity=_identity(step.get("as"), scope),
    )
    expected = session.expected(step)
    found = mismatches(expected["status"], answer.status, scope, "status")
    for name, pattern in expected.get("headers", {}).items():
        found += mismatches(pattern, answer.headers.get(name, ""), scope, name)
    body = answer.body.decode(errors="backslashreplace")
    if "text" in expected:
        found += mismatches(expected["text"], body, scope, "body")
    if "json" in expected:
        found += _json_body(expected["json"], body, scope)
    return found if not found else [*found, f"the body was {body:.{SHOWN}}"]


def _json_body(pattern: Any, body: str, scope: Scope) -> list[str]:
    try:
        document = json.loads(body)
    except ValueError:
        return ["the body is not JSON"]
    form = [] if go_json(document) == body else ["the body is not written as Go's encoder writes it"]
    return form + mismatches(pattern, document, scope)


def _body(body: Any, scope: Scope) -> bytes | None:
    if body is None:
        return None
    if "json" in body:
        return compact(fill(body["json"], scope)).encode()
    if "base64" in body:
        return decode(body["base64"])
    return str(fill(body["text"], scope)).encode()


def _identity(who: Any, scope: Scope) -> str | None:
    """Write certificates and key to show as PEM: of a person, or captured ones of a marble."""
    if who is None:
        return None
    if isinstance(who, str):
        return scope.people.certificate_pem(who) + scope.people.key_pem(who)
    filled = fill(who, scope)
    return str(filled["certificates"]) + str(filled["key"])


def _activate(session: Session, step: dict[str, Any], scope: Scope) -> list[str]:
    identity = marble_identity(*step.get("dns", ["localhost"]))
    certificate_request = identity.request.public_bytes(serialization.Encoding.DER)
    quote = decode(step.get("quote", ""))
    if "enclave" in step:
        quote = session.host.quote(hashlib.sha256(identity.certificate_der).digest(), step["enclave"])
    request = {
        "Quote": quote,
        "CSR": decode(step["csr"]) if "csr" in step else certificate_request,
        "MarbleType": step["marble"],
        "UUID": step["uuid"],
    }
    return mismatches(session.expected(step), activate(session.target, identity, request), scope)


def _tls(session: Session, step: dict[str, Any], scope: Scope) -> list[str]:
    version = TLS_VERSIONS[step["version"]] if "version" in step else None
    seen = handshake(
        session.target,
        step["port"],
        alpn=step.get("alpn", []),
        versions=None if version is None else (version, version),
    )
    return mismatches(session.expected(step), seen, scope)


def _restart(session: Session, _step: dict[str, Any], _scope: Scope) -> list[str]:
    session.rest.close()  # an idle connection would make an orderly end wait
    session.replaced_by(session.host.restart())
    return []


def _lose_key(session: Session, _step: dict[str, Any], _scope: Scope) -> list[str]:
    session.rest.close()
    session.replaced_by(session.host.lose_key())
    return []


def _unwrap(_session: Session, step: dict[str, Any], scope: Scope) -> list[str]:
    """Decrypt a recovery secret."""
    secret = scope.people.unwrap(step["key"], decode(fill(step["secret"], scope)))
    scope.captured[step["name"]] = encode(secret)
    return mismatches(step.get("length", {"$any": "number"}), len(secret), scope, "length")


def _sign(_session: Session, step: dict[str, Any], scope: Scope) -> list[str]:
    secret = decode(fill(step["secret"], scope))
    scope.captured[step["name"]] = encode(scope.people.sign(step["key"], secret))
    return []


def _wrap(_session: Session, step: dict[str, Any], scope: Scope) -> list[str]:
    """Encrypt a secret for the Coordinator's ephemeral key."""
    public = serialization.load_der_public_key(decode(fill(step["public"], scope)))
    if not isinstance(public, rsa.RSAPublicKey):
        return ["the ephemeral key is no RSA key"]
    scope.captured[step["name"]] = encode(public.encrypt(decode(fill(step["secret"], scope)), oaep()))
    return mismatches(4096, public.key_size, scope, "size of the ephemeral key")


def _issued(_session: Session, step: dict[str, Any], scope: Scope) -> list[str]:
    """Check that the certificate is signed by the issuer, whose name it bears."""
    certificate, issuer = (load(_certificate(fill(step[key], scope))) for key in ("certificate", "issuer"))
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as error:
        return [f"{certificate.subject.rfc4514_string()} is not issued by the issuer: {error!r}"]
    return []


def _key_pair(_session: Session, step: dict[str, Any], scope: Scope) -> list[str]:
    """Check that the private key (PEM or DER) is that of the certificate."""
    text = fill(step["key"], scope)
    if text.startswith("-----BEGIN"):
        private = serialization.load_pem_private_key(text.encode(), None)
    else:
        private = serialization.load_der_private_key(decode(text), None)
    wanted = load(_certificate(fill(step["certificate"], scope))).public_key()
    return [] if private.public_key() == wanted else ["the key is not that of the certificate"]


def _signature(_session: Session, step: dict[str, Any], scope: Scope) -> list[str]:
    """Check an ECDSA signature over SHA-256 of a text, by the key of a certificate."""
    key = load(_certificate(fill(step["certificate"], scope))).public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return ["the signer has no EC key"]
    try:
        signature = decode(fill(step["signature"], scope))
        key.verify(signature, fill(step["text"], scope).encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return ["the signature does not verify"]
    return []


def _hash(_session: Session, step: dict[str, Any], scope: Scope) -> list[str]:
    content = fill(step["text"], scope).encode()
    return mismatches(step["expect"], hashlib.sha256(content).hexdigest(), scope, "SHA-256")


def _report(_session: Session, step: dict[str, Any], scope: Scope) -> list[str]:
    """Check the quote's header, and that its report data are root certificate and nonce, and the state."""
    quote = decode(fill(step["quote"], scope))
    root = load(_certificate(fill(step["root"], scope))).public_bytes(serialization.Encoding.DER)
    state = fill(step["state"], scope)
    standing = bytes([state["code"]]) + bytes.fromhex(state["manifestFingerprint"] or "")
    data = hashlib.sha256(root + decode(step.get("nonce", ""))).digest()
    data += hashlib.sha256(b"marbleops/coordinator-state/v1\0" + standing).digest()
    header = bytes.fromhex("0100000002000000") + (len(quote) - 16).to_bytes(8, "little")
    found = [] if quote[:16] == header else ["the quote has not the Open Enclave header"]
    return found if quote[16 + 368 : 16 + 432] == data else [*found, "the report data are others"]


def _same(_session: Session, step: dict[str, Any], scope: Scope) -> list[str]:
    value = fill(step["value"], scope)
    return mismatches(step["expect"], value, scope, "value")


def _certificate(text: str) -> str | bytes:
    return text if text.startswith("-----BEGIN") else decode(text)


STEPS = {
    "rest": _rest,
    "activate": _activate,
    "tls": _tls,
    "restart": _restart,
    "lose-key": _lose_key,
    "unwrap": _unwrap,
    "sign": _sign,
    "wrap": _wrap,
    "issued": _issued,
    "key-pair": _key_pair,
    "signature": _signature,
    "sha256": _hash,
    "report-data": _report,
    "compare": _same,
}
