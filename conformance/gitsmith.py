"""Makes Git objects and SSH signatures, deterministically and without git or ssh-keygen.

For tests, conformance cases and fuzz seeds only: keys are derived from a label, so everybody has them.
It writes the formats from their documents (gitops.md 2.1), independent of the parsers in
``marbleops.approval``; an integration test has the real git and ssh-keygen accept what it makes.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from conformance.gitsmith_rsa import PRIMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

GIT = "git"
STATEMENT = "manifest-approval@marbleops.v1"
WHEN = "1764000000 +0000"

_CURVES: dict[str, tuple[str, ec.EllipticCurve, hashes.HashAlgorithm]] = {
    "ecdsa-256": ("nistp256", ec.SECP256R1(), hashes.SHA256()),
    "ecdsa-384": ("nistp384", ec.SECP384R1(), hashes.SHA384()),
    "ecdsa-521": ("nistp521", ec.SECP521R1(), hashes.SHA512()),
}
_RSA_HASHES: dict[str, hashes.HashAlgorithm] = {
    "rsa-sha2-256": hashes.SHA256(),
    "rsa-sha2-512": hashes.SHA512(),
}
KINDS = ("ed25519", *_CURVES, "rsa", "sk-ed25519", "sk-ecdsa")


def string(raw: bytes) -> bytes:
    """Write an SSH ``string``."""
    return len(raw).to_bytes(4, "big") + raw


def mpint(number: int) -> bytes:
    """Write a positive SSH ``mpint``."""
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def wrap(blob: bytes, *, width: int = 70) -> str:
    """Armor an SSHSIG blob as ssh-keygen does."""
    text = base64.b64encode(blob).decode()
    lines = [text[at : at + width] for at in range(0, len(text), width)]
    return "\n".join(("-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""))


def join_sshsig(
    public_key: bytes,
    signature: bytes,
    namespace: str = GIT,
    *,
    version: int = 1,
    reserved: bytes = b"",
    hash_algorithm: str = "sha512",
) -> bytes:
    """Put an SSHSIG blob together from its fields, right or wrong."""
    head = b"SSHSIG" + version.to_bytes(4, "big") + string(public_key) + string(namespace.encode())
    return head + string(reserved) + string(hash_algorithm.encode()) + string(signature)


class _Signer(Protocol):
    """What a kind of key is: its public blob, and how it signs bytes."""

    blob: bytes

    def raw(self, signed: bytes) -> bytes:
        """Return the innermost SSH signature blob over *signed*."""
        ...


@dataclass(frozen=True)
class Key:
    """A key pair of a label. Deterministic: the same calls give the same bytes on every machine."""

    label: str
    kind: str
    signer: _Signer

    @property
    def blob(self) -> bytes:
        """The public key blob."""
        return self.signer.blob

    @property
    def algorithm(self) -> str:
        """The key type as SSH names it."""
        length = int.from_bytes(self.blob[:4], "big")
        return self.blob[4 : 4 + length].decode()

    @property
    def fingerprint(self) -> str:
        """OpenSSH's fingerprint."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def public_line(self, comment: str = "") -> str:
        """Write the line of a ``.pub`` file."""
        return f"{self.algorithm} {base64.b64encode(self.blob).decode()} {comment}".rstrip()

    def sign(self, message: bytes, namespace: str = GIT, *, hash_algorithm: str = "sha512") -> str:
        """Sign *message*; return the armor."""
        return wrap(self.sign_blob(message, namespace, hash_algorithm=hash_algorithm))

    def sign_raw(self, message: bytes, namespace: str = GIT, *, hash_algorithm: str = "sha512") -> bytes:
        """Sign *message*; return only the innermost signature blob."""
        fields = string(namespace.encode()) + string(b"") + string(hash_algorithm.encode())
        return self.signer.raw(b"SSHSIG" + fields + string(hashlib.new(hash_algorithm, message).digest()))

    def sign_blob(self, message: bytes, namespace: str = GIT, *, hash_algorithm: str = "sha512") -> bytes:
        """Sign *message*; return the SSHSIG blob without armor."""
        raw = self.sign_raw(message, namespace, hash_algorithm=hash_algorithm)
        return join_sshsig(self.blob, raw, namespace, hash_algorithm=hash_algorithm)


@cache
def key(
    label: str,
    kind: str = "ed25519",
    *,
    flags: int = 1,
    counter: int = 7,
    application: str = "ssh:",
    rsa_algorithm: str = "rsa-sha2-512",
) -> Key:
    """Derive the key of *label*.

    *flags*, *counter* and *application* are what the software authenticator of the two ``sk-`` kinds
    asserts; bit 0 of the flags is user presence. RSA keys come from two fixed pairs of primes: the label
    chooses one.
    """
    signer: _Signer
    if kind == "ed25519":
        signer = _Ed25519(label)
    elif kind in _CURVES:
        signer = _Ecdsa(label, kind)
    elif kind == "rsa":
        signer = _Rsa(label, rsa_algorithm)
    else:
        signer = _SecurityKey(label, kind, flags=flags, counter=counter, application=application)
    return Key(label=label, kind=kind, signer=signer)


class _Ed25519:
    def __init__(self, label: str) -> None:
        self.private = Ed25519PrivateKey.from_private_bytes(_seed(label, "ed25519"))
        self.point = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.blob = string(b"ssh-ed25519") + string(self.point)

    def raw(self, signed: bytes) -> bytes:
        return string(b"ssh-ed25519") + string(self.private.sign(signed))


class _Ecdsa:
    def __init__(self, label: str, kind: str) -> None:
        self.curve_name, curve, self.hash = _CURVES[kind]
        self.private = ec.derive_private_key(int.from_bytes(_seed(label, kind), "big"), curve)
        self.point = self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.name = f"ecdsa-sha2-{self.curve_name}".encode()
        self.blob = string(self.name) + string(self.curve_name.encode()) + string(self.point)

    def pair(self, signed: bytes) -> bytes:
        der = self.private.sign(signed, ec.ECDSA(self.hash, deterministic_signing=True))
        r, s = decode_dss_signature(der)
        return mpint(r) + mpint(s)

    def raw(self, signed: bytes) -> bytes:
        return string(self.name) + string(self.pair(signed))


class _Rsa:
    def __init__(self, label: str, algorithm: str) -> None:
        p, q = PRIMES[_seed(label, "rsa")[0] % len(PRIMES)]
        exponent = 65537
        d = pow(exponent, -1, (p - 1) * (q - 1))
        public = rsa.RSAPublicNumbers(exponent, p * q)
        numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
        self.private = numbers.private_key(unsafe_skip_rsa_key_validation=True)
        self.algorithm = algorithm
        self.blob = string(b"ssh-rsa") + mpint(exponent) + mpint(p * q)

    def raw(self, signed: bytes) -> bytes:
        made = self.private.sign(signed, padding.PKCS1v15(), _RSA_HASHES[self.algorithm])
        return string(self.algorithm.encode()) + string(made)


class _SecurityKey:
    """A FIDO authenticator in software: it signs H(application), flags, counter and H(what SSH signs)."""

    def __init__(self, label: str, kind: str, *, flags: int, counter: int, application: str) -> None:
        self.trailer = bytes([flags]) + counter.to_bytes(4, "big")
        self.application = application.encode()
        self.ed = _Ed25519(label) if kind == "sk-ed25519" else None
        self.ec = _Ecdsa(label, "ecdsa-256")
        if self.ed is not None:
            self.name = b"sk-ssh-ed25519@openssh.com"
            self.blob = string(self.name) + string(self.ed.point) + string(self.application)
        else:
            self.name = b"sk-ecdsa-sha2-nistp256@openssh.com"
            points = string(b"nistp256") + string(self.ec.point)
            self.blob = string(self.name) + points + string(self.application)

    def raw(self, signed: bytes) -> bytes:
        head = hashlib.sha256(self.application).digest()
        asserted = head + self.trailer + hashlib.sha256(signed).digest()
        made = self.ec.pair(asserted) if self.ed is None else self.ed.private.sign(asserted)
        return string(self.name) + string(made) + self.trailer


def object_id(kind: str, raw: bytes) -> str:
    """Compute the Git id of an object."""
    return hashlib.sha1(f"{kind} {len(raw)}\0".encode() + raw, usedforsecurity=False).hexdigest()


def blob_id(content: bytes) -> str:
    """Compute the Git id of a file's content."""
    return object_id("blob", content)


def make_tree(entries: Iterable[tuple[str, str, str]]) -> bytes:
    """Make a raw tree of ``(mode, name, id)``, sorted as git sorts."""

    def order(entry: tuple[str, str, str]) -> bytes:
        mode, name, _ = entry
        return name.encode() + (b"/" if mode == "40000" else b"")

    return b"".join(
        f"{mode} {name}\0".encode() + bytes.fromhex(target)
        for mode, name, target in sorted(entries, key=order)
    )


def make_path(path: str, content: bytes) -> tuple[str, tuple[bytes, ...]]:
    """Make the trees that lead along *path* to *content*; return the root's id and the trees, root first."""
    *folders, name = path.split("/")
    trees = [make_tree([("100644", name, blob_id(content))])]
    for folder in reversed(folders):
        trees.insert(0, make_tree([("40000", folder, object_id("tree", trees[0]))]))
    return object_id("tree", trees[0]), tuple(trees)


def person(name: str, *, when: str = WHEN) -> str:
    """Write ``Name <name@example.org> time``, the way author and committer lines do."""
    return f"{name.capitalize()} <{name}@example.org> {when}"


def make_commit(
    tree: str,
    parents: Sequence[str],
    author: str,
    message: str,
    key: Key | None = None,
    *,
    committer: str | None = None,
    headers: Sequence[str] = (),
) -> bytes:
    """Make a raw commit by the person *author*, signed by *key*.

    *headers* are whole header lines that stand behind the committer (``mergetag …``, ``encoding …``).
    """
    head = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {person(author)}"]
    head += [f"committer {person(committer or author)}", *headers]
    payload = "\n".join((*head, "", message)).encode()
    return payload if key is None else add_commit_signature(payload, key.sign(payload))


def add_commit_signature(payload: bytes, armor: str, *, header: str = "gpgsig") -> bytes:
    """Put an armor into a commit the way git does: as its last header."""
    head, _, message = payload.partition(b"\n\n")
    folded = armor.removesuffix("\n").replace("\n", "\n ")
    return b"\n".join((head, f"{header} {folded}\n".encode(), message))


def make_tag(
    target: str,
    name: str,
    author: str,
    message: str,
    key: Key | None = None,
    *,
    target_type: str = "commit",
) -> bytes:
    """Make a raw annotated tag by the person *author*, signed by *key*."""
    head = [f"object {target}", f"type {target_type}", f"tag {name}", f"tagger {person(author)}"]
    payload = "\n".join((*head, "", message)).encode()
    return payload if key is None else payload + key.sign(payload).encode()


def _seed(label: str, kind: str) -> bytes:
    return hashlib.sha256(f"marbleops gitsmith {kind} {label}".encode()).digest()
