"""From a TLS certificate and a quote to a Coordinator that is trusted while it keeps the certificate.

The order is that of ``marbleops verify``: evidence under the trust anchor, enclave against the reference
values, report data against certificate and nonce, then the pinned root where the caller has one.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from marbleops.attestation.appraisal import Appraisal, ReferenceValues, appraise
from marbleops.attestation.binding import coordinator_report_data, coordinator_state
from marbleops.attestation.dcap import verify_quote
from marbleops.attestation.verdict import INSECURE_SIMULATION, Check, Report, Verdict
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from datetime import datetime

    from marbleops.attestation.anchors import Anchors
    from marbleops.attestation.collateral import Collateral

MAX_QUOTE_BYTES = 64 * 1024
MAX_CHAIN_CHARACTERS = 64 * 1024
MAX_PHASE = 255


class UntrustedCoordinator(Exception):  # noqa: N818  the name of the condition in status and exit codes
    """What answers is not the wanted Coordinator; ``checks`` lists what was compared."""

    def __init__(self, reason: str, *, code: str, checks: tuple[Check, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.checks = checks


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What the relying party knows beforehand.

    Without ``reference`` the enclave's identity is not compared: allowed under a pinned root, and on the
    simulation platform, which proves nothing anyway. ``collateral`` ``None`` means: ask the Coordinator.
    """

    anchors: Anchors
    reference: ReferenceValues | None = None
    pinned_root: str | None = None
    collateral: Collateral | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a Coordinator stands, and the manifest it enforces, as its own quote says (ADR 8)."""

    phase: int
    enforced: Digest | None

    @property
    def enforced_bytes(self) -> bytes | None:
        """The digest as bytes."""
        return None if self.enforced is None else self.enforced.value


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestedCoordinator:
    """A root certificate with the evidence that an enclave of the wanted kind holds its key.

    ``standing`` is None for a Coordinator whose quote does not say it, as MarbleRun's. ``quote`` to ``at``
    are what was judged, so that it can be judged again (``bundle``).
    """

    root_der: bytes = field(repr=False)
    root_fingerprint: str
    verdict: Verdict
    appraisal: Appraisal
    chain_pem: str = field(repr=False)
    standing: Standing | None = None
    quote: bytes = field(repr=False)
    collateral: Collateral = field(repr=False)
    nonce: bytes
    at: datetime

    @property
    def root(self) -> x509.Certificate:
        """The root certificate, parsed."""
        return x509.load_der_x509_certificate(self.root_der)


def attest_certificate(
    presented: bytes, answer: Any, *, trust: Trust, collateral: Collateral, nonce: bytes, at: datetime
) -> AttestedCoordinator:
    """Judge the answer of ``GET quote`` for the connection that presented *presented* (DER).

    Raises:
        UntrustedCoordinator: anything at all is not as it must be.
    """
    chain_pem, quote = _read(answer)
    root_der = _check_chain(chain_pem, presented)
    fingerprint = str(Digest.of(root_der))
    allow_debug = trust.reference is not None and trust.reference.debug
    verdict = verify_quote(quote, collateral, anchors=trust.anchors, at=at, allow_debug=allow_debug)
    if not verdict.accepted or verdict.report is None:
        raise UntrustedCoordinator(verdict.detail, code=verdict.code.value, checks=verdict.checks)
    reference = trust.reference or _as_found(verdict, trust)
    standing = read_standing(answer)
    tail = b"" if standing is None else coordinator_state(standing.phase, standing.enforced_bytes)
    appraisal = appraise(verdict, reference, report_data=coordinator_report_data(root_der, nonce) + tail)
    if not appraisal.accepted:
        raise UntrustedCoordinator(appraisal.reason, code="appraisal", checks=appraisal.checks)
    if trust.pinned_root is not None and not hmac.compare_digest(
        fingerprint.encode(), trust.pinned_root.encode()
    ):
        check = Check(name="Root certificate", ok=False, expected=trust.pinned_root, found=fingerprint)
        words = f"the root certificate is {fingerprint}, pinned is {trust.pinned_root}"
        raise UntrustedCoordinator(words, code="root-not-pinned", checks=(*appraisal.checks, check))
    return AttestedCoordinator(
        root_der=root_der,
        root_fingerprint=fingerprint,
        verdict=verdict,
        appraisal=appraisal,
        chain_pem=chain_pem,
        standing=standing,
        quote=quote,
        collateral=collateral,
        nonce=nonce,
        at=at,
    )


def read_standing(answer: Any) -> Standing | None:
    """Read what the answer of ``GET quote`` says about phase and manifest; the quote must bear it out.

    Raises:
        UntrustedCoordinator: it says so in another form.
    """
    if not isinstance(answer, dict) or answer.get("state") is None:
        return None
    state = answer["state"]
    try:
        phase, fingerprint = state["code"], state["manifestFingerprint"]
        if isinstance(phase, bool) or not isinstance(phase, int) or not 0 <= phase <= MAX_PHASE:
            raise ValueError("not a phase")
        enforced = None if fingerprint is None else Digest.parse(f"sha256:{fingerprint}")
    except (TypeError, KeyError, ValueError) as error:
        raise UntrustedCoordinator("the state beside the quote cannot be read", code="malformed") from error
    return Standing(phase=phase, enforced=enforced)


def _read(answer: Any) -> tuple[str, bytes]:
    if not isinstance(answer, dict):
        raise UntrustedCoordinator("the quote's answer is not an object", code="malformed")
    chain_pem, encoded = answer.get("cert"), answer.get("quote")
    if not isinstance(chain_pem, str) or len(chain_pem) > MAX_CHAIN_CHARACTERS:
        raise UntrustedCoordinator("the answer holds no certificate chain", code="malformed")
    if not encoded:
        # MarbleRun without SGX answers null (marblerun-core 10.5): nobody can tell it from another one.
        raise UntrustedCoordinator("the Coordinator has no quote", code="no-quote")
    try:
        quote = base64.b64decode(encoded, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise UntrustedCoordinator("the quote is not base64", code="malformed") from error
    if len(quote) > MAX_QUOTE_BYTES:
        raise UntrustedCoordinator("the quote is too large", code="malformed")
    return chain_pem, quote


def _check_chain(chain_pem: str, presented: bytes) -> bytes:
    """Return the root, which is what the connection presented and what the intermediate chains to."""
    try:
        chain = x509.load_pem_x509_certificates(chain_pem.encode("ascii"))
        root = chain[-1]
        for issued, issuer in zip(chain, [*chain[1:], root], strict=True):
            issued.verify_directly_issued_by(issuer)
    except Exception as error:  # cryptography raises many kinds on hostile certificates
        words = f"the certificate chain is broken ({type(error).__name__})"
        raise UntrustedCoordinator(words, code="certificate-chain") from error
    root_der = root.public_bytes(Encoding.DER)
    if not hmac.compare_digest(root_der, presented):
        raise UntrustedCoordinator(
            "the connection presents another certificate than the root in the quote's answer",
            code="certificate-mismatch",
        )
    return root_der


def _as_found(verdict: Verdict, trust: Trust) -> ReferenceValues:
    """Take the enclave's identity as found; status, report data and debug are still judged."""
    if trust.pinned_root is None and verdict.trust_domain != INSECURE_SIMULATION:
        raise UntrustedCoordinator(
            "nothing says which enclave this must be: give reference values (era) or a pinned root",
            code="no-reference-values",
        )
    if not isinstance(verdict.report, Report):
        raise UntrustedCoordinator("the evidence is not an SGX enclave's", code="no-reference-values")
    return ReferenceValues(unique_id=verdict.report.unique_id.hex())
