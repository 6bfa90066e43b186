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
    store.update(pin_at(2), address="a:1", encoded=HISTORY)
    store.update(pin_at(0), address="b:1", encoded=HISTORY[:1])
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
        PinStore(path).update(pin_at(0), address="a:1", encoded=HISTORY[:1])
    assert path.read_bytes() == content


def test_of_two_who_look_at_once_the_second_sees_the_fork(tmp_path: Path) -> None:
    """Both checked before either had kept anything: the second is told when it wants to keep its head."""
    other = (b"genesis", b"second", b"another third", b"fourth")
    for length in (3, 4):
        path = tmp_path / str(length)
        first, second = PinStore(path), PinStore(path)
        assert not first.check(DEPLOYMENT, HISTORY)
        assert not second.check(DEPLOYMENT, other)
        first.update(pin_at(2), address="a:1", encoded=HISTORY)
        with pytest.raises(Fork):
            second.update(pin_at(length - 1, other[:length]), address="a:1", encoded=other[:length])
        assert PinStore(path).get(DEPLOYMENT) == pin_at(2)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_not_believed(tmp_path: Path, mode: int) -> None:
    """They could make a client forget a head, or believe in another deployment."""
    path = tmp_path / "pins.json"
    store = PinStore(path)
    store.update(pin_at(2), address="a:1", encoded=HISTORY)
    path.chmod(mode)
    with pytest.raises(PinError, match="others can write"):
        store.deployment_at("a:1")
    with pytest.raises(PinError, match="others can write"):
        store.update(pin_at(2), address="a:1", encoded=HISTORY)


def test_a_dead_writers_draft_is_not_reused(tmp_path: Path) -> None:
    """A draft left behind, readable by others, does not lend its mode to the new file."""
    draft = tmp_path / ".pins.json.new"
    draft.write_bytes(b"half")
    draft.chmod(0o666)
    PinStore(tmp_path / "pins.json").update(pin_at(0), address="a:1", encoded=HISTORY[:1])
    assert stat.S_IMODE((tmp_path / "pins.json").stat().st_mode) == 0o600
