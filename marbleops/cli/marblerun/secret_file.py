"""The files of ``secret set``: MarbleRun's JSON, or a certificate with its key as PEM."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from marbleops.cli.errors import UsageProblem
from marbleops.cli.files import read_bytes, read_json_object
from marbleops.cli.output import notices, visible

if TYPE_CHECKING:
    from pathlib import Path

MAX_SECRETS_FILE = 4 * 1024 * 1024
_MEMBERS = frozenset({"cert", "private", "key"})
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


def read_secrets(file: Path) -> dict[str, Any]:
    """Read ``{NAME: {"Key": base64}}`` or, for certificates, ``{"Cert": base64, "Private": base64}``.

    Raises:
        UsageProblem: it has another form.
    """
    if read_bytes(file, limit=MAX_SECRETS_FILE).lstrip().startswith(b"-----BEGIN"):
        raise UsageProblem("this is PEM", where=str(file), next_step="add --from-pem NAME, the secret's name")
    given = read_json_object(file, limit=MAX_SECRETS_FILE)
    for name, value in given.items():
        if not isinstance(value, dict):
            raise UsageProblem(
                f"secret {name[:64]!r} is not an object",
                where=str(file),
                next_step='write {"NAME": {"Key": "BASE64"}}; base64 FILE makes it',
            )
        for member in value:
            if member.lower() not in _MEMBERS:  # MarbleRun ignores them: it may be an old file
                notices().line(
                    f"{file}: {visible(member)} of {visible(name)} is ignored (not Cert, Private or Key)"
                )
    return given


def read_pem_secret(file: Path, name: str) -> dict[str, Any]:
    """Read the first certificate and the first private key in *file* as the secret *name*.

    The key becomes PKCS#8, which is what templates later call PRIVATE KEY.

    Raises:
        UsageProblem: there is no certificate, or the key cannot be read.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    from marbleops.wire.marblerun.secret_values import UserSecret

    blocks = [(found[1], found[0]) for found in _BLOCK.finditer(read_bytes(file, limit=MAX_SECRETS_FILE))]
    certificates = [block for kind, block in blocks if kind == b"CERTIFICATE"]
    keys = [block for kind, block in blocks if b"PRIVATE" in kind]
    if not certificates:
        raise UsageProblem("no PEM certificate in it", where=str(file))
    try:
        certificate = x509.load_pem_x509_certificate(certificates[0]).public_bytes(Encoding.DER)
    except ValueError as error:
        raise UsageProblem("the PEM certificate cannot be read", where=str(file)) from error
    if not keys:
        notices().line(f"{file}: no private key in it: the secret gets none, and loses one that it had")
        return {name: UserSecret(certificate=certificate).document()}
    try:
        key = load_pem_private_key(keys[0], password=None)
    except Exception as error:  # cryptography raises several kinds on what is no key
        raise UsageProblem("the PEM private key cannot be read, or is encrypted", where=str(file)) from error
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return {name: UserSecret(certificate=certificate, private=private).document()}
