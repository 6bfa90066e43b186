"""Commands to transitions: a first manifest, an approved update, and nothing else changes what is enforced.

Whether a change may happen is decided by ``approval.decide`` and never here; this module works out what
follows from a decision: keys, secrets, floors and the log (marblerun-core 6.1, 6.3, 6.4; approvals.md section
3).
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes

from coordinator.domain import pki, secrets
from coordinator.domain.effects import Effects, encode_effects
from coordinator.domain.history import Transition, floors_after
from coordinator.domain.state import Enforcement, SecretState, Source, State
from marbleops.approval.decision import ChangeClass, Decision, Outcome
from marbleops.approval.deployment import deployment_id
from marbleops.approval.evidence import Piece, encode_piece
from marbleops.approval.floors import NO_FLOORS
from marbleops.approval.limits import RULES_VERSION
from marbleops.approval.record import PublicRecord
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from coordinator.domain.making import Making
    from coordinator.domain.pki import Authorities
    from coordinator.domain.secrets import Material
    from marbleops.manifest.model import Manifest


def transition_of(
    state: State, decision: Decision, pieces: Sequence[Piece], *, source: Source | None, making: Making
) -> Transition:
    """Work out the transition that *decision* allows: the genesis or an update of a GitOps manifest."""
    assert decision.outcome is Outcome.WOULD_APPLY, "a refused decision has no transition"
    assert decision.manifest is not None
    assert decision.change_class is not None
    manifest = decision.manifest
    before = state.enforcement
    if before is None:
        deployment = deployment_id(state.authorities.root.spki, manifest.digest)
        effects = _first_effects(state.authorities, manifest, making)
    else:
        assert before.deployment is not None
        deployment = before.deployment
        effects = _update_effects(state.authorities, before, decision, making)
    evidence = _evidence(decision, pieces)
    record = PublicRecord(
        position=0 if before is None else before.head.position + 1,
        previous=None if before is None else before.head.hash,
        kind="genesis" if before is None else "update",
        manifest=manifest.digest,
        version=decision.version,
        deployment=deployment,
        rules_version=RULES_VERSION,
        change_class=decision.change_class.value,
        weakens=decision.weakens,
        approvals=decision.approvals,
        key_proofs=decision.key_proofs,
        floors=NO_FLOORS if before is None else before.floors,
        attested=state.ledger.attested,
        evidence=tuple(evidence),
        effects=Digest.of(encode_effects(effects)),
    )
    return _transition(state, record, effects, manifest, evidence=evidence, source=source)


def manifest_set(state: State, manifest: Manifest, *, making: Making) -> Transition:
    """Work out the transition of MarbleRun's ``SetManifest``: no deployment id, no approvals, once."""
    assert manifest.gitops is None, "a manifest with a GitOps section comes by gitops/update only"
    assert state.enforcement is None
    effects = _first_effects(state.authorities, manifest, making)
    record = PublicRecord(
        position=0,
        previous=None,
        kind="manifest-set",
        manifest=manifest.digest,
        version=None,
        deployment=None,
        rules_version=RULES_VERSION,
        change_class="manifest-set",
        floors=NO_FLOORS,
        attested=state.ledger.attested,
        effects=Digest.of(encode_effects(effects)),
    )
    return _transition(state, record, effects, manifest, evidence={}, source=None)


def _transition(
    state: State,
    record: PublicRecord,
    effects: Effects,
    manifest: Manifest,
    *,
    evidence: Mapping[Digest, bytes],
    source: Source | None,
) -> Transition:
    return Transition(
        record=record,
        effects=effects,
        manifest=manifest,
        floors=floors_after(state.enforcement, manifest),
        evidence=evidence,
        source=source,
    )


def _first_effects(authorities: Authorities, manifest: Manifest, making: Making) -> Effects:
    root_secret = making.random(secrets.ROOT_SECRET_SIZE)
    current = MappingProxyType(
        {name: secrets.create_stored(one, making.random) for name, one in sorted(manifest.secrets.items())}
    )
    return Effects(
        authorities=authorities,
        secrets=SecretState(root=root_secret, previous_root=root_secret, current=current, previous=current),
        signature=_sign(authorities, manifest),
        log=(log_line(making.at, "Initial manifest set"),),
    )


def _update_effects(
    authorities: Authorities, before: Enforcement, decision: Decision, making: Making
) -> Effects:
    """6.3 for a package bump, 6.4 for everything else; both renew the intermediate and the marble root."""
    manifest = decision.manifest
    assert manifest is not None
    # The names come from the root, whole: MarbleRun loses further addresses in a package update (A2), we do
    # not.
    renewed = pki.renew(
        authorities.root, names=pki.names_of(authorities.root.certificate), at=making.at, random=making.random
    )
    bump = decision.change_class is ChangeClass.PACKAGE_BUMP
    return Effects(
        authorities=renewed,
        secrets=before.secrets if bump else _update_secrets(before, manifest, making),
        signature=_sign(renewed, manifest),
        log=_bump_lines(before, decision, making) if bump else _update_lines(decision, making),
    )


def _update_secrets(before: Enforcement, manifest: Manifest, making: Making) -> SecretState:
    """6.4 step 2 for secrets that are no certificates."""
    old = before.secrets
    rotate = manifest.config.rotate_root_secret
    current: dict[str, Material] = {}
    previous: dict[str, Material] = {}
    for name, definition in sorted(manifest.secrets.items()):
        was = before.manifest.secrets.get(name)
        if was is None or not secrets.same_definition(was, definition):
            current[name] = previous[name] = secrets.create_stored(definition, making.random, added=True)
        elif definition.user_defined or not rotate:
            current[name], previous[name] = old.current[name], old.previous[name]
        else:
            current[name] = secrets.create_stored(definition, making.random, added=True)
            previous[name] = old.current[name]
    return SecretState(
        root=making.random(secrets.ROOT_SECRET_SIZE) if rotate else old.root,
        previous_root=old.root if rotate else old.previous_root,
        current=MappingProxyType(current),
        previous=MappingProxyType(previous),
    )


def _sign(authorities: Authorities, manifest: Manifest) -> bytes:
    """Sign the manifest as MarbleRun does: the root key over SHA-256 of the raw bytes (section 3)."""
    return pki.sign(authorities.root, manifest.raw, algorithm=hashes.SHA256())


def _evidence(decision: Decision, pieces: Sequence[Piece]) -> dict[Digest, bytes]:
    """Keep the pieces that counted, each under its digest."""
    counted = sorted({verdict.index for verdict in decision.pieces if verdict.counted})
    encoded = [encode_piece(pieces[index]) for index in counted]
    return {Digest.of(piece): piece for piece in encoded}


def _bump_lines(before: Enforcement, decision: Decision, making: Making) -> tuple[str, ...]:
    assert decision.manifest is not None
    users = ", ".join(approval.user for approval in decision.approvals)
    return tuple(
        log_line(
            making.at,
            "SecurityVersion increased",
            {"user": users, "package": name, "new version": package.security_version},
        )
        for name, package in sorted(decision.manifest.packages.items())
        if package.security_version != before.manifest.packages[name].security_version
    )


def _update_lines(decision: Decision, making: Making) -> tuple[str, ...]:
    return (log_line(making.at, "Complete Manifest updated", {"manifestFingerprint": decision.digest.hex}),)


def log_line(at: datetime, event: str, fields: Mapping[str, object] = MappingProxyType({})) -> str:
    """Write one line of MarbleRun's update log (6.6): this order of names, milliseconds, no HTML escapes."""
    time = at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
    return json.dumps({"time": time, "update": event, **fields}, separators=(",", ":"), ensure_ascii=False)
