"""What follows from a decision: keys, certificates, secrets, floors and log lines of a transition.

Whether a signed change may happen is decided by ``approval.decide`` and never here; who may change a
deployment of MarbleRun's kind is decided in ``ownership`` (marblerun-core 6.1, 6.3, 6.4; approvals.md section
3).
"""

from __future__ import annotations

import json
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes

from coordinator.domain import pki, secrets
from coordinator.domain.effects import Effects, encode_effects
from coordinator.domain.history import Transition, floors_after
from coordinator.domain.state import Enforcement, SecretState, Source, State, raised
from marbleops.approval.decision import ChangeClass, Decision, Outcome
from marbleops.approval.deployment import deployment_id
from marbleops.approval.evidence import Piece, encode_piece
from marbleops.approval.floors import NO_FLOORS
from marbleops.approval.limits import RULES_VERSION
from marbleops.approval.record import Assertion, PublicRecord
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from coordinator.domain.making import Making
    from coordinator.domain.pki import Authorities
    from marbleops.manifest.model import Manifest

_NOTHING: Mapping[str, bytes] = MappingProxyType({})


def transition_of(
    state: State,
    decision: Decision,
    pieces: Sequence[Piece],
    *,
    source: Source | None,
    making: Making,
    recovery: Mapping[str, bytes] | None = None,
) -> Transition:
    """Work out the transition that *decision* allows: the genesis or an update of a GitOps manifest.

    *recovery* are the encrypted recovery secrets of a new data key; None keeps key and secrets.
    """
    assert decision.outcome is Outcome.WOULD_APPLY, "a refused decision has no transition"
    assert decision.manifest is not None
    assert decision.change_class is not None
    manifest = decision.manifest
    before = state.enforcement
    if before is None:
        deployment = deployment_id(state.authorities.root.spki, manifest.digest)
        effects = first_effects(state.authorities, manifest, making, recovery or _NOTHING)
    else:
        assert before.deployment is not None
        deployment = before.deployment
        effects = _update_effects(state, before, decision, making, recovery)
    evidence = _evidence(decision, pieces)
    record = replace(
        _record(state, "genesis" if before is None else "update", manifest, effects),
        version=decision.version,
        deployment=deployment,
        change_class=decision.change_class.value,
        weakens=decision.weakens,
        approvals=decision.approvals,
        key_proofs=decision.key_proofs,
        evidence=tuple(evidence),
    )
    return _transition(state, record, effects, manifest, evidence=evidence, source=source)


def manifest_set(
    state: State, manifest: Manifest, *, making: Making, recovery: Mapping[str, bytes] = _NOTHING
) -> Transition:
    """Work out the transition of MarbleRun's ``SetManifest``: no deployment id, no approvals, once."""
    assert manifest.gitops is None, "a manifest with a GitOps section comes by gitops/update only"
    assert state.enforcement is None
    effects = first_effects(state.authorities, manifest, making, recovery)
    return _transition(state, _record(state, "manifest-set", manifest, effects), effects, manifest)


def asserted(
    state: State, kind: str, assertion: Assertion, effects: Effects, *, manifest: Manifest | None = None
) -> Transition:
    """Work out a transition that a user's client certificate authorised; *manifest* None keeps it."""
    before = state.enforcement
    assert before is not None
    enforced = before.manifest if manifest is None else manifest
    record = replace(_record(state, kind, enforced, effects), assertion=assertion)
    return _transition(state, record, effects, enforced, source=before.source if manifest is None else None)


def unchanged_effects(state: State, log: tuple[str, ...]) -> Effects:
    """Return effects that keep every key and secret and add *log*."""
    before = state.enforcement
    assert before is not None
    return Effects(
        authorities=state.authorities,
        secrets=before.secrets,
        signature=before.signature,
        log=log,
        security_versions=before.security_versions,
        pending=before.pending,
        recovery=before.recovery,
    )


def first_effects(
    authorities: Authorities, manifest: Manifest, making: Making, recovery: Mapping[str, bytes]
) -> Effects:
    """Make all secrets of a deployment that begins (6.1)."""
    root_secret = making.random(secrets.ROOT_SECRET_SIZE)
    current = secrets.first_secrets(manifest.secrets, issuer=authorities.marble_root, making=making)
    return Effects(
        authorities=authorities,
        secrets=SecretState(root=root_secret, previous_root=root_secret, current=current, previous=current),
        signature=sign_manifest(authorities, manifest),
        log=(log_line(making.at, "Initial manifest set"),),
        recovery=recovery,
    )


def renewed(state: State, making: Making) -> Authorities:
    """Renew the intermediate and the marble root, as every update does (section 3, Rotation).

    The names come from the root, whole: MarbleRun loses further addresses in a package update (A2), we do
    not.
    """
    root = state.authorities.root
    return pki.renew(root, names=pki.names_of(root.certificate), at=making.at, random=making.random)


def package_effects(state: State, making: Making, log: tuple[str, ...]) -> Effects:
    """Make what a package update renews: authorities and the shared certificates under them (6.3)."""
    before = state.enforcement
    assert before is not None
    authorities = renewed(state, making)
    current = secrets.after_package_update(
        before.manifest.secrets, before.secrets.current, issuer=authorities.marble_root, making=making
    )
    kept = unchanged_effects(state, log)
    return replace(kept, authorities=authorities, secrets=replace(before.secrets, current=current))


def full_effects(
    state: State,
    manifest: Manifest,
    making: Making,
    log: tuple[str, ...],
    recovery: Mapping[str, bytes] | None,
) -> Effects:
    """Make what a full update renews (6.4)."""
    before = state.enforcement
    assert before is not None
    authorities = renewed(state, making)
    return Effects(
        authorities=authorities,
        secrets=secrets.after_full_update(
            before.manifest.secrets,
            manifest.secrets,
            before.secrets,
            rotate=manifest.config.rotate_root_secret,
            issuer=authorities.marble_root,
            making=making,
        ),
        signature=sign_manifest(authorities, manifest),
        log=log,
        recovery=before.recovery if recovery is None else recovery,
    )


def sign_manifest(authorities: Authorities, manifest: Manifest) -> bytes:
    """Sign the manifest as MarbleRun does: the root key over SHA-256 of the raw bytes (section 3)."""
    return pki.sign(authorities.root, manifest.raw, algorithm=hashes.SHA256())


def log_line(at: datetime, event: str, fields: Mapping[str, object] = MappingProxyType({})) -> str:
    """Write one line of MarbleRun's update log (6.6): this order of names, milliseconds, no HTML escapes."""
    time = at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
    return json.dumps({"time": time, "update": event, **fields}, separators=(",", ":"), ensure_ascii=False)


def updated_line(making: Making, manifest: Manifest) -> str:
    """Write the line of a full update that is in force."""
    return log_line(making.at, "Complete Manifest updated", {"manifestFingerprint": manifest.digest.hex})


def raised_lines(making: Making, user: str, versions: Mapping[str, int]) -> tuple[str, ...]:
    """Write a line for each package whose SecurityVersion was set."""
    return tuple(
        log_line(
            making.at,
            "SecurityVersion increased",
            {"user": user, "package": name, "new version": version},
        )
        for name, version in sorted(versions.items())
    )


def _update_effects(
    state: State,
    before: Enforcement,
    decision: Decision,
    making: Making,
    recovery: Mapping[str, bytes] | None,
) -> Effects:
    """6.3 for a package bump, 6.4 for everything else; both renew the intermediate and the marble root."""
    manifest = decision.manifest
    assert manifest is not None
    if decision.change_class is not ChangeClass.PACKAGE_BUMP:
        return full_effects(state, manifest, making, (updated_line(making, manifest),), recovery)
    users = ", ".join(approval.user for approval in decision.approvals)
    changed = {
        name: package.security_version
        for name, package in manifest.packages.items()
        if package.security_version is not None
        and package.security_version != before.manifest.packages[name].security_version
    }
    effects = package_effects(state, making, raised_lines(making, users, changed))
    return replace(effects, signature=sign_manifest(effects.authorities, manifest))


def _record(state: State, kind: str, manifest: Manifest, effects: Effects) -> PublicRecord:
    """Begin the record of a transition to *manifest*: what all kinds have in common."""
    before = state.enforcement
    return PublicRecord(
        position=0 if before is None else before.head.position + 1,
        previous=None if before is None else before.head.hash,
        kind=kind,
        manifest=manifest.digest,
        version=None if before is None or before.manifest.gitops is None else before.manifest.gitops.version,
        deployment=None if before is None else before.deployment,
        rules_version=RULES_VERSION,
        change_class=kind,
        floors=NO_FLOORS if before is None else before.floors,
        attested=state.ledger.attested,
        effects=Digest.of(encode_effects(effects)),
    )


def _transition(
    state: State,
    record: PublicRecord,
    effects: Effects,
    manifest: Manifest,
    *,
    evidence: Mapping[Digest, bytes] = MappingProxyType({}),
    source: Source | None = None,
) -> Transition:
    effective = raised(manifest, effects.security_versions)
    return Transition(
        record=record,
        effects=effects,
        manifest=manifest,
        floors=floors_after(state.enforcement, effective, record.assertion),
        evidence=evidence,
        source=source,
    )


def _evidence(decision: Decision, pieces: Sequence[Piece]) -> dict[Digest, bytes]:
    """Keep the pieces that counted, each under its digest."""
    counted = sorted({verdict.index for verdict in decision.pieces if verdict.counted})
    encoded = [encode_piece(pieces[index]) for index in counted]
    return {Digest.of(piece): piece for piece in encoded}
