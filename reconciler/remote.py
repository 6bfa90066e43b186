"""The Coordinator over the wire: ``ports.Coordinator`` on top of the attested HTTP client.

The only place that knows the client's errors; they become the three of ``ports``.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from marbleops.attestation.anchors import Anchors
from marbleops.wire.era import read_era
from marbleops.wire.rest import (
    CoordinatorClient,
    CoordinatorError,
    CoordinatorUnreachable,
    Source,
    Trust,
    UntrustedCoordinator,
)
from reconciler import limits
from reconciler.disk import DiskError, read_bounded
from reconciler.ports import (
    CoordinatorRefusedError,
    CoordinatorUnavailableError,
    CoordinatorUntrustedError,
    Identity,
    Phase,
)
from reconciler.settings import CoordinatorSettings, PlatformKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from marbleops.approval.decision import Decision
    from marbleops.approval.enforced import Enforced
    from marbleops.approval.evidence import Piece

_PHASES = {1: Phase.RECOVERY, 2: Phase.AWAITING_MANIFEST, 3: Phase.ENFORCING}
"""MarbleRun's status codes (marblerun-core 3); 0 is *not ready yet*."""

_LATER = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""HTTP answers that another moment may change; 409 is a state that is just changing."""

_MAX_SOURCE = 256
"""``source`` has at most so many printable ASCII characters (approvals.md section 4)."""


class RemoteCoordinator:
    """One Coordinator; trust is read from its files again at each attestation."""

    def __init__(self, settings: CoordinatorSettings) -> None:
        self._settings = settings
        self._client: CoordinatorClient | None = None

    def attest(self, *, nonce: bytes, at: datetime) -> Identity:
        """Prove with a fresh quote who answers."""
        trust = read_trust(self._settings)
        with self._errors() as client:
            proved = client.attest(trust, nonce=nonce, at=at)
        return Identity(
            root=proved.root_fingerprint,
            trust_domain=proved.verdict.trust_domain,
            quoted=None if proved.standing is None else proved.standing.enforced,
        )

    def phase(self) -> Phase:
        """Tell what the Coordinator is doing."""
        with self._errors() as client:
            status = client.status()
        if status.code not in _PHASES:
            raise CoordinatorUnavailableError(f"the Coordinator is not ready: {status.message}")
        return _PHASES[status.code]

    def enforced(self) -> Enforced | None:
        """Return what is enforced."""
        with self._errors() as client:
            return client.enforced()

    def submit(self, raw: bytes, pieces: Sequence[Piece], *, url: str, revision: str) -> Decision:
        """Send a manifest with its evidence."""
        source = Source(url=_printable(url), revision=_printable(revision))
        with self._errors() as client:
            return client.update(raw, pieces, dry_run=False, source=source)

    def close(self) -> None:
        """Drop the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    @contextlib.contextmanager
    def _errors(self) -> Iterator[CoordinatorClient]:
        try:
            if self._client is None:
                self._client = CoordinatorClient(self._settings.address)
            yield self._client
        except CoordinatorUnreachable as error:
            raise CoordinatorUnavailableError(str(error)) from error
        except UntrustedCoordinator as error:
            raise CoordinatorUntrustedError(error.code, error.reason) from error
        except CoordinatorError as error:
            words = f"HTTP {error.http} {error.status}: {error}"
            if error.http in _LATER:
                raise CoordinatorUnavailableError(words) from error
            raise CoordinatorRefusedError(words) from error
        except ValueError as error:
            raise CoordinatorRefusedError(str(error)) from error


def read_trust(settings: CoordinatorSettings) -> Trust:
    """Read what the Coordinator must prove.

    Raises:
        CoordinatorUntrustedError: anchor or era file is missing or malformed; nothing is trusted then.
    """
    try:
        anchors = Anchors.intel()
        if settings.platform is PlatformKind.SIMULATION:
            assert settings.anchor is not None, "the schema asks for it"
            anchors = Anchors.simulation(_file(settings.anchor))
        era = None if settings.era is None else read_era(_file(settings.era).decode("utf-8"))
    except (DiskError, ValueError) as error:
        raise CoordinatorUntrustedError("no-trust-anchor", str(error)) from error
    return Trust(anchors=anchors, reference=era, pinned_root=settings.pinned_root)


def _file(path: Path) -> bytes:
    content = read_bounded(path, limits.MAX_CONFIG_BYTES)
    if content is None:
        raise DiskError(f"{path}: no such file")
    return content


def _printable(text: str) -> str:
    return "".join(sign if " " <= sign <= "~" else "?" for sign in text)[:_MAX_SOURCE]
