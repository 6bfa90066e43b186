"""Every bound on evidence, in one place, and the version of the rules they belong to.

The Coordinator judges input from anybody who can reach it, so each format has a size before it has a
parser (approvals.md section 2, last line). Raising a bound is a change of the rules version.
"""

from __future__ import annotations

RULES_VERSION = 1
"""The version of the approval rules that this package implements."""

MAX_OBJECT_BYTES = 64 * 1024
"""One commit or tag: room for octopus merges and mergetags, not for attachments."""

MAX_HEADERS = 1024
"""Headers of one commit or tag; the largest octopus merges have about 70."""

MAX_TREE_BYTES = 4 * 1024 * 1024
"""One tree: about 100,000 entries."""

MAX_DEPTH = 16
"""Segments of ``GitOps.Path``, and so trees on the way to it."""

MAX_PARENTS = 8
"""Parents of a commit that casts a tree vote; statements may have any number."""

MAX_PIECES = 64
"""Pieces of evidence in one request."""

MAX_EVIDENCE_BYTES = 8 * 1024 * 1024
"""All evidence of one request together."""

MAX_ARMOR_CHARS = 16 * 1024
"""One armored signature. An SSH signature by an RSA key of 8192 bits has about 3,000."""

MAX_KEY_CHARS = 16 * 1024
"""One line of ``SigningKeys``; an RSA key of 8192 bits has about 1,500."""

MAX_LISTED_KEYS = 2048
"""Keys of all users of a manifest. Reading one costs a computation on its curve; a request proves 64."""

MAX_RIGHTS = 65_536
"""Rights of all users of a manifest together, roles multiplied out."""

MAX_FLOORS = 65_536
"""Names, and identities, that one deployment can ever collect; records hold no more."""

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
"""Below the range is too weak; above it costs the verifier much and the sender nothing."""
