"""One file with many documents, for a site without a network.

The signature says who packed it, so that an operator knows where a file on a stick comes from. It makes
nothing true: the vendors' signatures are verified at use, as everywhere, and an import goes through the same
checks as a download, so that it never replaces a newer document.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from marbleops.collateral import limits
from marbleops.collateral.authentic import check_authentic, known_roots
from marbleops.collateral.cache import CollateralCache, Entry, OlderDocumentError, check_not_older
from marbleops.collateral.documents import DocumentError, Key
from marbleops.manifest.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509

    from marbleops.attestation.anchors import Anchors

FORMAT: Final = "marbleops-collateral-bundle"
VERSION: Final = 1
_CONTEXT = b"marbleops collateral bundle v1\0"  # a signature of this key over anything else is none here


class BundleError(Exception):
    """The file is no bundle, is damaged, or is not signed by whom it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What a file holds. ``signer`` is the raw public key whose signature is good; none where it has none."""

    created: datetime
    entries: tuple[Entry, ...]
    digest: str
    signer: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of a bundle's documents; ``kept`` and ``refused`` come with the reason."""

    stored: tuple[Key, ...]
    kept: tuple[tuple[Key, str], ...]
    refused: tuple[tuple[Key, str], ...]


def export_bundle(
    entries: Sequence[Entry], *, created: datetime, signing_key: Ed25519PrivateKey | None
) -> bytes:
    """Write a bundle, as canonical JSON; equal arguments give equal bytes."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "created": created.astimezone(UTC).isoformat(),
        "entries": [entry.to_json() for entry in sorted(entries, key=lambda one: one.document.key.name)],
    }
    document: dict[str, Any] = {"content": content, "digest": _digest(content)}
    if signing_key is not None:
        public = signing_key.public_key().public_bytes_raw()
        signature = signing_key.sign(_CONTEXT + canonical_json(content))
        document["signature"] = {"publicKey": public.hex(), "value": signature.hex()}
    return canonical_json(document) + b"\n"


def read_bundle(raw: bytes, *, signer: Ed25519PublicKey | None = None) -> Bundle:
    """Read a bundle and check its digest and signature; with ``signer`` it must be that one's.

    Raises ``BundleError``.
    """
    if len(raw) > limits.MAX_BUNDLE_BYTES:
        raise BundleError(f"longer than {limits.MAX_BUNDLE_BYTES} bytes")
    try:
        document = json.loads(raw)
        # One form only: nothing can be hidden in spelling, and two members of one name are not it.
        if canonical_json(document) != raw.removesuffix(b"\n"):
            raise BundleError("not canonical JSON: it was edited, or is no bundle")
    except (ValueError, RecursionError) as error:
        raise BundleError(f"not JSON: {error}") from error
    if not isinstance(document, dict) or not {"content", "digest"} <= set(document) <= {
        "content",
        "digest",
        "signature",
    }:
        raise BundleError("not a bundle of collateral")
    content = document["content"]
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BundleError("not a bundle of collateral")
    if content.get("version") != VERSION:
        raise BundleError(f"bundle has version {content.get('version')!r}, this program reads {VERSION}")
    if document["digest"] != _digest(content):
        raise BundleError("digest does not match: the file is damaged")
    found = _signer(document.get("signature"), content)
    _check_signer(found, signer)
    return Bundle(
        created=_created(content), entries=_entries(content), digest=document["digest"], signer=found
    )


def import_bundle(bundle: Bundle, cache: CollateralCache, *, anchors: Anchors | None = None) -> Imported:
    """Store a bundle's documents, except those of which a newer one is held; raises ``CacheError``.

    With ``anchors``, documents that Intel has not signed are refused here already.
    """
    stored, kept, refused = [], [], []
    chains = [entry.document.issuer_chain for entry in bundle.entries]
    roots = () if anchors is None else known_roots(chains, anchors)
    for entry in bundle.entries:
        key = entry.document.key
        try:
            if anchors is not None:
                check_authentic(entry.document, anchors, roots)
            with cache.flight(key):
                _check_newer(entry, cache.load(key), anchors, roots)
                cache.store(entry)
        except OlderDocumentError as error:
            kept.append((key, str(error)))
        except DocumentError as error:
            refused.append((key, str(error)))
        else:
            stored.append(key)
    return Imported(stored=tuple(stored), kept=tuple(kept), refused=tuple(refused))


def _check_newer(
    entry: Entry, held: Entry | None, anchors: Anchors | None, roots: Sequence[x509.Certificate]
) -> None:
    if held is None:
        return
    try:
        if anchors is not None:
            check_authentic(held.document, anchors, roots)
    except DocumentError:
        return  # what is held is worth nothing
    check_not_older(entry.document, held.document)


def load_signing_key(raw: bytes) -> Ed25519PrivateKey:
    """Read an Ed25519 key without a passphrase, PKCS#8 PEM or OpenSSH; raises ``BundleError``."""
    load = (
        serialization.load_ssh_private_key
        if b"OPENSSH PRIVATE KEY" in raw
        else serialization.load_pem_private_key
    )
    try:
        key = load(raw, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # Neither the cause nor its text may quote the key.
        raise BundleError(f"not a private key without a passphrase: {type(error).__name__}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleError("not an Ed25519 key")
    return key


def load_signer(raw: bytes) -> Ed25519PublicKey:
    """Read an Ed25519 public key, PEM or a line of OpenSSH; raises ``BundleError``."""
    load = serialization.load_ssh_public_key if raw.startswith(b"ssh-") else serialization.load_pem_public_key
    try:
        key = load(raw)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BundleError(f"not a public key: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise BundleError("not an Ed25519 key")
    return key


def _digest(content: Any) -> str:
    return f"sha256:{hashlib.sha256(canonical_json(content)).hexdigest()}"


def _signer(signature: Any, content: Any) -> bytes | None:
    if signature is None:
        return None
    try:
        public, value = bytes.fromhex(signature["publicKey"]), bytes.fromhex(signature["value"])
        Ed25519PublicKey.from_public_bytes(public).verify(value, _CONTEXT + canonical_json(content))
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"its signature cannot be read: {type(error).__name__}") from error
    except InvalidSignature as error:
        raise BundleError("its signature is bad") from error
    return public


def _check_signer(found: bytes | None, expected: Ed25519PublicKey | None) -> None:
    if expected is None:
        return
    if found is None:
        raise BundleError("it is not signed, and a signer is expected")
    if found != expected.public_bytes_raw():
        raise BundleError(f"it is signed by {found.hex()}, not by {expected.public_bytes_raw().hex()}")


def _created(content: dict[str, Any]) -> datetime:
    try:
        created = datetime.fromisoformat(content["created"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError("its time of creation cannot be read") from error
    if created.tzinfo is None:
        raise BundleError("its time of creation has no zone")
    return created


def _entries(content: dict[str, Any]) -> tuple[Entry, ...]:
    entries = content.get("entries")
    if not isinstance(entries, list) or len(entries) > limits.MAX_BUNDLE_ENTRIES:
        raise BundleError(f"its entries are not a list of at most {limits.MAX_BUNDLE_ENTRIES}")
    found = []
    for number, entry in enumerate(entries, 1):
        try:
            found.append(Entry.from_json(entry))
        except DocumentError as error:
            raise BundleError(f"entry {number}: {error}") from error
    return tuple(found)
