"""Collateral of the simulation platform, in Intel's layout to the byte (attestation.md 5.3)."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from marbleops.attestation.collateral import Collateral
from marbleops.attestation.platform.softpki import COMPONENTS, FMSPC, PCE_ID, PCE_SVN, Pki, build_crl, sign
from marbleops.attestation.verdict import Tee

if TYPE_CHECKING:
    from datetime import datetime

COLLATERAL_LIFE: Final = timedelta(days=30)
QE_SIGNER: Final = hashlib.sha256(b"softtee QE signer").digest()
QE_SVN: Final = 8
QE_PRODUCTS: Final = {Tee.SGX: 1, Tee.TDX: 2}
TEE_TCB_SVN: Final = (6, 1, 3, *([0] * 13))
"""What a simulated trust domain runs on: version 1 of the TDX module, at its security version 6."""

_ROOT_CRL_LIFE = timedelta(days=365)
_EVALUATION_NUMBER = 18
_QE_IDS = {Tee.SGX: "QE", Tee.TDX: "TD_QE"}


def build_collateral(
    pki: Pki,
    *,
    at: datetime,
    tcb_status: str = "UpToDate",
    advisories: tuple[str, ...] = (),
    revoke_pck: bool = False,
    tee: Tee = Tee.SGX,
) -> Collateral:
    """Return collateral for quotes of ``tee`` that is current from one hour before ``at`` for thirty days.

    ``tcb_status``, ``advisories`` and ``revoke_pck`` let a test stage a TCB recovery or a revocation.
    """
    tcb_info = _document(_tcb_info(at, tcb_status, advisories, tee))
    qe_identity = _document(_qe_identity(at, tee))
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


def _tcb_info(at: datetime, status: str, advisories: tuple[str, ...], tee: Tee) -> dict[str, Any]:
    older = tuple(max(svn - 1, 0) for svn in COMPONENTS)
    levels = [
        _level(COMPONENTS, PCE_SVN, "2024-11-13", status, *advisories),
        _level(older, PCE_SVN, "2024-03-13", "OutOfDate", "INTEL-SA-01036"),
        _level(older, 5, "2018-01-04", "OutOfDate", "INTEL-SA-00106"),
    ]
    if tee is Tee.TDX:
        for level, late_microcode in zip(levels, (3, 2, 2), strict=True):
            svns = (5, 0, late_microcode, *([0] * 13))
            level["tcb"]["tdxtcbcomponents"] = [{"svn": svn} for svn in svns]
    return {
        "id": tee.upper(),
        "version": 3,
        **_dates(at),
        "fmspc": FMSPC.hex().upper(),
        "pceId": PCE_ID.hex(),
        "tcbType": 0,
        "tcbEvaluationDataNumber": _EVALUATION_NUMBER,
        **(_tdx_modules() if tee is Tee.TDX else {}),
        "tcbLevels": levels,
    }


def _tdx_modules() -> dict[str, Any]:
    signer = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
    levels = {
        "TDX_03": [_isv_level(3, "2024-11-13", "UpToDate")],
        "TDX_01": [
            _isv_level(6, "2024-11-13", "UpToDate"),
            _isv_level(4, "2024-03-13", "OutOfDate", "INTEL-SA-01099"),
        ],
    }
    identities = [{"id": name, **signer, "tcbLevels": listed} for name, listed in levels.items()]
    return {"tdxModule": signer, "tdxModuleIdentities": identities}


def _isv_level(svn: int, date: str, status: str, *advisories: str) -> dict[str, Any]:
    level: dict[str, Any] = {"tcb": {"isvsvn": svn}, "tcbDate": f"{date}T00:00:00Z", "tcbStatus": status}
    return level | ({"advisoryIDs": list(advisories)} if advisories else {})


def _qe_identity(at: datetime, tee: Tee) -> dict[str, Any]:
    return {
        "id": _QE_IDS[tee],
        "version": 2,
        **_dates(at),
        "tcbEvaluationDataNumber": _EVALUATION_NUMBER,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11000000000000000000000000000000",
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": QE_SIGNER.hex().upper(),
        "isvprodid": QE_PRODUCTS[tee],
        "tcbLevels": [
            _isv_level(QE_SVN, "2024-03-13", "UpToDate"),
            _isv_level(6, "2021-11-10", "OutOfDate", "INTEL-SA-00615"),
        ],
    }
