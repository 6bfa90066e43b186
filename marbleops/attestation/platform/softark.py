"""AMD's part of a simulated SEV-SNP machine: authorities, certificates of report keys, revocation lists.

Every name says INSECURE and the anchor is one of simulation's (attestation.md 5.1, 5.2). The RSA keys are the
same for everybody and derived from public text: making RSA-4096 keys takes seconds, and nobody can take these
for a secret. Equal arguments give equal certificates but for the random salt of RSASSA-PSS.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from marbleops.attestation import der
from marbleops.attestation.anchors import SIMULATION_ORGANIZATION
from marbleops.attestation.platform.softpki import derive
from marbleops.attestation.snp import extensions
from marbleops.attestation.snp.certificate import SIGNATURE_ALGORITHM
from marbleops.attestation.snp.chain import SIMULATION_PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from marbleops.attestation.snp.extensions import KeyDescription
    from marbleops.attestation.snp.report import ProductLine

ARK: Final = "ARK"
ASK: Final = "ASK"
ASVK: Final = "ASVK"
INSECURE_PUBLIC_SEED: Final = b"INSECURE public SNP fixture"
# What to add to two numbers derived from the public seed to make them prime, for each authority.
_INSECURE_PRIMES: Final = {ARK: (178, 930), ASK: (1408, 454), ASVK: (176, 388)}
_SERIALS: Final = {ARK: 0x1000001, ASK: 0x1000002, ASVK: 0x1000003}
_BEGIN: Final = datetime(2020, 1, 1, tzinfo=UTC)
_END: Final = datetime(2049, 12, 31, tzinfo=UTC)
_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA384()), salt_length=48)
_NAME_MEMBERS = (("55040b", "Engineering"), ("550407", "Nowhere"), ("55040a", SIMULATION_ORGANIZATION))


@lru_cache(maxsize=9)
def authority(which: str, line: ProductLine) -> bytes:
    """Return the certificate of the ARK, ASK or ASVK of a product line."""
    root = which == ARK
    # RFC 5280: a CA, with no other below it but for the root; keyCertSign, and cRLSign for the root.
    constraints = _seq(_der(der.BOOLEAN, b"\xff"), b"" if root else _integer(0))
    usage = _der(der.BIT_STRING, b"\1\x06" if root else b"\2\x04")
    return issue(
        serial=_SERIALS[which],
        issuer=ARK,
        line=line,
        subject=_name_of(which, line),
        key=_rsa_key(which).public_key(),
        validity=(_BEGIN, _END),
        members=(extension("551d13", constraints, critical=True), extension("551d0f", usage, critical=True)),
    )


def revocation_list(line: ProductLine, at: datetime, revoked: Sequence[str] = ()) -> bytes:
    """Return the list of a product line's root, current ``at``, that revokes these authorities."""
    begin = at - timedelta(hours=1)
    entries = [_seq(_integer(_SERIALS[which]), _time(begin)) for which in revoked]
    number = extension("551d14", _integer(int(at.timestamp())))
    tbs = _seq(
        _integer(1),
        SIGNATURE_ALGORITHM,
        _name(_name_of(ARK, line)),
        _time(begin),
        _time(at + timedelta(days=90)),
        _seq(*entries) if entries else b"",
        _der(der.CONTEXT, _seq(number)),
    )
    return _sign(tbs, ARK)


def issue(
    *,
    serial: int,
    issuer: str,
    line: ProductLine,
    subject: str,
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    validity: tuple[datetime, datetime],
    members: Sequence[bytes],
) -> bytes:
    """Issue a certificate by the ARK, ASK or ASVK. ``cryptography`` builds none with the serial number 0."""
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    tbs = _seq(
        _der(der.CONTEXT, _integer(2)),
        _integer(serial),
        SIGNATURE_ALGORITHM,
        _name(_name_of(issuer, line)),
        _seq(*map(_time, validity)),
        _name(subject),
        spki,
        _der(der.CONTEXT + 3, _seq(*members)),
    )
    return _sign(tbs, issuer)


def key_members(key: KeyDescription) -> tuple[bytes, ...]:
    """Return AMD's extensions for a report key."""
    levels = [
        (extensions.BOOTLOADER, key.tcb.bootloader),
        (extensions.TEE, key.tcb.tee),
        (extensions.SNP, key.tcb.snp),
        (extensions.MICROCODE, key.tcb.microcode),
    ]
    if key.tcb.fmc is not None:
        levels.append((extensions.FMC, key.tcb.fmc))
    members = [
        _member(extensions.STRUCTURE_VERSION, _integer(int(key.tcb.fmc is not None))),
        _member(extensions.PRODUCT_NAME, _der(der.IA5_STRING, key.line.encode())),
        *(_member(oid, _integer(level)) for oid, level in levels),
    ]
    if key.hardware_id is not None:
        members.append(_member(extensions.HARDWARE_ID, key.hardware_id))
    if key.csp_id is not None:
        members.append(_member(extensions.CSP_ID, _der(der.IA5_STRING, key.csp_id.encode())))
    return tuple(members)


def extension(oid: str, value: bytes, *, critical: bool = False) -> bytes:
    """Return an extension; ``oid`` is the content of its identifier in hex."""
    return _member(bytes.fromhex(oid), value, critical=critical)


@lru_cache(maxsize=3)
def _rsa_key(which: str) -> rsa.RSAPrivateKey:
    p, q = (
        (int.from_bytes(derive(INSECURE_PUBLIC_SEED, f"RSA {which} {half}", 256), "big") | 3 << 2046 | 1)
        + offset
        for half, offset in zip("pq", _INSECURE_PRIMES[which], strict=True)
    )
    exponent = 65537
    d = pow(exponent, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=d % (p - 1),
        dmq1=d % (q - 1),
        iqmp=pow(q, -1, p),
        public_numbers=rsa.RSAPublicNumbers(exponent, p * q),
    )
    # The validation costs more than everything else here, and the numbers are constants.
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def _sign(tbs: bytes, which: str) -> bytes:
    signature = _rsa_key(which).sign(tbs, _PSS, hashes.SHA384())
    return _seq(tbs, SIGNATURE_ALGORITHM, _der(der.BIT_STRING, b"\0" + signature))


def _name_of(which: str, line: ProductLine) -> str:
    return {ARK: f"ARK-{line}", ASK: f"SEV-{line}", ASVK: f"SEV-VLEK-{line}"}[which]


def _name(phrase: str) -> bytes:
    members = (*_NAME_MEMBERS, ("550403", SIMULATION_PREFIX + phrase))
    attributes = (
        _seq(_der(der.OBJECT_IDENTIFIER, bytes.fromhex(oid)), _der(der.UTF8_STRING, text.encode()))
        for oid, text in members
    )
    return _seq(*(_der(der.SET, attribute) for attribute in attributes))


def _member(oid: bytes, value: bytes, *, critical: bool = False) -> bytes:
    flag = _der(der.BOOLEAN, b"\xff") if critical else b""
    return _seq(_der(der.OBJECT_IDENTIFIER, oid), flag, _der(der.OCTET_STRING, value))


def _time(at: datetime) -> bytes:
    text = at.astimezone(UTC).strftime("%y%m%d%H%M%SZ")
    return _der(der.UTC_TIME, text.encode())


def _integer(value: int) -> bytes:
    return _der(der.INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _seq(*parts: bytes) -> bytes:
    return _der(der.SEQUENCE, b"".join(parts))


_der = der.encode
