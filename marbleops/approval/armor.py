"""The text wrapping of signatures: tells the formats apart and unwraps an SSH signature strictly.

Refuses anything before or after the armor, a second armor, blank lines and non-canonical base64: `git`
accepts most of that, which lets one signature look like many (gitops.md 2.3).
"""

from __future__ import annotations

import base64
import binascii
import re
from enum import StrEnum

from marbleops.approval.errors import EvidenceError
from marbleops.approval.limits import MAX_ARMOR_CHARS
from marbleops.approval.reasons import Reason

SSH_BEGIN = "-----BEGIN SSH SIGNATURE-----"
SSH_END = "-----END SSH SIGNATURE-----"


class ArmorKind(StrEnum):
    """A signature format, named by the first line of its armor."""

    SSH = "ssh"
    OPENPGP = "openpgp"
    X509 = "x509"


# The first lines that git itself takes for a signature (git's gpg-interface.c), and the last ones.
_FIRST_LINES = {
    SSH_BEGIN: ArmorKind.SSH,
    "-----BEGIN PGP SIGNATURE-----": ArmorKind.OPENPGP,
    "-----BEGIN PGP MESSAGE-----": ArmorKind.OPENPGP,
    "-----BEGIN SIGNED MESSAGE-----": ArmorKind.X509,
}

_STARTS = re.compile(
    b"^(?:%s)" % b"|".join(re.escape(first.encode()) for first in _FIRST_LINES), re.MULTILINE
)


def armor_starts(raw: bytes, offset: int) -> list[int]:
    """List where lines of *raw* start a signature, from *offset* on, which is the start of a line."""
    return [match.start() for match in _STARTS.finditer(raw, offset)]


def armor_kind(line: str) -> ArmorKind | None:
    """Name the format whose armor starts with *line*; ``None`` if it starts no signature.

    Looks at the start of the line only, as git does, so that junk after the dashes cannot hide an armor.
    """
    for first, kind in _FIRST_LINES.items():
        if line.startswith(first):
            return kind
    return None


def armor_end(line: str) -> str:
    """Return the last line that belongs to the armor that starts with *line*.

    Raises:
        EvidenceError: malformed-signature, the line is not exactly the start of an armor.
    """
    if line not in _FIRST_LINES:
        raise _malformed("the armor's first line carries extra characters")
    return line.replace("BEGIN", "END", 1)


def decode_ssh_armor(text: str) -> bytes:
    """Unwrap an SSH signature.

    Raises:
        EvidenceError: too-large; unsupported-key-type for an OpenPGP or X.509 armor; malformed-signature.
    """
    if len(text) > MAX_ARMOR_CHARS:
        raise EvidenceError(Reason.TOO_LARGE, f"a signature has at most {MAX_ARMOR_CHARS} characters")
    lines = text.removesuffix("\n").split("\n")
    kind = armor_kind(lines[0])
    if kind in {ArmorKind.OPENPGP, ArmorKind.X509}:
        raise EvidenceError(Reason.UNSUPPORTED_KEY_TYPE, f"{kind} signatures are not supported yet")
    if lines[0] != SSH_BEGIN:
        raise _malformed("the armor does not start with 'BEGIN SSH SIGNATURE'")
    if len(lines) < 3 or lines[-1] != SSH_END:
        raise _malformed("the armor does not end with 'END SSH SIGNATURE' and nothing after it")
    if not all(lines[1:-1]):
        raise _malformed("the armor holds an empty line")
    try:
        return decode_base64("".join(lines[1:-1]))
    except ValueError as error:
        raise _malformed("the armor holds something that is not canonical base64") from error


def decode_base64(text: str) -> bytes:
    """Decode canonical base64: padded, no white space, unused bits zero.

    Raises:
        ValueError: any other spelling, because two texts must not stand for the same bytes.
    """
    try:
        decoded = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("not base64") from error
    if base64.b64encode(decoded).decode("ascii") != text:
        raise ValueError("not the canonical base64 of its bytes")
    return decoded


def _malformed(message: str) -> EvidenceError:
    return EvidenceError(Reason.MALFORMED_SIGNATURE, message)
