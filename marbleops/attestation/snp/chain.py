"""AMD's certificate chains: ARK, then ASK or ASVK, then VCEK or VLEK (attestation.md 1.4; 2.1, steps 4 to 7).

A report names the kind of key that signed it; ``find_chain`` picks that kind from what the caller brought,
upwards by issuer, and the checks that follow decide. What holds at any time is in ``check_chain`` and
``check_list``, so that it can be remembered; validity is checked anew for each verification.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from marbleops.attestation import der
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.snp.certificate import ec_key, rsa_key, signed_by
from marbleops.attestation.snp.extensions import describe_key
from marbleops.attestation.snp.report import ProductLine, SigningKey
from marbleops.attestation.verdict import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from marbleops.attestation.anchors import Anchors
    from marbleops.attestation.checks import Ledger
    from marbleops.attestation.snp.certificate import Certificate, RevocationList
    from marbleops.attestation.snp.endorsements import SnpEndorsements
    from marbleops.attestation.snp.report import SnpReport

SIMULATION_PREFIX: Final = "Software TEE INSECURE "
CRL_LABEL: Final = "ARK CRL"
_BASIC_CONSTRAINTS = bytes.fromhex("551d13")
_KEY_USAGE = bytes.fromhex("551d0f")
_KEY_CERT_SIGN = 5
_CRL_SIGN = 6
_AUTHORITY = {SigningKey.VCEK: "SEV-", SigningKey.VLEK: "SEV-VLEK-"}
_ROOTS = {f"ARK-{line}": line for line in ProductLine}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Three certificates that may belong together, and the kind of key that the first one is for."""

    kind: SigningKey
    leaf: Certificate
    authority: Certificate
    root: Certificate

    def members(self) -> tuple[Certificate, Certificate, Certificate]:
        """Return the certificates, leaf first."""
        return self.leaf, self.authority, self.root

    @property
    def label(self) -> str:
        """Return what checks call the chain."""
        return f"{self.kind} certificate chain"


def find_chain(ledger: Ledger, endorsements: SnpEndorsements, report: SnpReport, anchors: Anchors) -> Chain:
    """Pick the chain for ``report``; raises ``RejectedError`` (SNP_SIGNING_KEY, CHAIN_LENGTH)."""
    kind = report.signing_key
    ok = kind is not SigningKey.NONE
    ledger.require("Signing key", Code.SNP_SIGNING_KEY, ok=ok, expected="VCEK or VLEK", found=kind.value)
    given = endorsements.certificates
    leaf = _best(
        (one for one in given if plain_name(one) == f"SEV-{kind}"), lambda one: _fits(one, kind, report)
    )
    authority = leaf and _best(_issuers(leaf, given), lambda one: _signed(leaf, one))
    root = authority and _best(_issuers(authority, given), lambda one: key_pin(one) in anchors.spki_sha256)
    if leaf is None or authority is None or root is None:
        names = sorted({one.common_name for one in given})
        found = f"only {', '.join(names)}" if names else "no certificate"
        if leaf is not None:
            missing = leaf if authority is None else authority
            found += f"; the issuer of {missing.common_name} is {missing.issuer_name}"
        error = RejectedError(Code.CHAIN_LENGTH, found)
        ledger.fail(f"{kind} certificate chain", error, expected=f"{kind}, {_authority_word(kind)} and ARK")
        raise error
    return Chain(kind=kind, leaf=leaf, authority=authority, root=root)


def check_chain(ledger: Ledger, chain: Chain, anchors: Anchors) -> ProductLine:
    """Check everything about a chain that holds at any time and return its product line.

    Raises ``RejectedError``.
    """
    try:
        _check_trust(ledger, chain, anchors)
        _check_constraints(ledger, chain)
    except der.DerError as error:
        rejected = RejectedError(Code.CERT_FORMAT, str(error))
        ledger.fail(chain.label, rejected, expected="certificates of AMD's kind")
    return _check_names(ledger, chain)


def check_validity(ledger: Ledger, chain: Chain, *, at: datetime) -> None:
    """Check that each member is valid ``at`` that time; raises ``RejectedError`` (CERT_EXPIRED)."""
    for index, certificate in enumerate(chain.members()):
        begin, end = certificate.not_before, certificate.not_after
        ledger.require(
            f"{chain.label}[{index}] validity",
            Code.CERT_EXPIRED,
            ok=begin <= at <= end,
            expected=f"{begin.isoformat()} to {end.isoformat()}",
            found=at.isoformat(),
        )


def lists_of(chain: Chain, endorsements: SnpEndorsements) -> tuple[RevocationList, ...]:
    """Return the lists that call themselves the root's; other product lines' may lie beside them."""
    return tuple(one for one in endorsements.revocation_lists if one.issuer == chain.root.subject)


def check_list(ledger: Ledger, crl: RevocationList, root: Certificate) -> None:
    """Check signature and form of a list; raises ``RejectedError``."""
    good = signed_by(crl, root)
    expected = f"by {root.common_name}"
    ledger.require(
        f"{CRL_LABEL} signature", Code.CRL_SIGNATURE, ok=good, expected=expected, found=_good(ok=good)
    )
    # RFC 5280, 5.2: a critical extension may narrow what the list covers.
    ledger.require(
        f"{CRL_LABEL} extensions",
        Code.CRL_FORMAT,
        ok=not crl.critical,
        expected="a complete list",
        found="a critical extension" if crl.critical else "complete",
    )


def check_list_validity(ledger: Ledger, crl: RevocationList, *, at: datetime) -> None:
    """Check thisUpdate and nextUpdate; raises ``RejectedError`` (CRL_NOT_YET_VALID, CRL_EXPIRED)."""
    since, until = f"not before {crl.this_update.isoformat()}", f"not after {crl.next_update.isoformat()}"
    now = at.isoformat()
    name = f"{CRL_LABEL} this update"
    ledger.require(name, Code.CRL_NOT_YET_VALID, ok=crl.this_update <= at, expected=since, found=now)
    name = f"{CRL_LABEL} next update"
    ledger.require(name, Code.CRL_EXPIRED, ok=at <= crl.next_update, expected=until, found=now)


def check_not_revoked(ledger: Ledger, crl: RevocationList, chain: Chain) -> None:
    """Check that a list names neither the leaf nor its authority; raises ``RejectedError`` (CERT_REVOKED)."""
    for certificate in (chain.leaf, chain.authority):
        listed = certificate.serial in crl.serials
        ledger.require(
            f"{certificate.common_name} revocation",
            Code.CERT_REVOKED,
            ok=not listed,
            expected="not revoked",
            found=f"serial {certificate.serial:x} is {'revoked' if listed else 'not listed'}",
        )


def key_pin(certificate: Certificate) -> bytes:
    """Return SHA-256 of the public key with which anchors pin a root."""
    return hashlib.sha256(certificate.public_key).digest()


def plain_name(certificate: Certificate) -> str:
    """Return the common name without the words that mark a simulation; its anchor says the same."""
    return certificate.common_name.removeprefix(SIMULATION_PREFIX)


def _best(candidates: Iterable[Certificate], fits: Callable[[Certificate], bool]) -> Certificate | None:
    # Only several need choosing between. Where none fits, the checks say what is wrong with the first one.
    listed = list(candidates)
    chosen = filter(fits, listed) if len(listed) > 1 else ()
    return next(iter(chosen), listed[0] if listed else None)


def _fits(leaf: Certificate, kind: SigningKey, report: SnpReport) -> bool:
    try:
        described = describe_key(leaf, kind)
    except der.DerError:
        return False
    chip = described.hardware_id is None or report.chip_id.startswith(described.hardware_id)
    return described.tcb == report.reported_tcb and (chip or report.chip_key_masked)


def _issuers(certificate: Certificate, given: Iterable[Certificate]) -> Iterable[Certificate]:
    return (one for one in given if one.subject == certificate.issuer)


def _signed(certificate: Certificate, issuer: Certificate) -> bool:
    try:
        return signed_by(certificate, issuer)
    except der.DerError:
        return False


def _check_trust(ledger: Ledger, chain: Chain, anchors: Anchors) -> None:
    # Step 4: pinned root, signatures from the leaf to the root, and the root's own.
    pin = key_pin(chain.root)
    ledger.require(
        f"{chain.label} root key",
        Code.CHAIN_UNTRUSTED_ROOT,
        ok=pin in anchors.spki_sha256,
        expected=" or ".join(sorted(one.hex() for one in anchors.spki_sha256)) or "no root is trusted",
        found=pin.hex(),
    )
    for index, (certificate, issuer) in enumerate(
        ((chain.leaf, chain.authority), (chain.authority, chain.root), (chain.root, chain.root))
    ):
        good = certificate.issuer == issuer.subject and signed_by(certificate, issuer)
        expected = f"signed by {issuer.common_name}"
        name = f"{chain.label}[{index}] signature"
        ledger.require(name, Code.CERT_SIGNATURE, ok=good, expected=expected, found=_good(ok=good))
    ec_key(chain.leaf)


def _check_constraints(ledger: Ledger, chain: Chain) -> None:
    # Step 6. AMD's leaves have neither basic constraints nor a key usage.
    ca = _is_authority(chain.leaf)[0]
    ledger.require(
        f"{chain.label}[0] role",
        Code.CERT_CA_AS_LEAF,
        ok=not ca,
        expected="not a CA",
        found="a CA" if ca else "not a CA",
    )
    for index, certificate in enumerate(chain.members()):
        where = f"{chain.label}[{index}]"
        known = (_BASIC_CONSTRAINTS, _KEY_USAGE)
        strange = [one.oid.hex() for one in certificate.extensions if one.critical and one.oid not in known]
        found = ", ".join(strange) or "none"
        name = f"{where} critical extensions"
        known_only = "none that is unknown"
        ledger.require(name, Code.CERT_CONSTRAINTS, ok=not strange, expected=known_only, found=found)
        if index:
            rsa_key(certificate)
            ca, limit = _is_authority(certificate)
            ok = ca and (limit is None or limit >= index - 1) and _may_sign(certificate, crl=index == 2)
            expected = f"a CA that signs certificates and allows {index - 1} below it"
            ledger.require(
                f"{where} role", Code.CERT_CONSTRAINTS, ok=ok, expected=expected, found=_good(ok=ok)
            )


def _check_names(ledger: Ledger, chain: Chain) -> ProductLine:
    # Step 5. The key of one line must not vouch for another, nor an ASK for a VLEK.
    root = plain_name(chain.root)
    line = _ROOTS.get(root)
    name = f"{chain.label}[2] subject"
    ledger.require(name, Code.CERT_NAME, ok=line is not None, expected=" or ".join(_ROOTS), found=root)
    for index, certificate, expected in (
        (1, chain.authority, f"{_AUTHORITY[chain.kind]}{line}"),
        (0, chain.leaf, f"SEV-{chain.kind}"),
    ):
        found = plain_name(certificate)
        name = f"{chain.label}[{index}] subject"
        ledger.require(name, Code.CERT_NAME, ok=found == expected, expected=expected, found=found)
    return ProductLine(_ROOTS[root])


def _is_authority(certificate: Certificate) -> tuple[bool, int | None]:
    """Return whether basic constraints make it a CA, and its path length."""
    extension = certificate.extension(_BASIC_CONSTRAINTS)
    if extension is None:
        return False, None
    members = list(der.read_all(der.read_one(extension.value, der.SEQUENCE)))
    ca = bool(members) and members[0].tag == der.BOOLEAN and der.boolean(members.pop(0))
    limit = der.unsigned(members.pop(0)) if members else None
    if members:
        raise der.DerError("basic constraints have at most two members")
    return ca and extension.critical, limit


def _may_sign(certificate: Certificate, *, crl: bool) -> bool:
    extension = certificate.extension(_KEY_USAGE)
    if extension is None:
        return False
    bits = der.read_one(extension.value, der.BIT_STRING)
    usage = [bool(byte & 0x80 >> bit) for byte in bits[1:] for bit in range(8)]
    wanted = (_KEY_CERT_SIGN, _CRL_SIGN) if crl else (_KEY_CERT_SIGN,)
    return all(bit < len(usage) and usage[bit] for bit in wanted)


def _authority_word(kind: SigningKey) -> str:
    return "ASVK" if kind is SigningKey.VLEK else "ASK"


def _good(*, ok: bool) -> str:
    return "good" if ok else "bad"
