"""A Coordinator in an SGX enclave under Gramine: quotes, keys, verification (attestation.md 1.5, 5.6).

Gramine derives a sealing key from the security version that the processor has *now*, and keeps no way back to
older ones. So after an update of microcode, or of this enclave's own security version, the saved state waits
for recovery; what the key depended on stands beside the state in plain, and says why.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from coordinator.adapters.attestation_files import AttestationDirectory
from coordinator.adapters.collateral_files import (
    CollateralFiles,
    NoCollateralError,
    platform_of,
    require_readable,
)
from coordinator.adapters.sealer import SealingKeys
from coordinator.domain import envelope
from coordinator.errors import PlatformError
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.cache import QuoteVerifier
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.quote import parse_quote
from marbleops.attestation.report import SGX_BODY, parse_report
from marbleops.attestation.verdict import INTEL, Check, Code, Report, TcbStatus, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from coordinator.ports import QuoteIssuer
    from coordinator.ports import QuoteVerifier as QuoteVerifierPort

GRAMINE_PLATFORM: Final = "gramine"
MARKING: Final = "INSECURE TEST HARDWARE (not Intel)"
_ACCEPTABLE: Final = (TcbStatus.UP_TO_DATE, TcbStatus.SW_HARDENING_NEEDED)
"""What a client accepts that asks for nothing else (attestation.md 2.4)."""
_OE_REPORT, _OE_REMOTE = 1, 2
_SEAL: Final = b"marbleops/gramine-sealing-key/v1\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """Where the processor is, and who vouches for it. Only tests have another one; no variable names it."""

    directory: AttestationDirectory = field(
        default_factory=lambda: AttestationDirectory(Path("/dev/attestation"))
    )
    anchors: Anchors = field(default_factory=Anchors.intel)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfAttestation:
    """What a client with current collateral would hear about this Coordinator; None: nobody could say."""

    verdict: Verdict | None
    warnings: tuple[str, ...]


class GramineIssuer:
    """Issues quotes of this enclave. Each is a round trip to the host's quoting service."""

    def __init__(self, directory: AttestationDirectory, own: Report) -> None:
        self._directory = directory
        self._own = own

    def quote(self, report_data: bytes) -> bytes:
        """Return an Open Enclave report over *report_data*.

        Raises:
            PlatformError: the host gave none, or one that is not ours.
        """
        raw = self._directory.quote(report_data)
        self._require_own(raw, report_data)
        return struct.pack("<IIQ", _OE_REPORT, _OE_REMOTE, len(raw)) + raw

    def _require_own(self, raw: bytes, report_data: bytes) -> None:
        """Refuse what the host made up: clients would refuse it too, without knowing why."""
        try:
            report = parse_quote(raw).report
        except RejectedError as error:
            raise PlatformError(f"the host gave no SGX quote: {error.code}, {error.detail}") from error
        if not isinstance(report, Report) or report.unique_id != self._own.unique_id:
            raise PlatformError("the host gave the quote of another enclave")
        if report.report_data != report_data.ljust(64, b"\0"):
            raise PlatformError("the host gave a quote over other report data than asked for")


class GramineVerifier:
    """Verifies marbles' quotes with the collateral that lies beside the Coordinator.

    A debug enclave passes here and is judged by the appraisal, which wants ``Debug`` equal to the package's.
    """

    def __init__(self, anchors: Anchors, collateral: CollateralFiles) -> None:
        self._verifier = QuoteVerifier(anchors)
        self._collateral = collateral

    def verify(self, evidence: bytes, at: datetime) -> Verdict:
        """Return the verdict on *evidence*; without collateral for its platform it is a refusal."""
        try:
            collateral = self._collateral.for_evidence(evidence)
        except NoCollateralError as error:
            return self._refused(Code.COLLATERAL_FORMAT, str(error))
        except RejectedError as error:
            return self._refused(error.code, error.detail)
        return self._verifier.verify(evidence, collateral, at=at, allow_debug=True)

    def _refused(self, code: Code, detail: str) -> Verdict:
        check = Check(name="Collateral", ok=False, expected="that of the quote's platform", found=detail)
        return Verdict(
            code=code,
            status=None,
            advisories=(),
            report=None,
            checks=(check,),
            trust_domain=self._verifier.anchors.trust_domain,
            detail=detail,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GraminePlatform:
    """This enclave on this machine. Made by ``open_gramine``."""

    hardware: Hardware
    own: Report
    machine: str
    collateral: CollateralFiles
    verifier: GramineVerifier
    attestation: SelfAttestation

    @property
    def name(self) -> str:
        """Return ``gramine``."""
        return GRAMINE_PLATFORM

    @property
    def marking(self) -> str | None:
        """Return None under Intel's anchor; certificates under a test's say what they are."""
        return None if self.hardware.anchors.trust_domain == INTEL else MARKING

    def issuer(self) -> QuoteIssuer:
        """Return the issuer of this Coordinator's quotes."""
        return GramineIssuer(self.hardware.directory, self.own)

    def quote_verifier(self) -> QuoteVerifierPort:
        """Return the verifier of marbles' quotes."""
        return self.verifier

    def sealing_keys(self) -> SealingKeys:
        """Return the sealing keys of this enclave at the processor's security version of now.

        Raises:
            PlatformError: Gramine gives none.
        """
        own = self.own
        return SealingKeys(
            unique=self._key("_sgx_mrenclave"),
            product=self._key("_sgx_mrsigner"),
            circumstances={
                "platform": GRAMINE_PLATFORM,
                "machine": self.machine,
                "microcode": own.cpu_svn.hex(),
                "uniqueID": own.unique_id.hex(),
                "signerID": own.signer_id.hex(),
                "productID": str(own.product_id),
                "securityVersion": str(own.security_version),
                "debug": "yes" if own.debug else "no",
            },
        )

    @property
    def published_collateral(self) -> None:
        """Return None: clients ask Intel."""
        return None

    @property
    def collateral_lives(self) -> Callable[[datetime], Iterable[tuple[tuple[str, ...], float]]]:
        """Return what gives the lives of the documents beside the Coordinator."""
        return self.collateral.seconds_to_expiry

    def warnings(self) -> tuple[str, ...]:
        """Return what is wrong with this enclave in a client's eyes."""
        return self.attestation.warnings

    def _key(self, name: str) -> bytes:
        # Gramine may use the same key for an encrypted mount; and no state moves between trust domains (5.1).
        purpose = _SEAL + f"{self.hardware.anchors.trust_domain}/{name}".encode()
        return envelope.derive(self.hardware.directory.key(name), b"", purpose, envelope.KEY_SIZE)


def open_gramine(hardware: Hardware, collateral: Path | None, *, at: datetime) -> GraminePlatform:
    """Open the enclave that this process runs in, and ask whether it would pass a client's check.

    An enclave that clients will not accept starts all the same, with warnings: whoever is at fault for an
    outdated platform, the mesh goes on, and each client decides. One whose quotes end in no root of the
    hardware's vendor does not.

    Raises:
        PlatformError: this is no enclave with quotes, or its quotes are not its own.
    """
    directory = hardware.directory
    kind = directory.attestation_type()
    if kind != "dcap":
        raise PlatformError(
            f"{directory.path}/attestation_type says {kind!r}, not 'dcap': sign the manifest with "
            'sgx.remote_attestation = "dcap"'
        )
    require_readable(collateral)
    own = parse_report(directory.report()[:SGX_BODY])
    files = CollateralFiles(collateral)
    verifier = GramineVerifier(hardware.anchors, files)
    evidence = GramineIssuer(directory, own).quote(b"")
    return GraminePlatform(
        hardware=hardware,
        own=own,
        machine=_machine(evidence[16:]),
        collateral=files,
        verifier=verifier,
        attestation=attest_self(verifier.verify(evidence, at), own),
    )


def attest_self(verdict: Verdict, own: Report) -> SelfAttestation:
    """Say what a client would make of the verdict on the Coordinator's own quote.

    Raises:
        PlatformError: the quote ends in no root of the hardware's vendor.
    """
    if verdict.code is Code.CHAIN_UNTRUSTED_ROOT:
        raise PlatformError(
            f"this platform's quotes do not end in a root of {verdict.trust_domain}, so it is no hardware of "
            f"theirs ({verdict.detail})"
        )
    warnings = []
    if verdict.trust_domain != INTEL:
        warnings.append("INSECURE TEST HARDWARE: the quotes of this Coordinator are not Intel's.")
    if own.debug:
        warnings.append("INSECURE: a debug enclave. Its host can read and change everything in it.")
    if verdict.code is Code.COLLATERAL_FORMAT:
        warnings.append(f"Self-attestation was not possible: {verdict.detail}.")
        return SelfAttestation(verdict=None, warnings=tuple(warnings))
    if verdict.code is not Code.OK:
        warnings.append(f"Clients will not accept this Coordinator: {verdict.code}, {verdict.detail}.")
    elif verdict.status not in _ACCEPTABLE:
        advisories = ", ".join(verdict.advisories) or "none"
        warnings.append(
            f"Clients accept this Coordinator only where they accept the TCB status {verdict.status} "
            f"(advisories: {advisories})."
        )
    return SelfAttestation(verdict=verdict, warnings=tuple(warnings))


def _machine(raw: bytes) -> str:
    """Name the machine by its processor's certificate, without telling the number itself."""
    try:
        return hashlib.sha256(platform_of(parse_quote(raw)).ppid).hexdigest()
    except NoCollateralError:
        return "unknown"
