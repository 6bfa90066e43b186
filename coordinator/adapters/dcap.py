"""Quote verification over ``marbleops.attestation``: one verifier for hardware and laptop (decision 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from marbleops.attestation.cache import QuoteVerifier
    from marbleops.attestation.collateral import Collateral
    from marbleops.attestation.verdict import Verdict


class DcapVerifier:
    """Verifies marbles' quotes against the platform's anchor.

    A debug enclave passes here and is judged by the appraisal, which wants ``Debug`` equal to the package's.
    """

    def __init__(self, verifier: QuoteVerifier, collateral: Callable[[], Collateral]) -> None:
        self._verifier = verifier
        self._collateral = collateral

    def verify(self, evidence: bytes, at: datetime) -> Verdict:
        """Return the verdict on *evidence*."""
        return self._verifier.verify(evidence, self._collateral(), at=at, allow_debug=True)
