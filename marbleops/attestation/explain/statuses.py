"""What Intel's words for a platform mean, and where its advisories are to be read."""

from __future__ import annotations

from typing import Final

from marbleops.attestation.verdict import TcbStatus

_ADVISORY: Final = "https://www.intel.com/content/www/us/en/security-center/advisory/{}.html"
_PREFIX: Final = "INTEL-SA-"

MEANINGS: Final = {
    TcbStatus.UP_TO_DATE: "nothing is missing.",
    TcbStatus.SW_HARDENING_NEEDED: (
        "the platform is current; against the advisories the software inside has to protect itself. "
        "Accepted unless a package says otherwise."
    ),
    TcbStatus.CONFIGURATION_NEEDED: (
        "the platform is current, but set up so that it may be attacked (often hyper-threading): "
        "change the BIOS settings, or accept the status in the package."
    ),
    TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED: (
        "the platform is current, but BIOS settings and the software inside have to protect it: "
        "change the settings, or accept the status in the package."
    ),
    TcbStatus.OUT_OF_DATE: "updates for known flaws are missing: install them, or accept it for a time.",
    TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED: (
        "updates for known flaws are missing, and BIOS settings have to be changed as well."
    ),
    TcbStatus.REVOKED: "quotes of such platforms can be forged: nothing accepts it.",
    TcbStatus.TD_RELAUNCH_ADVISED: (
        "the host was updated after the trust domain was started: start it again, and it is current."
    ),
    TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED: (
        "the host was updated after the trust domain was started: start it again, and change BIOS settings."
    ),
}


def link_of(advisory: str) -> str | None:
    """Return where Intel describes an advisory; nothing for what is not numbered like one."""
    number = advisory.removeprefix(_PREFIX)
    return _ADVISORY.format(advisory.lower()) if number != advisory and number.isdecimal() else None
