"""The bodies that a TEE reports: an SGX enclave's (attestation.md 1.1) and a trust domain's (1.2).

Only offsets; the caller has cut the body to its exact size and says elsewhere what may be believed of it.
"""

from __future__ import annotations

from typing import Final

from marbleops.attestation.verdict import Report, TdReport

ATTRIBUTE_INIT: Final = 0x1
ATTRIBUTE_DEBUG: Final = 0x2
ATTRIBUTE_KSS: Final = 0x80
TD_DEBUG: Final = 1 << 0
TD_LASS: Final = 1 << 27
TD_SEPT_VE_DISABLE: Final = 1 << 28
TD_MIGRATABLE: Final = 1 << 29
TD_PKS: Final = 1 << 30
TD_KL: Final = 1 << 31
TD_TPA: Final = 1 << 62
TD_PERFMON: Final = 1 << 63

SGX_BODY: Final = 384
TD10_BODY: Final = 584
TD15_BODY: Final = 648


def parse_report(body: bytes) -> Report:
    """Read an SGX report body; the caller guarantees its 384 bytes."""
    attributes = body[48:64]
    return Report(
        cpu_svn=body[0:16],
        misc_select=int.from_bytes(body[16:20], "little"),
        isv_ext_prod_id=body[32:48],
        attributes=attributes,
        debug=bool(flags(attributes) & ATTRIBUTE_DEBUG),
        unique_id=body[64:96],
        signer_id=body[128:160],
        config_id=body[192:256],
        product_id=int.from_bytes(body[256:258], "little"),
        security_version=int.from_bytes(body[258:260], "little"),
        config_svn=int.from_bytes(body[260:262], "little"),
        isv_family_id=body[304:320],
        report_data=body[320:384],
    )


def parse_td_report(body: bytes) -> TdReport:
    """Read the body of a TD 1.0 or 1.5; the caller guarantees its 584 or 648 bytes."""
    newer = len(body) == TD15_BODY
    attributes = body[120:128]
    return TdReport(
        tee_tcb_svn=body[0:16],
        mr_seam=body[16:64],
        mr_signer_seam=body[64:112],
        seam_attributes=body[112:120],
        td_attributes=attributes,
        debug=bool(flags(attributes) & TD_DEBUG),
        xfam=body[128:136],
        mr_td=body[136:184],
        mr_config_id=body[184:232],
        mr_owner=body[232:280],
        mr_owner_config=body[280:328],
        rtmrs=(body[328:376], body[376:424], body[424:472], body[472:520]),
        report_data=body[520:584],
        tee_tcb_svn2=body[584:600] if newer else None,
        mr_service_td=body[600:648] if newer else None,
    )


def flags(attributes: bytes) -> int:
    """Return the 64 attribute flags; for SGX the other half of ``attributes`` is XFRM."""
    return int.from_bytes(attributes[:8], "little")
