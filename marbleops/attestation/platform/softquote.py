"""Collateral and quotes of the simulation platform, in Intel's layout to the byte (attestation.md 5.3, 5.4).

The verifier is not told that they are simulated; the family id inside and the root above say so.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from marbleops.attestation.collateral import Collateral
from marbleops.attestation.platform.softpki import (
    COMPONENTS,
    FMSPC,
    PCE_ID,
    PCE_SVN,
    Pki,
    build_crl,
    derive,
    derive_key,
    sign,
)
from marbleops.attestation.quote import ATTRIBUTE_DEBUG, ATTRIBUTE_INIT, ATTRIBUTE_KSS, INTEL_QE_VENDOR

if TYPE_CHECKING:
    from datetime import datetime

    from marbleops.attestation.platform.base import EnclaveIdentity

FAMILY_ID: Final = b"INSECURE-SOFTTEE"
COLLATERAL_LIFE: Final = timedelta(days=30)
_ROOT_CRL_LIFE = timedelta(days=365)
_QE_SIGNER = hashlib.sha256(b"softtee QE signer").digest()
_QE_MEASUREMENT = hashlib.sha256(b"softtee QE").digest()
_QE_SVN, _QE_PRODUCT = 8, 1
_QE_AUTH_DATA = bytes(range(32))
_MODE64, _PROVISION_KEY, _XFRM = 0x4, 0x10, 0xE7
_EVALUATION_NUMBER = 18


def build_collateral(
    pki: Pki,
    *,
    at: datetime,
    tcb_status: str = "UpToDate",
    advisories: tuple[str, ...] = (),
    revoke_pck: bool = False,
) -> Collateral:
    """Return collateral that is current from one hour before ``at`` for thirty days.

    ``tcb_status``, ``advisories`` and ``revoke_pck`` let a test stage a TCB recovery or a revocation.
    """
    tcb_info = _document(_tcb_info(at, tcb_status, advisories))
    qe_identity = _document(_qe_identity(at))
    signing_chain = pki.tcb_signing.pem + pki.root.pem
    revoked = (pki.pck.certificate,) if revoke_pck else ()
    return Collateral(
        pck_crl_issuer_chain=pki.pck_ca.pem + pki.root.pem,
        root_ca_crl=build_crl(pki.root, at=at, valid=_ROOT_CRL_LIFE),
        pck_crl=build_crl(pki.pck_ca, at=at, valid=COLLATERAL_LIFE, revoked=revoked),
        tcb_info_issuer_chain=signing_chain,
        tcb_info=tcb_info,
        tcb_info_signature=sign(pki.tcb_signing.key, tcb_info.encode()),
        qe_identity_issuer_chain=signing_chain,
        qe_identity=qe_identity,
        qe_identity_signature=sign(pki.tcb_signing.key, qe_identity.encode()),
    )


class SimulatedIssuer:
    """Issues quotes for one enclave on one simulated machine: one signature each, the rest is prepared."""

    def __init__(self, seed: bytes, pki: Pki, identity: EnclaveIdentity) -> None:
        self._key = derive_key(seed, "attestation")
        self._identity = identity
        self._header = _header(derive(seed, "qe id", 16))
        self._tail = self._signature_tail(pki)

    def quote(self, report_data: bytes) -> bytes:
        """Return an Open Enclave report over ``report_data``; raises ``ValueError`` beyond 64 bytes."""
        if len(report_data) > 64:
            raise ValueError(f"report data is at most 64 bytes, not {len(report_data)}")
        signed = self._header + _enclave_report(self._identity, report_data)
        signature_data = sign(self._key, signed) + self._tail
        quote = signed + len(signature_data).to_bytes(4, "little") + signature_data
        # 1.3: version 1, type 2 (remote), size.
        header = (1).to_bytes(4, "little") + (2).to_bytes(4, "little") + len(quote).to_bytes(8, "little")
        return header + quote

    def _signature_tail(self, pki: Pki) -> bytes:
        point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
        report = _report(
            attributes=ATTRIBUTE_INIT | _PROVISION_KEY,
            unique_id=_QE_MEASUREMENT,
            signer_id=_QE_SIGNER,
            product_id=_QE_PRODUCT,
            security_version=_QE_SVN,
            family_id=bytes(16),
            report_data=hashlib.sha256(point + _QE_AUTH_DATA).digest(),
        )
        chain = (pki.pck.pem + pki.pck_ca.pem + pki.root.pem).encode() + b"\0"
        return b"".join(
            (
                point,
                report,
                sign(pki.pck.key, report),
                len(_QE_AUTH_DATA).to_bytes(2, "little"),
                _QE_AUTH_DATA,
                (5).to_bytes(2, "little"),
                len(chain).to_bytes(4, "little"),
                chain,
            )
        )


def _header(qe_id: bytes) -> bytes:
    numbers = ((3, 2), (2, 2), (0, 4), (_QE_SVN, 2), (PCE_SVN, 2))
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


def _document(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _dates(at: datetime) -> dict[str, str]:
    layout = "%Y-%m-%dT%H:%M:%SZ"
    return {
        "issueDate": (at - timedelta(hours=1)).strftime(layout),
        "nextUpdate": (at + COLLATERAL_LIFE).strftime(layout),
    }


def _level(
    components: tuple[int, ...], pce_svn: int, date: str, status: str, *advisories: str
) -> dict[str, Any]:
    level: dict[str, Any] = {
        "tcb": {"sgxtcbcomponents": [{"svn": svn} for svn in components], "pcesvn": pce_svn},
        "tcbDate": f"{date}T00:00:00Z",
        "tcbStatus": status,
    }
    return level | ({"advisoryIDs": list(advisories)} if advisories else {})


def _tcb_info(at: datetime, status: str, advisories: tuple[str, ...]) -> dict[str, Any]:
    older = tuple(max(svn - 1, 0) for svn in COMPONENTS)
    return {
        "id": "SGX",
        "version": 3,
        **_dates(at),
        "fmspc": FMSPC.hex().upper(),
        "pceId": PCE_ID.hex(),
        "tcbType": 0,
        "tcbEvaluationDataNumber": _EVALUATION_NUMBER,
        "tcbLevels": [
            _level(COMPONENTS, PCE_SVN, "2024-11-13", status, *advisories),
            _level(older, PCE_SVN, "2024-03-13", "OutOfDate", "INTEL-SA-01036"),
            _level(older, 5, "2018-01-04", "OutOfDate", "INTEL-SA-00106"),
        ],
    }


def _qe_identity(at: datetime) -> dict[str, Any]:
    return {
        "id": "QE",
        "version": 2,
        **_dates(at),
        "tcbEvaluationDataNumber": _EVALUATION_NUMBER,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11000000000000000000000000000000",
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": _QE_SIGNER.hex().upper(),
        "isvprodid": _QE_PRODUCT,
        "tcbLevels": [
            {"tcb": {"isvsvn": _QE_SVN}, "tcbDate": "2024-03-13T00:00:00Z", "tcbStatus": "UpToDate"},
            {
                "tcb": {"isvsvn": 6},
                "tcbDate": "2021-11-10T00:00:00Z",
                "tcbStatus": "OutOfDate",
                "advisoryIDs": ["INTEL-SA-00615"],
            },
        ],
    }
