"""Which refusals time and signatures can heal: what ``plan``, ``approve``, ``wait`` and the hook wait for."""

from __future__ import annotations

from marbleops.approval.reasons import Reason

WAITING_REASONS: frozenset[str] = frozenset(
    {
        Reason.THRESHOLD_NOT_MET,
        Reason.QUORUM_NOT_MET,
        Reason.WEAKENING_NOT_APPROVED,
        Reason.NEW_KEY_UNPROVEN,
        Reason.NOT_EVALUATED,
        Reason.NOT_PERMITTED,
        Reason.BEYOND_ATTESTED,
    }
)
"""Any other refusal needs another manifest."""
