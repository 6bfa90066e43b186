"""Every length and count that attestation accepts, in one place (attestation.md 2.1 step 1, 2.8).

Numbers are several times what real quotes and Intel's collateral need, and small enough that the worst input
is cheap.
"""

from __future__ import annotations

from datetime import timedelta
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
MAX_TDX_MODULES: Final = 16  # identities in TCB info; Intel publishes two
MAX_CERTIFICATE_BYTES: Final = 48 * 1024  # an RA-TLS certificate: evidence, a key and little else
MAX_CBOR_DEPTH: Final = 4
MAX_CBOR_ITEMS: Final = 64  # in one array or map
MAX_GRACE: Final = timedelta(days=5 * 366)  # TCB dates lie up to two years behind the standard set (2.5)
MAX_SNP_CERTIFICATE_BYTES: Final = 4096  # AMD's are 1.3 to 1.7 KiB
MAX_SNP_CERTIFICATES: Final = 32  # handed over together; three are used
MAX_SNP_CRLS: Final = 8
MAX_SNP_CRL_BYTES: Final = 64 * 1024  # AMD's are about 1 KiB
MAX_SNP_TABLE_BYTES: Final = 64 * 1024  # the auxblob of configfs-TSM; real ones are 4 to 16 KiB
DEFAULT_CACHE_ENTRIES: Final = 256
MAX_FOUND_TEXT: Final = 200  # what a check may quote of its input in a verdict
