"""A guest is the wanted one only where every pinned field says so, and the reason names each difference."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from marbleops.attestation.platform.softsnp import DEFAULT_TCB, SnpGuest, SoftSnp
from marbleops.attestation.snp.appraisal import SnpReferenceValues, appraise_snp
from marbleops.attestation.snp.policy import SnpPolicy
from marbleops.attestation.snp.report import PlatformInfo
from marbleops.attestation.snp.verify import verify_snp
from marbleops.attestation.verdict import Code, TdReport

AT = datetime(2026, 6, 1, tzinfo=UTC)
MACHINE = SoftSnp(seed=b"appraise".ljust(32, b"."))
GUEST = SnpGuest(
    measurement=b"\1" * 48,
    guest_svn=3,
    host_data=b"\2" * 32,
    id_key_digest=b"\3" * 48,
    author_key_digest=b"\4" * 48,
    image_id=b"\5" * 16,
)
DATA = b"\7" * 32
VERDICT = verify_snp(
    MACHINE.report(GUEST, DATA), MACHINE.endorsements(at=AT), anchors=MACHINE.anchors(), at=AT
)
WANTED = SnpReferenceValues(
    measurement=GUEST.measurement,
    host_data=GUEST.host_data,
    id_key_digest=GUEST.id_key_digest,
    author_key_digest=GUEST.author_key_digest,
    family_id=GUEST.family_id,
    image_id=GUEST.image_id,
    guest_svn=3,
    chip_ids=frozenset({MACHINE.chip_id}),
    required_platform_info=PlatformInfo.SMT | PlatformInfo.ALIAS_CHECK_COMPLETE,
    policy=SnpPolicy(vmpls=frozenset({0}), minimum_reported_tcb=DEFAULT_TCB),
)


def test_the_wanted_guest_is_accepted() -> None:
    """With everything pinned, and with as little as says which software runs."""
    assert appraise_snp(VERDICT, WANTED, report_data=DATA).accepted
    assert appraise_snp(VERDICT, WANTED, report_data=DATA.ljust(64, b"\0")).accepted
    for enough in (
        SnpReferenceValues(measurement=GUEST.measurement),
        SnpReferenceValues(id_key_digest=GUEST.id_key_digest, guest_svn=2),
    ):
        assert appraise_snp(VERDICT, enough, report_data=DATA).accepted


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"measurement": bytes(48)}, "measurement: reference values ask for 00"),
        ({"host_data": bytes(32)}, "host_data"),
        ({"id_key_digest": bytes(48)}, "id_key_digest"),
        ({"author_key_digest": bytes(48)}, "author_key_digest"),
        ({"family_id": bytes(16)}, "family_id"),
        ({"image_id": bytes(16)}, "image_id"),
        ({"guest_svn": 4}, "guest_svn: reference values ask for at least 4, the guest has 3"),
        ({"debug": True}, "Debug"),
        ({"chip_ids": frozenset({bytes(64)})}, "chip_id"),
        (
            {"required_platform_info": PlatformInfo.CIPHERTEXT_HIDING},
            "platform_info: reference values ask for CIPHERTEXT_HIDING, the guest has SMT, ECC, ALIAS_CHECK",
        ),
        ({"policy": SnpPolicy(allow_smt=False)}, "SMT"),
        ({"policy": SnpPolicy(minimum_launch_tcb=replace(DEFAULT_TCB, microcode=255))}, "Launch TCB"),
        (
            {"measurement": None, "id_key_digest": None},
            "must pin measurement, or id_key_digest with guest_svn",
        ),
        ({"measurement": None, "guest_svn": None}, "must pin"),
    ],
)
def test_each_difference_is_named(change: dict[str, object], words: str) -> None:
    """Only that one, in words with both sides."""
    appraisal = appraise_snp(VERDICT, replace(WANTED, **change), report_data=DATA)  # type: ignore[arg-type]

    assert not appraisal.accepted
    assert words in appraisal.reason
    assert ";" not in appraisal.reason


def test_the_report_data_must_be_all_of_it() -> None:
    """Another key, or anything behind it, is refused; so is a verdict that is not OK."""
    assert "Report data" in appraise_snp(VERDICT, WANTED, report_data=bytes(32)).reason
    assert "Report data" in appraise_snp(VERDICT, WANTED, report_data=DATA + b"\1" * 32).reason
    refused = replace(VERDICT, code=Code.DEBUG_ENCLAVE, detail="it is for debugging")
    assert "Evidence: DEBUG_ENCLAVE" in appraise_snp(refused, WANTED, report_data=DATA).reason
    assert appraise_snp(replace(VERDICT, report=None), WANTED, report_data=DATA).checks[1:] == ()
    with pytest.raises(ValueError, match="32 or 64"):
        appraise_snp(VERDICT, WANTED, report_data=b"")


def test_another_kind_of_environment_is_refused() -> None:
    """A trust domain is no guest."""
    nothing = bytes(48)
    domain = TdReport(
        tee_tcb_svn=bytes(16),
        mr_seam=nothing,
        mr_signer_seam=nothing,
        seam_attributes=bytes(8),
        td_attributes=bytes(8),
        xfam=bytes(8),
        mr_td=nothing,
        mr_config_id=nothing,
        mr_owner=nothing,
        mr_owner_config=nothing,
        rtmrs=(nothing,) * 4,
        report_data=DATA.ljust(64, b"\0"),
        debug=False,
    )
    appraisal = appraise_snp(replace(VERDICT, report=domain), WANTED, report_data=DATA)

    assert "asks for snp" in appraisal.reason or "ask for snp" in appraisal.reason


def test_values_have_their_sizes() -> None:
    """A mistake of the manifest is found when it is read."""
    with pytest.raises(ValueError, match="measurement is 48 bytes, not 3"):
        SnpReferenceValues(measurement=b"abc")
    with pytest.raises(ValueError, match="chip identity"):
        SnpReferenceValues(chip_ids=frozenset({b"abc"}))
