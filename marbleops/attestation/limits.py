"""Every length and count that attestation accepts, in one place (attestation.md 2.1 step 1, 2.8).

Numbers are several times what real quotes and Intel's collateral need, and small enough that the worst input
is cheap.
"""

from __future__ import annotations

from typing import Final

MAX_EVIDENCE_BYTES: Final = 32 * 1024  # real SGX quotes: 4.6 to 4.8 KiB; configfs-TSM pads to 8000 bytes
MAX_COLLATERAL_BYTES: Final = 1024 * 1024  # the whole JSON document; real ones are 14 to 22 KiB
MAX_CHAIN_BYTES: Final = 16 * 1024  # PEM; three P-256 certificates are about 4 KiB
MAX_CHAIN_MEMBERS: Final = 4
MAX_CRL_BYTES: Final = 256 * 1024  # Intel's longest PCK CRL so far: 3.3 KiB
MAX_SIGNED_JSON_BYTES: Final = 128 * 1024  # TCB info and QE identity
MAX_TCB_LEVELS: Final = 128  # Intel publishes about 20
MAX_ADVISORIES: Final = 128  # per level
MAX_ADVISORY_LENGTH: Final = 64
MAX_EXTENSION_BYTES: Final = 4096  # the SGX extension of a PCK certificate is 453 to 554 bytes
DEFAULT_CACHE_ENTRIES: Final = 256
MAX_FOUND_TEXT: Final = 200  # what a check may quote of its input in a verdict
