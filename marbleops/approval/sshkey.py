"""SSH public keys: strict reading into one canonical form.

The canonical blob is the identity of a key: one key under two spellings would be two people
(approvals.md section 1), so every number is minimal, every point valid and uncompressed, and nothing
follows. Certificates, ``webauthn-``, DSA, OpenPGP and X.509 keys are ``unsupported-key-type``.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec

from marbleops.approval.armor import decode_base64
from marbleops.approval.errors import EvidenceError
from marbleops.approval.limits import MAX_KEY_CHARS, MAX_RSA_BITS, MIN_RSA_BITS
from marbleops.approval.reasons import Reason
from marbleops.approval.sshwire import Reader, WireError

ED25519 = "ssh-ed25519"
RSA = "ssh-rsa"
SK_ED25519 = "sk-ssh-ed25519@openssh.com"
SK_ECDSA = "sk-ecdsa-sha2-nistp256@openssh.com"
CURVES: dict[str, tuple[str, ec.EllipticCurve]] = {
    "ecdsa-sha2-nistp256": ("nistp256", ec.SECP256R1()),
    "ecdsa-sha2-nistp384": ("nistp384", ec.SECP384R1()),
    "ecdsa-sha2-nistp521": ("nistp521", ec.SECP521R1()),
    SK_ECDSA: ("nistp256", ec.SECP256R1()),
}
SECURITY_KEYS = frozenset({SK_ED25519, SK_ECDSA})
ALGORITHMS = frozenset({ED25519, RSA, SK_ED25519, *CURVES})

# RFC 8032, 5.1: the field, the curve's d, and the y of the points of order 8 (y and p - y).
_P = 2**255 - 19
_D = (-121665 * pow(121666, -1, _P)) % _P
_ORDER_8_Y = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER_Y = frozenset({0, 1, _P - 1, _ORDER_8_Y, _P - _ORDER_8_Y})


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """An SSH public key. Two are the same key if and only if their ``blob`` is equal."""

    algorithm: str
    blob: bytes
    fingerprint: str
    """As OpenSSH prints it: ``SHA256:`` and unpadded base64."""
    comment: str
    is_security_key: bool


@lru_cache(maxsize=256)
def parse_public_key(text: str) -> PublicKey:
    """Parse one line of an OpenSSH public key file.

    Raises:
        EvidenceError: unsupported-key-type; too-large; manifest-invalid for a malformed or weak key, since
            such a line always comes from a manifest.
    """
    if len(text) > MAX_KEY_CHARS:
        raise EvidenceError(Reason.TOO_LARGE, f"a key has at most {MAX_KEY_CHARS} characters")
    line = text.removesuffix("\n")
    if not line.isprintable():
        if line.startswith("-----BEGIN "):
            raise _unsupported("a PEM or OpenPGP block")
        raise EvidenceError(Reason.MANIFEST_INVALID, "an SSH key is one line of printable text")
    algorithm, _, rest = line.partition(" ")
    if algorithm not in ALGORITHMS:
        raise _unsupported(repr(algorithm[:64]))
    encoded, _, comment = rest.partition(" ")
    try:
        blob = decode_base64(encoded)
    except ValueError as error:
        raise EvidenceError(Reason.MANIFEST_INVALID, "the key is not canonical base64") from error
    check_blob(blob, algorithm=algorithm)
    return PublicKey(
        algorithm=algorithm,
        blob=blob,
        fingerprint=fingerprint(blob),
        comment=comment,
        is_security_key=algorithm in SECURITY_KEYS,
    )


def fingerprint(blob: bytes) -> str:
    """Compute OpenSSH's fingerprint of a key blob."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii")
    return f"SHA256:{digest.rstrip('=')}"


def blob_algorithm(blob: bytes) -> str:
    """Read the algorithm name at the start of a key blob.

    Raises:
        WireError: there is none.
    """
    return Reader(blob).text()


def check_blob(blob: bytes, *, algorithm: str) -> None:
    """Check that *blob* is the canonical form of a usable key of *algorithm*.

    Raises:
        EvidenceError: manifest-invalid.
    """
    try:
        reader = Reader(blob)
        if reader.text() != algorithm:
            raise WireError("the key's type differs from its label")
        if algorithm == RSA:
            _check_rsa(exponent=reader.mpint(), modulus=reader.mpint())
        elif algorithm in CURVES:
            _check_ecdsa(reader, *CURVES[algorithm])
        else:
            _check_ed25519(reader.string())
        if algorithm in SECURITY_KEYS and not reader.text():
            raise WireError("a security key names its application")
        reader.end()
    except WireError as error:
        raise EvidenceError(Reason.MANIFEST_INVALID, f"not a usable {algorithm} key: {error}") from error


def _check_rsa(*, exponent: int, modulus: int) -> None:
    if not MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS:
        raise WireError(f"an RSA key has {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
    if modulus % 2 == 0 or exponent % 2 == 0 or not 3 <= exponent < 2**33:
        raise WireError("the RSA modulus or exponent is even or out of range")


def _check_ecdsa(reader: Reader, name: str, curve: ec.EllipticCurve) -> None:
    if reader.text() != name:
        raise WireError("the curve differs from the key's type")
    point = reader.string()
    if point[:1] != b"\x04":
        raise WireError("the point is not uncompressed")
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError as error:
        raise WireError("the point is not on its curve") from error


def _check_ed25519(raw: bytes) -> None:
    """Refuse what is no point, has two spellings, or verifies signatures that nobody made.

    Neither ssh-keygen nor OpenSSL checks this; a key of small order "signs" for everybody.
    """
    if len(raw) != 32:
        raise WireError("an Ed25519 key has 32 bytes")
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if y >= _P:
        raise WireError("the point is not in canonical form")
    if y in _SMALL_ORDER_Y:
        raise WireError("the point has a small order")
    # x^2 = u/v is a square if and only if u*v is: that spares the inversion.
    square = (y * y - 1) * (_D * y * y + 1) % _P
    if pow(square, (_P - 1) // 2, _P) != 1:
        raise WireError("the point is not on its curve")


def _unsupported(what: str) -> EvidenceError:
    return EvidenceError(Reason.UNSUPPORTED_KEY_TYPE, f"{what} is not a key type that these rules support")
