"""The parser of SEV-SNP reports reads every version, and refuses whatever a version does not say."""

from __future__ import annotations

import json

import pytest

from marbleops.attestation import limits
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.platform.softsnp import DEFAULT_TCB, SnpGuest, SoftSnp
from marbleops.attestation.snp.fields import report_fields
from marbleops.attestation.snp.report import (
    GuestPolicy,
    ProductLine,
    SigningKey,
    SnpTcb,
    is_snp,
    line_of_cpuid,
    parse_report,
)
from marbleops.attestation.verdict import Code, Tee

MACHINE = SoftSnp(seed=b"report".ljust(32, b"."))
GUEST = SnpGuest(measurement=b"\x11" * 48, guest_svn=7, author_key_digest=b"\x22" * 48)
REPORT = MACHINE.report(GUEST, b"channel key")


def changed(at: int, value: bytes, report: bytes = REPORT) -> bytes:
    """Put ``value`` at an offset of a report."""
    return report[:at] + value + report[at + len(value) :]


def code_of(evidence: bytes) -> Code:
    with pytest.raises(RejectedError) as caught:
        parse_report(evidence)
    return caught.value.code


def test_every_field_is_where_amd_puts_it() -> None:
    """The report says what the guest and its machine are."""
    report = parse_report(REPORT).report

    assert (report.tee, report.version, report.guest_svn, report.vmpl) == (Tee.SNP, 3, 7, 0)
    assert report.report_data == b"channel key".ljust(64, b"\0")
    assert report.measurement == GUEST.measurement
    assert (report.family_id, report.image_id) == (b"INSECURE-SOFTTEE", bytes(16))
    assert (
        report.current_tcb == report.reported_tcb == report.committed_tcb == report.launch_tcb == DEFAULT_TCB
    )
    assert report.author_key_enabled
    assert report.author_key_digest == b"\x22" * 48
    assert not report.chip_key_masked
    assert report.signing_key is SigningKey.VCEK
    assert report.chip_id == MACHINE.chip_id
    assert report.cpuid == (0x19, 1, 1)
    assert report.current_version == report.committed_version == (1, 55, 1)
    assert report.abi() == (0, 31)
    assert report.allows(GuestPolicy.SMT)
    assert not report.debug
    assert str(report.reported_tcb) == "bootloader 4 tee 0 snp 24 microcode 219"


@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_versions_differ_in_what_they_reserve(version: int) -> None:
    """CPUID is there from version 3 on, mitigation vectors from version 5 on; before, the bytes are zero."""
    raw = MACHINE.report(SnpGuest(measurement=bytes(48), version=version), b"")
    report = parse_report(raw + bytes(100)).report

    assert (report.cpuid is None) == (version < 3)
    assert (report.launch_mitigations, report.current_mitigations) == (
        (3, 7) if version == 5 else (None, None)
    )
    for at, since in ((0x188, 3), (0x18A, 3), (0x1F8, 5), (0x207, 5)):
        if version < since:
            assert code_of(changed(at, b"\1", raw)) is Code.SNP_RESERVED


def test_turin_has_other_tcb_bytes() -> None:
    """Also in a version 2 report, which does not name the processor."""
    tcb = SnpTcb(bootloader=1, tee=2, snp=3, microcode=4, fmc=5)
    turin = SoftSnp(seed=bytes(32), line=ProductLine.TURIN, tcb=tcb)

    for version in (2, 3):
        report = parse_report(turin.report(SnpGuest(measurement=bytes(48), version=version), b"")).report
        assert report.turin_layout
        assert report.reported_tcb == tcb
    assert str(tcb) == "fmc 5 bootloader 1 tee 2 snp 3 microcode 4"
    assert tcb.reaches(SnpTcb(bootloader=1, tee=2, snp=3, microcode=4))
    assert not SnpTcb(bootloader=1, tee=2, snp=3, microcode=4).reaches(tcb)


@pytest.mark.parametrize(
    ("evidence", "code"),
    [
        (b"", Code.QUOTE_TRUNCATED),
        (REPORT[:-1], Code.QUOTE_TRUNCATED),
        (REPORT + b"\0\1", Code.QUOTE_TRAILING_DATA),
        (bytes(limits.MAX_EVIDENCE_BYTES + 1), Code.EVIDENCE_TOO_LARGE),
        (b"HCLA" + REPORT, Code.HCL_NEEDS_TPM_QUOTE),
        (changed(0, b"\1"), Code.QUOTE_VERSION),
        (changed(0, b"\6"), Code.QUOTE_VERSION),
        (changed(0x34, b"\2"), Code.QUOTE_KEY_TYPE),
        (changed(0x0A, b"\1"), Code.SNP_RESERVED),  # guest policy without bit 17
        (changed(0x0B, b"\4"), Code.SNP_RESERVED),  # guest policy, bit 26
        (changed(0x30, b"\4"), Code.SNP_VMPL),
        (changed(0x41, b"\1"), Code.SNP_RESERVED),  # platform information, bit 8
        (changed(0x48, b"\x08"), Code.SNP_SIGNING_KEY),
        (changed(0x48, b"\x20"), Code.SNP_RESERVED),
        *((changed(at, b"\1"), Code.SNP_RESERVED) for at in (0x4C, 0x18B, 0x19F, 0x1EB, 0x1EF, 0x208, 0x29F)),
        *((changed(at, b"\1"), Code.SNP_RESERVED) for at in (0x3A, 0x182, 0x1E5, 0x1F5, 0x330, 0x49F)),
    ],
)
def test_anything_else_is_refused(evidence: bytes, code: Code) -> None:
    """Sizes, versions, reserved bytes and bits, one after the other."""
    assert code_of(evidence) is code


def test_the_fields_are_shown_for_people() -> None:
    """Ready for JSON: hex, numbers, and names of bits; what a version lacks is null."""
    shown = report_fields(parse_report(REPORT).report)

    assert json.loads(json.dumps(shown)) == shown
    assert shown["measurement"] == "11" * 48
    assert shown["policy_bits"] == ["ABI 0.31", "SMT"]
    assert shown["platform_info_bits"] == ["SMT", "ECC", "ALIAS_CHECK_COMPLETE"]
    assert shown["reported_tcb"] == {"bootloader": 4, "tee": 0, "snp": 24, "microcode": 219}
    assert (shown["signing_key"], shown["cpuid"], shown["launch_mitigations"]) == ("VCEK", "25.1.1", None)


def test_reports_are_told_from_quotes() -> None:
    """By version with algorithm or size; Open Enclave evidence starts with small numbers, too."""
    assert all(map(is_snp, (REPORT, REPORT[:100], changed(0, b"\6"), changed(0x34, b"\2"))))
    assert not is_snp(b"")
    assert not is_snp(b"\1\0\0\0\2\0\0\0" + bytes(3000))
    assert not is_snp(b"\3\0\2\0" + REPORT[4:])
    assert not is_snp(b"\3\0\0\0" + b"\xa3" * 3000)


def test_processors_have_product_lines() -> None:
    """Families 19h and 1Ah, by model; an unknown one has none."""
    lines = [
        line_of_cpuid(family, model) for family, model in ((25, 1), (25, 17), (25, 160), (26, 2), (26, 80))
    ]
    expected = [ProductLine.MILAN, ProductLine.GENOA, ProductLine.GENOA, ProductLine.TURIN, None]

    assert lines == expected
