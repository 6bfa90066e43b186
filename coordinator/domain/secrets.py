"""Secrets: from the manifest's definitions to material (marblerun-core 5.1 to 5.5).

Shared symmetric keys are random and kept; private ones are derived for each marble and kept nowhere;
user-defined ones wait for their upload. A private secret that an update adds has a *generation* of its own,
stored in place of a value: whoever takes a secret out and puts it back, for another marble or another build,
gets other keys than the marbles before had (ADR 4). Certificate secrets are refused when a manifest is set,
not when a marble asks for one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from coordinator.errors import ManifestRefusedError, NotSupportedYetError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from marbleops.manifest.model import Secret

SYMMETRIC = "symmetric-key"
PLAIN = "plain"
ROOT_SECRET_SIZE = 32
GENERATION_SIZE = 32
_MAX_BITS = 255 * 32 * 8
"""HKDF-SHA256 gives at most 255 blocks (RFC 5869, 2.3)."""
MAX_GENERATED_BYTES = 2 * 1024 * 1024
"""All generated secrets of a manifest together: they are kept four times over and derived for each marble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What one secret is worth. Empty for a user-defined secret nobody has uploaded. Not in the repr."""

    type: str
    private: bytes = field(default=b"", repr=False)
    public: bytes = field(default=b"", repr=False)
    cert: bytes = field(default=b"", repr=False)
    """Of a certificate secret: its certificate in DER; ``private`` is PKCS#8 then, ``public`` PKIX."""


def check_definitions(definitions: Mapping[str, Secret]) -> None:
    """Refuse, at set time, what no marble could be given.

    Raises:
        NotSupportedYetError: a certificate secret. ManifestRefusedError: a size that is no whole number of
        bytes or beyond HKDF, a generated plain secret, or more secrets than can be kept.
    """
    generated = 0
    for name, definition in sorted(definitions.items()):
        if definition.type.startswith("cert-"):
            raise NotSupportedYetError(
                f"Secrets.{name}: a secret of type {definition.type}", "A drop-in MarbleRun Coordinator"
            )
        if definition.user_defined:
            continue
        if definition.type != SYMMETRIC:
            raise ManifestRefusedError(
                f"secret {name} is invalid: unsupported secret of type {definition.type}"
            )
        if definition.size == 0 or definition.size % 8:
            raise ManifestRefusedError(f"invalid secret size: {name}")
        if definition.size > _MAX_BITS:
            raise ManifestRefusedError(f"secret {name}: hkdf: requested key length too large")
        generated += definition.size // 8
    if generated > MAX_GENERATED_BYTES:
        raise ManifestRefusedError(
            f"the secrets have {generated} bytes together, at most {MAX_GENERATED_BYTES} fit"
        )


def create_stored(definition: Secret, random: Callable[[int], bytes], *, added: bool = False) -> Material:
    """Make what is stored: a shared secret's value, a user-defined one's preset, else nothing.

    For a private secret that an update *added* it is the generation that goes into its derivation.
    """
    if definition.user_defined:
        return Material(
            type=definition.type, private=definition.private or b"", public=definition.public or b""
        )
    if not definition.shared:
        return Material(type=definition.type, private=random(GENERATION_SIZE) if added else b"")
    key = random(definition.size // 8)
    return Material(type=definition.type, private=key, public=key)


def derive_private(
    *, root_secret: bytes, uuid: str, name: str, marble_name: str, size: int, generation: bytes = b""
) -> bytes:
    """Derive the private symmetric key of one marble (13.1 has the golden values).

    The salt is the UUID's text and the secret's name, the info is the marble's type; not the other way round.
    A *generation* follows the type after a NUL; it is random and sealed, so no type can spell it.

    Raises:
        ValueError: *size* is not a whole number of bytes or beyond what HKDF gives.
    """
    if size == 0 or size % 8 or size > _MAX_BITS:
        raise ValueError("invalid secret size")
    info = marble_name.encode() + (b"\0" + generation if generation else b"")
    kdf = HKDF(algorithm=SHA256(), length=size // 8, salt=(uuid + name).encode(), info=info)
    return kdf.derive(root_secret)


def for_marble(
    definitions: Mapping[str, Secret],
    stored: Mapping[str, Material],
    *,
    root_secret: bytes,
    uuid: str,
    marble_name: str,
) -> dict[str, Material]:
    """Give the secrets as one marble sees them: stored ones as they are, private ones derived."""
    seen = {}
    for name, material in stored.items():
        definition = definitions[name]
        if definition.user_defined or definition.shared:
            seen[name] = material
        else:
            key = derive_private(
                root_secret=root_secret,
                uuid=uuid,
                name=name,
                marble_name=marble_name,
                size=definition.size,
                generation=material.private,
            )
            seen[name] = Material(type=definition.type, private=key, public=key)
    return seen


def same_definition(old: Secret, new: Secret) -> bool:
    """MarbleRun's equality of definitions (1.7): the certificate template is not part of it."""
    return (old.type, old.size, old.shared, old.user_defined, old.valid_for) == (
        new.type,
        new.size,
        new.shared,
        new.user_defined,
        new.valid_for,
    )
