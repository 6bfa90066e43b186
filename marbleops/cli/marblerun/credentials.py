"""Reading a person's PEM files: a user's certificate and key, or a recovery key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marbleops.cli.errors import UsageProblem
from marbleops.cli.files import read_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from marbleops.cli.marblerun.options import AuthOptions
    from marbleops.wire.identity import ClientIdentity

MAX_PEM_BYTES = 256 * 1024


def user_identity(auth: AuthOptions) -> ClientIdentity:
    """Read the certificate and key of ``-c`` and ``-k``.

    Raises:
        UsageProblem: they are missing, unusable, or a PKCS#11 token is asked for.
    """
    from marbleops.wire.identity import ClientIdentity, IdentityError

    _refuse_pkcs11(auth)
    if auth.cert is None or auth.key is None:
        raise UsageProblem(
            "this call is made as a user of the manifest",
            next_step="add --cert user.crt --key user.key, the user's certificate and private key",
        )
    certificate = read_bytes(auth.cert, limit=MAX_PEM_BYTES)
    key = read_bytes(auth.key, limit=MAX_PEM_BYTES)
    try:
        return ClientIdentity.from_pem(certificate, key)
    except IdentityError as error:
        place = auth.cert if "certificate is" in str(error) else auth.key
        raise UsageProblem(str(error), where=str(place)) from error


def recovery_key(auth: AuthOptions) -> RSAPrivateKey:
    """Read the private recovery key of ``-k``.

    Raises:
        UsageProblem: it is missing, no RSA key in PEM, encrypted, or a PKCS#11 token is asked for.
    """
    _refuse_pkcs11(auth)
    if auth.key is None:
        raise UsageProblem("no recovery key given", next_step="add --key recovery.key, your private RSA key")
    return read_recovery_key(auth.key)


def read_recovery_key(file: Path) -> RSAPrivateKey:
    """Read a private RSA key, PKCS#8 or PKCS#1.

    Raises:
        UsageProblem: it is not one, or it is encrypted.
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    raw = read_bytes(file, limit=MAX_PEM_BYTES)
    try:
        key = load_pem_private_key(raw, password=None)
    except TypeError as error:
        step = f"decrypt it first: openssl pkey -in {file} -out plain.key"
        raise UsageProblem("the key is encrypted", where=str(file), next_step=step) from error
    except Exception as error:  # cryptography raises several kinds on what is no key
        raise UsageProblem("not a PEM private key (PKCS#8 or PKCS#1)", where=str(file)) from error
    if not isinstance(key, RSAPrivateKey):
        raise UsageProblem("recovery keys are RSA keys, this is another kind", where=str(file))
    return key


def _refuse_pkcs11(auth: AuthOptions) -> None:
    if auth.wants_pkcs11:
        raise UsageProblem(
            "PKCS#11 tokens are not supported yet", next_step="give PEM files with --cert and --key"
        )
