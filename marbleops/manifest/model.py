"""The manifest as values: MarbleRun's fields and the GitOps section.

Ruled by marblerun-core section 1 and approvals.md section 1. These types carry meaning only; their shape
is ruled by ``schemas/manifest.v1.schema.json`` and a test keeps the two together. They are made by
``parse.parse`` and by nothing else. Names are MarbleRun's in Python's spelling.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marbleops.manifest.digest import Digest


def _empty() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """An allowed enclave build. Hexadecimal identities are lower-cased; ``None`` means *not pinned*."""

    debug: bool = False
    unique_id: str | None = None
    signer_id: str | None = None
    product_id: int | None = None
    security_version: int | None = None
    accepted_tcb_statuses: tuple[str, ...] = ()
    accepted_advisories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """Content for a file or an environment variable; ``data`` is already decoded from ``encoding``."""

    data: bytes
    encoding: str = "string"
    no_templates: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What a marble gets besides its credentials. ``argv`` is never a template."""

    files: Mapping[str, File] = field(default_factory=_empty)
    env: Mapping[str, File] = field(default_factory=_empty)
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Marble:
    """A kind of workload; ``max_activations`` 0 means unlimited."""

    package: str
    max_activations: int = 0
    parameters: Parameters = field(default_factory=Parameters)
    tls: tuple[str, ...] = ()
    disable_secret_binding: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSEntry:
    """One connection rule of a TLS tag."""

    port: str = ""
    addr: str = ""
    cert: str = ""
    disable_client_auth: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSTag:
    """Connections that are wrapped in TLS for a marble that carries this tag."""

    outgoing: tuple[TLSEntry, ...] = ()
    incoming: tuple[TLSEntry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person. ``signing_keys`` are the texts as written; ``approval.policy`` parses them."""

    certificate: str = ""
    roles: tuple[str, ...] = ()
    signing_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A set of rights. ``actions`` are lower-cased, as MarbleRun compares them."""

    resource_type: str
    resource_names: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A definition. ``size`` is in bits, ``valid_for`` in days; ``cert`` is the template as parsed JSON."""

    type: str
    size: int = 0
    shared: bool = False
    user_defined: bool = False
    cert: Any = None
    valid_for: int = 0
    private: bytes | None = field(default=None, repr=False)
    public: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Deployment-wide settings. ``update_threshold`` is ``None`` where it is not written."""

    seal_mode: str = ""
    feature_gates: tuple[str, ...] = ()
    update_threshold: int | None = None
    recovery_threshold: int = 0
    rotate_root_secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GitOps:
    """The section that puts the manifest under signed approvals (approvals.md section 1)."""

    lineage: str
    version: int
    path: str
    deployment: str | None = None
    previous: Digest | None = None
    binding: str = "digest"
    quorum: Mapping[str, int] = field(default_factory=_empty)
    package_threshold: int = 1
    weaken_threshold: int = 0
    require_user_presence: bool = False
    public_evidence: bool = False
    allow_security_version_decrease: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A parsed manifest together with the very bytes it came from.

    ``document`` is the parsed JSON (for ``diff``), in strict mode with exactly the names of the schema; in
    MarbleRun mode with the names folded to the schema's spelling and unknown ones dropped.
    """

    raw: bytes = field(repr=False)
    digest: Digest
    document: Mapping[str, Any] = field(repr=False)
    packages: Mapping[str, Package] = field(default_factory=_empty)
    infrastructures: Mapping[str, Mapping[str, Any]] = field(default_factory=_empty)
    marbles: Mapping[str, Marble] = field(default_factory=_empty)
    users: Mapping[str, User] = field(default_factory=_empty)
    secrets: Mapping[str, Secret] = field(default_factory=_empty)
    recovery_keys: Mapping[str, str] = field(default_factory=_empty)
    roles: Mapping[str, Role] = field(default_factory=_empty)
    tls: Mapping[str, TLSTag] = field(default_factory=_empty)
    config: Config = field(default_factory=Config)
    gitops: GitOps | None = None
