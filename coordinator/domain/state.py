"""One immutable snapshot of everything the Coordinator knows (architecture.md decision 1).

A request takes one ``State`` and uses only that; a change makes a new one. Nothing here is mutable and
nothing here does I/O. Secrets are in no repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from coordinator.domain.phase import Phase
from marbleops.approval.enforced import Enforced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coordinator.domain.pki import Authorities
    from coordinator.domain.secrets import Material
    from marbleops.approval.floors import AttestedVersions, Floors
    from marbleops.manifest.digest import Digest
    from marbleops.manifest.model import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What changes without a transition: activation counts and the highest ISVSVN attested (decision 2)."""

    activations: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    attested: AttestedVersions = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a reconciler says the latest manifest comes from: a claim, shown and never believed."""

    url: str
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The latest public record: what clients keep."""

    position: int
    hash: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretState:
    """All secret material of a deployment, current and previous (marblerun-core 5.1, 5.2)."""

    root: bytes = field(repr=False)
    previous_root: bytes = field(repr=False)
    current: Mapping[str, Material]
    previous: Mapping[str, Material]


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforcement:
    """What is enforced, once something is. ``deployment`` is set where the manifest has a GitOps section."""

    manifest: Manifest
    signature: bytes
    deployment: Digest | None
    floors: Floors
    secrets: SecretState
    records: tuple[bytes, ...] = field(repr=False)
    head: Head
    log: tuple[str, ...]
    source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The Coordinator at one moment."""

    phase: Phase
    authorities: Authorities
    enforcement: Enforcement | None = None
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        assert (self.enforcement is not None) == (self.phase is Phase.ACCEPTING_MARBLES), (
            "phase and content differ"
        )

    @property
    def head(self) -> Head | None:
        """The head of the history, or None where nothing was ever enforced."""
        return None if self.enforcement is None else self.enforcement.head

    @property
    def enforced(self) -> Enforced | None:
        """The enforced policy as ``approval.decide`` wants it, or None without a GitOps section."""
        if self.enforcement is None or self.enforcement.deployment is None:
            return None
        return Enforced(
            manifest=self.enforcement.manifest,
            deployment=self.enforcement.deployment,
            floors=self.enforcement.floors,
            attested=self.ledger.attested,
        )
