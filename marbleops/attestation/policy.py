"""What a verification may let pass: the knobs of attestation.md 2.4 and 2.5, and their defaults.

They decide whether evidence *verifies*. Whether it is wanted (statuses, advisories, measurements, and for a
trust domain whether it may migrate) is decided by ``appraisal`` afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from marbleops.attestation import limits

_NONE = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationPolicy:
    """Permissions and limits of a verification. Raises ``ValueError`` for a grace that makes no sense.

    ``collateral_grace`` lets collateral be used so long after its next update; it never applies to
    certificates, nor to a revocation that was found. ``platform_grace`` says how long after its TCB date an
    outdated platform is still marked ``within_grace``. As in Intel's policies one may be given, never both.
    """

    allow_debug: bool = False
    td_sept_ve_disable_required: bool = True
    td_migratable_allowed: bool = True
    td_service_td_allowed: bool = True
    min_tcb_evaluation_data_number: int | None = None
    collateral_grace: timedelta = _NONE
    platform_grace: timedelta = _NONE

    def __post_init__(self) -> None:
        for name, grace in (
            ("collateral_grace", self.collateral_grace),
            ("platform_grace", self.platform_grace),
        ):
            if not _NONE <= grace <= limits.MAX_GRACE:
                raise ValueError(f"{name} is between 0 and {limits.MAX_GRACE.days} days, not {grace}")
        if self.collateral_grace and self.platform_grace:
            raise ValueError("collateral_grace and platform_grace exclude each other")
        number = self.min_tcb_evaluation_data_number
        if number is not None and number < 0:
            raise ValueError(f"min_tcb_evaluation_data_number is not negative, and not {number}")


DEFAULT: Final = VerificationPolicy()
