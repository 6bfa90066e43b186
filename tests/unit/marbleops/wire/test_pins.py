"""Pins: what is kept, and what contradicts it."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from marbleops.approval.record import record_hash
from marbleops.manifest.digest import Digest
from marbleops.wire.pins import Fork, Pin, PinError, PinStore, Rollback, check_history

if TYPE_CHECKING:
    from pathlib import Path

HISTORY = (b"genesis", b"second", b"third")
DEPLOYMENT = Digest.of(b"deployment")


def pin_at(position: int, history: tuple[bytes, ...] = HISTORY) -> Pin:
    head = record_hash(history[position])
    return Pin(deployment=DEPLOYMENT, root="sha256:00", position=position, head=head)


def test_a_history_that_goes_on_is_accepted() -> None:
    """The kept head may be any record of the history, the last one included."""
    for position in range(3):
        check_history(pin_at(position), HISTORY)


def test_a_shorter_history_is_a_rollback_and_another_one_a_fork() -> None:
    """The two ways in which a history contradicts what was seen."""
    with pytest.raises(Rollback, match="ends at 1"):
        check_history(pin_at(2), HISTORY[:2])
    with pytest.raises(Rollback, match="ends at -1"):
        check_history(pin_at(0), ())
    with pytest.raises(Fork) as caught:
        check_history(pin_at(1), (b"genesis", b"other", b"third"))
    assert caught.value.found == record_hash(b"other")


def test_pins_survive_and_never_move_back(tmp_path: Path) -> None:
    """What was written is read again, by the owner only; an older look changes nothing."""
    path = tmp_path / "deep" / "pins.json"
    store = PinStore(path)
    assert (store.get(DEPLOYMENT), store.deployment_at("a:1")) == (None, None)
    assert not store.check(DEPLOYMENT, HISTORY)
    store.update(pin_at(2), address="a:1")
    store.update(pin_at(0), address="b:1")
    again = PinStore(path)
    assert again.get(DEPLOYMENT) == pin_at(2)
    assert again.deployment_at("b:1") == DEPLOYMENT
    assert again.check(DEPLOYMENT, HISTORY)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(Rollback):
        again.check(DEPLOYMENT, HISTORY[:1])


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff", b'{"format":2,"deployments":{},"addresses":{}}', b"[" * 9999]
)
def test_a_damaged_file_is_an_error_and_not_a_fresh_start(tmp_path: Path, content: bytes) -> None:
    """Forgetting pins because their file is damaged would be the rollback they protect from."""
    path = tmp_path / "pins.json"
    path.write_bytes(content)
    with pytest.raises(PinError):
        PinStore(path).get(DEPLOYMENT)
    with pytest.raises(PinError):
        PinStore(path).update(pin_at(0), address="a:1")
    assert path.read_bytes() == content
