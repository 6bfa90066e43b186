"""What a guest and its machine must be like to be let pass, whatever runs in it (attestation.md 1.4, 2.4).

The same rules serve twice: ``verify`` holds every report against the policy of the verification, and
``appraisal`` against what one workload asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from marbleops.attestation.snp.report import GuestPolicy, SnpTcb
from marbleops.attestation.verdict import Code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from marbleops.attestation.snp.report import SnpReport

GUEST_VMPLS: Final = frozenset(range(4))


@dataclass(frozen=True, slots=True, kw_only=True)
class SnpPolicy:
    """Permissions and minima. An empty set of author keys means *any, or none*.

    ``require_crl`` says that a verification without a revocation list fails; without it, it says that nothing
    was looked up. ``allow_smt`` and ``allow_migration`` are about what the guest's policy permits its host.
    ``accept_hcl`` takes Azure's reports for what they are: about a virtual TPM, not about what it measured.
    """

    allow_debug: bool = False
    allow_migration: bool = False
    allow_smt: bool = True
    vmpls: frozenset[int] = GUEST_VMPLS
    minimum_reported_tcb: SnpTcb | None = None
    minimum_committed_tcb: SnpTcb | None = None
    minimum_launch_tcb: SnpTcb | None = None
    minimum_guest_svn: int = 0
    author_key_digests: frozenset[bytes] = frozenset()
    require_crl: bool = True
    accept_hcl: bool = False


DEFAULT: Final = SnpPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule held against one report."""

    name: str
    code: Code
    ok: bool
    expected: str
    found: str


def judge(report: SnpReport, policy: SnpPolicy) -> Iterator[Rule]:
    """Hold ``report`` against every rule of ``policy``, in a fixed order."""
    bits = (
        ("Debug", Code.DEBUG_ENCLAVE, GuestPolicy.DEBUG, policy.allow_debug),
        ("Migration agent", Code.SNP_MIGRATION, GuestPolicy.MIGRATE_MA, policy.allow_migration),
        ("SMT", Code.SNP_SMT, GuestPolicy.SMT, policy.allow_smt),
    )
    for name, code, bit, allowed in bits:
        has = report.allows(bit)
        expected = "allowed or not" if allowed else "not allowed by the guest policy"
        found = "allowed" if has else "not allowed"
        yield Rule(name=name, code=code, ok=allowed or not has, expected=expected, found=found)
    yield Rule(
        name="VMPL",
        code=Code.SNP_VMPL,
        ok=report.vmpl in policy.vmpls,
        expected=" or ".join(str(level) for level in sorted(policy.vmpls)) or "none",
        found="requested by the host" if report.vmpl not in GUEST_VMPLS else str(report.vmpl),
    )
    yield from _tcbs(report, policy)
    yield Rule(
        name="Guest SVN",
        code=Code.SNP_GUEST_SVN,
        ok=report.guest_svn >= policy.minimum_guest_svn,
        expected=f"at least {policy.minimum_guest_svn}",
        found=str(report.guest_svn),
    )
    yield from _author_key(report, policy)


def _tcbs(report: SnpReport, policy: SnpPolicy) -> Iterator[Rule]:
    for name, minimum, tcb in (
        ("Reported TCB", policy.minimum_reported_tcb, report.reported_tcb),
        ("Committed TCB", policy.minimum_committed_tcb, report.committed_tcb),
        ("Launch TCB", policy.minimum_launch_tcb, report.launch_tcb),
    ):
        if minimum is not None:
            yield Rule(
                name=name,
                code=Code.SNP_TCB_TOO_LOW,
                ok=tcb.reaches(minimum),
                expected=f"at least {minimum}",
                found=str(tcb),
            )


def _author_key(report: SnpReport, policy: SnpPolicy) -> Iterator[Rule]:
    if policy.author_key_digests:
        ok = report.author_key_enabled and report.author_key_digest in policy.author_key_digests
        yield Rule(
            name="Author key",
            code=Code.SNP_AUTHOR_KEY,
            ok=ok,
            expected=" or ".join(sorted(digest.hex() for digest in policy.author_key_digests)),
            found=report.author_key_digest.hex() if report.author_key_enabled else "no author key",
        )
