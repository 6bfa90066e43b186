"""One immutable snapshot of everything the Coordinator knows (architecture.md decision 1).

A request takes one ``State`` and uses only that; a change makes a new one. Nothing here is mutable and
nothing here does I/O. Secrets are in no repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from coordinator.domain.phase import Phase
from marbleops.approval.enforced import Enforced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coordinator.domain.pki import Authorities
    from coordinator.domain.secrets import Material
    from marbleops.approval.floors import AttestedVersions, Floors
    from marbleops.manifest.digest import Digest
    from marbleops.manifest.model import Manifest, Package


def _empty() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What no transition holds: counts, the highest ISVSVN attested, values uploaded (decision 2).

    ``counters`` are the monotonic ones by MarbleRun's id: type, UUID and name in base64 with colons between.
    """

    activations: Mapping[str, int] = field(default_factory=_empty)
    attested: AttestedVersions = field(default_factory=lambda: MappingProxyType({}))
    uploads: Mapping[str, Material] = field(default_factory=_empty)
    counters: Mapping[str, int] = field(default_factory=_empty)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingUpdate:
    """A full update that waits for acknowledgements (marblerun-core 6.5).

    ``required`` says of each user who may acknowledge whether they have; ``missing`` is how many more must.
    """

    manifest: Manifest
    required: Mapping[str, bool]
    missing: int

    @property
    def missing_users(self) -> tuple[str, ...]:
        """Who has not acknowledged, sorted; with a threshold they may be more than are needed."""
        return tuple(sorted(name for name, done in self.required.items() if not done))


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
    """What is enforced, once something is. ``deployment`` is set where the manifest has a GitOps section.

    ``security_versions`` are those that package updates have raised since the manifest was set: they change
    neither its bytes nor its signature (marblerun-core 6.3). ``recovery`` are the encrypted recovery secrets.
    """

    manifest: Manifest
    signature: bytes
    deployment: Digest | None
    floors: Floors
    secrets: SecretState
    records: tuple[bytes, ...] = field(repr=False)
    head: Head
    log: tuple[str, ...]
    source: Source | None = None
    security_versions: Mapping[str, int] = field(default_factory=_empty)
    pending: PendingUpdate | None = None
    recovery: Mapping[str, bytes] = field(default_factory=_empty, repr=False)

    @property
    def effective(self) -> Manifest:
        """The manifest with the SecurityVersions now in force; its bytes are those that were set."""
        return raised(self.manifest, self.security_versions)

    @property
    def packages(self) -> Mapping[str, Package]:
        """The packages as marbles are measured against them."""
        return self.effective.packages


def raised(manifest: Manifest, versions: Mapping[str, int]) -> Manifest:
    """Return *manifest* with the SecurityVersions of some packages replaced."""
    if not versions:
        return manifest
    packages = {
        name: replace(package, security_version=versions.get(name, package.security_version))
        for name, package in manifest.packages.items()
    }
    return replace(manifest, packages=MappingProxyType(packages))


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
    def current_secrets(self) -> Mapping[str, Material]:
        """What is stored of the secrets, with the uploaded values laid over it."""
        assert self.enforcement is not None
        return MappingProxyType({**self.enforcement.secrets.current, **self.ledger.uploads})

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
