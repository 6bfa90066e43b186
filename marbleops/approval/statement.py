"""What people say in a commit or tag message, and the texts they sign detached.

A statement is one line of exact form in the last paragraph, and the only line of the whole message that
starts like one: squashed messages carry other people's lines, and what a reader overlooks must not count
(approvals.md section 2; gitops.md 2.4). Whether the named user, digest and lineage are right is the judge's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from marbleops.approval.errors import EvidenceError
from marbleops.approval.reasons import Reason
from marbleops.manifest.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """``Approve-Manifest: sha256:<hex> by <user>``."""

    digest: Digest
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyProof:
    """``Prove-Key: <fingerprint> lineage <L> by <user>``: the holder of a key has it. Never a vote."""

    fingerprint: str
    lineage: str
    user: str


_USER = r"(?P<user>[A-Za-z0-9][A-Za-z0-9._@-]{0,63})"
_LINEAGE = r"(?P<lineage>[A-Za-z0-9][A-Za-z0-9._-]{0,63})"
_APPROVAL = re.compile(rf"Approve-Manifest: (?P<digest>sha256:[0-9a-f]{{64}}) by {_USER}")
_KEY_PROOF = re.compile(rf"Prove-Key: (?P<key>SHA256:[A-Za-z0-9+/]{{43}}) lineage {_LINEAGE} by {_USER}")
_APPROVAL_WORD = "approve-manifest:"
_KEY_PROOF_WORD = "prove-key:"
_OTHER_CALL_WORDS = ("withdraw-manifest:", "revoke-key:")


def approval_line(digest: Digest, user: str) -> str:
    """Write the line that approves a manifest."""
    return f"Approve-Manifest: {digest} by {user}"


def approval_statement(*, lineage: str, version: int, digest: Digest, user: str) -> bytes:
    """Write the text that a detached approval signs."""
    head = f"marbleops approval v1\nlineage: {lineage}\nversion: {version}\n"
    return f"{head}manifest: {digest}\nuser: {user}\n".encode()


def key_proof_line(*, fingerprint: str, lineage: str, user: str) -> str:
    """Write the line that proves possession of a key."""
    return f"Prove-Key: {fingerprint} lineage {lineage} by {user}"


def key_proof_statement(*, fingerprint: str, lineage: str, user: str) -> bytes:
    """Write the text that a detached key proof signs."""
    return f"marbleops key proof v1\nkey: {fingerprint}\nlineage: {lineage}\nuser: {user}\n".encode()


def read_approval(message: str) -> Approval | None:
    """Read the approval in a message; ``None`` if no line starts like one.

    Raises:
        EvidenceError: trailer-ambiguous for several such lines; trailer-missing if the only one is not in
            the last paragraph or not of the exact form; unsupported-statement for a withdrawal or revocation.
    """
    match = _read(message, word=_APPROVAL_WORD, form=_APPROVAL)
    if match is None:
        return None
    return Approval(digest=Digest.parse(match["digest"]), user=match["user"])


def read_key_proof(message: str) -> KeyProof | None:
    """Read the key proof in a message; ``None`` if no line starts like one.

    Raises:
        EvidenceError: as ``read_approval``.
    """
    match = _read(message, word=_KEY_PROOF_WORD, form=_KEY_PROOF)
    if match is None:
        return None
    return KeyProof(fingerprint=match["key"], lineage=match["lineage"], user=match["user"])


def last_paragraph(message: str) -> tuple[str, ...]:
    """Return the last block of consecutive lines that are not blank.

    Blank means nothing but spaces and tabs: git's own notion, without its trailer heuristics, which count
    how many lines look like trailers and so depend on what stands beside them.
    """
    lines = message.split("\n")
    while lines and _is_blank(lines[-1]):
        lines.pop()
    start = len(lines)
    while start > 0 and not _is_blank(lines[start - 1]):
        start -= 1
    return tuple(lines[start:])


def _read(message: str, *, word: str, form: re.Pattern[str]) -> re.Match[str] | None:
    lowered = message.lower()  # most messages hold none of the words, and looking line by line is slow
    lines = message.split("\n") if any(each in lowered for each in (word, *_OTHER_CALL_WORDS)) else []
    if any(_starts(line, other) for line in lines for other in _OTHER_CALL_WORDS):
        raise EvidenceError(
            Reason.UNSUPPORTED_STATEMENT,
            "withdrawals and revocations have their own call, which is not supported yet",
        )
    found = [line for line in lines if _starts(line, word)]
    if not found:
        return None
    title = word.title()
    if len(found) > 1:
        raise EvidenceError(Reason.TRAILER_AMBIGUOUS, f"{len(found)} lines start with {title!r}")
    if found[0] not in last_paragraph(message):
        raise EvidenceError(Reason.TRAILER_MISSING, f"the {title!r} line is not in the last paragraph")
    match = form.fullmatch(found[0])
    if match is None:
        raise EvidenceError(Reason.TRAILER_MISSING, f"the {title!r} line does not have the exact form")
    return match


def _starts(line: str, word: str) -> bool:
    return line[: len(word)].lower() == word


def _is_blank(line: str) -> bool:
    return not line.strip(" \t")
