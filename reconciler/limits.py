"""Every bound of the reconciler, in one place.

A Git host is not trusted: it may send endless refs, packs and histories. What is cut off here can delay a
change, never make one (architecture.md section 6).
"""

from __future__ import annotations

MAX_CONFIG_BYTES = 256 * 1024
"""The configuration; a thousand targets fit."""

MAX_STATE_BYTES = 4 * 1024 * 1024
"""One of our own files on disk: state or status."""

MAX_HEADS = 20_000
"""Refs a host may advertise; git.git has about 3,000."""

MAX_APPROVAL_REFS = 2_000
"""Approval tags looked at, newest name first: those of some hundred versions."""

MAX_PROPOSALS = 64
"""Pull and merge requests looked at where they are enabled, newest first."""

MAX_PROPOSAL_COMMITS = 64
"""Commits of one request that are looked at."""

MAX_FETCH_BYTES = 512 * 1024 * 1024
"""Bytes received by one fetch."""

MAX_FETCH_MEMORY = 4 * 1024 * 1024 * 1024
"""Address space of the fetching child; libgit2 maps whole packs."""

FETCH_SECONDS = 60.0
"""One fetch, all included; the child is killed afterwards (Flux has the same default)."""

CONNECT_MILLISECONDS = 10_000
"""Until a server answers, and the longest silence in between."""

MAX_WALK = 5_000
"""Commits of one walk through the path's history: about one second."""

MAX_DRAFTS = 64
"""Different manifests above the enforced one that one walk may find."""

MAX_COMMITS_PER_DRAFT = 256
"""Commits holding one manifest that are looked at for signatures."""

MAX_TREE_BYTES = 4 * 1024 * 1024
"""One tree read from the cache; the same as ``approval.limits.MAX_TREE_BYTES``."""

MAX_COMMIT_BYTES = 1024 * 1024
"""One commit of a walk. A larger one than ``approval.limits`` allows is no evidence but must be walked."""

MAX_SIGNATURE_FILES = 64
"""Files of ``<path>.sigs/`` and of the drop directory."""

MAX_SUPERSEDED = 4
"""Superseded manifests that are judged, to say "withdraw it"."""

MAX_CHAIN = 64
"""Versions applied by one reconcile; the rest follows in the next."""

MAX_CANDIDATES = 50
"""Commits whose outcome the status remembers."""

MAX_HISTORY = 5
"""Attempts that the status remembers, as Flux does."""

DEBOUNCE_SECONDS = 0.05
"""Quiet time after a change on disk before we look: one push writes several refs."""

BACKOFF_FIRST = 0.5
BACKOFF_LIMIT = 60.0
"""Waiting after the first failure that may heal, doubled up to the limit."""
