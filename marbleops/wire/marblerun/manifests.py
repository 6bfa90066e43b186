"""Set, get and verify a manifest; the update log; the Coordinator's status (marblerun-core 11)."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from marbleops.approval import jsonread
from marbleops.manifest.digest import Digest
from marbleops.manifest.limits import MAX_MANIFEST_BYTES
from marbleops.wire.attest import UntrustedCoordinator
from marbleops.wire.envelope import Reading, data_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marbleops.wire.marblerun.session import Session

RECOVERY, ACCEPTING_MANIFEST = 1, 2
MAX_LOG_LINES = 1_000_000
MAX_LOG_LINE = 65_536
MAX_KEYS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where the Coordinator stands: 1 recovery, 2 accepting a manifest, 3 accepting marbles."""

    code: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedManifest:
    """The bytes that were set, and the root key's signature over them."""

    raw: bytes = field(repr=False)
    signature: bytes

    @property
    def digest(self) -> Digest:
        """The digest of the bytes; its hex is MarbleRun's fingerprint."""
        return Digest.of(self.raw)


def get_status(session: Session) -> Status:
    """Ask where the Coordinator stands; raises CoordinatorError."""
    found = data_object(session.get("status"))
    with Reading():
        code = jsonread.integer(found.get("code"), name="code")
        message = jsonread.text(found.get("message"), name="message", max_chars=65_536)
    return Status(code=code, message=message)


def manifest_get(session: Session) -> SignedManifest:
    """Fetch the manifest that is enforced, and check fingerprint and signature where the root is known.

    Raises:
        CoordinatorError: there is none (``requested value not set``), or the answer contradicts itself.
        UntrustedCoordinator: the pinned root did not sign it, or the quote names another one.
    """
    found = data_object(session.get("manifest"))
    with Reading():
        raw = jsonread.base64_bytes(found.get("manifest"), name="manifest")
        fingerprint = jsonread.text(found.get("manifestFingerprint"), name="fingerprint", max_chars=64)
        signature = jsonread.base64_bytes(found.get("manifestSignatureRootECDSA"), name="signature")
        if len(raw) > MAX_MANIFEST_BYTES or Digest.of(raw).hex != fingerprint:
            raise jsonread.JsonShapeError("the fingerprint is not the manifest's")
    _check_signature(session, raw, signature)
    manifest = SignedManifest(raw=raw, signature=signature)
    if session.standing is not None and session.standing.enforced != manifest.digest:
        told = "none" if session.standing.enforced is None else session.standing.enforced.hex
        words = f"its quote says that it enforces manifest {told}, it shows {manifest.digest.hex}"
        raise UntrustedCoordinator(words, code="manifest-mismatch")
    return manifest


def verify_marblerun_deployment(session: Session, expected: Digest) -> SignedManifest:
    """Check that exactly the manifest with digest *expected* is enforced.

    Raises:
        UntrustedCoordinator: another one is.
        CoordinatorError: none is, or the answer is not of the interface's form.
    """
    found = manifest_get(session)
    if found.digest != expected:
        words = f"the Coordinator enforces manifest {found.digest.hex}, expected {expected.hex}"
        raise UntrustedCoordinator(words, code="manifest-mismatch")
    return found


def manifest_log(session: Session) -> tuple[str, ...]:
    """Fetch the update log, one JSON text per line; raises CoordinatorError."""
    found = data_object(session.get("update"))
    with Reading():
        return jsonread.texts(
            found.get("updateLog"), name="updateLog", max_items=MAX_LOG_LINES, max_chars=MAX_LOG_LINE
        )


def manifest_set(session: Session, raw: bytes) -> Mapping[str, bytes]:
    """Set the first manifest; return the encrypted recovery secrets by the names of their keys.

    Raises:
        CoordinatorError: it is refused, or one is set already.
    """
    session.require_phase(RECOVERY, ACCEPTING_MANIFEST)
    answer = session.post("manifest", {"manifest": base64.b64encode(raw).decode()})
    return recovery_secrets(data_object(answer).get("RecoverySecrets"))


def recovery_secrets(value: Any) -> Mapping[str, bytes]:
    """Read the map of encrypted recovery secrets; null is none. Raises CoordinatorError."""
    with Reading():
        if value is None:
            return {}
        if not isinstance(value, dict) or len(value) > MAX_KEYS:
            raise jsonread.JsonShapeError("RecoverySecrets: expected an object")
        return {name: jsonread.base64_bytes(one, name="RecoverySecrets") for name, one in value.items()}


def _check_signature(session: Session, raw: bytes, signature: bytes) -> None:
    if session.root is None:
        return
    key = session.root.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UntrustedCoordinator("the root key is not an elliptic-curve key", code="root-key")
    try:
        key.verify(signature, raw, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        words = "the manifest is not signed by the Coordinator's root key"
        raise UntrustedCoordinator(words, code="bad-signature") from error
