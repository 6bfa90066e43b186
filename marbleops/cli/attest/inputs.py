"""What the verbs of ``attest`` read: evidence, endorsements, a root, a time; and the verdict on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from marbleops.attestation import limits
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.collateral import Collateral, CollateralError
from marbleops.attestation.explain.envelope import MAX_FILE_BYTES, Envelope, EnvelopeError, open_envelope
from marbleops.attestation.policy import VerificationPolicy
from marbleops.attestation.verdict import Check, Code, Verdict
from marbleops.cli.errors import UsageProblem
from marbleops.cli.files import read_bytes
from marbleops.cli.output import notices

if TYPE_CHECKING:
    from pathlib import Path

    from marbleops.attestation.evidence import Endorsements

_MAX_CERTIFICATE_FILES = 64
_MAX_ROOT_BYTES = 64 * 1024
SIMULATION_WORDS = "SIMULATION - no hardware protection: anybody who has the platform's files can forge this"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The options that all verbs share, as they stand on the command line; and a grace for collateral."""

    collateral: Path | None
    certs: Path | None
    root: Path | None
    at: str | None
    allow_debug: bool
    require_crl: bool = False
    grace: timedelta = timedelta(0)

    def time(self) -> datetime:
        """Return the time to judge by.

        Raises:
            UsageProblem: it is not RFC 3339 with a zone.
        """
        if self.at is None:
            return datetime.now(tz=UTC)
        try:
            at = datetime.fromisoformat(self.at)
        except ValueError as error:
            raise UsageProblem("not a time", where=f"--at {self.at[:40]}", next_step=_TIME) from error
        if at.tzinfo is None:
            raise UsageProblem("the time has no zone", where=f"--at {self.at[:40]}", next_step=_TIME)
        return at

    def any_endorsements(self) -> bool:
        """Tell whether there is anything to verify with.

        Raises:
            UsageProblem: both vendors' were given.
        """
        if self.collateral is not None and self.certs is not None:
            raise UsageProblem(
                "--collateral is for Intel's quotes, --certs for AMD's reports: give one of them"
            )
        return self.collateral is not None or self.certs is not None


_TIME = "write a time like 2026-06-01T12:00:00Z"


def read_evidence(file: Path) -> Envelope:
    """Read evidence in any of its forms; that of a certificate is taken out.

    Raises:
        UsageProblem: the file cannot be read, or is not what it begins as.
    """
    try:
        opened = open_envelope(read_bytes(file, limit=MAX_FILE_BYTES))
    except EnvelopeError as error:
        raise UsageProblem(str(error), where=str(file), next_step="marbleops attest --help") from error
    if opened.certificate is None:
        return opened
    from marbleops.attestation.checks import RejectedError
    from marbleops.attestation.ratls import find_evidence

    try:
        return replace(opened, evidence=find_evidence(opened.certificate).evidence)
    except RejectedError:
        return opened  # the verdict will say which certificate that is


def read_endorsements(given: Given) -> Endorsements | None:
    """Read what was given to verify with; nothing where it is damaged, which ``verdict_on`` turns into words.

    Raises:
        UsageProblem: it cannot be read, or is too large.
        CollateralError: it is no collateral.
    """
    if given.collateral is not None:
        return Collateral.from_json(read_bytes(given.collateral, limit=limits.MAX_COLLATERAL_BYTES))
    if given.certs is None:
        return None
    from marbleops.attestation.snp.endorsements import SnpEndorsements

    files = sorted(path for path in given.certs.iterdir() if path.is_file())
    if len(files) > _MAX_CERTIFICATE_FILES:
        raise UsageProblem(f"more than {_MAX_CERTIFICATE_FILES} files", where=str(given.certs))
    return SnpEndorsements.from_files(
        {path.name: read_bytes(path, limit=limits.MAX_CRL_BYTES) for path in files}
    )


def read_anchors(given: Given) -> Anchors:
    """Return the roots to trust: the vendor's, or the one certificate that was given.

    Raises:
        UsageProblem: the certificate is neither a vendor's root nor one that calls itself a simulation's.
    """
    vendor = Anchors.intel() if given.certs is None else Anchors.amd()
    if given.root is None:
        return vendor
    import hashlib

    from marbleops.attestation.anchors import AnchorError

    root = _der(read_bytes(given.root, limit=_MAX_ROOT_BYTES), given.root)
    try:
        if hashlib.sha256(_spki(root)).digest() in vendor.spki_sha256:
            return vendor
        anchors = Anchors.simulation(root)
    except (AnchorError, ValueError) as error:
        raise UsageProblem(
            f"neither {vendor.trust_domain.capitalize()}'s root nor a simulation platform's: {error}",
            where=str(given.root),
        ) from error
    notices().line(SIMULATION_WORDS, style="bold yellow")
    return anchors


def _der(raw: bytes, file: Path) -> bytes:
    if not raw.startswith(b"-----"):
        return raw
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        return x509.load_pem_x509_certificate(raw).public_bytes(Encoding.DER)
    except ValueError as error:
        raise UsageProblem("not an X.509 certificate", where=str(file)) from error


def _spki(root: bytes) -> bytes:
    from cryptography import x509

    from marbleops.attestation.anchors import spki_der

    return spki_der(x509.load_der_x509_certificate(root))


def verdict_on(
    given: Given,
    found: Envelope,
    endorsements: Endorsements | CollateralError,
    anchors: Anchors,
    *,
    at: datetime,
) -> Verdict:
    """Verify. Endorsements that could not be read are a verdict too: ``COLLATERAL_FORMAT``."""
    if isinstance(endorsements, CollateralError):
        check = Check(name="Collateral", ok=False, expected="collateral", found=str(endorsements))
        return Verdict(
            code=Code.COLLATERAL_FORMAT,
            status=None,
            advisories=(),
            report=None,
            checks=(check,),
            trust_domain=anchors.trust_domain,
            detail=f"the collateral cannot be used: {endorsements}",
        )
    policy = VerificationPolicy(allow_debug=given.allow_debug, collateral_grace=given.grace)
    if found.certificate is not None:
        from marbleops.attestation.ratls import verify_certificate

        return verify_certificate(found.certificate, endorsements, anchors=anchors, at=at, policy=policy)
    if isinstance(endorsements, Collateral):
        # The short way for what is nearly always meant: it does not import AMD's part.
        from marbleops.attestation.dcap import verify_quote

        verdict = verify_quote(found.evidence, endorsements, anchors=anchors, at=at, policy=policy)
        if verdict.report is not None:
            return verdict
    from marbleops.attestation.evidence import verify_evidence
    from marbleops.attestation.snp.policy import DEFAULT

    # What such evidence lacks stands in the verdict's words: a revocation list, or the quote of Azure's TPM.
    snp_policy = replace(DEFAULT, require_crl=given.require_crl, accept_hcl=True)
    return verify_evidence(
        found.evidence, endorsements, anchors=anchors, at=at, policy=policy, snp_policy=snp_policy
    )
