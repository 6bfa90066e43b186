"""Secrets: from the manifest's definitions and users' uploads to material (marblerun-core 5.1 to 5.5, 5.7).

Shared symmetric keys are random and kept; private ones are derived for each marble and kept nowhere;
user-defined ones wait for their upload. A private secret that an update adds has a *generation* of its own,
stored in place of a value: whoever takes a secret out and puts it back, for another marble or another build,
gets other keys than the marbles before had (ADR 4). Certificates are made in ``certificates``: shared ones
when the manifest is set and at every update, private ones for each activation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from coordinator.domain import certificates
from coordinator.errors import ActivationFailedError, ManifestRefusedError, SecretRefusedError
from marbleops.manifest.certificate_read import read_template

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from coordinator.domain.making import Making
    from coordinator.domain.pki import KeyPair
    from coordinator.domain.state import SecretState
    from marbleops.manifest.model import Secret

SYMMETRIC = "symmetric-key"
PLAIN = "plain"
ROOT_SECRET_SIZE = 32
GENERATION_SIZE = 32
_MAX_BITS = 255 * 32 * 8
"""HKDF-SHA256 gives at most 255 blocks (RFC 5869, 2.3)."""
MAX_GENERATED_BYTES = 2 * 1024 * 1024
"""All generated keys of a manifest together: they are kept four times over and derived for each marble."""
MAX_UPLOAD_BYTES = 256 * 1024
"""One uploaded value. All of them are sealed anew with every activation that counts."""
MAX_CERTIFICATES = 256
"""Generated certificate secrets of a manifest: each costs a key when it is set and at every update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What one secret is worth. Empty for a user-defined secret nobody has uploaded. Not in the repr."""

    type: str
    private: bytes = field(default=b"", repr=False)
    public: bytes = field(default=b"", repr=False)
    cert: bytes = field(default=b"", repr=False)
    """Of a certificate secret: its certificate in DER; ``private`` is PKCS#8 then, ``public`` PKIX."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSecret:
    """One entry of an upload: a certificate in DER, a private key, or a key. ``None`` means *not given*."""

    cert: bytes | None = field(default=None, repr=False)
    private: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)


def check_definitions(definitions: Mapping[str, Secret]) -> None:
    """Refuse, at set time, what no marble could be given; shared secrets come first, as they are made first.

    Raises:
        ManifestRefusedError: a size, a type or a template that no secret can be made of, or more secrets than
        can be kept.
    """
    made = {name: one for name, one in sorted(definitions.items()) if not one.user_defined}
    for shared, kind in ((True, "secrets"), (False, "placeholder secrets")):
        for name, definition in made.items():
            if definition.shared is shared:
                try:
                    _check_generated(name, definition)
                except ManifestRefusedError as error:
                    raise ManifestRefusedError(f"generating {kind} from manifest: {error}") from error
    certificate_count = sum(one.type in certificates.TYPES for one in made.values())
    if certificate_count > MAX_CERTIFICATES:
        raise ManifestRefusedError(
            f"there are {certificate_count} certificate secrets, at most {MAX_CERTIFICATES} fit"
        )
    generated = sum(one.size // 8 for one in made.values() if one.type == SYMMETRIC)
    if generated > MAX_GENERATED_BYTES:
        raise ManifestRefusedError(
            f"the secrets have {generated} bytes together, at most {MAX_GENERATED_BYTES} fit"
        )


def _check_generated(name: str, definition: Secret) -> None:
    if definition.type in certificates.TYPES:
        certificates.check(name, definition)
    elif definition.type == SYMMETRIC:
        _check_size(name, definition.size)
    else:
        raise ManifestRefusedError(f"secret {name} is invalid: unsupported secret of type {definition.type}")


def _check_size(name: str, size: int) -> None:
    if size == 0 or size % 8:
        raise ManifestRefusedError(f"invalid secret size: {name}")
    if size > _MAX_BITS:
        raise ManifestRefusedError(f"secret {name}: hkdf: requested key length too large")


def first_secrets(
    definitions: Mapping[str, Secret], *, issuer: KeyPair, making: Making
) -> Mapping[str, Material]:
    """Make what a deployment begins with (6.1): shared secrets, the presets of user-defined ones."""
    return MappingProxyType(
        {
            name: _create(definition, issuer=issuer, making=making, added=False)
            for name, definition in sorted(definitions.items())
        }
    )


def after_package_update(
    definitions: Mapping[str, Secret],
    current: Mapping[str, Material],
    *,
    issuer: KeyPair,
    making: Making,
) -> Mapping[str, Material]:
    """Make shared certificates anew under a new *issuer*, for their full time (6.3, A3); keep all else."""
    return MappingProxyType(
        {
            name: _create(definitions[name], issuer=issuer, making=making, added=False)
            if _is_generated_certificate(definitions[name]) and definitions[name].shared
            else material
            for name, material in current.items()
        }
    )


def after_full_update(
    old: Mapping[str, Secret],
    new: Mapping[str, Secret],
    state: SecretState,
    *,
    rotate: bool,
    issuer: KeyPair,
    making: Making,
) -> SecretState:
    """Work out the secrets after a full update (6.4, step 2)."""
    current: dict[str, Material] = {}
    previous: dict[str, Material] = {}
    for name, definition in sorted(new.items()):
        was = old.get(name)
        added = was is None or not same_definition(was, definition)
        if not added and not _is_renewed(definition, rotate=rotate):
            current[name], previous[name] = state.current[name], state.previous[name]
            continue
        current[name] = _create(definition, issuer=issuer, making=making, added=True)
        previous[name] = current[name] if added else state.current[name]
    return replace(
        state,
        root=making.random(ROOT_SECRET_SIZE) if rotate else state.root,
        previous_root=state.root if rotate else state.previous_root,
        current=MappingProxyType(current),
        previous=MappingProxyType(previous),
    )


def _is_renewed(definition: Secret, *, rotate: bool) -> bool:
    """Whether an update makes a secret of an unchanged definition anew."""
    return _is_generated_certificate(definition) or (rotate and not definition.user_defined)


def _is_generated_certificate(definition: Secret) -> bool:
    return definition.type in certificates.TYPES and not definition.user_defined


def is_made_for_each_marble(definition: Secret) -> bool:
    """Say whether it is a private certificate: a key pair for each activation that mentions it."""
    return definition.type in certificates.TYPES and not (definition.user_defined or definition.shared)


def _create(definition: Secret, *, issuer: KeyPair, making: Making, added: bool) -> Material:
    """Make what is stored: a shared secret's value, a user-defined one's preset, else nothing.

    For a private key that an update *added* it is the generation that goes into its derivation.
    """
    if definition.user_defined:
        return _preset(definition)
    if definition.shared:
        return _generate(definition, issuer=issuer, making=making)
    derived = definition.type == SYMMETRIC
    return Material(
        type=definition.type, private=making.random(GENERATION_SIZE) if added and derived else b""
    )


def _preset(definition: Secret) -> Material:
    """Return the value that the manifest itself gives a user-defined secret (1.7, A26)."""
    return Material(
        type=definition.type,
        private=definition.private or b"",
        public=definition.public or b"",
        cert=read_template(definition.cert).der,
    )


def _generate(definition: Secret, *, issuer: KeyPair, making: Making) -> Material:
    if definition.type in certificates.TYPES:
        private, public, certificate = certificates.create(definition, issuer=issuer, making=making)
        return Material(type=definition.type, private=private, public=public, cert=certificate)
    key = making.random(definition.size // 8)
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


class MarbleSecrets(Mapping[str, Material]):
    """The secrets as one marble sees them, each made when it is first read and then the same.

    So nobody pays for the private key of a certificate that no template of the marble mentions.
    """

    def __init__(self, names: Collection[str], make: Callable[[str], Material]) -> None:
        """See the secrets *names* through *make*."""
        self._names = names
        self._make = make
        self._made: dict[str, Material] = {}

    def __getitem__(self, name: str) -> Material:
        """Return a secret; raises KeyError if there is none of this name."""
        if name not in self._names:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def for_marble(
    definitions: Mapping[str, Secret],
    stored: Mapping[str, Material],
    *,
    root_secret: bytes,
    uuid: str,
    marble_name: str,
    issuer: KeyPair,
    making: Making,
) -> MarbleSecrets:
    """Give the secrets as one marble sees them (5.5).

    Stored ones are as they are, private keys are derived, private certificates are new for each activation.
    Reading one raises ActivationFailedError where it cannot be made, which ``check_definitions`` rules out.
    """

    def make(name: str) -> Material:
        definition = definitions[name]
        if definition.user_defined or definition.shared:
            return stored[name]
        try:
            if definition.type in certificates.TYPES:
                return _generate(definition, issuer=issuer, making=making)
            key = derive_private(
                root_secret=root_secret,
                uuid=uuid,
                name=name,
                marble_name=marble_name,
                size=definition.size,
                generation=stored[name].private,
            )
        except ValueError as error:
            raise ActivationFailedError(f"generating marble secrets: {error}: {name}") from error
        return Material(type=definition.type, private=key, public=key)

    return MarbleSecrets(stored.keys(), make)


def same_definition(old: Secret, new: Secret) -> bool:
    """MarbleRun's equality of definitions (1.7): the certificate template is not part of it (A5).

    A generated certificate without days is one of 365 days (A4).
    """
    return _identity(old) == _identity(new)


def _identity(definition: Secret) -> tuple[str, int, bool, bool, int]:
    return (
        definition.type,
        definition.size,
        definition.shared,
        definition.user_defined,
        certificates.valid_days(definition),
    )


def read_upload(name: str, definition: Secret, given: UserSecret) -> Material:
    """Read a value for the secret *name*.

    The key type of a certificate is not compared with the secret's, and a private key is not looked into: as
    in MarbleRun, what a marble does with them shows whether they fit.

    Raises:
        SecretRefusedError: the secret is not the users', or the value has not the form of its type.
    """
    if not definition.user_defined:
        raise SecretRefusedError(f"secret {name} is not writeable")
    if max(len(part or b"") for part in (given.cert, given.private, given.key)) > MAX_UPLOAD_BYTES:
        raise SecretRefusedError(f"secret {name} has more than {MAX_UPLOAD_BYTES} bytes")
    if definition.type in certificates.TYPES:
        return _read_certificate(name, definition, given)
    if given.cert or given.private:
        raise SecretRefusedError(f"secret {name} of type {definition.type} takes a key and no certificate")
    key = given.key or b""
    if definition.type == SYMMETRIC:
        _check_length(name, definition.size, key)
    return Material(type=definition.type, private=key, public=key)


def _check_length(name: str, size: int, key: bytes) -> None:
    if size == 0 or size % 8:
        raise SecretRefusedError(f"invalid secret size: {name}")
    if len(key) * 8 != size:
        raise SecretRefusedError(f"declared size and actual size don't match: {name}")


def _read_certificate(name: str, definition: Secret, given: UserSecret) -> Material:
    if given.key:
        raise SecretRefusedError(f"secret {name} of type {definition.type} takes a certificate and no key")
    if not given.cert:
        raise SecretRefusedError("x509: unsupported public key type: <nil>")
    try:
        public = x509.load_der_x509_certificate(given.cert).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SecretRefusedError(f"secret {name}: the certificate cannot be read") from error
    return Material(
        type=definition.type,
        private=given.private or b"",
        public=public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        cert=given.cert,
    )
