"""Users and what they may do, decided for each request (marblerun-core 5.9).

A user is whoever's own certificate is byte-equal to one in the manifest; chain and expiry do not matter, the
TLS handshake has proven its key. MarbleRun takes any certificate of the chain that was presented: but only
the first one's key is proven, and users' certificates are public, so that anybody could present an owner's
behind their own. We take the first. Rights are the union of the user's roles. In a deployment of
signed commits a user without a readable certificate is one who never calls here: signing keys name people
there (approvals.md section 1).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from coordinator.errors import ManifestRefusedError, NotPermittedError, UserUnauthenticatedError
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from marbleops.manifest.model import Manifest
    from marbleops.manifest.model import User as Definition

UPDATE_SECURITY_VERSION = "updatesecurityversion"
UPDATE_MANIFEST = "updatemanifest"
READ_SECRET = "readsecret"  # noqa: S105 - the name of a right
WRITE_SECRET = "writesecret"  # noqa: S105 - the name of a right


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user of the enforced manifest, and the names of the resources for each right."""

    name: str
    certificate: bytes = field(repr=False)
    permissions: Mapping[str, frozenset[str]]

    @property
    def fingerprint(self) -> Digest:
        """The SHA-256 of the certificate, as the history names it."""
        return Digest.of(self.certificate)

    def may(self, right: str, names: Collection[str] = ()) -> bool:
        """Say whether the user has *right* on every one of *names*; without names, at all."""
        granted = self.permissions.get(right)
        return granted is not None and granted.issuperset(names)

    def require(self, right: str, names: Collection[str], words: str) -> None:
        """Refuse what the user may not do.

        Raises:
            NotPermittedError: in MarbleRun's *words*, which follow ``user NAME is not allowed to``.
        """
        if not self.may(right, names):
            raise NotPermittedError(f"user {self.name} is not allowed to {words}")


def users_of(manifest: Manifest) -> tuple[User, ...]:
    """Read the users of a manifest, in order of name; those without a readable certificate are left out."""
    users = []
    for name, definition in sorted(manifest.users.items()):
        certificate = _certificate(definition.certificate)
        if certificate is not None:
            permissions = _permissions(manifest, definition)
            users.append(User(name=name, certificate=certificate, permissions=permissions))
    return tuple(users)


def check_users(manifest: Manifest) -> None:
    """Refuse a manifest whose users nobody could be.

    Raises:
        ManifestRefusedError: a certificate is not one in PEM, or it is that of two users.
    """
    holders_of: dict[bytes, str] = {}
    for name, definition in sorted(manifest.users.items()):
        certificate = _certificate(definition.certificate)
        if certificate is None:
            raise ManifestRefusedError(
                f"generating users from manifest: received invalid certificate for user {name}"
            )
        first = holders_of.setdefault(certificate, name)
        if first != name:
            raise ManifestRefusedError(
                f"generating users from manifest: users {first} and {name} have the same certificate"
            )


def find_user(users: Iterable[User], presented: Sequence[bytes]) -> User:
    """Find the user whose certificate is the first of those *presented* (DER), the one TLS has proven.

    Raises:
        UserUnauthenticatedError: there is none.
    """
    for user in users:
        if presented and hmac.compare_digest(user.certificate, presented[0]):
            return user
    raise UserUnauthenticatedError


def holders(manifest: Manifest, right: str) -> tuple[str, ...]:
    """Return the names of the users who have *right* at all, sorted."""
    return tuple(user.name for user in users_of(manifest) if user.may(right))


def _certificate(pem: str) -> bytes | None:
    """Return the first certificate of a PEM text in DER, or None: as Go reads it, whatever stands around."""
    begin = pem.find("-----BEGIN CERTIFICATE-----")
    if begin < 0:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(pem[begin:].encode())
        return certificate.public_bytes(Encoding.DER)
    except (ValueError, x509.InvalidVersion):
        return None


def _permissions(manifest: Manifest, definition: Definition) -> Mapping[str, frozenset[str]]:
    granted: dict[str, frozenset[str]] = {}
    for role_name in definition.roles:
        role = manifest.roles.get(role_name)
        if role is None:
            continue
        for action in role.actions:
            granted[action] = granted.get(action, frozenset()) | frozenset(role.resource_names)
    return MappingProxyType(granted)
