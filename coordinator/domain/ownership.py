"""What users may change by client certificate in a deployment of MarbleRun's kind (marblerun-core 6).

Each function checks the user's right and the command against the state, and works out the transition. The
order of the checks and the words are MarbleRun's. A deployment of signed commits takes none of them but the
writing of secrets (approvals.md section 3, Side doors closed).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from coordinator.domain import update
from coordinator.domain.access import (
    UPDATE_MANIFEST,
    UPDATE_SECURITY_VERSION,
    WRITE_SECRET,
    check_users,
    holders,
)
from coordinator.domain.recovery import changed as recovery_changed
from coordinator.domain.state import PendingUpdate
from coordinator.domain.support import check_supported, check_uploads
from coordinator.errors import (
    ManifestRefusedError,
    NotSupportedYetError,
    NoUpdateInProgressError,
    UpdateInProgressError,
    UpdateRefusedError,
)
from marbleops.approval.floors import violations
from marbleops.approval.record import Assertion
from marbleops.manifest.check import check
from marbleops.manifest.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coordinator.domain.access import User
    from coordinator.domain.history import Transition
    from coordinator.domain.making import Making
    from coordinator.domain.secrets import Material
    from coordinator.domain.state import Enforcement, State
    from marbleops.manifest.model import Manifest, Package

DISABLED = "Disabled"
"""The seal mode that keeps nothing on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the start configuration allows beyond the rules (docs/differences.md)."""

    allow_security_version_decrease: bool = False


def is_package_update(manifest: Manifest) -> bool:
    """Say whether a manifest only names packages; its ``Config`` is not looked at (1.11)."""
    return manifest.gitops is None and not (
        manifest.infrastructures
        or manifest.marbles
        or manifest.users
        or manifest.recovery_keys
        or manifest.roles
        or manifest.secrets
        or manifest.tls
    )


def package_update(state: State, manifest: Manifest, user: User, making: Making) -> Transition:
    """Raise SecurityVersions, if *user* may on every package named (6.3).

    Raises:
        UpdateInProgressError: a full update waits. NotPermittedError: the right is missing.
        UpdateRefusedError: it names anything but packages in force and SecurityVersions not below theirs.
    """
    before = _enforced(state)
    _check_nothing_pending(before)
    names = sorted(manifest.packages)
    user.require(UPDATE_SECURITY_VERSION, names, f"update one or more packages of [{' '.join(names)}]")
    if not names:
        raise UpdateRefusedError("no packages defined")
    versions = {name: _raised_version(before, name, manifest.packages[name]) for name in names}
    effects = update.package_effects(state, making, update.raised_lines(making, user.name, versions))
    effects = replace(effects, security_versions=MappingProxyType({**before.security_versions, **versions}))
    assertion = Assertion(
        user=user.name, certificate=user.fingerprint, packages=tuple(sorted(versions.items()))
    )
    return update.asserted(state, "package-update", assertion, effects)


def propose(state: State, manifest: Manifest, user: User, rules: Rules) -> PendingUpdate:
    """Begin a full update, with *user*'s own acknowledgement counted (6.2).

    Everything that would refuse the update once it is acknowledged is checked now.

    Raises:
        UpdateInProgressError, NotPermittedError, UpdateRefusedError.
    """
    before = _enforced(state)
    _check_nothing_pending(before)
    user.require(UPDATE_MANIFEST, (), "update the complete manifest")
    _check_acceptable(before, manifest, rules)
    required = holders(before.manifest, UPDATE_MANIFEST)
    needed = before.manifest.config.update_threshold or len(required)
    return PendingUpdate(
        manifest=manifest,
        required=MappingProxyType({name: name == user.name for name in required}),
        missing=max(0, needed - 1),
    )


def proposed(state: State, pending: PendingUpdate, user: User, making: Making) -> Transition:
    """Work out the transition that keeps an update until it is acknowledged."""
    words = "Complete Manifest update initiated by user. Waiting for acknowledgments to apply the update"
    line = update.log_line(
        making.at, words, {"user": user.name, **_missing_fields(pending), **_fingerprint(pending)}
    )
    return _keep(state, "update-proposed", pending, user, line)


def acknowledge(state: State, raw: bytes, user: User) -> PendingUpdate:
    """Count *user*'s acknowledgement of the pending update, which must be *raw* byte for byte (6.5).

    Raises:
        NoUpdateInProgressError: none is pending.
        UpdateRefusedError: the user is none of those who may, or the bytes are others.
    """
    pending = _enforced(state).pending
    if pending is None:
        raise NoUpdateInProgressError
    if user.name not in pending.required:
        raise UpdateRefusedError(f"user {user.name} is not allowed to acknowledge manifest updates")
    if pending.manifest.raw != raw:
        raise UpdateRefusedError("provided manifest does not match the pending manifest")
    if pending.required[user.name]:
        return pending
    return replace(
        pending,
        required=MappingProxyType({**pending.required, user.name: True}),
        missing=max(0, pending.missing - 1),
    )


def acknowledged(state: State, pending: PendingUpdate, user: User, making: Making) -> Transition:
    """Work out the transition that remembers an acknowledgement."""
    return _keep(state, "update-acknowledged", pending, user, _acknowledged_line(pending, user, making))


def apply(
    state: State,
    pending: PendingUpdate,
    user: User,
    *,
    rules: Rules,
    making: Making,
    recovery: Mapping[str, bytes] | None,
) -> Transition:
    """Work out the transition to the acknowledged manifest (6.4); *recovery* as in ``update.full_effects``.

    Raises:
        UpdateRefusedError: what has happened since it was proposed forbids it.
    """
    before = _enforced(state)
    manifest = pending.manifest
    _check_acceptable(before, manifest, rules)
    if before.pending is None:
        words = "Complete Manifest update initiated by user. No further acknowledgements required"
        first = update.log_line(making.at, words, {"user": user.name, **_fingerprint(pending)})
    else:
        first = _acknowledged_line(pending, user, making)
    log = (first, update.updated_line(making, manifest))
    effects = update.full_effects(state, manifest, making, log, recovery)
    assertion = Assertion(
        user=user.name,
        certificate=user.fingerprint,
        proposal=manifest.digest,
        decreases=_decreases(before, manifest),
    )
    return update.asserted(state, "full-update", assertion, effects, manifest=manifest)


def cancel(state: State, user: User, making: Making) -> Transition:
    """Drop the pending update; anyone who may update the manifest may (6.5).

    Raises:
        NotPermittedError, NoUpdateInProgressError.
    """
    user.require(UPDATE_MANIFEST, (), "cancel manifest updates")
    pending = _enforced(state).pending
    if pending is None:
        raise NoUpdateInProgressError
    line = update.log_line(
        making.at,
        "Complete Manifest update cancelled by user",
        {"user": user.name, **_fingerprint(pending)},
    )
    effects = replace(update.unchanged_effects(state, (line,)), pending=None)
    return update.asserted(state, "update-cancelled", _assertion(user, pending), effects)


def write_secrets(state: State, values: Mapping[str, Material], user: User, making: Making) -> Transition:
    """Record that *user* wrote secrets; the values go into the ledger (5.7).

    Raises:
        SecretRefusedError: a template could not be rendered with the values.
        NotPermittedError: the user may not write one of them.
    """
    before = _enforced(state)
    check_uploads(before.manifest, values)
    for name in sorted(values):
        user.require(WRITE_SECRET, (name,), f"update secret: {name}")
    log = tuple(
        update.log_line(
            making.at, "Secret set", {"user": user.name, "secret": name, "type": values[name].type}
        )
        for name in sorted(values)
    )
    assertion = Assertion(user=user.name, certificate=user.fingerprint, secrets=tuple(sorted(values)))
    return update.asserted(state, "secrets-set", assertion, update.unchanged_effects(state, log))


def needs_new_key(old: Manifest, new: Manifest) -> bool:
    """Say whether an update renews the data key: other recovery holders, or another seal mode (A7)."""
    return recovery_changed(old, new) or _mode(old) != _mode(new)


def _enforced(state: State) -> Enforcement:
    assert state.enforcement is not None
    return state.enforcement


def _check_nothing_pending(before: Enforcement) -> None:
    if before.pending is not None:
        raise UpdateInProgressError


def _raised_version(before: Enforcement, name: str, wanted: Package) -> int:
    """1.11 CheckUpdate for one package."""
    package = before.packages.get(name)
    if package is None:
        raise UpdateRefusedError(f'undefined package "{name}"')
    if wanted.debug or wanted.unique_id or wanted.signer_id or wanted.product_id is not None:
        raise UpdateRefusedError(f"update manifest contains unupdatable values for package {name}")
    if wanted.security_version is None:
        raise UpdateRefusedError(
            f"update manifest does not specify a SecurityVersion to update for package {name}"
        )
    if package.security_version is not None and wanted.security_version < package.security_version:
        raise UpdateRefusedError(
            f"update manifest tries to downgrade SecurityVersion of package {name} from "
            f"{package.security_version} to {wanted.security_version}"
        )
    return wanted.security_version


def _check_acceptable(before: Enforcement, manifest: Manifest, rules: Rules) -> None:
    """Refuse a manifest that could not be enforced after the one before (6.2, 6.4; differences A6, A7)."""
    if manifest.gitops is not None:
        raise UpdateRefusedError(
            "invalid manifest: a running deployment cannot adopt a GitOps section; start a new deployment"
        )
    try:
        check(manifest)
    except ManifestError as error:
        raise UpdateRefusedError(f"invalid manifest: {error.statement}") from error
    try:
        check_users(manifest)
        check_supported(manifest)
    except (ManifestRefusedError, NotSupportedYetError) as error:
        raise UpdateRefusedError(f"invalid manifest: {error}") from error
    if _mode(before.manifest) != _mode(manifest) and DISABLED in (_mode(before.manifest), _mode(manifest)):
        raise UpdateRefusedError(
            "invalid manifest: Config.SealMode cannot change to or from Disabled; start a new deployment"
        )
    decreases = violations(before.floors, before.effective, manifest)
    if decreases and not rules.allow_security_version_decrease:
        found = decreases[0]
        raise UpdateRefusedError(
            f"invalid manifest: Packages.{found.package}.SecurityVersion falls below {found.floor}, "
            f"{found.words}; EDG_COORDINATOR_ALLOW_SECURITY_VERSION_DECREASE=1 allows it as MarbleRun does"
        )


def _decreases(before: Enforcement, manifest: Manifest) -> tuple[str, ...]:
    return tuple(found.package for found in violations(before.floors, before.effective, manifest))


def _keep(state: State, kind: str, pending: PendingUpdate, user: User, line: str) -> Transition:
    effects = replace(update.unchanged_effects(state, (line,)), pending=pending)
    return update.asserted(state, kind, _assertion(user, pending), effects)


def _assertion(user: User, pending: PendingUpdate) -> Assertion:
    return Assertion(user=user.name, certificate=user.fingerprint, proposal=pending.manifest.digest)


def _acknowledged_line(pending: PendingUpdate, user: User, making: Making) -> str:
    return update.log_line(
        making.at,
        "Complete Manifest update acknowledged by user",
        {"user": user.name, **_missing_fields(pending), **_fingerprint(pending)},
    )


def _missing_fields(pending: PendingUpdate) -> dict[str, object]:
    return {"missingAcknowledgments": pending.missing, "missingUsers": list(pending.missing_users)}


def _fingerprint(pending: PendingUpdate) -> dict[str, object]:
    return {"manifestFingerprint": pending.manifest.digest.hex}


def _mode(manifest: Manifest) -> str:
    return manifest.config.seal_mode or "ProductKey"
