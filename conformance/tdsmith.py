"""Makes good and bad quotes of trust domains on the simulated machine of `quotesmith`.

Each scenario is a row of attestation.md 2.8 that concerns TDX, or of 1.2, 2.2 and 2.3: the same code gives the same
bytes. The forger knows every key of the machine and signs again whatever it changes.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conformance import quotesmith as smith
from marbleops.attestation.platform.base import TdIdentity
from marbleops.attestation.platform.softcollateral import build_collateral
from marbleops.attestation.platform.softpki import derive_key, sign
from marbleops.attestation.platform.softquote import SimulatedTdIssuer
from marbleops.attestation.policy import VerificationPolicy
from marbleops.attestation.verdict import Tee

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from marbleops.attestation.collateral import Collateral

SEPT_VE_DISABLE, MIGRATABLE, PKS, KL = (1 << bit for bit in (28, 29, 30, 31))


def _measured(what: str) -> bytes:
    return hashlib.sha384(what.encode()).digest()


IDENTITY = TdIdentity(
    mr_td=_measured("conformance domain"),
    rtmrs=(_measured("firmware"), _measured("kernel"), _measured("application"), bytes(48)),
)
BODY = 48  # of a v4 quote; in a v5 quote six bytes describe the body before it
DEFAULT = VerificationPolicy()


def quote(
    identity: TdIdentity = IDENTITY,
    *,
    version: int | None = None,
    report_data: bytes = smith.REPORT_DATA,
    **changes: Any,
) -> bytes:
    """Return a quote of the domain with ``changes`` to its identity."""
    issuer = SimulatedTdIssuer(
        smith.SEED, smith.PKI, dataclasses.replace(identity, **changes), version=version
    )
    return issuer.quote(report_data)


def td15(*, now: tuple[int, ...] = (6, 1, 3), launched: tuple[int, ...] = (6, 1, 3), **changes: Any) -> bytes:
    """Return a v5 quote of a TD 1.5 that was launched on one module and runs on another."""
    return quote(tee_tcb_svn=svn(*launched), tee_tcb_svn2=svn(*now), **changes)


def svn(*first: int) -> bytes:
    """Return a TEE_TCB_SVN that begins with these versions."""
    return bytes(first).ljust(16, b"\0")


def resigned(raw: bytes, body: Mapping[int, bytes]) -> bytes:
    """Write over the body of a v4 quote at the given offsets and sign it again."""
    made = bytearray(raw)
    for offset, value in body.items():
        made[BODY + offset : BODY + offset + len(value)] = value
    made[636:700] = sign(derive_key(smith.SEED, "attestation"), bytes(made[:632]))
    return bytes(made)


def collateral(
    *,
    tcb: Callable[[dict[str, Any]], None] | None = None,
    qe: Callable[[dict[str, Any]], None] | None = None,
    **members: Any,
) -> Collateral:
    """Return TDX collateral with edited documents, signed again, and with whole members replaced."""
    good = build_collateral(smith.PKI, at=smith.AT, tee=Tee.TDX)
    changes: dict[str, Any] = {}
    for name, edit in (("tcb_info", tcb), ("qe_identity", qe)):
        if edit is not None:
            document = json.loads(getattr(good, name))
            edit(document)
            changes |= smith.signed(name, json.dumps(document, separators=(",", ":")), smith.PKI.tcb_signing)
    return dataclasses.replace(good, **(changes | members))


@dataclass(frozen=True, slots=True, kw_only=True)
class TdScenario:
    """Evidence, collateral and policy, and the answer; ``dcap_qvl`` says whether dcap-qvl 0.7.0 accepts."""

    name: str
    why: str
    quote: bytes
    collateral: Collateral
    code: str = "OK"
    status: str | None = None
    policy: VerificationPolicy = DEFAULT
    dcap_qvl: bool | None = None

    @property
    def dcap_qvl_accepts(self) -> bool:
        """Return what dcap-qvl 0.7.0 answers: the same, unless the scenario says otherwise."""
        return (self.code == "OK") if self.dcap_qvl is None else self.dcap_qvl


@functools.cache
def scenarios() -> tuple[TdScenario, ...]:
    """Build every scenario."""
    return (*_good(), *_attributes(), *_levels(), *_broken())


def _good() -> tuple[TdScenario, ...]:
    good = collateral()
    rows: tuple[tuple[str, str, bytes], ...] = (
        ("td-v4", "A TD 1.0 in a quote v4.", quote()),
        ("td-v5-td10", "A TD 1.0 in a quote v5.", quote(version=5)),
        ("td-v5-td15", "A TD 1.5 in a quote v5.", td15()),
        ("td-trailing-zeros", "Cloud guests return a buffer of 8000 bytes.", quote().ljust(8000, b"\0")),
        ("td-pks", "PKS is a feature, no risk.", quote(attributes=SEPT_VE_DISABLE | PKS)),
        ("td-kl", "KL is a feature, no risk.", quote(attributes=SEPT_VE_DISABLE | KL)),
        ("td-module-v3", "Index 0 is judged by the module's identity, not by the level.", quote(tee_tcb_svn=svn(3, 3, 3))),
    )  # fmt: skip
    return tuple(
        TdScenario(name=name, why=why, quote=raw, collateral=good, status="UpToDate")
        for name, why, raw in rows
    )


def _attributes() -> tuple[TdScenario, ...]:
    policy = VerificationPolicy
    migratable = quote(attributes=SEPT_VE_DISABLE | MIGRATABLE)
    served, debug, plain = (
        td15(mr_service_td=_measured("service domain")),
        quote(debug=True),
        quote(attributes=0),
    )
    refuses = policy(td_migratable_allowed=False, td_service_td_allowed=False)
    rows: tuple[tuple[str, str, bytes, VerificationPolicy, str, bool | None], ...] = (
        ("td-reserved-bit", "An attribute that nobody knows.", quote(attributes=SEPT_VE_DISABLE | 1 << 40), DEFAULT, "TD_ATTRIBUTES_RESERVED", None),
        ("td-tud-bit", "The other bits under test are like debug.", quote(attributes=SEPT_VE_DISABLE | 1 << 4), DEFAULT, "TD_ATTRIBUTES_RESERVED", None),
        ("td-bit-16", "Not in the list of 1.2; newer modules define it.", quote(attributes=SEPT_VE_DISABLE | 1 << 16), DEFAULT, "TD_ATTRIBUTES_RESERVED", True),
        ("td-debug", "A debug domain's memory is open to its host.", debug, DEFAULT, "DEBUG_ENCLAVE", None),
        ("td-debug-allowed", "A debug domain verifies where the caller allows it.", debug, policy(allow_debug=True), "OK", False),
        ("td-sept-ve", "The host may inject #VE by taking pages.", plain, DEFAULT, "TD_SEPT_VE_DISABLE", None),
        ("td-sept-ve-allowed", "Azure's domains are like that.", plain, policy(td_sept_ve_disable_required=False), "OK", False),
        ("td-migratable", "It verifies; the appraisal asks for it.", migratable, DEFAULT, "OK", False),
        ("td-migratable-refused", "Whoever migrates a domain can read it.", migratable, refuses, "TD_MIGRATABLE", None),
        ("td-service", "It verifies; the appraisal asks for it.", served, DEFAULT, "OK", False),
        ("td-service-refused", "A service domain can reach into this one.", served, refuses, "TD_SERVICE_TD", None),
    )  # fmt: skip
    return tuple(
        TdScenario(
            name=name, why=why, quote=raw, collateral=collateral(), code=code, policy=with_, dcap_qvl=qvl,
            status="UpToDate",
        )
        for name, why, raw, with_, code, qvl in rows
    )  # fmt: skip


def _levels() -> tuple[TdScenario, ...]:
    def first(**changes: Any) -> Callable[[dict[str, Any]], None]:
        return lambda document: document["tcbLevels"][0].update(changes)

    def module(**changes: Any) -> Callable[[dict[str, Any]], None]:
        return lambda document: document["tdxModuleIdentities"][1].update(changes)

    def revoked_module(document: dict[str, Any]) -> None:
        document["tdxModuleIdentities"][1]["tcbLevels"][0]["tcbStatus"] = "Revoked"

    def no_components(document: dict[str, Any]) -> None:
        for level in document["tcbLevels"]:
            del level["tcb"]["tdxtcbcomponents"]

    def twice(document: dict[str, Any]) -> None:
        document["tdxModuleIdentities"] *= 2

    good, at_launch = collateral(), (4, 1, 3)
    configuration = collateral(tcb=first(tcbStatus="ConfigurationNeeded"))
    old_qe = collateral(qe=lambda document: document["tcbLevels"][0]["tcb"].update(isvsvn=9))
    rows: tuple[tuple[str, str, bytes, Collateral, str, str | None, bool | None], ...] = (
        ("td-older-level", "Index 2 counts for every module.", quote(tee_tcb_svn=svn(6, 1, 2)), good, "OK", "OutOfDate", None),
        ("td-microcode-too-low", "And may be below every level.", quote(tee_tcb_svn=svn(6, 1, 1)), good, "TCB_NOT_SUPPORTED", None, None),
        ("td-module-v0", "Without a module version, 0 and 1 count like the others.", quote(tee_tcb_svn=svn(5, 0, 3)), good, "OK", "UpToDate", None),
        ("td-module-v0-low", "And may be too low.", quote(tee_tcb_svn=svn(4, 0, 3)), good, "TCB_NOT_SUPPORTED", None, None),
        ("td-module-outdated", "The module's status makes the platform's worse.", quote(tee_tcb_svn=svn(4, 1, 3)), good, "OK", "OutOfDate", None),
        ("td-module-outdated-configuration", "And joins what was there.", quote(tee_tcb_svn=svn(4, 1, 3)), configuration, "OK", "OutOfDateConfigurationNeeded", None),
        ("td-module-unknown", "No identity for that version.", quote(tee_tcb_svn=svn(6, 9, 3)), good, "TDX_MODULE_UNKNOWN", None, None),
        ("td-module-svn", "Below every level of the module.", quote(tee_tcb_svn=svn(1, 1, 3)), good, "TDX_MODULE_TCB_NOT_SUPPORTED", None, None),
        ("td-module-revoked", "A revoked module is never accepted.", quote(), collateral(tcb=revoked_module), "TCB_REVOKED", "Revoked", None),
        ("td-module-signer", "Signed by another than Intel says.", quote(), collateral(tcb=module(mrsigner="11" * 48)), "TDX_MODULE_MRSIGNER", None, None),
        ("td-module-twice", "Which one would count?", quote(), collateral(tcb=twice), "TCB_INFO_FORMAT", None, True),
        ("td-seam-attributes", "A debug module.", resigned(quote(), {112: b"\1"}), good, "TDX_SEAM_ATTRIBUTES", None, None),
        ("td-no-components", "TCB info of a platform without TDX.", quote(), collateral(tcb=no_components), "TCB_INFO_FORMAT", None, None),
        ("td-sgx-tcb", "TCB info for the other TEE.", quote(), smith.collateral(), "TCB_INFO_TYPE", None, None),
        ("td-sgx-qe", "The identity of the other quoting enclave.", quote(), collateral(qe=lambda document: document.update(id="QE")), "QE_IDENTITY_TYPE", None, None),
        ("sgx-td-tcb", "TCB info for TDX under an enclave.", smith.raw_quote(), good, "TCB_INFO_TYPE", None, None),
        ("td-qe-outdated", "The quoting enclave's status comes last.", quote(), old_qe, "OK", "OutOfDate", None),
        ("td-relaunch", "Outdated at launch, current now.", td15(launched=at_launch), good, "OK", "TDRelaunchAdvised", None),
        ("td-relaunch-configuration", "The same on a machine to be configured.", td15(launched=at_launch), configuration, "OK", "TDRelaunchAdvisedConfigurationNeeded", None),
        ("td-relaunch-not-yet", "Still outdated now.", td15(launched=at_launch, now=at_launch), good, "OK", "OutOfDate", None),
        ("td-relaunch-qe", "Launching again does not update the quoting enclave.", td15(launched=at_launch), old_qe, "OK", "OutOfDate", None),
    )  # fmt: skip
    return tuple(
        TdScenario(name=name, why=why, quote=raw, collateral=with_, code=code, status=status, dcap_qvl=qvl)
        for name, why, raw, with_, code, status, qvl in rows
    )


def _broken() -> tuple[TdScenario, ...]:
    raw, good = quote(), collateral()
    newer = td15()
    rows: tuple[tuple[str, str, bytes, str, bool | None], ...] = (
        ("td-truncated", "The certification data ends early.", raw[:-1], "QUOTE_TRUNCATED", None),
        ("td-trailing-junk", "Unsigned bytes after the quote.", raw + b"x", "QUOTE_TRAILING_DATA", True),
        ("td-measurement", "The measurement is signed.", smith.patched(raw, BODY + 136, bytes(48)), "QUOTE_SIGNATURE", None),
        ("td-rtmr", "What was booted is signed.", smith.patched(raw, BODY + 424, bytes(48)), "QUOTE_SIGNATURE", None),
        ("td-outer-type", "From v4 on the QE report is certification data of type 6.", smith.patched(raw, 764, b"\5"), "QUOTE_CERT_DATA_TYPE", True),
        ("td-outer-length", "An inner length beyond the outer one.", smith.patched(raw, 766, b"\xff\xff"), "QUOTE_TRUNCATED", None),
        ("td-body-type-sgx", "No enclave comes in a TDX quote.", smith.patched(newer, 48, b"\1"), "QUOTE_BODY_TYPE", None),
        ("td-body-type-9", "Nobody knows such a body.", smith.patched(newer, 48, b"\x09"), "QUOTE_BODY_TYPE", None),
        ("td-body-size", "A body has the size of its type.", smith.patched(newer, 50, b"\x48"), "QUOTE_BODY_TYPE", None),
        ("td-version-5-body-4", "A v4 body does not describe itself.", smith.patched(raw, 0, b"\5"), "QUOTE_BODY_TYPE", None),
        ("td-tee-sgx", "TDX versions are not for enclaves.", smith.patched(raw, 4, b"\0"), "QUOTE_VERSION_TEE_MISMATCH", None),
    )  # fmt: skip
    return tuple(
        TdScenario(name=name, why=why, quote=made, collateral=good, code=code, dcap_qvl=qvl)
        for name, why, made, code, qvl in rows
    )
