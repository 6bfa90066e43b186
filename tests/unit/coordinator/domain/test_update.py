"""What follows from a decision: keys and secrets of package bumps, full updates and rotations; the log."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from coordinator.domain import secrets
from coordinator.domain.making import Making
from coordinator.domain.update import log_line
from marbleops.approval.decision import ChangeClass, Outcome
from marbleops.approval.record import verify_chain
from tests.fakes import shop
from tests.fakes.small_world import FakeEntropy, SmallWorld, activation, make_csr, marble_quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from coordinator.service import Service


def test_bump_renews_the_authority_and_nothing_else() -> None:
    """A package bump: new intermediate and marble root, same root and secrets, raised floor."""
    service, first = SmallWorld().enforce_genesis()
    service.marbles.activate(activation("backend", csr=make_csr()), marble_quote(version=3))
    before = service.snapshot()
    assert before.enforcement is not None
    second = shop.manifest(2, previous=first, deployment=before.enforcement.deployment, change=shop.bump(2))
    decision = service.update(second, shop.approvals(second, "alice"), dry_run=False, source=None)
    assert (decision.outcome, decision.change_class) == (Outcome.APPLIED, ChangeClass.PACKAGE_BUMP)
    after = service.snapshot()
    assert after.enforcement is not None
    assert after.enforcement.secrets == before.enforcement.secrets
    assert after.authorities.root == before.authorities.root
    assert after.authorities.marble_root.spki != before.authorities.marble_root.spki
    assert after.enforcement.floors.names["backend"] == 2
    assert after.ledger == before.ledger
    record = verify_chain(after.enforcement.records)[-1]
    assert record.floors == before.enforcement.floors
    assert record.attested == before.ledger.attested
    line = service.update_log()[-1]
    assert line.endswith(
        '"update":"SecurityVersion increased","user":"alice","package":"backend","new version":2}'
    )


def test_log_lines_are_marbleruns() -> None:
    """The lines of marblerun-core 13.8, byte for byte."""
    at = datetime(2026, 11, 23, 4, 24, 53, 290_999, tzinfo=UTC)
    assert (
        log_line(at, "Initial manifest set")
        == '{"time":"2026-11-23T04:24:53.290Z","update":"Initial manifest set"}'
    )


def test_full_update_keeps_unchanged_secrets() -> None:
    """Without rotation an unchanged secret keeps value and previous; a changed definition is made anew."""

    def change(made: dict[str, Any]) -> None:
        made["Secrets"]["shared"]["Size"] = 256
        made["Secrets"]["more"] = {"Type": "symmetric-key", "Size": 64, "Shared": True}
        del made["Secrets"]["token"]

    service, before, after = _update(change)
    old, new = before, service.enforcement().secrets
    assert new is not old
    assert (new.root, new.previous_root) == (old.root, old.previous_root)
    assert new.current["own"] == old.current["own"]
    assert len(new.current["shared"].private) == 32
    assert new.previous["shared"] == new.current["shared"]
    assert set(new.current) == set(new.previous) == {"shared", "own", "more"}
    assert after == b"Complete Manifest updated"


def test_a_secret_put_back_is_another_one() -> None:
    """Two ordinary changes, one that removes a private secret and one that adds it, yield no old key."""
    service, first = SmallWorld().enforce_genesis()
    uuid, manifests = "00000000-0000-4000-8000-000000000001", [first]

    def own_key() -> bytes:
        enforcement = service.enforcement()
        found = secrets.for_marble(
            enforcement.manifest.secrets,
            enforcement.secrets.current,
            root_secret=enforcement.secrets.root,
            uuid=uuid,
            marble_name="backend",
            issuer=service.snapshot().authorities.marble_root,
            making=Making(at=datetime(2026, 11, 23, tzinfo=UTC), random=FakeEntropy().bytes),
        )
        return found["own"].private

    before = own_key()

    def without(made: dict[str, Any]) -> None:
        del made["Secrets"]["own"]
        del made["Marbles"]["backend"]["Parameters"]["Env"]["OWN"]

    def with_it(made: dict[str, Any]) -> None:
        made["Secrets"]["own"] = {"Type": "symmetric-key", "Size": 256}
        made["Marbles"]["backend"]["Parameters"]["Env"]["OWN"] = "{{ base64 .Secrets.own }}"

    for version, change in ((2, without), (3, with_it)):
        raw = shop.manifest(
            version, previous=manifests[-1], deployment=service.status().deployment, change=change
        )
        manifests.append(raw)
        decision = service.update(raw, shop.approvals(raw, "alice", "bob"), dry_run=False, source=None)
        assert decision.outcome is Outcome.APPLIED, decision.summary
        assert decision.change_class is ChangeClass.FULL
    assert own_key() != before


def test_rotation_moves_current_to_previous() -> None:
    """With RotateRootSecret the root secret and unchanged symmetric keys move on; the old become previous."""

    def change(made: dict[str, Any]) -> None:
        made["Config"]["RotateRootSecret"] = True

    service, old, _ = _update(change, users=("alice", "bob", "carol"))
    new = service.enforcement().secrets
    assert new.root != old.root
    assert new.previous_root == old.root
    assert new.previous["shared"] == old.current["shared"] != new.current["shared"]
    assert new.current["token"] == old.current["token"]
    third = shop.manifest(
        3,
        previous=service.enforcement().manifest.raw,
        deployment=service.status().deployment,
        change=lambda made: made["Marbles"]["frontend"]["Parameters"].update(Argv=["again"]),
    )
    decision = service.update(third, shop.approvals(third, "alice", "bob"), dry_run=False, source=None)
    assert decision.outcome is Outcome.APPLIED, decision.summary
    newest = service.enforcement().secrets
    assert newest.previous_root == new.root != newest.root
    assert newest.previous["shared"] == new.current["shared"]


def _update(
    change: Callable[[dict[str, Any]], None], *, users: tuple[str, ...] = ("alice", "bob")
) -> tuple[Service, Any, bytes]:
    service, first = SmallWorld().enforce_genesis()
    before = service.snapshot()
    assert before.enforcement is not None
    second = shop.manifest(2, previous=first, deployment=before.enforcement.deployment, change=change)
    decision = service.update(second, shop.approvals(second, *users), dry_run=False, source=None)
    assert decision.outcome is Outcome.APPLIED, decision.summary
    after = service.snapshot()
    assert after.authorities.root is before.authorities.root or (
        after.authorities.root.key_pkcs8 == before.authorities.root.key_pkcs8
    )
    assert after.authorities.intermediate.spki != before.authorities.intermediate.spki
    line = json.loads(service.update_log()[-1])
    assert line["manifestFingerprint"] == service.enforcement().manifest.digest.hex
    verify_chain(service.enforcement().records)
    return service, before.enforcement.secrets, line["update"].encode()
