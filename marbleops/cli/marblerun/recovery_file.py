"""A recovery secret as people hold it: raw, in base64, or in the JSON that ``manifest set`` gave out."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING

from marbleops.cli.errors import UsageProblem
from marbleops.cli.files import read_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

MAX_SECRET_FILE = 1024 * 1024
MIN_CIPHERTEXT, MAX_CIPHERTEXT = 128, 2048
"""Bytes of an RSA ciphertext: keys of 1,024 to 16,384 bits."""


def plain_secret(file: Path, key: RSAPrivateKey) -> bytes:
    """Return the plain recovery secret in *file*: as it stands there, or decrypted with *key*.

    Raises:
        UsageProblem: nothing in it is plain, or encrypted for this key.
    """
    from marbleops.wire.marblerun.recovery import decrypt_recovery_data

    for candidate in candidates(read_bytes(file, limit=MAX_SECRET_FILE)):
        try:
            return decrypt_recovery_data(candidate, key)
        except ValueError:
            continue
    raise UsageProblem(
        "nothing in this file is a recovery secret for this key",
        where=str(file),
        next_step="give the secret that manifest set gave out for this very key, and the key's private half",
    )


def candidates(raw: bytes) -> list[bytes]:
    """Return what may be the secret in a file, most likely first.

    A plain secret is 16, 32 or 33 bytes (the last a Shamir share); 44 characters of base64 are a plain one
    too. Everything of the length of an RSA ciphertext may be one.
    """
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        named = document.get("RecoverySecrets", document)
        values = named.values() if isinstance(named, dict) else ()
        return [found for one in values if isinstance(one, str) and (found := _decoded(one.encode()))]
    decoded = _decoded(raw)
    return [raw] if decoded is None else [decoded]


def _decoded(text: bytes) -> bytes | None:
    """Return the bytes behind base64, if they have the length of a secret."""
    from marbleops.wire.marblerun.recovery import PLAIN_LENGTHS

    if len(text) in PLAIN_LENGTHS:
        return None  # sixteen raw bytes may happen to be letters
    try:
        found = base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        return None
    fits = len(found) in PLAIN_LENGTHS or MIN_CIPHERTEXT <= len(found) <= MAX_CIPHERTEXT
    return found if fits else None
