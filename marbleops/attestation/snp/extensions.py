"""What a VCEK or VLEK certificate says about its key: product line, firmware versions, chip (AMD 57230, 3.1).

Extensions are identified below 1.3.6.1.4.1.3704.1, each value is strict DER of its type, and those a
certificate of its kind must have are there. Any other extension below that number is refused: a member not
understood might limit what the key stands for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from marbleops.attestation import der
from marbleops.attestation.snp.report import ProductLine, SigningKey, SnpTcb

if TYPE_CHECKING:
    from marbleops.attestation.snp.certificate import Certificate

PREFIX: Final = bytes.fromhex("2b060104019c7801")  # 1.3.6.1.4.1.3704.1
STRUCTURE_VERSION: Final = PREFIX + b"\1"
PRODUCT_NAME: Final = PREFIX + b"\2"
SPL: Final = PREFIX + b"\3"  # security patch levels, one below it for each part of the firmware
HARDWARE_ID: Final = PREFIX + b"\4"
CSP_ID: Final = PREFIX + b"\5"
BOOTLOADER, TEE, SNP, MICROCODE, FMC = (SPL + bytes([number]) for number in (1, 2, 3, 8, 9))
SPARES: Final = tuple(SPL + bytes([number]) for number in range(4, 8))
_KNOWN = {STRUCTURE_VERSION, PRODUCT_NAME, BOOTLOADER, TEE, SNP, MICROCODE, FMC, *SPARES, HARDWARE_ID, CSP_ID}
_HARDWARE_ID_BYTES = {ProductLine.MILAN: 64, ProductLine.GENOA: 64, ProductLine.TURIN: 8}
_MAX_CSP_ID = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDescription:
    """The platform that a report key belongs to: a chip for a VCEK, a cloud provider for a VLEK."""

    line: ProductLine
    tcb: SnpTcb
    hardware_id: bytes | None
    csp_id: str | None


def describe_key(certificate: Certificate, kind: SigningKey) -> KeyDescription:
    """Read the extensions of a certificate of that kind; raises ``der.DerError``."""
    values = {one.oid: one.value for one in certificate.extensions if one.oid.startswith(PREFIX)}
    if strange := set(values) - _KNOWN:
        raise der.DerError(f"extension {min(strange).hex()} below AMD's number is not known")
    if (version := _number(values, STRUCTURE_VERSION, "structure version")) > 1:
        raise der.DerError(f"structure version {version} is neither 0 nor Turin's 1")
    line = _product_line(_ia5(_value(values, PRODUCT_NAME, "product name")))
    for number, oid in enumerate(SPARES, start=4):
        if oid in values:
            _number(values, oid, f"spare patch level {number}")
    vcek = kind is SigningKey.VCEK
    if (HARDWARE_ID in values) != vcek or (CSP_ID in values) == vcek:
        raise der.DerError("a VCEK names a chip and no provider, a VLEK a provider and no chip")
    return KeyDescription(
        line=line,
        tcb=_tcb(values, turin=line is ProductLine.TURIN),
        hardware_id=_hardware_id(values[HARDWARE_ID], _HARDWARE_ID_BYTES[line]) if vcek else None,
        csp_id=None if vcek else _ia5(values[CSP_ID]),
    )


def _tcb(values: dict[bytes, bytes], *, turin: bool) -> SnpTcb:
    if (FMC in values) != turin:
        raise der.DerError("FMC has a patch level on Turin, and only there")
    return SnpTcb(
        bootloader=_number(values, BOOTLOADER, "boot loader"),
        tee=_number(values, TEE, "TEE"),
        snp=_number(values, SNP, "SNP"),
        microcode=_number(values, MICROCODE, "microcode"),
        fmc=_number(values, FMC, "FMC") if turin else None,
    )


def _product_line(name: str) -> ProductLine:
    # "Milan-B0" in a VCEK, "Milan" in a VLEK and in newer VCEKs: the stepping says nothing about the chain.
    try:
        return ProductLine(name.partition("-")[0])
    except ValueError as error:
        raise der.DerError(f"product {name!r} is none of {', '.join(ProductLine)}") from error


def _hardware_id(value: bytes, size: int) -> bytes:
    # Older certificates hold the bare bytes, newer ones an OCTET STRING of them; the length tells which.
    if len(value) == size:
        return value
    content = der.read_one(value, der.OCTET_STRING)
    if len(content) != size:
        raise der.DerError(f"hardware identity has {len(content)} bytes, expected {size}")
    return content


def _number(values: dict[bytes, bytes], oid: bytes, name: str) -> int:
    number = der.unsigned(der.Element(der.INTEGER, der.read_one(_value(values, oid, name), der.INTEGER)))
    if number > 0xFF:
        raise der.DerError(f"{name} {number} does not fit in a byte")
    return number


def _ia5(value: bytes) -> str:
    content = der.read_one(value, der.IA5_STRING)
    if not content.isascii() or len(content) > _MAX_CSP_ID:
        raise der.DerError("a name is not short ASCII")
    return content.decode("ascii")


def _value(values: dict[bytes, bytes], oid: bytes, name: str) -> bytes:
    if oid not in values:
        raise der.DerError(f"extension {name} is missing")
    return values[oid]
