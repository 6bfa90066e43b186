"""The simulated platform as ports: quotes, sealing keys, collateral. Insecure; chosen by name only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import coordinator
import marbleops
from coordinator.adapters.dcap import DcapVerifier
from coordinator.adapters.sealer import SealingKeys
from coordinator.errors import PlatformError
from marbleops.attestation.cache import QuoteVerifier
from marbleops.attestation.platform.base import EnclaveIdentity
from marbleops.attestation.platform.measure import measure_files, python_files, signer_of_label
from marbleops.attestation.platform.simulation import KEY_FILE, SimulationPlatform
from marbleops.attestation.platform.simulation import PlatformError as MachineError
from marbleops.attestation.verdict import Code

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from coordinator.ports import QuoteIssuer
    from coordinator.ports import QuoteVerifier as QuoteVerifierPort
    from marbleops.attestation.collateral import Collateral

SIMULATION_PLATFORM = "simulation"
MARKING = "INSECURE SIMULATION (no hardware protection)"
"""The organization in every certificate that a Coordinator on a simulated platform issues."""
WARNING = (
    "INSECURE SIMULATION: this Coordinator runs on a simulated platform. Its quotes, its sealing and the "
    "quotes it accepts protect nothing."
)
SIGNER_LABEL = "marbleops coordinator"
PRODUCT_ID = 3
SECURITY_VERSION = 3
"""MarbleRun's numbers for its Coordinator enclave (marblerun-core section 12)."""

_OUTDATED = frozenset({Code.CRL_EXPIRED, Code.TCB_INFO_EXPIRED, Code.QE_IDENTITY_EXPIRED})


@dataclass(frozen=True, slots=True)
class SimulatedPlatform:
    """One simulated machine with this Coordinator as an enclave on it."""

    platform: SimulationPlatform
    identity: EnclaveIdentity

    @property
    def name(self) -> str:
        """Return ``simulation``."""
        return SIMULATION_PLATFORM

    @property
    def marking(self) -> str | None:
        """Return the organization that marks every certificate."""
        return MARKING

    def issuer(self) -> QuoteIssuer:
        """Return the issuer of this Coordinator's quotes."""
        return self.platform.issuer(self.identity)

    def verifier(self) -> QuoteVerifier:
        """Return a verifier that trusts this machine's anchor, and so proves nothing to anyone else."""
        return QuoteVerifier(self.platform.anchors())

    def quote_verifier(self) -> QuoteVerifierPort:
        """Return the verifier of marbles' quotes, with this machine's collateral."""
        return DcapVerifier(self.verifier(), self.collateral)

    @property
    def published_collateral(self) -> Callable[[], str]:
        """Return what gives the collateral to clients: nobody else has it."""
        return lambda: self.collateral().to_json()

    @property
    def collateral_lives(self) -> None:
        """Return None: the machine renews its own."""

    def warnings(self) -> tuple[str, ...]:
        """Return the one warning."""
        return (WARNING,)

    def collateral(self) -> Collateral:
        """Return the collateral as published now.

        Raises:
            PlatformError: the machine's directory is damaged.
        """
        try:
            return self.platform.collateral()
        except MachineError as error:
            raise PlatformError(str(error)) from error

    def sealing_keys(self) -> SealingKeys:
        """Return the sealing keys of this Coordinator on this machine, and of its older versions."""
        platform, identity = self.platform, self.identity
        return SealingKeys(
            unique=platform.sealing_key(identity, policy="unique"),
            product=platform.sealing_key(identity, policy="product"),
            older=tuple(
                platform.sealing_key(identity, policy="product", security_version=version)
                for version in range(identity.security_version)
            ),
            circumstances={
                "platform": SIMULATION_PLATFORM,
                "machine": hashlib.sha256(platform.anchor_der).hexdigest(),
                "microcode": str(platform.microcode()),
                "uniqueID": identity.unique_id.hex(),
                "signerID": identity.signer_id.hex(),
                "productID": str(identity.product_id),
                "securityVersion": str(identity.security_version),
                "debug": "yes" if identity.debug else "no",
            },
        )


def open_platform(directory: Path, *, at: datetime) -> SimulatedPlatform:
    """Open the machine in *directory*. Never makes one: a typo would be another machine, with another root.

    Raises:
        PlatformError: there is none, or it is none that may be used.
    """
    if not (directory / KEY_FILE).exists():
        raise PlatformError(
            f"{directory} is no simulated machine: `marbleops simulation init {directory}` makes one"
        )
    try:
        opened = SimulatedPlatform(SimulationPlatform.open(directory), own_identity())
        verdict = opened.verifier().verify(opened.issuer().quote(b""), opened.collateral(), at=at)
        if verdict.code in _OUTDATED:
            opened.platform.renew(at)  # what a real platform would fetch anew
    except MachineError as error:
        raise PlatformError(str(error)) from error
    return opened


def own_identity() -> EnclaveIdentity:
    """Measure this Coordinator: every module of the two packages that make it up."""
    files: dict[str, Path] = {}
    for package in (coordinator, marbleops):
        assert package.__file__ is not None
        files |= python_files(Path(package.__file__).parent)
    return EnclaveIdentity(
        unique_id=measure_files(files),
        signer_id=signer_of_label(SIGNER_LABEL),
        product_id=PRODUCT_ID,
        security_version=SECURITY_VERSION,
        debug=False,
    )
