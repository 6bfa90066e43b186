"""A client certificate with its key: who a user of the manifest, or a marble, is to the Coordinator.

The Coordinator compares the certificate byte by byte (marblerun-api-cli-k8s 1.4), so any self-signed one will
do. Keys are read in the three PEM forms that ``openssl`` writes: PKCS#8, PKCS#1 and SEC1.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

if TYPE_CHECKING:
    import ssl


class IdentityError(ValueError):
    """Certificate or key cannot be used; the text says which and why, and holds nothing of the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientIdentity:
    """A certificate chain (PEM, leaf first) and the leaf's private key (PKCS#8 PEM)."""

    chain_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)

    @classmethod
    def from_pem(cls, certificate: bytes, key: bytes) -> ClientIdentity:
        """Read both and check that they belong together.

        Raises:
            IdentityError: one of them is not PEM of its kind, is encrypted, or they do not match.
        """
        try:
            chain = x509.load_pem_x509_certificates(certificate)
        except ValueError as error:
            raise IdentityError("the certificate is not a PEM certificate") from error
        try:
            private = load_pem_private_key(key, password=None)
        except TypeError as error:
            raise IdentityError("the key is encrypted; decrypt it first (openssl pkey)") from error
        except Exception as error:  # cryptography raises several kinds on what is no key
            raise IdentityError("the key is not a PEM private key (PKCS#8, PKCS#1 or SEC1)") from error
        spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if private.public_key().public_bytes(*spki) != chain[0].public_key().public_bytes(*spki):
            raise IdentityError("certificate and key do not belong together")
        return cls(
            chain_pem=b"".join(one.public_bytes(Encoding.PEM) for one in chain),
            key_pem=private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )

    def present_in(self, context: ssl.SSLContext) -> None:
        """Make *context* present this certificate when a server asks for one."""
        # The ssl module reads files only; this one never reaches a disk.
        descriptor = os.memfd_create("client-identity", os.MFD_CLOEXEC)
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(self.key_pem + self.chain_pem)
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
