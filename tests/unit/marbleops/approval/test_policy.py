"""Who may agree to what, and policies that nobody could live with: approvals.md section 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import gitsmith, scenario
from marbleops.approval.policy import Policy, PolicyError, read_policy, weaken_quorum
from marbleops.approval.reasons import Reason
from marbleops.approval.satisfiability import satisfiability_words
from marbleops.approval.seating import seat
from marbleops.manifest.parse import Strictness, load, parse

if TYPE_CHECKING:
    from conformance.scenario import Document


def read(document: Document, *, revoked: frozenset[str] = frozenset()) -> Policy:
    return read_policy(load(scenario.raw(document), strictness=Strictness.STRICT), revoked=revoked)


def refuse(document: Document) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        read(document)
    return caught.value


def test_approvers_and_bumpers() -> None:
    """UpdateManifest with a key makes an approver; UpdateSecurityVersion names its packages."""
    policy = read(scenario.base())
    assert policy.approvers == {"alice", "bob", "carol"}
    assert policy.bumpers("backend") == {"dave"}
    assert policy.bumpers("frontend") == frozenset()


@pytest.mark.parametrize(
    ("threshold", "approvers", "written", "expected"),
    [
        (1, 1, 0, 1),
        (1, 2, 0, 2),
        (2, 2, 0, 2),
        (2, 3, 0, 3),
        (2, 5, 0, 3),
        (1, 5, 0, 3),
        (2, 7, 0, 4),
        (4, 5, 0, 5),
        (2, 5, 4, 4),
        (3, 5, 1, 3),
    ],
)
def test_the_weakening_quorum(threshold: int, approvers: int, written: int, expected: int) -> None:
    """One more than usual where there is one more, always a majority, never below the threshold."""
    assert weaken_quorum(threshold, approvers=approvers, written=written) == expected


def test_the_same_key_under_two_users_is_one_person() -> None:
    """Shared key material is refused where it stands the second time."""
    document = scenario.base()
    document["Users"]["bob"]["SigningKeys"] = [gitsmith.key("alice").public_line("other comment")]
    error = refuse(document)
    assert error.reason is Reason.MANIFEST_INVALID
    assert error.issues[0].path == "Users.bob.SigningKeys[0]"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END PGP PUBLIC KEY BLOCK-----\n",
            Reason.UNSUPPORTED_KEY_TYPE,
        ),
        ("ssh-ed25519-cert-v01@openssh.com AAAA", Reason.UNSUPPORTED_KEY_TYPE),
        ("ssh-ed25519 AAAA", Reason.MANIFEST_INVALID),
    ],
)
def test_keys_that_cannot_be_read(text: str, reason: Reason) -> None:
    """OpenPGP and certificates come later, broken keys never."""
    document = scenario.base()
    document["Users"]["dave"]["SigningKeys"] = [text]
    assert refuse(document).reason is reason


def test_update_manifest_without_a_usable_key() -> None:
    """A right that can never be used is a mistake."""
    document = scenario.base()
    document["Users"]["carol"]["SigningKeys"] = []
    with pytest.raises(PolicyError) as caught:
        read_policy(parse(scenario.raw(document), strictness=Strictness.STRICT))
    assert caught.value.reason is Reason.MANIFEST_INVALID


def test_user_presence_leaves_only_security_keys() -> None:
    """Plain keys stay listed but do not vote."""
    document = scenario.base()
    document["GitOps"]["RequireUserPresence"] = True
    assert refuse(document).reason is Reason.MANIFEST_INVALID
    for name in ("alice", "bob", "carol"):
        keys = (gitsmith.key(name, "sk-ed25519"), gitsmith.key(name))
        document["Users"][name] = scenario.user(name, "updater", keys=keys)
    policy = read(document)
    assert policy.approvers == {"alice", "bob", "carol"}
    assert [len(policy.users["alice"].keys), len(policy.users["alice"].listed)] == [1, 2]


def test_a_revoked_key_makes_no_approver_and_no_error() -> None:
    """The manifest may go on listing it; N counts without it."""
    document = scenario.base()
    policy = read(document, revoked=frozenset({gitsmith.key("carol").fingerprint}))
    assert policy.approvers == {"alice", "bob"}
    assert policy.weaken_quorum == 2


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"WeakenThreshold": 4}, "GitOps.WeakenThreshold"),
        ({"Quorum": {"security": 1}}, "GitOps.Quorum.security"),
        ({"Quorum": {"updater": 4}}, "GitOps.Quorum.updater"),
        ({"Quorum": {"updater": 70}}, "GitOps.Quorum"),
    ],
)
def test_unsatisfiable_policies(members: Document, place: str) -> None:
    """What the users could never meet is refused, with its place."""
    document = scenario.base()
    document["GitOps"] |= members
    error = refuse(document)
    assert error.reason is Reason.POLICY_UNSATISFIABLE
    assert place in {issue.path for issue in error.issues}


def test_one_person_cannot_sit_on_two_chairs() -> None:
    """Two quorum rows need two people even where one person has both roles."""
    document = scenario.base()
    document["Roles"]["audit"] = {"ResourceType": "Manifest", "Actions": []}
    document["GitOps"]["Quorum"] = {"security": 1, "audit": 1}
    document["Users"]["alice"]["Roles"] += ["security", "audit"]
    assert refuse(document).reason is Reason.POLICY_UNSATISFIABLE
    document["Users"]["bob"]["Roles"].append("audit")
    assert read(document).quorum == {"security": 1, "audit": 1}


def test_no_section_is_no_policy() -> None:
    """A MarbleRun manifest has no policy of this kind."""
    document = scenario.base()
    del document["GitOps"]
    for user in document["Users"].values():
        del user["SigningKeys"]
    assert refuse(document).reason is Reason.GITOPS_NOT_ENABLED


def test_words_say_how_many_keys_may_be_lost() -> None:
    """N = UpdateThreshold means that any lost key is final; one more person changes that."""
    document = scenario.base()
    assert "may be lost and still be replaced" in satisfiability_words(read(document))[1]
    assert "the keys of 1 of 3 approvers" in satisfiability_words(read(document))[1]
    document["Config"]["UpdateThreshold"] = 3
    assert "any lost key is final" in satisfiability_words(read(document))[1]


def test_words_count_quorum_seats() -> None:
    """One holder of a seat means that none may be lost for a full change."""
    document = scenario.base()
    document["Users"]["alice"]["Roles"].append("security")
    document["GitOps"]["Quorum"] = {"security": 1}
    assert "one approver may already stop" in satisfiability_words(read(document))[2]


_ROLES = st.sampled_from(["r", "s", "t"])


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(_ROLES, st.integers(1, 3)),
    st.dictionaries(st.sampled_from("abcdef"), st.frozensets(_ROLES)),
)
def test_seating_is_the_best_possible(quorum: dict[str, int], people: dict[str, frozenset[str]]) -> None:
    """As many seats are filled as Hall's theorem allows, by people who hold the role, each once."""
    seated = seat(quorum, people)
    names = [name for row in seated.values() for name in row]
    assert len(names) == len(set(names))
    assert all(role in people[name] for role, row in seated.items() for name in row)
    assert all(len(row) <= quorum[role] for role, row in seated.items())
    assert len(names) == _best(sorted(people), people, quorum)


def _best(names: list[str], people: dict[str, frozenset[str]], free: dict[str, int]) -> int:
    if not names:
        return 0
    best = _best(names[1:], people, free)
    for role in people[names[0]]:
        if free.get(role, 0):
            best = max(best, 1 + _best(names[1:], people, free | {role: free[role] - 1}))
    return best
