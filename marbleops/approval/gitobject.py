"""Strict parsers for commit and tag objects over their raw bytes.

They decide what was signed (the payload) and what it says; what `git verify-commit` accepts is not the
specification (approvals.md section 2, "Parsing"; gitops.md 2.1 and 2.3). Refused: duplicate, misplaced or
foreign signature headers, text after a tag's armor, other encodings, NUL, CR in messages. Headers that we
do not know (``mergetag``, ``change-id``, ``HG:extra``) are covered by the signature and allowed.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from marbleops.approval.armor import armor_end, armor_starts
from marbleops.approval.errors import EvidenceError
from marbleops.approval.limits import MAX_HEADERS, MAX_OBJECT_BYTES
from marbleops.approval.reasons import Reason
from marbleops.manifest.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An author, committer or tagger as written; nobody vouches for it."""

    name: bytes
    email: bytes
    when: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit and what a signature on it covers. Its identity is ``payload_digest``, not its Git id."""

    raw: bytes
    payload: bytes
    payload_digest: Digest
    armor: str | None
    tree: str
    parents: tuple[str, ...]
    author: Person
    committer: Person
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """An annotated tag and what a signature on it covers. The ref that pointed to it is not part of it."""

    raw: bytes
    payload: bytes
    payload_digest: Digest
    armor: str | None
    target: str
    target_type: str
    name: str
    tagger: Person | None
    message: str


@dataclass(frozen=True, slots=True)
class _Header:
    name: bytes
    value: bytes
    """With continuation lines joined by LF, as git unfolds them."""
    start: int
    end: int


_ID = re.compile(rb"[0-9a-f]{40}")
_PERSON = re.compile(
    rb"(?:(?P<name>[^<>\r\n]*) )?<(?P<email>[^<>\r\n]*)> (?P<when>[0-9]{1,19} [+-][0-9]{4,6})"
)
_HEADER_NAME = re.compile(rb"[!-~]+")
_TARGET_TYPES = frozenset({b"commit", b"tree", b"blob", b"tag"})
_COMMIT_CORE = frozenset({b"tree", b"parent", b"author", b"committer"})
_TAG_CORE = frozenset({b"object", b"type", b"tag", b"tagger"})


def object_id(kind: str, raw: bytes) -> str:
    """Compute the Git id (SHA-1) of an object; it links trees and blobs, and identifies nothing to us."""
    return hashlib.sha1(f"{kind} {len(raw)}\0".encode() + raw, usedforsecurity=False).hexdigest()


def parse_object(raw: bytes) -> Commit | Tag:
    """Parse a raw commit or tag; the object itself says which it is.

    Raises:
        EvidenceError: malformed-object or too-large.
    """
    if raw.startswith(b"tree "):
        return parse_commit(raw)
    if raw.startswith(b"object "):
        return parse_tag(raw)
    raise _malformed("neither a commit nor a tag")


def parse_commit(raw: bytes) -> Commit:
    """Parse a raw commit.

    Raises:
        EvidenceError: malformed-object or too-large.
    """
    headers, body = _split(raw)
    if not headers or headers[0].name != b"tree":
        raise _malformed("a commit starts with its tree")
    tree = _id(headers[0])
    at = 1
    parents = []
    while at < len(headers) and headers[at].name == b"parent":
        parents.append(_id(headers[at]))
        at += 1
    if [header.name for header in headers[at : at + 2]] != [b"author", b"committer"]:
        raise _malformed("after tree and parents a commit names its author, then its committer")
    author, committer = _person(headers[at]), _person(headers[at + 1])
    signature = _check_rest(headers[at + 2 :], core=_COMMIT_CORE, own=b"gpgsig")
    payload, armor = raw, None
    if signature is not None:
        payload = raw[: signature.start] + raw[signature.end :]
        armor = _ascii(signature.value)
    return Commit(
        raw=raw,
        payload=payload,
        payload_digest=Digest.of(payload),
        armor=armor,
        tree=tree,
        parents=tuple(parents),
        author=author,
        committer=committer,
        message=_message(raw[body:]),
    )


def extract_mergetags(raw: bytes) -> tuple[bytes, ...]:
    """Return the raw tags that a raw merge commit embeds; each can be sent as evidence of its own.

    They are as trustworthy as any other input: parse and verify them like a tag from anywhere.

    Raises:
        EvidenceError: the headers of the commit cannot be told apart.
    """
    headers, _ = _split(raw)
    return tuple(header.value + b"\n" for header in headers if header.name == b"mergetag")


def parse_tag(raw: bytes) -> Tag:
    """Parse a raw annotated tag.

    Raises:
        EvidenceError: malformed-object or too-large.
    """
    headers, body = _split(raw)
    if [header.name for header in headers[:3]] != [b"object", b"type", b"tag"]:
        raise _malformed("a tag starts with object, type and tag")
    target, target_type, name = headers[:3]
    if target_type.value not in _TARGET_TYPES:
        raise _malformed("a tag points to a commit, tree, blob or tag")
    if not name.value or b"\n" in name.value:
        raise _malformed("a tag's name is one line")
    rest = headers[3:]
    tagger = None
    if rest and rest[0].name == b"tagger":  # tags from before 2005-07 have none
        tagger = _person(rest[0])
        rest = rest[1:]
    _check_rest(rest, core=_TAG_CORE, own=None)
    end, armor = _split_armor(raw, body)
    return Tag(
        raw=raw,
        payload=raw[:end],
        payload_digest=Digest.of(raw[:end]),
        armor=armor,
        target=_id(target),
        target_type=target_type.value.decode("ascii"),
        name=_text(name.value),
        tagger=tagger,
        message=_message(raw[body:end]),
    )


def _split(raw: bytes) -> tuple[list[_Header], int]:
    """Cut an object into its headers and the offset of its message."""
    if len(raw) > MAX_OBJECT_BYTES:
        raise EvidenceError(Reason.TOO_LARGE, f"a commit or tag has at most {MAX_OBJECT_BYTES} bytes")
    if b"\0" in raw:
        raise _malformed("a NUL byte")
    headers: list[_Header] = []
    at = 0
    while (end := raw.find(b"\n", at)) != -1:
        if end == at:
            return headers, end + 1
        if raw.startswith(b" ", at):
            raise _malformed("a continuation line without a header")
        stop = end + 1
        while raw.startswith(b" ", stop):
            following = raw.find(b"\n", stop)
            if following == -1:
                raise _malformed("the last header does not end")
            stop = following + 1
        name, space, value = raw[at : stop - 1].partition(b" ")
        if len(headers) == MAX_HEADERS:
            raise EvidenceError(Reason.TOO_LARGE, f"a commit or tag has at most {MAX_HEADERS} headers")
        if not space or not _HEADER_NAME.fullmatch(name):
            raise _malformed("a header is a name, a space and a value")
        headers.append(_Header(name, value.replace(b"\n ", b"\n"), at, stop))
        at = stop
    raise _malformed("no blank line between headers and message")


def _check_rest(headers: list[_Header], *, core: frozenset[bytes], own: bytes | None) -> _Header | None:
    """Check everything after the core headers; return the signature header *own*, if there is one.

    git removes every header whose name starts with ``gpgsig`` from what it verifies, and so hides unsigned
    text in a "verified" commit (gitops.md 2.3); therefore only one, of exactly the right name, may exist.
    """
    signature = None
    encoded = False
    for header in headers:
        lowered = header.name.lower()
        if lowered in core:
            raise _malformed("a core header twice or out of place")
        if lowered.startswith(b"gpgsig"):
            if header.name != own:
                raise _malformed("a foreign signature header")
            if signature is not None:
                raise _malformed("two signature headers")
            signature = header
        if lowered == b"encoding":
            if encoded or header.name != lowered or header.value.lower() not in {b"utf-8", b"utf8"}:
                raise _malformed("an encoding other than UTF-8")
            encoded = True
    return signature


def _split_armor(raw: bytes, body: int) -> tuple[int, str | None]:
    """Find the armor appended to a tag: where the payload ends, and the armor.

    git takes the last line that starts a signature; we want exactly one and nothing behind it, so that
    there is only one way to read the tag.
    """
    begins = armor_starts(raw, body)
    if not begins:
        return len(raw), None
    if len(begins) > 1:
        raise _malformed("two signatures in one tag")
    armor = _ascii(raw[begins[0] :])
    lines = armor.removesuffix("\n").split("\n")
    end_line = armor_end(lines[0])
    if lines[-1] != end_line or end_line in lines[:-1]:
        raise _malformed("a tag ends with the last line of its armor")
    return begins[0], armor


def _id(header: _Header) -> str:
    if not _ID.fullmatch(header.value):
        raise _malformed("an object id has 40 lower-case hexadecimal digits (SHA-256 repositories: not yet)")
    return header.value.decode("ascii")


def _person(header: _Header) -> Person:
    match = _PERSON.fullmatch(header.value)
    if match is None:
        raise _malformed("a person is written 'name <e-mail> seconds zone'")
    return Person(name=match["name"] or b"", email=match["email"], when=match["when"])


def _message(raw: bytes) -> str:
    if b"\r" in raw:
        raise _malformed("a carriage return in the message")
    return _text(raw)


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed("text that is not UTF-8") from error


def _ascii(raw: bytes) -> str:
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError as error:
        raise EvidenceError(Reason.MALFORMED_SIGNATURE, "an armor is ASCII text") from error


def _malformed(message: str) -> EvidenceError:
    return EvidenceError(Reason.MALFORMED_OBJECT, message)
