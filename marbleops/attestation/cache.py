"""A verifier that remembers what cannot change: signatures of certificates, lists and collateral, by content.

What is remembered is the result *and* its checks, under the hash of the very bytes that were checked.
Whatever depends on time is decided anew for each verification (``dcap``). Failures are not remembered, and
the memory is bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar, cast

from marbleops.attestation import limits
from marbleops.attestation.dcap import verify_with_memo
from marbleops.attestation.policy import DEFAULT, VerificationPolicy

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from marbleops.attestation.anchors import Anchors
    from marbleops.attestation.collateral import Collateral
    from marbleops.attestation.verdict import Check, Verdict

T = TypeVar("T")


class BoundedMemo:
    """A ``Memo`` that drops the least recently used entry first.

    For several threads, of which two may compute one entry. It serves every verifier: ``verify_evidence``
    and ``ratls.verify_certificate`` take it too.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[tuple[str, bytes], Any] = OrderedDict()
        self._lock = Lock()

    def recall(
        self, key: tuple[str, bytes], compute: Callable[[], tuple[T, tuple[Check, ...]]]
    ) -> tuple[T, tuple[Check, ...]]:
        """Return the remembered result for ``key``, or compute and remember it; failures are not kept."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return cast("tuple[T, tuple[Check, ...]]", self._entries[key])
        entry = compute()
        with self._lock:
            self._entries[key] = entry
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
        return entry

    def __len__(self) -> int:
        return len(self._entries)


class QuoteVerifier:
    """Verifies quotes under fixed anchors, remembering at most ``cache_size`` partial results."""

    def __init__(self, anchors: Anchors, *, cache_size: int = limits.DEFAULT_CACHE_ENTRIES) -> None:
        if cache_size < 1:
            raise ValueError("cache_size must be at least 1")
        self.anchors = anchors
        self._memo = BoundedMemo(cache_size)

    @property
    def remembered(self) -> int:
        """Return how many partial results are held."""
        return len(self._memo)

    def verify(
        self,
        evidence: bytes,
        collateral: Collateral,
        *,
        at: datetime,
        allow_debug: bool = False,
        policy: VerificationPolicy = DEFAULT,
    ) -> Verdict:
        """Answer exactly what ``dcap.verify_quote`` answers, faster when parts were seen before."""
        return verify_with_memo(
            evidence,
            collateral,
            anchors=self.anchors,
            at=at,
            allow_debug=allow_debug,
            policy=policy,
            memo=self._memo,
        )
