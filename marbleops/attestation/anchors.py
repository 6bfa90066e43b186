"""Trust anchors: which root keys may end a chain, and what kind of trust a verdict under them means.

Roots are pinned by public key, not by certificate: Intel has two root certificates with one key
(attestation.md 2.1, step 4). There is no default: whoever verifies names the anchors, and simulation is never
one of Intel's or AMD's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from marbleops.attestation.verdict import AMD, INSECURE_SIMULATION, INTEL

INTEL_ROOT_SPKI_SHA256: Final = bytes.fromhex(
    "a0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e"
)
# The keys of ARK-Milan, ARK-Genoa and ARK-Turin, as kdsintf.amd.com publishes their certificates (1.4).
AMD_ROOTS_SPKI_SHA256: Final = frozenset(
    bytes.fromhex(pin)
    for pin in (
        "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9",
        "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831",
        "4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08",
    )
)
SIMULATION_ORGANIZATION: Final = "INSECURE software TEE (not Intel)"


class AnchorError(Exception):
    """A certificate cannot be the anchor it is offered as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """Accepted root keys (SHA-256 of the SubjectPublicKeyInfo) and the domain they stand for."""

    spki_sha256: frozenset[bytes]
    trust_domain: str

    @classmethod
    def intel(cls) -> Anchors:
        """Return Intel's SGX root key."""
        return cls(spki_sha256=frozenset({INTEL_ROOT_SPKI_SHA256}), trust_domain=INTEL)

    @classmethod
    def amd(cls) -> Anchors:
        """Return AMD's root keys for SEV-SNP, one for each product line."""
        return cls(spki_sha256=AMD_ROOTS_SPKI_SHA256, trust_domain=AMD)

    @classmethod
    def simulation(cls, root_der: bytes) -> Anchors:
        """Return the root of a simulation platform, given as DER by whoever chose simulation.

        Raises ``AnchorError`` where it is not a certificate, or does not call itself insecure: no other root
        may enter by this door.
        """
        try:
            certificate = x509.load_der_x509_certificate(root_der)
            names = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
            spki = spki_der(certificate)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise AnchorError(f"not an X.509 certificate in DER: {error}") from error
        if [name.value for name in names] != [SIMULATION_ORGANIZATION]:
            raise AnchorError(
                f"a simulation root carries O={SIMULATION_ORGANIZATION!r}; this certificate does not"
            )
        return cls(spki_sha256=frozenset({hashlib.sha256(spki).digest()}), trust_domain=INSECURE_SIMULATION)


def spki_der(certificate: x509.Certificate) -> bytes:
    """Return the SubjectPublicKeyInfo of ``certificate``; a bad key raises as ``cryptography`` does."""
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
