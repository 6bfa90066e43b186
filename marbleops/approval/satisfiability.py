"""How many keys may be lost before a deployment is stuck, in words (approvals.md section 1)."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marbleops.approval.policy import Policy

_MAX_ROWS_COMBINED = 10
"""Quorum rows looked at in every combination; beyond that only each row and all, so words stay cheap."""


def satisfiability_words(policy: Policy) -> tuple[str, ...]:
    """Say what the policy asks for and how many approvers it can do without."""
    approvers = len(policy.approvers)
    spare_full = _spare(policy, policy.update_threshold)
    spare_repair = _spare(policy, policy.weaken_quorum)
    if approvers > policy.update_threshold:
        spare_repair = max(
            spare_repair, 1
        )  # one lost approver is replaced by all the others (Electorate, ii)
    needs = f"a full change needs {policy.update_threshold}, a weakening {policy.weaken_quorum}"
    asks = f"{approvers} {'approver' if approvers == 1 else 'approvers'}: {needs}"
    repair = f"the keys of {spare_repair} of {approvers} approvers may be lost and still be replaced"
    if spare_repair == 0:
        repair = "any lost key is final: an approver who lost every key can never be replaced"
    stuck = f"with the keys of {spare_full} of {approvers} approvers lost, full changes still work"
    if spare_full == 0:
        stuck = "the lost keys of one approver may already stop full changes"
    return asks, repair, stuck


def _spare(policy: Policy, needed: int) -> int:
    """Count the approvers that may be lost, whoever they are, with *needed* and all quorum seats left.

    By Hall's theorem a set of quorum rows fails exactly when fewer people than seats are left for it.
    """
    spare = len(policy.approvers) - needed
    rows = sorted(policy.quorum)
    sizes = range(1, len(rows) + 1) if len(rows) <= _MAX_ROWS_COMBINED else (1, len(rows))
    for size in sizes:
        for group in combinations(rows, size):
            able = sum(1 for name in policy.approvers if set(group) & set(policy.users[name].roles))
            spare = min(spare, able - sum(policy.quorum[role] for role in group))
    return max(spare, 0)
