"""What ``verify`` says of one transition."""

from __future__ import annotations

from dataclasses import replace

from marbleops.approval.decision import CountedApproval
from marbleops.approval.floors import NO_FLOORS
from marbleops.approval.powers import Power, Topic
from marbleops.approval.record import Assertion, PublicRecord
from marbleops.cli.verify_words import _most_telling, change_words
from marbleops.manifest.digest import Digest

D = Digest.of
UPDATE = PublicRecord(
    position=4,
    previous=D(b"3"),
    kind="update",
    manifest=D(b"m"),
    version=3,
    deployment=D(b"d"),
    rules_version=1,
    change_class="full",
    approvals=(CountedApproval(user="alice", kind="tag", fingerprint="SHA256:x", payload_digest=D(b"p")),),
    floors=NO_FLOORS,
    attested={},
    effects=D(b"e"),
)


def test_a_change_names_its_people() -> None:
    """A version its approvers, a written secret its writer."""
    assert change_words(UPDATE) == "record 4: version 3, a change of class full, approved by alice"
    written = Assertion(user="bob", certificate=D(b"c"), secrets=("token", "web"))
    record = replace(UPDATE, kind="secrets-set", approvals=(), assertion=written)
    assert change_words(record) == "record 4: bob wrote the secrets token, web"


def test_what_is_weak_is_never_left_out() -> None:
    """A long list is cut, but not where a customer should ask why."""
    rows = [Power(topic=Topic.RUNS, words=f"{number}", weak=number >= 100) for number in range(140)]
    shown = _most_telling(rows)
    assert [power.words for power in shown] == [str(number) for number in range(100, 140)]
    assert len(_most_telling(rows[:110])) == 30
