"""Read and upload secrets as a user of the manifest (marblerun-core 5.7, 5.8)."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from marbleops.approval import jsonread
from marbleops.wire.envelope import CoordinatorError, Reading, data_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from marbleops.wire.marblerun.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretValue:
    """A secret of the manifest with its value; empty bytes where none is set.

    For certificate secrets ``private`` is PKCS#8 and ``public`` SubjectPublicKeyInfo, both DER; for the other
    kinds both are the key itself.
    """

    type: str
    size: int
    shared: bool
    user_defined: bool
    valid_for: int
    certificate: bytes = field(repr=False)
    private: bytes = field(repr=False)
    public: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSecret:
    """The value of a user-defined secret: ``key`` for keys and plain ones, the others for certificates."""

    certificate: bytes | None = field(default=None, repr=False)
    private: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)

    def document(self) -> dict[str, str]:
        """Return the interface's form."""
        named = (("Cert", self.certificate), ("Private", self.private), ("Key", self.key))
        return {name: base64.b64encode(value).decode() for name, value in named if value is not None}


def secret_get(session: Session, names: Sequence[str]) -> Mapping[str, SecretValue]:
    """Read the secrets *names*, all or none, as the session's user.

    Raises:
        CoordinatorError: the user may not read one of them, or the answer lacks one.
    """
    query = urlencode([("s", name) for name in names])
    found = data_object(data_object(session.get(f"secrets?{query}")).get("secrets"))
    if set(found) != set(names):
        raise CoordinatorError(200, "malformed", "the answer holds other secrets than asked for")
    with Reading():
        return {name: _secret(found[name]) for name in dict.fromkeys(names)}


def secret_set(session: Session, given: Mapping[str, Mapping[str, Any]]) -> None:
    """Upload values in the interface's form (``UserSecret.document``) as the session's user.

    Raises:
        CoordinatorError: refused; then none of them is stored.
    """
    session.post("secrets", {"secrets": given})


def _secret(value: Any) -> SecretValue:
    if not isinstance(value, dict):
        raise jsonread.JsonShapeError("secret: expected an object")
    return SecretValue(
        type=jsonread.text(value.get("Type"), name="Type", max_chars=64),
        size=jsonread.integer(value.get("Size"), name="Size"),
        shared=value.get("Shared") is True,
        user_defined=value.get("UserDefined") is True,
        valid_for=jsonread.integer(value.get("ValidFor"), name="ValidFor"),
        certificate=_bytes(value, "Cert"),
        private=_bytes(value, "Private"),
        public=_bytes(value, "Public"),
    )


def _bytes(value: Mapping[str, Any], name: str) -> bytes:
    given = value.get(name)
    return b"" if given is None else jsonread.base64_bytes(given, name=name)
