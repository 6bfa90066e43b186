"""Quotes of the simulation platform, in Intel's layout to the byte (attestation.md 5.4).

Of enclaves (version 3) and of trust domains (4 and 5). The verifier is not told that they are simulated; the
family id inside (for a trust domain: the owner's configuration) and the root above say so.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from marbleops.attestation.platform.softcollateral import (
    COLLATERAL_LIFE,
    QE_PRODUCTS,
    QE_SIGNER,
    QE_SVN,
    build_collateral,
)
from marbleops.attestation.platform.softpki import COMPONENTS, PCE_SVN, Pki, derive, derive_key, sign
from marbleops.attestation.quote import ATTRIBUTE_DEBUG, ATTRIBUTE_INIT, ATTRIBUTE_KSS, INTEL_QE_VENDOR
from marbleops.attestation.report import TD_DEBUG
from marbleops.attestation.verdict import Tee

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from marbleops.attestation.platform.base import EnclaveIdentity, TdIdentity

__all__ = ["COLLATERAL_LIFE", "FAMILY_ID", "SimulatedIssuer", "SimulatedTdIssuer", "build_collateral"]

FAMILY_ID: Final = b"INSECURE-SOFTTEE"
_QE_MEASUREMENT = hashlib.sha256(b"softtee QE").digest()
_QE_AUTH_DATA = bytes(range(32))
_MODE64, _PROVISION_KEY, _XFRM = 0x4, 0x10, 0xE7
_TDX = 0x81
_PEM_CHAIN, _QE_REPORT = 5, 6
_TD10, _TD15 = 2, 3


class SimulatedIssuer:
    """Issues quotes for one enclave on one simulated machine: one signature each, the rest is prepared."""

    def __init__(self, seed: bytes, pki: Pki, identity: EnclaveIdentity) -> None:
        self._key = derive_key(seed, "attestation")
        self._identity = identity
        self._header = _header(3, derive(seed, "qe id", 16))
        self._tail = _point(self._key) + _certification(pki, self._key, Tee.SGX)

    def quote(self, report_data: bytes) -> bytes:
        """Return an Open Enclave report over ``report_data``; raises ``ValueError`` beyond 64 bytes."""
        signed = self._header + _enclave_report(self._identity, _padded(report_data))
        signature_data = sign(self._key, signed) + self._tail
        quote = signed + _sized(signature_data)
        # 1.3: version 1, type 2 (remote), size.
        header = (1).to_bytes(4, "little") + (2).to_bytes(4, "little") + len(quote).to_bytes(8, "little")
        return header + quote


class SimulatedTdIssuer:
    """Issues quotes for one trust domain on one simulated machine.

    They are of version 4 for a TD 1.0 and of version 5 for a TD 1.5; ``version`` 5 also carries the former.
    """

    def __init__(self, seed: bytes, pki: Pki, identity: TdIdentity, *, version: int | None = None) -> None:
        newer = identity.tee_tcb_svn2 is not None
        version = version or (5 if newer else 4)
        if version not in (4, 5) or (newer and version == 4):
            raise ValueError(f"a quote of version {version} cannot carry this trust domain")
        self._key = derive_key(seed, "attestation")
        self._identity, self._newer = identity, newer
        self._header = _header(version, derive(seed, "qe id", 16))
        self._described = version == 5
        self._tail = _point(self._key) + (_QE_REPORT).to_bytes(2, "little")
        self._tail += _sized(_certification(pki, self._key, Tee.TDX))

    def quote(self, report_data: bytes) -> bytes:
        """Return a raw quote over ``report_data``; raises ``ValueError`` beyond 64 bytes."""
        body = _td_report(self._identity, _padded(report_data))
        if self._described:
            kind = _TD15 if self._newer else _TD10
            body = kind.to_bytes(2, "little") + _sized(body)
        signed = self._header + body
        return signed + _sized(sign(self._key, signed) + self._tail)


def _certification(pki: Pki, key: ec.EllipticCurvePrivateKey, tee: Tee) -> bytes:
    report = _report(
        attributes=ATTRIBUTE_INIT | _PROVISION_KEY,
        unique_id=_QE_MEASUREMENT,
        signer_id=QE_SIGNER,
        product_id=QE_PRODUCTS[tee],
        security_version=QE_SVN,
        family_id=bytes(16),
        report_data=hashlib.sha256(_point(key) + _QE_AUTH_DATA).digest(),
    )
    chain = (pki.pck.pem + pki.pck_ca.pem + pki.root.pem).encode() + b"\0"
    auth = len(_QE_AUTH_DATA).to_bytes(2, "little") + _QE_AUTH_DATA
    return report + sign(pki.pck.key, report) + auth + _PEM_CHAIN.to_bytes(2, "little") + _sized(chain)


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


def _sized(content: bytes) -> bytes:
    return len(content).to_bytes(4, "little") + content


def _padded(report_data: bytes) -> bytes:
    if len(report_data) > 64:
        raise ValueError(f"report data is at most 64 bytes, not {len(report_data)}")
    return report_data.ljust(64, b"\0")


def _header(version: int, qe_id: bytes) -> bytes:
    tee, svns = (0, (QE_SVN, PCE_SVN)) if version == 3 else (_TDX, (0, 0))
    numbers = ((version, 2), (2, 2), (tee, 4), (svns[0], 2), (svns[1], 2))
    start = b"".join(value.to_bytes(size, "little") for value, size in numbers)
    return start + INTEL_QE_VENDOR + qe_id + bytes(4)


def _enclave_report(identity: EnclaveIdentity, report_data: bytes) -> bytes:
    attributes = ATTRIBUTE_INIT | _MODE64 | ATTRIBUTE_KSS
    return _report(
        attributes=attributes | (ATTRIBUTE_DEBUG if identity.debug else 0),
        unique_id=identity.unique_id,
        signer_id=identity.signer_id,
        product_id=identity.product_id,
        security_version=identity.security_version,
        family_id=FAMILY_ID,
        report_data=report_data,
    )


def _report(
    *,
    attributes: int,
    unique_id: bytes,
    signer_id: bytes,
    product_id: int,
    security_version: int,
    family_id: bytes,
    report_data: bytes,
) -> bytes:
    body = bytearray(384)
    body[0:16] = bytes(COMPONENTS)
    body[48:56] = attributes.to_bytes(8, "little")
    body[56:64] = _XFRM.to_bytes(8, "little")
    body[64:96] = unique_id
    body[128:160] = signer_id
    body[256:258] = product_id.to_bytes(2, "little")
    body[258:260] = security_version.to_bytes(2, "little")
    body[304:320] = family_id
    body[320 : 320 + len(report_data)] = report_data
    return bytes(body)


def _td_report(identity: TdIdentity, report_data: bytes) -> bytes:
    attributes = identity.attributes | (TD_DEBUG if identity.debug else 0)
    parts = [
        identity.tee_tcb_svn,
        hashlib.sha384(b"softtee TDX module").digest(),
        bytes(48),  # signed by Intel, whose signer the module reports as zeros
        bytes(8),
        attributes.to_bytes(8, "little"),
        identity.xfam.to_bytes(8, "little"),
        identity.mr_td,
        identity.mr_config_id,
        identity.mr_owner,
        FAMILY_ID.ljust(48, b"\0"),
        *identity.rtmrs,
        report_data,
    ]
    if identity.tee_tcb_svn2 is not None:
        parts += [identity.tee_tcb_svn2, identity.mr_service_td]
    return b"".join(parts)
