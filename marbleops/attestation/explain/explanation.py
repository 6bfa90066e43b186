"""Everything there is to say about one piece of evidence, in one value that a page is made of."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from marbleops.attestation import der, pck, quote, tcb
from marbleops.attestation.binding import coordinator_report_data
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.collateral import Collateral
from marbleops.attestation.explain import dates
from marbleops.attestation.explain.fields import Row, rows_of
from marbleops.attestation.explain.ladder import Rung, climb, climb_module, climb_qe
from marbleops.attestation.verdict import PlatformTcb, TdReport

if TYPE_CHECKING:
    from datetime import datetime

    from marbleops.attestation.evidence import Endorsements
    from marbleops.attestation.explain.nearest import Nearest
    from marbleops.attestation.verdict import AttestedReport, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Without a ``verdict`` nothing was verified, and ``unreadable`` may say why nothing was decoded."""

    form: str
    at: datetime
    rows: tuple[Row, ...]
    certificates: tuple[dates.Dated, ...]
    documents: tuple[dates.Dated, ...]
    ladders: tuple[tuple[Rung, ...], ...]
    verdict: Verdict | None
    unreadable: str = ""
    nearest: Nearest | None = None


def explain(
    evidence: bytes,
    endorsements: Endorsements | None,
    verdict: Verdict | None,
    *,
    form: str,
    at: datetime,
    vouched_chain: str | None = None,
) -> Explanation:
    """Decode ``evidence`` and put beside it what its ``endorsements`` and its ``verdict`` say.

    ``vouched_chain`` are certificates in PEM, for the last of which a Coordinator's quote should vouch.
    Never raises for what the bytes are: evidence that cannot be read is told with the reason.
    """
    collateral = endorsements if isinstance(endorsements, Collateral) else None
    parsed, report, unreadable = None, verdict.report if verdict else None, ""
    if endorsements is None or collateral is not None:
        try:
            parsed = quote.parse_evidence(evidence)
            report = parsed.report
        except RejectedError as error:
            unreadable = str(error)
    if report is None:
        report, unreadable = _read_snp(evidence, unreadable)
    empty = Explanation(
        form=form,
        at=at,
        rows=(*rows_of(report), *_vouched(report, vouched_chain)) if report is not None else (),
        certificates=dates.certificates_of(parsed, collateral),
        documents=(),
        ladders=(),
        verdict=verdict,
        unreadable=unreadable if report is None else "",
    )
    if collateral is not None and parsed is not None:
        return _with_intel(empty, parsed, collateral)
    if endorsements is not None and not isinstance(endorsements, Collateral):
        return replace(
            empty,
            certificates=dates.amd_certificates(endorsements),
            documents=dates.amd_documents(endorsements),
        )
    return empty


def _vouched(report: AttestedReport, chain: str | None) -> tuple[Row, ...]:
    if not chain:
        return ()
    try:
        root = x509.load_pem_x509_certificates(chain.encode())[-1].public_bytes(Encoding.DER)
    except ValueError:
        return (Row(label="vouches for", value="unknown: the certificates that came with it are unreadable"),)
    if report.report_data[:32] == coordinator_report_data(root):
        words = "the root certificate that came with it"
    else:
        words = "not that root certificate alone: a nonce was asked for, or it is another's quote"
    return (Row(label="vouches for", value=words),)


def _read_snp(evidence: bytes, unreadable: str) -> tuple[AttestedReport | None, str]:
    # Imported late: most evidence is not AMD's, and the program starts faster without.
    from marbleops.attestation.snp.hcl import report_inside  # noqa: PLC0415
    from marbleops.attestation.snp.verify import recognises  # noqa: PLC0415

    if not recognises(evidence):
        return None, unreadable
    try:
        return report_inside(evidence), ""
    except RejectedError as error:
        return None, str(error)


def _with_intel(page: Explanation, parsed: quote.Quote, collateral: Collateral) -> Explanation:
    tee = parsed.report.tee
    documents = dates.documents_of(collateral, tee)
    ladders: list[tuple[Rung, ...]] = []
    with suppress(RejectedError, der.DerError, ValueError):
        info = tcb.parse_tcb_info(collateral.tcb_info, tee)
        identity = tcb.parse_qe_identity(collateral.qe_identity, tee)
        platform = (page.verdict.platform if page.verdict else None) or _platform(parsed, collateral, info)
        if platform is not None and platform.fmspc == info.fmspc:
            ladders = [climb(collateral.tcb_info, info, platform)]
            ladders.append(climb_qe(identity, parsed.qe_report.security_version))
            if isinstance(parsed.report, TdReport):
                ladders.append(climb_module(info, parsed.report.tee_tcb_svn))
    return replace(page, documents=documents, ladders=tuple(ladder for ladder in ladders if ladder))


def _platform(parsed: quote.Quote, collateral: Collateral, info: tcb.TcbInfo) -> PlatformTcb | None:
    """Read the platform from its certificate where the verification ended before it came to that."""
    leaf = dates.pck_certificate(parsed, collateral)
    if leaf is None:
        return None
    values = [
        one.value.public_bytes() for one in leaf.extensions if one.oid.dotted_string == pck.EXTENSION_OID
    ]
    if len(values) != 1:
        return None
    found = pck.parse_pck_extension(values[0])
    return PlatformTcb(
        fmspc=found.fmspc,
        pce_id=found.pce_id,
        ppid=found.ppid,
        components=found.components,
        pce_svn=found.pce_svn,
        tcb_date=None,
        tcb_evaluation_number=info.evaluation_number,
        tdx_components=tuple(parsed.report.tee_tcb_svn) if isinstance(parsed.report, TdReport) else (),
        qe_security_version=parsed.qe_report.security_version,
    )
