"""A verdict on an SEV-SNP report: every way to be wrong has its code, and only what was signed passes."""

from __future__ import annotations

import ast
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

import marbleops.attestation.snp
from marbleops.attestation import der
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.cache import BoundedMemo
from marbleops.attestation.collateral import CollateralError
from marbleops.attestation.platform import softark
from marbleops.attestation.platform.softsnp import DEFAULT_TCB, SnpGuest, SoftSnp
from marbleops.attestation.snp import extensions
from marbleops.attestation.snp.certificate import ec_key, parse_certificate, rsa_key
from marbleops.attestation.snp.endorsements import SnpEndorsements
from marbleops.attestation.snp.policy import SnpPolicy
from marbleops.attestation.snp.report import SIGNED_BYTES, GuestPolicy, ProductLine, SigningKey, SnpTcb
from marbleops.attestation.snp.verify import recognises, verify_snp
from marbleops.attestation.verdict import Code, Verdict

if TYPE_CHECKING:
    from marbleops.attestation.snp.extensions import KeyDescription

AT = datetime(2026, 6, 1, tzinfo=UTC)
MACHINE = SoftSnp(seed=b"verify".ljust(32, b"."))
TURIN = SoftSnp(
    seed=b"turin".ljust(32, b"."),
    line=ProductLine.TURIN,
    tcb=SnpTcb(bootloader=1, tee=0, snp=3, microcode=75, fmc=1),
)
GUEST = SnpGuest(measurement=b"\x11" * 48, guest_svn=3, author_key_digest=b"\x22" * 48)
REPORT = MACHINE.report(GUEST, b"key")
FILES = MACHINE.files(at=AT)
ANCHORS = MACHINE.anchors()
SMT = 0x2_001F | GuestPolicy.SMT


def verify(
    report: bytes = REPORT,
    files: dict[str, bytes] = FILES,
    *,
    anchors: Anchors = ANCHORS,
    at: datetime = AT,
    policy: SnpPolicy = SnpPolicy(),  # noqa: B008
) -> Verdict:
    return verify_snp(report, SnpEndorsements.from_files(files), anchors=anchors, at=at, policy=policy)


def of(**values: object) -> bytes:
    """Return the report of the guest with other values."""
    return MACHINE.report(replace(GUEST, **values), b"key")  # type: ignore[arg-type]


def with_leaf(
    members: tuple[bytes, ...] | None = None,
    *,
    subject: str = "SEV-VCEK",
    key: ec.EllipticCurvePublicKey | None = None,
    **described: object,
) -> dict[str, bytes]:
    """Return the files with another VCEK certificate, issued by the same ASK."""
    original = parse_certificate(MACHINE.leaf(SigningKey.VCEK))
    description: KeyDescription = replace(MACHINE.describe(SigningKey.VCEK), **described)  # type: ignore[arg-type]
    leaf = softark.issue(
        serial=0,
        issuer=softark.ASK,
        line=ProductLine.MILAN,
        subject=subject,
        key=key or ec_key(original),
        validity=(original.not_before, original.not_after),
        members=members or softark.key_members(description),
    )
    return {**FILES, "vcek.der": leaf}


@pytest.mark.parametrize(
    ("machine", "kind", "version"),
    [
        (MACHINE, SigningKey.VCEK, 2),
        (MACHINE, SigningKey.VLEK, 3),
        (TURIN, SigningKey.VCEK, 2),
        (TURIN, SigningKey.VCEK, 5),
        (TURIN, SigningKey.VLEK, 4),
    ],
)
def test_a_good_report_verifies(machine: SoftSnp, kind: SigningKey, version: int) -> None:
    """Of every version, by either key, of either layout; and the verdict lists what was checked, in order."""
    report = machine.report(replace(GUEST, version=version, signing_key=kind), b"key")
    verdict = verify(report, machine.files(at=AT, kind=kind), anchors=machine.anchors())

    assert (verdict.code, verdict.status, verdict.trust_domain) == (Code.OK, None, "insecure-simulation")
    assert all(check.ok for check in verdict.checks)
    names = [check.name for check in verdict.checks]
    landmarks = [
        "Evidence",
        f"{kind} certificate chain root key",
        f"{kind} certificate chain[0] subject",
        f"{kind} certificate chain[2] validity",
        "ARK CRL next update",
        "TCB of the key",
        "Report signature",
        "Guest SVN",
    ]
    assert [name for name in names if name in landmarks] == landmarks


def test_a_masked_chip_is_not_compared() -> None:
    """Where the chip key is masked the report hides the chip; without the bit, zeros are not this chip."""
    assert verify(of(masked=True)).accepted
    hidden = bytearray(of(masked=True))
    hidden[0x48] &= ~2
    assert verify(bytes(hidden)).code is Code.SNP_CHIP_ID


OTHER = SoftSnp(seed=b"other".ljust(32, b"."))
OLDER = replace(DEFAULT_TCB, microcode=1)


@pytest.mark.parametrize(
    ("report", "files", "code"),
    [
        (REPORT[:100] + b"\1" + REPORT[101:], FILES, Code.QUOTE_SIGNATURE),
        (REPORT[:0x2A0] + bytes(144) + REPORT[0x330:], FILES, Code.QUOTE_SIGNATURE),
        (REPORT, {**FILES, "vcek.der": OTHER.leaf(SigningKey.VCEK)}, Code.SNP_CHIP_ID),
        (
            REPORT,
            {**FILES, "vcek.der": replace(MACHINE, tcb=OLDER).leaf(SigningKey.VCEK)},
            Code.SNP_TCB_MISMATCH,
        ),
        (REPORT, MACHINE.files(at=AT, revoked=("ASK",)), Code.CERT_REVOKED),
        (REPORT, MACHINE.files(at=AT + timedelta(days=1)), Code.CRL_NOT_YET_VALID),
        (REPORT, MACHINE.files(at=AT - timedelta(days=91)), Code.CRL_EXPIRED),
        (REPORT, {**FILES, "crl.der": FILES["crl.der"][:-1] + b"\0"}, Code.CRL_SIGNATURE),
        (REPORT, {**FILES, "crl.der": TURIN.files(at=AT)["crl.der"]}, Code.CRL_MISSING),
        (REPORT, {**FILES, "vcek.der": FILES["vcek.der"][:-1] + b"\0"}, Code.CERT_SIGNATURE),
        (REPORT, {**FILES, "ark.der": FILES["ark.der"][:-1] + b"\0"}, Code.CERT_SIGNATURE),
        (REPORT, {**FILES, "ask.der": TURIN.files(at=AT)["ask.der"]}, Code.CHAIN_LENGTH),
        (REPORT, {"crl.der": FILES["crl.der"]}, Code.CHAIN_LENGTH),
        (of(signing_key=SigningKey.VLEK), FILES, Code.CHAIN_LENGTH),
        (REPORT[:0x48] + b"\x1d" + REPORT[0x49:], FILES, Code.SNP_SIGNING_KEY),
        (REPORT, with_leaf(softark.key_members(MACHINE.describe(SigningKey.VLEK))), Code.SNP_CERT_EXTENSION),
        (REPORT, with_leaf(line=ProductLine.GENOA), Code.SNP_PRODUCT),
        (REPORT[:0x188] + b"\x19\x11" + REPORT[0x18A:], FILES, Code.SNP_PRODUCT),
        (REPORT[:0x188] + b"\x1a\x55" + REPORT[0x18A:], FILES, Code.SNP_RESERVED),  # another layout
        (of(policy=SMT | GuestPolicy.DEBUG), FILES, Code.DEBUG_ENCLAVE),
        (of(policy=SMT | GuestPolicy.MIGRATE_MA), FILES, Code.SNP_MIGRATION),
        (of(vmpl=0xFFFFFFFF), FILES, Code.SNP_VMPL),
    ],
)
def test_every_way_to_be_wrong_has_its_code(report: bytes, files: dict[str, bytes], code: Code) -> None:
    """The last check is the failed one, and the detail says what was expected and found."""
    verdict = verify(report, files)

    assert verdict.code is code
    assert not verdict.checks[-1].ok
    assert verdict.checks[-1].expected in verdict.detail


CA = softark.extension("551d13", bytes.fromhex("30030101ff"), critical=True)
MEMBERS = softark.key_members(MACHINE.describe(SigningKey.VCEK))


def of_amd(oid: bytes, value: bytes) -> tuple[bytes, ...]:
    """Return AMD's extensions with another value for one."""
    name = der.encode(der.OBJECT_IDENTIFIER, oid)
    kept = (one for one in MEMBERS if name not in one)
    return (*kept, softark.extension(oid.hex(), value))


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (with_leaf((*MEMBERS, CA)), Code.CERT_CA_AS_LEAF),
        (with_leaf((*MEMBERS, softark.extension("551d24", b"", critical=True))), Code.CERT_CONSTRAINTS),
        (with_leaf(key=ec.derive_private_key(5, ec.SECP256R1()).public_key()), Code.CERT_FORMAT),
        (with_leaf(key=ec.derive_private_key(5, ec.SECP384R1()).public_key()), Code.QUOTE_SIGNATURE),
        (with_leaf(MEMBERS[1:]), Code.SNP_CERT_EXTENSION),
        (
            with_leaf((*MEMBERS, softark.extension((extensions.PREFIX + b"\7").hex(), b""))),
            Code.SNP_CERT_EXTENSION,
        ),
        (with_leaf(hardware_id=der.encode(der.OCTET_STRING, MACHINE.chip_id)), Code.OK),
        (with_leaf(hardware_id=MACHINE.chip_id[:8]), Code.SNP_CERT_EXTENSION),
        (with_leaf(tcb=replace(DEFAULT_TCB, snp=256)), Code.SNP_CERT_EXTENSION),
        (with_leaf((*MEMBERS, softark.extension(extensions.SPARES[0].hex(), b"\2\1\7"))), Code.OK),
        (with_leaf(of_amd(extensions.STRUCTURE_VERSION, b"\2\1\2")), Code.SNP_CERT_EXTENSION),
        (with_leaf(of_amd(extensions.PRODUCT_NAME, b"\x16\6Naples")), Code.SNP_CERT_EXTENSION),
        (with_leaf(of_amd(extensions.PRODUCT_NAME, b"\x16\5Mil\xffn")), Code.SNP_CERT_EXTENSION),
        (with_leaf(of_amd(extensions.PRODUCT_NAME, b"\x16\x08Milan-B1")), Code.OK),
        (with_leaf(of_amd(extensions.HARDWARE_ID, b"\4\1\0")), Code.SNP_CERT_EXTENSION),
        (with_leaf(tcb=replace(DEFAULT_TCB, fmc=1)), Code.SNP_CERT_EXTENSION),
    ],
)
def test_a_certificate_says_exactly_what_its_kind_must(files: dict[str, bytes], code: Code) -> None:
    """Issued by the right authority, and still refused."""
    assert verify(files=files).code is code


def test_an_asvk_does_not_vouch_for_a_chip() -> None:
    """A certificate called SEV-VCEK by the authority of VLEKs is refused by name."""
    key = ec.derive_private_key(5, ec.SECP384R1()).public_key()
    leaf = softark.issue(
        serial=0,
        issuer=softark.ASVK,
        line=ProductLine.MILAN,
        subject="SEV-VCEK",
        key=key,
        validity=(AT, AT),
        members=MEMBERS,
    )
    files = {**MACHINE.files(at=AT, kind=SigningKey.VLEK), "vcek.der": leaf}

    assert verify(files=files).code is Code.CERT_NAME


def authority_with(*, key: object, subject: str = "SEV-Milan", members: tuple[bytes, ...] = ()) -> bytes:
    """Return a certificate for an authority, issued by the root."""
    return softark.issue(
        serial=9,
        issuer=softark.ARK,
        line=ProductLine.MILAN,
        subject=subject,
        key=key,  # type: ignore[arg-type]
        validity=(AT, AT),
        members=members,
    )


ARK_KEY, ASK_KEY = (rsa_key(parse_certificate(FILES[name])) for name in ("ark.der", "ask.der"))
EC_KEY = ec.derive_private_key(5, ec.SECP384R1()).public_key()
NO_PATH = softark.extension("551d13", bytes.fromhex("3003010100"), critical=True)
LONG = softark.extension("551d13", bytes.fromhex("30090101ff020100020100"), critical=True)
SIGNS = softark.extension("551d0f", bytes.fromhex("03020204"), critical=True)


@pytest.mark.parametrize(
    ("authority", "code"),
    [
        (authority_with(key=EC_KEY), Code.CERT_FORMAT),
        (authority_with(key=ASK_KEY), Code.CERT_CONSTRAINTS),
        (authority_with(key=ASK_KEY, members=(SIGNS,)), Code.CERT_CONSTRAINTS),
        (authority_with(key=ASK_KEY, members=(CA,)), Code.CERT_CONSTRAINTS),
        (authority_with(key=ASK_KEY, members=(NO_PATH, SIGNS)), Code.CERT_CONSTRAINTS),
        (authority_with(key=ASK_KEY, members=(LONG, SIGNS)), Code.CERT_FORMAT),
        (authority_with(key=ASK_KEY, members=(CA, SIGNS)), Code.OK),
    ],
)
def test_an_authority_is_one(authority: bytes, code: Code) -> None:
    """With a key of its kind, basic constraints and a key usage; its name alone is not enough."""
    verdict = verify(files={**FILES, "ask.der": authority}, at=AT)

    assert verdict.code is code, verdict.detail


def test_the_certificates_that_fit_are_found_among_others() -> None:
    """Of other chips, kinds, product lines and makers, whatever they are called."""
    strangers = {
        "0": OTHER.leaf(SigningKey.VCEK),
        "1": with_leaf(MEMBERS[1:])["vcek.der"],
        "2": authority_with(key=EC_KEY),
        "3": authority_with(
            key=rsa_key(SnpEndorsements.from_files({"ark": FILES["ark.der"]}).certificates[0])
        ),
        **{f"turin {name}": content for name, content in TURIN.files(at=AT, kind=SigningKey.VLEK).items()},
    }

    assert verify(files={**strangers, **FILES}).accepted


def test_roots_and_times_are_the_callers() -> None:
    """AMD's anchors know no simulation; certificates expire; a time needs a zone."""
    assert verify(anchors=Anchors.amd()).code is Code.CHAIN_UNTRUSTED_ROOT
    assert verify(at=AT + timedelta(days=8 * 365)).code is Code.CERT_EXPIRED
    with pytest.raises(ValueError, match="zone"):
        verify(at=AT.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (SnpPolicy(allow_smt=False), Code.SNP_SMT),
        (SnpPolicy(vmpls=frozenset({1})), Code.SNP_VMPL),
        (SnpPolicy(minimum_reported_tcb=replace(DEFAULT_TCB, microcode=220)), Code.SNP_TCB_TOO_LOW),
        (SnpPolicy(minimum_committed_tcb=replace(DEFAULT_TCB, snp=25)), Code.SNP_TCB_TOO_LOW),
        (SnpPolicy(minimum_launch_tcb=replace(DEFAULT_TCB, bootloader=5)), Code.SNP_TCB_TOO_LOW),
        (SnpPolicy(minimum_guest_svn=4), Code.SNP_GUEST_SVN),
        (SnpPolicy(author_key_digests=frozenset({bytes(48)})), Code.SNP_AUTHOR_KEY),
        (SnpPolicy(author_key_digests=frozenset({b"\x22" * 48}), minimum_reported_tcb=DEFAULT_TCB), Code.OK),
    ],
)
def test_the_policy_decides_after_the_signature(policy: SnpPolicy, code: Code) -> None:
    """Each of its members has a code; a report that was not signed never gets that far."""
    assert verify(policy=policy).code is code
    assert verify(REPORT[:100] + b"\1" + REPORT[101:], policy=policy).code is Code.QUOTE_SIGNATURE


def test_what_is_allowed_verifies() -> None:
    """Debug, migration, and the lack of a revocation list, which the verdict then says."""
    loose = SnpPolicy(allow_debug=True, allow_migration=True, require_crl=False)
    files = {name: content for name, content in FILES.items() if name != "crl.der"}
    verdict = verify(of(policy=SMT | GuestPolicy.DEBUG | GuestPolicy.MIGRATE_MA), files, policy=loose)

    assert verdict.accepted
    assert verdict.report is not None
    assert verdict.report.debug
    assert verdict.not_checked == ("revocation: there is no revocation list",)


def test_memory_changes_no_verdict() -> None:
    """With parts remembered the checks are the same, and a revoked authority is still found."""
    memo = BoundedMemo(16)
    good, revoked = SnpEndorsements.from_files(FILES), MACHINE.endorsements(at=AT, revoked=("ASK",))
    first, second = (verify_snp(REPORT, good, anchors=ANCHORS, at=AT, memo=memo) for _ in range(2))

    assert first == second == verify()
    assert verify_snp(REPORT, revoked, anchors=ANCHORS, at=AT, memo=memo).code is Code.CERT_REVOKED


GOOD = SnpEndorsements.from_files(FILES)
MEMO = BoundedMemo(16)


@settings(max_examples=20, deadline=None)
@given(bit=st.integers(0, SIGNED_BYTES * 8 - 1))
def test_flipping_any_signed_bit_flips_the_verdict(bit: int) -> None:
    """Whatever the bit means."""
    flipped = bytearray(REPORT)
    flipped[bit // 8] ^= 1 << bit % 8

    assert not verify_snp(bytes(flipped), GOOD, anchors=ANCHORS, at=AT, memo=MEMO).accepted


@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from(sorted(FILES)), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_flipping_any_bit_of_a_certificate_flips_the_verdict(name: str, place: float, bit: int) -> None:
    """Of any of the three, and of the revocation list, signatures and all."""
    flipped = bytearray(FILES[name])
    flipped[int(place * len(flipped))] ^= 1 << bit
    try:
        endorsements = SnpEndorsements.from_files({**FILES, name: bytes(flipped)})
    except CollateralError:
        return

    assert not verify_snp(REPORT, endorsements, anchors=ANCHORS, at=AT, memo=MEMO).accepted


def test_it_knows_its_evidence() -> None:
    """Reports and what Azure wraps them in; nothing else."""
    assert recognises(REPORT)
    assert recognises(b"HCLA" + bytes(28) + REPORT)
    assert not recognises(b"\3\0\2\0" + bytes(4000))


def test_nothing_depends_on_how_cryptography_reads_certificates() -> None:
    """It announces to refuse the serial number 0, which AMD's certificates have."""
    folder = Path(marbleops.attestation.snp.__file__).parent
    for path in folder.glob("*.py"):
        imported = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
        ]
        names = {f"{node.module}.{alias.name}" for node in imported for alias in node.names}
        assert not {name for name in names if name.startswith("cryptography.x509")}, path.name
