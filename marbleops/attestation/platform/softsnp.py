"""SEV-SNP reports and certificates of a simulated machine (attestation.md 5.2, 5.4).

They go through the verifier unchanged, under simulation's anchor for AMD (``softark``). The chip and its
report keys come from the machine's seed; reports of equal content are equal to the byte.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from marbleops.attestation.anchors import Anchors
from marbleops.attestation.platform import softark
from marbleops.attestation.platform.softpki import derive
from marbleops.attestation.snp.endorsements import SnpEndorsements
from marbleops.attestation.snp.extensions import KeyDescription
from marbleops.attestation.snp.report import REPORT_BYTES, SIGNED_BYTES, ProductLine, SigningKey, SnpTcb

_AUTHORITY_OF: Final = {SigningKey.VCEK: softark.ASK, SigningKey.VLEK: softark.ASVK}
_ORDER = int(  # of P-384 (FIPS 186)
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16
)
_CPUID: Final = {
    ProductLine.MILAN: (0x19, 1, 1),
    ProductLine.GENOA: (0x19, 0x11, 1),
    ProductLine.TURIN: (0x1A, 2, 1),
}
DEFAULT_TCB: Final = SnpTcb(bootloader=4, tee=0, snp=24, microcode=219)
_PROVIDER = "CN=insecure-software-tee.invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnpGuest:
    """A guest as its report describes it. Raises ``ValueError`` for a measurement that is not 48 bytes."""

    measurement: bytes
    version: int = 3
    guest_svn: int = 0
    policy: int = 0x3_001F  # ABI 0.31, SMT; bit 17 is always one
    vmpl: int = 0
    signing_key: SigningKey = SigningKey.VCEK
    masked: bool = False
    host_data: bytes = bytes(32)
    id_key_digest: bytes = bytes(48)
    author_key_digest: bytes | None = None
    family_id: bytes = b"INSECURE-SOFTTEE"
    image_id: bytes = bytes(16)

    def __post_init__(self) -> None:
        if len(self.measurement) != 48:
            raise ValueError(f"a measurement is 48 bytes, not {len(self.measurement)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftSnp:
    """A simulated machine of one product line, whose chip and report keys come from its seed."""

    seed: bytes = field(repr=False)
    line: ProductLine = ProductLine.MILAN
    tcb: SnpTcb = DEFAULT_TCB
    created: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    life: timedelta = timedelta(days=7 * 365)

    @property
    def chip_id(self) -> bytes:
        """Return the machine's identity: 64 bytes, of which Turin uses 8."""
        size = 8 if self.line is ProductLine.TURIN else 64
        return derive(self.seed, "SNP chip", size).ljust(64, b"\0")

    def anchors(self) -> Anchors:
        """Return the anchor under which this machine's reports verify."""
        return Anchors.simulation(softark.authority(softark.ARK, self.line))

    def report(self, guest: SnpGuest, report_data: bytes) -> bytes:
        """Return the report of ``guest`` over at most 64 bytes; equal arguments give equal bytes."""
        body = bytearray(_lay_out(self, guest, report_data))
        key = _ec_key(self.seed, guest.signing_key)
        signature = key.sign(
            bytes(body[:SIGNED_BYTES]), ec.ECDSA(hashes.SHA384(), deterministic_signing=True)
        )
        for index, number in enumerate(decode_dss_signature(signature)):
            at = SIGNED_BYTES + index * 72
            body[at : at + 72] = number.to_bytes(72, "little")
        return bytes(body)

    def files(
        self, *, at: datetime, kind: SigningKey = SigningKey.VCEK, revoked: tuple[str, ...] = ()
    ) -> dict[str, bytes]:
        """Return certificates and a revocation list current ``at``, under the names KDS users give them.

        ``revoked`` names authorities: ASK, ASVK.
        """
        authority = _AUTHORITY_OF[kind]
        return {
            f"{kind.lower()}.der": self.leaf(kind),
            f"{authority.lower()}.der": softark.authority(authority, self.line),
            "ark.der": softark.authority(softark.ARK, self.line),
            "crl.der": softark.revocation_list(self.line, at, revoked),
        }

    def endorsements(
        self, *, at: datetime, kind: SigningKey = SigningKey.VCEK, revoked: tuple[str, ...] = ()
    ) -> SnpEndorsements:
        """Return what ``files`` holds, parsed."""
        return SnpEndorsements.from_files(self.files(at=at, kind=kind, revoked=revoked))

    def leaf(self, kind: SigningKey) -> bytes:
        """Return the certificate of the machine's report key, with AMD's extensions and serial number 0."""
        return _leaf(self, kind)

    def describe(self, kind: SigningKey) -> KeyDescription:
        """Return what the certificate of that key says."""
        vcek = kind is SigningKey.VCEK
        size = 8 if self.line is ProductLine.TURIN else 64
        return KeyDescription(
            line=self.line,
            tcb=self.tcb,
            hardware_id=self.chip_id[:size] if vcek else None,
            csp_id=None if vcek else _PROVIDER,
        )


def _lay_out(machine: SoftSnp, guest: SnpGuest, report_data: bytes) -> bytes:
    """Return an unsigned report (1.4). Every TCB is the machine's."""
    tcb = _encode_tcb(machine.tcb)
    author = guest.author_key_digest
    kind = 1 if guest.signing_key is SigningKey.VLEK else 0
    members: list[tuple[int, bytes]] = [
        (0x00, guest.version.to_bytes(4, "little") + guest.guest_svn.to_bytes(4, "little")),
        (0x08, guest.policy.to_bytes(8, "little")),
        (0x10, guest.family_id + guest.image_id),
        (0x30, guest.vmpl.to_bytes(4, "little") + b"\1"),
        (0x38, tcb),
        (0x40, b"\x25"),  # SMT, ECC, alias check
        (0x48, bytes([(author is not None) | guest.masked << 1 | kind << 2])),
        (0x50, report_data.ljust(64, b"\0")),
        (0x90, guest.measurement + guest.host_data + guest.id_key_digest + (author or bytes(48))),
        (0x140, derive(machine.seed, "SNP report id") + b"\xff" * 32),
        (0x180, tcb),
        (0x1A0, bytes(64) if guest.masked else machine.chip_id),
        (0x1E0, tcb + bytes([1, 55, 1, 0, 1, 55, 1, 0]) + tcb),
    ]
    if guest.version >= 3:
        members.append((0x188, bytes(_CPUID[machine.line])))
    if guest.version >= 5:
        members.append((0x1F8, b"\3".ljust(8, b"\0") + b"\7".ljust(8, b"\0")))
    body = bytearray(REPORT_BYTES)
    for offset, content in members:
        body[offset : offset + len(content)] = content
    return bytes(body)


def _encode_tcb(tcb: SnpTcb) -> bytes:
    if tcb.fmc is not None:
        return bytes([tcb.fmc, tcb.bootloader, tcb.tee, tcb.snp, 0, 0, 0, tcb.microcode])
    return bytes([tcb.bootloader, tcb.tee, 0, 0, 0, 0, tcb.snp, tcb.microcode])


def _ec_key(seed: bytes, kind: SigningKey) -> ec.EllipticCurvePrivateKey:
    number = int.from_bytes(derive(seed, f"SNP key {kind}", 64), "big") % (_ORDER - 1) + 1
    return ec.derive_private_key(number, ec.SECP384R1())


@lru_cache(maxsize=8)
def _leaf(machine: SoftSnp, kind: SigningKey) -> bytes:
    return softark.issue(
        serial=0,
        issuer=_AUTHORITY_OF[kind],
        line=machine.line,
        subject=f"SEV-{kind}",
        key=_ec_key(machine.seed, kind).public_key(),
        validity=(machine.created, machine.created + machine.life),
        members=softark.key_members(machine.describe(kind)),
    )
