"""Recover a Coordinator that cannot open its state: secrets, signatures and their encryption.

marblerun-core 7. A recovery secret is 16 or 32 bytes, or a Shamir share of 33. Everything else is RSA-OAEP
(SHA-256, no label): under a person's recovery key, as the Coordinator handed it out, or under the
Coordinator's ephemeral key, for the way back. The signature (PKCS#1 v1.5, SHA-256) is over the plain secret.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from marbleops.approval import jsonread
from marbleops.wire.envelope import CoordinatorError, Reading, data_object

if TYPE_CHECKING:
    from marbleops.wire.marblerun.session import Session

RECOVERY = 1
"""The phase in which a Coordinator takes recovery secrets."""

PLAIN_LENGTHS = frozenset({16, 32, 33})
"""What is not one of these is a ciphertext. MarbleRun's own client forgets 33 (marblerun-core A10)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryAnswer:
    """How far it got. Only 0 means recovered: the count is an upper bound (marblerun-core 7.4)."""

    remaining: int
    message: str


def recover(session: Session, secret: bytes, key: rsa.RSAPrivateKey) -> RecoveryAnswer:
    """Upload a recovery secret, plain or as handed out, signed with the recovery key *key*.

    Raises:
        ValueError: the secret is not for this key.
        CoordinatorError: refused.
    """
    plain = decrypt_recovery_data(secret, key)
    return recover_with_signature(session, plain, sign_recovery_secret(plain, key))


def recover_with_signature(session: Session, secret: bytes, signature: bytes) -> RecoveryAnswer:
    """Upload a plain secret, or one under the Coordinator's ephemeral key; raises CoordinatorError."""
    session.require_phase(RECOVERY)
    answer = session.post(
        "recover",
        {
            "recoverySecret": base64.b64encode(secret).decode(),
            "recoverySecretSignature": base64.b64encode(signature).decode(),
        },
    )
    found = data_object(answer)
    with Reading():
        return RecoveryAnswer(
            remaining=jsonread.integer(found.get("remaining"), name="remaining"),
            message=jsonread.text(found.get("message"), name="message", max_chars=65_536),
        )


def recovery_public_key(session: Session) -> rsa.RSAPublicKey:
    """Fetch the ephemeral key under which this instance takes secrets; raises CoordinatorError."""
    found = data_object(session.get("recover/public-key"))
    with Reading():
        der = jsonread.base64_bytes(found.get("ephemeralPublicKey"), name="ephemeralPublicKey")
        key = load_der_public_key(der)
    if not isinstance(key, rsa.RSAPublicKey):
        raise CoordinatorError(200, "malformed", "the recovery key is not an RSA key")
    return key


def decrypt_recovery_data(secret: bytes, key: rsa.RSAPrivateKey) -> bytes:
    """Return the plain secret; one that is plain already is returned as it is.

    Raises:
        ValueError: it is not encrypted for *key*.
    """
    if len(secret) in PLAIN_LENGTHS:
        return secret
    return key.decrypt(secret, _oaep())


def encrypt_recovery_secret_with_ephemeral_key(plain: bytes, key: rsa.RSAPublicKey) -> bytes:
    """Encrypt a plain secret for the Coordinator that showed *key*."""
    return key.encrypt(plain, _oaep())


def sign_recovery_secret(plain: bytes, key: rsa.RSAPrivateKey) -> bytes:
    """Sign a plain secret with a recovery key: the proof of owning it."""
    return key.sign(plain, padding.PKCS1v15(), hashes.SHA256())


def _oaep() -> padding.OAEP:
    return padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
