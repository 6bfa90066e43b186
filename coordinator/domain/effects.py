"""Sealed effects: the secret half of a transition, as canonical JSON (architecture.md decision 2).

The public record holds the SHA-256 of these bytes, so a store can neither swap nor lose one unnoticed. Each
effects document is complete in itself: the state's keys and secrets after the transition, and the lines it
added to the log. Format 1, which an earlier version wrote, is still read: it lacks what came later.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from coordinator.domain.pki import Authorities, KeyPair
from coordinator.domain.secrets import Material
from coordinator.domain.state import PendingUpdate, SecretState
from coordinator.errors import CorruptStateError
from marbleops.manifest.canonical import canonical_json
from marbleops.manifest.errors import ManifestError
from marbleops.manifest.parse import Strictness, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMAT = 2
_READABLE = frozenset({1, 2})


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """Keys, secrets and log lines of one transition; what the other fields mean, ``Enforcement`` says."""

    authorities: Authorities
    secrets: SecretState
    signature: bytes = field(repr=False)
    log: tuple[str, ...]
    security_versions: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    pending: PendingUpdate | None = None
    recovery: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}), repr=False)


def encode_effects(effects: Effects) -> bytes:
    """Write *effects*; the same effects always give the same bytes."""
    authorities = effects.authorities
    return canonical_json(
        {
            "format": _FORMAT,
            "root": _encode_pair(authorities.root),
            "intermediate": _encode_pair(authorities.intermediate),
            "marbleRoot": _b64(authorities.marble_root.certificate_der),
            "rootSecret": _b64(effects.secrets.root),
            "previousRootSecret": _b64(effects.secrets.previous_root),
            "secrets": _encode_secrets(effects.secrets.current),
            "previousSecrets": _encode_secrets(effects.secrets.previous),
            "signature": _b64(effects.signature),
            "log": list(effects.log),
            "securityVersions": dict(effects.security_versions),
            "pending": None if effects.pending is None else _encode_pending(effects.pending),
            "recovery": {name: _b64(secret) for name, secret in effects.recovery.items()},
        }
    )


def decode_effects(encoded: bytes) -> Effects:
    """Read effects that this Coordinator wrote and unsealed.

    Raises:
        CorruptStateError: the bytes are not effects of a format this build knows.
    """
    try:
        document = json.loads(encoded)
        if document["format"] not in _READABLE:
            raise CorruptStateError(
                f"effects have the format {document['format']}, this build knows up to {_FORMAT}"
            )
        if document["format"] == 1:
            document |= {"securityVersions": {}, "pending": None, "recovery": {}}
        intermediate = _decode_pair(document["intermediate"])
        marble_root = KeyPair.load(
            key_pkcs8=intermediate.key_pkcs8, certificate_der=_bytes(document["marbleRoot"])
        )
        return Effects(
            authorities=Authorities(
                root=_decode_pair(document["root"]), intermediate=intermediate, marble_root=marble_root
            ),
            secrets=SecretState(
                root=_bytes(document["rootSecret"]),
                previous_root=_bytes(document["previousRootSecret"]),
                current=_decode_secrets(document["secrets"]),
                previous=_decode_secrets(document["previousSecrets"]),
            ),
            signature=_bytes(document["signature"]),
            log=tuple(document["log"]),
            security_versions=MappingProxyType(document["securityVersions"]),
            pending=None if document["pending"] is None else _decode_pending(document["pending"]),
            recovery=MappingProxyType(
                {name: _bytes(secret) for name, secret in document["recovery"].items()}
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError, ManifestError) as error:
        raise CorruptStateError("effects cannot be read") from error


def _encode_pair(pair: KeyPair) -> dict[str, str]:
    return {"key": _b64(pair.key_pkcs8), "certificate": _b64(pair.certificate_der)}


def _decode_pair(document: Mapping[str, str]) -> KeyPair:
    return KeyPair.load(key_pkcs8=_bytes(document["key"]), certificate_der=_bytes(document["certificate"]))


def _encode_pending(pending: PendingUpdate) -> dict[str, Any]:
    return {
        "manifest": _b64(pending.manifest.raw),
        "required": dict(pending.required),
        "missing": pending.missing,
    }


def _decode_pending(document: Mapping[str, Any]) -> PendingUpdate:
    return PendingUpdate(
        manifest=parse(_bytes(document["manifest"]), strictness=Strictness.MARBLERUN),
        required=MappingProxyType(document["required"]),
        missing=document["missing"],
    )


def _encode_secrets(secrets: Mapping[str, Material]) -> dict[str, Any]:
    return {name: json.loads(encode_material(material)) for name, material in secrets.items()}


def _decode_secrets(document: Mapping[str, Mapping[str, str]]) -> Mapping[str, Material]:
    return MappingProxyType({name: _material(entry) for name, entry in document.items()})


def encode_material(material: Material) -> bytes:
    """Write one secret's value; a value without a certificate as format 1 did."""
    document = {
        "type": material.type,
        "private": _b64(material.private),
        "public": _b64(material.public),
    }
    if material.cert:
        document["cert"] = _b64(material.cert)
    return canonical_json(document)


def decode_material(encoded: bytes) -> Material:
    """Read one secret's value.

    Raises:
        CorruptStateError: it is none.
    """
    try:
        return _material(json.loads(encoded))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptStateError("an uploaded secret cannot be read") from error


def _material(entry: Mapping[str, str]) -> Material:
    return Material(
        type=entry["type"],
        private=_bytes(entry["private"]),
        public=_bytes(entry["public"]),
        cert=_bytes(entry.get("cert", "")),
    )


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
