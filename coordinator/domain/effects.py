"""Sealed effects: the secret half of a transition, as canonical JSON (architecture.md decision 2).

The public record holds the SHA-256 of these bytes, so a store can neither swap nor lose one unnoticed. Each
effects document is complete in itself: the state's keys and secrets after the transition, and the lines it
added to the log.
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
from coordinator.domain.state import SecretState
from coordinator.errors import CorruptStateError
from marbleops.manifest.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """Keys, secrets and log lines of one transition."""

    authorities: Authorities
    secrets: SecretState
    signature: bytes = field(repr=False)
    log: tuple[str, ...]


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
        }
    )


def decode_effects(encoded: bytes) -> Effects:
    """Read effects that this Coordinator wrote and unsealed.

    Raises:
        CorruptStateError: the bytes are not effects of a format this build knows.
    """
    try:
        document = json.loads(encoded)
        if document["format"] != _FORMAT:
            raise CorruptStateError(
                f"effects have the format {document['format']}, this build knows {_FORMAT}"
            )
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
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptStateError("effects cannot be read") from error


def _encode_pair(pair: KeyPair) -> dict[str, str]:
    return {"key": _b64(pair.key_pkcs8), "certificate": _b64(pair.certificate_der)}


def _decode_pair(document: Mapping[str, str]) -> KeyPair:
    return KeyPair.load(key_pkcs8=_bytes(document["key"]), certificate_der=_bytes(document["certificate"]))


def _encode_secrets(secrets: Mapping[str, Material]) -> dict[str, Any]:
    return {
        name: {"type": material.type, "private": _b64(material.private), "public": _b64(material.public)}
        for name, material in secrets.items()
    }


def _decode_secrets(document: Mapping[str, Mapping[str, str]]) -> Mapping[str, Material]:
    return MappingProxyType(
        {
            name: Material(
                type=entry["type"], private=_bytes(entry["private"]), public=_bytes(entry["public"])
            )
            for name, entry in document.items()
        }
    )


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
