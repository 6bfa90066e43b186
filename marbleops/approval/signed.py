"""Raw bytes in, a parsed object or statement and the listed key that signed it out.

The one place where parsing, key look-up and verification meet, so that no caller can leave one out.
What the signed text says, and whether that key may say it, is the judge's (approvals.md sections 2, 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from marbleops.approval.errors import EvidenceError
from marbleops.approval.gitobject import Commit, Tag, parse_object
from marbleops.approval.reasons import Reason
from marbleops.approval.sshkey import PublicKey, fingerprint
from marbleops.approval.sshsig import NAMESPACE_GIT, NAMESPACE_STATEMENT, parse_armor, verify

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedObject:
    """A commit or tag whose signature by ``key`` is good. Only this module makes one."""

    object: Commit | Tag
    key: PublicKey


def verify_object(raw: bytes, *, keys: Iterable[PublicKey], require_user_presence: bool) -> VerifiedObject:
    """Parse a raw commit or tag and verify its signature by one of *keys*.

    Raises:
        EvidenceError: as the parsers and ``sshsig.verify``; malformed-signature if it carries none.
    """
    return verify_parsed(parse_object(raw), keys=keys, require_user_presence=require_user_presence)


def verify_parsed(
    parsed: Commit | Tag, *, keys: Iterable[PublicKey], require_user_presence: bool
) -> VerifiedObject:
    """Verify the signature of an object that the strict parser made, as ``verify_object`` does.

    Raises:
        EvidenceError: as ``sshsig.verify``; malformed-signature if it carries none.
    """
    if parsed.armor is None:
        kind = "commit" if isinstance(parsed, Commit) else "tag"
        raise EvidenceError(Reason.MALFORMED_SIGNATURE, f"the {kind} carries no signature")
    key = verify_detached(
        parsed.armor,
        message=parsed.payload,
        keys=keys,
        namespace=NAMESPACE_GIT,
        require_user_presence=require_user_presence,
    )
    return VerifiedObject(object=parsed, key=key)


def verify_detached(
    armor: str,
    *,
    message: bytes,
    keys: Iterable[PublicKey],
    require_user_presence: bool,
    namespace: str = NAMESPACE_STATEMENT,
) -> PublicKey:
    """Verify a detached signature over *message* by one of *keys* and return that key.

    Raises:
        EvidenceError: unknown-key if none of *keys* made it; else as ``sshsig.verify``.
    """
    signature = parse_armor(armor)
    key = next((key for key in keys if key.blob == signature.public_key), None)
    if key is None:
        signer = fingerprint(signature.public_key)
        raise EvidenceError(Reason.UNKNOWN_KEY, f"signed by {signer}, which is not listed")
    verify(
        signature,
        message=message,
        key=key,
        namespace=namespace,
        require_user_presence=require_user_presence,
    )
    return key
