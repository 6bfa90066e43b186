"""Every length, count and waiting time of the collateral client, in one place.

Lengths of the documents themselves are those of the verifier (``marbleops.attestation.limits``).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from marbleops.attestation import limits as verifier

MAX_ANSWER_BYTES: Final = 2 * verifier.MAX_CRL_BYTES  # a PCCS writes revocation lists in hexadecimal
MAX_URL_LENGTH: Final = 2048
MAX_REDIRECTS: Final = 3
MAX_CAUSE_LENGTH: Final = 300  # what a source says about its refusal
CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 20.0  # for everything after the connection, however slowly it drips
MAX_SOURCES: Final = 16
MAX_CACHE_FILE_BYTES: Final = 2 * MAX_ANSWER_BYTES
MAX_CACHE_ENTRIES: Final = 4096
MAX_BUNDLE_BYTES: Final = 16 * 1024 * 1024
MAX_BUNDLE_ENTRIES: Final = 1024
MAX_KEY_FILE_BYTES: Final = 16 * 1024
MAX_FLOORS_BYTES: Final = 64 * 1024
MAX_FLOOR_LISTS: Final = 64  # revocation lists whose numbers are remembered

MIN_REFRESH: Final = timedelta(hours=1)  # a document near its end is not asked for more often than this
RETRY_AFTER_ERROR: Final = timedelta(minutes=1)
RETRY_AFTER_NOT_FOUND: Final = timedelta(minutes=10)
RETRY_WHEN_BUSY: Final = timedelta(seconds=30)  # 429 or 503 without Retry-After
MAX_RETRY_AFTER: Final = timedelta(hours=1)
