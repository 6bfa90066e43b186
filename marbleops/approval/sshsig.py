"""SSHSIG signatures: strict reading and verification over `cryptography`.

Follows OpenSSH's PROTOCOL.sshsig, PROTOCOL.u2f and RFC 8332 (rsa-sha2). No clock, no certificates, no
allowed_signers: whose key it is, the enforced manifest says. Security keys must have seen a person; their
counter is not checked (approvals.md section 2).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from marbleops.approval.armor import decode_ssh_armor
from marbleops.approval.errors import EvidenceError
from marbleops.approval.reasons import Reason
from marbleops.approval.sshkey import (
    ALGORITHMS,
    CURVES,
    RSA,
    SK_ECDSA,
    SK_ED25519,
    PublicKey,
    blob_algorithm,
)
from marbleops.approval.sshwire import Reader, WireError, write_string

NAMESPACE_GIT = "git"
NAMESPACE_STATEMENT = "manifest-approval@marbleops.v1"

_MAGIC = b"SSHSIG"
_VERSION = 1
_MESSAGE_HASHES = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}
# RFC 5656, 6.2.1 fixes the hash by the curve; RFC 8332 names it in the signature. SHA-1 is absent on purpose.
_ECDSA_HASHES: dict[str, hashes.HashAlgorithm] = {
    "ecdsa-sha2-nistp256": hashes.SHA256(),
    "ecdsa-sha2-nistp384": hashes.SHA384(),
    "ecdsa-sha2-nistp521": hashes.SHA512(),
    SK_ECDSA: hashes.SHA256(),
}
_RSA_HASHES: dict[str, hashes.HashAlgorithm] = {
    "rsa-sha2-256": hashes.SHA256(),
    "rsa-sha2-512": hashes.SHA512(),
}
_USER_PRESENT = 0x01


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """An SSHSIG blob taken apart; nothing about it is verified yet."""

    public_key: bytes
    namespace: str
    hash_algorithm: str
    signature: bytes


def parse_armor(text: str) -> Signature:
    """Parse an armored SSH signature.

    Raises:
        EvidenceError: malformed-signature; too-large; unsupported-key-type for OpenPGP and X.509 armors and
            for keys that these rules do not know (certificates among them).
    """
    reader = Reader(decode_ssh_armor(text))
    try:
        if reader.take(len(_MAGIC)) != _MAGIC or reader.uint32() != _VERSION:
            raise WireError("not an SSHSIG of version 1")
        public_key = reader.string()
        namespace = reader.text()
        reserved = reader.string()
        hash_algorithm = reader.text()
        signature = reader.string()
        reader.end()
        algorithm = blob_algorithm(public_key)
        # ssh-keygen verifies with an empty field whatever stands here: unsigned bytes, so refuse them.
        if not namespace or reserved or hash_algorithm not in _MESSAGE_HASHES:
            raise WireError("an empty namespace, a reserved field in use or an unknown hash")
    except WireError as error:
        raise _malformed(f"the SSH signature is malformed: {error}") from error
    if algorithm not in ALGORITHMS:
        raise EvidenceError(Reason.UNSUPPORTED_KEY_TYPE, f"signed by a key of type {algorithm[:64]!r}")
    return Signature(
        public_key=public_key, namespace=namespace, hash_algorithm=hash_algorithm, signature=signature
    )


def verify(
    signature: Signature, *, message: bytes, key: PublicKey, namespace: str, require_user_presence: bool
) -> None:
    """Verify *signature* over *message* by *key* for *namespace*.

    Raises:
        EvidenceError: unknown-key if another key signed; wrong-namespace; user-presence-missing;
            unsupported-key-type; malformed-signature; bad-signature.
    """
    # 1. The right key, for the right purpose.
    if signature.public_key != key.blob:
        raise EvidenceError(Reason.UNKNOWN_KEY, "another key made this signature")
    if signature.namespace != namespace:
        raise EvidenceError(
            Reason.WRONG_NAMESPACE, f"signed for {signature.namespace[:64]!r}, not for {namespace!r}"
        )
    if require_user_presence and not key.is_security_key:
        raise EvidenceError(
            Reason.USER_PRESENCE_MISSING, f"an {key.algorithm} key cannot show that a person was there"
        )
    # 2. The signature itself. Public key and signature are public: no constant time needed.
    signed = _signed_bytes(signature, message)
    try:
        presence = _verify_raw(signature.signature, signed, key)
    except WireError as error:
        raise _malformed(f"the {key.algorithm} signature is malformed: {error}") from error
    except (InvalidSignature, ValueError) as error:
        raise EvidenceError(Reason.BAD_SIGNATURE, "the signature does not fit the signed bytes") from error
    # 3. ssh-keygen says "Good" without user presence; we do not (gitops.md 2.3).
    if not presence:
        raise EvidenceError(Reason.USER_PRESENCE_MISSING, "nobody touched the security key")


def _signed_bytes(signature: Signature, message: bytes) -> bytes:
    digest = _MESSAGE_HASHES[signature.hash_algorithm](message).digest()
    return b"".join(
        (
            _MAGIC,
            write_string(signature.namespace.encode("ascii")),
            write_string(b""),
            write_string(signature.hash_algorithm.encode("ascii")),
            write_string(digest),
        )
    )


def _verify_raw(blob: bytes, signed: bytes, key: PublicKey) -> bool:
    """Verify the innermost signature; tell whether a person was present (keys without a button: yes)."""
    public, reader = Reader(key.blob), Reader(blob)
    public.text()
    algorithm = reader.text()
    if algorithm.startswith("webauthn-"):
        raise EvidenceError(Reason.UNSUPPORTED_KEY_TYPE, "webauthn signatures are not supported yet")
    if key.algorithm == RSA:
        _verify_rsa(algorithm, reader, signed, public)
        return True
    if algorithm != key.algorithm:
        raise WireError("its type differs from the key's")
    if not key.is_security_key:
        _verify_plain(reader, signed, public, algorithm)
        return True
    return _verify_security_key(reader, signed, public, algorithm)


def _verify_rsa(algorithm: str, reader: Reader, signed: bytes, public: Reader) -> None:
    digest = _RSA_HASHES.get(algorithm)
    if digest is None:
        raise WireError("an RSA signature is rsa-sha2-256 or rsa-sha2-512")
    raw = reader.string()
    reader.end()
    exponent, modulus = public.mpint(), public.mpint()
    if len(raw) != (modulus.bit_length() + 7) // 8:
        raise WireError("its length differs from the modulus")
    rsa_key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    rsa_key.verify(raw, signed, padding.PKCS1v15(), digest)


def _verify_plain(reader: Reader, signed: bytes, public: Reader, algorithm: str) -> None:
    if algorithm in CURVES:
        raw = reader.string()
        reader.end()
        public.text()
        _verify_ecdsa(raw, signed, public.string(), algorithm)
        return
    raw = reader.string()
    reader.end()
    _verify_ed25519(raw, signed, public.string())


def _verify_security_key(reader: Reader, signed: bytes, public: Reader, algorithm: str) -> bool:
    """Verify what a FIDO authenticator signs: H(application), flags, counter, H(signed)."""
    raw = reader.string()
    trailer = reader.take(5)
    reader.end()
    if algorithm == SK_ECDSA:
        public.text()
    point = public.string()
    application = public.string()
    asserted = hashlib.sha256(application).digest() + trailer + hashlib.sha256(signed).digest()
    if algorithm == SK_ED25519:
        _verify_ed25519(raw, asserted, point)
    else:
        _verify_ecdsa(raw, asserted, point, algorithm)
    return bool(trailer[0] & _USER_PRESENT)


def _verify_ed25519(raw: bytes, signed: bytes, point: bytes) -> None:
    if len(raw) != 64:
        raise WireError("an Ed25519 signature has 64 bytes")
    Ed25519PublicKey.from_public_bytes(point).verify(raw, signed)


def _verify_ecdsa(raw: bytes, signed: bytes, point: bytes, algorithm: str) -> None:
    """Verify an ECDSA pair. A third party can turn s into n - s: identities never hash the signature."""
    pair = Reader(raw)
    r, s = pair.mpint(), pair.mpint()
    pair.end()
    _, curve = CURVES[algorithm]
    public_key = ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    public_key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(_ECDSA_HASHES[algorithm]))


def _malformed(message: str) -> EvidenceError:
    return EvidenceError(Reason.MALFORMED_SIGNATURE, message)
