"""``approve``, ``plan``, ``statement`` and ``wait`` with real git and ssh-keygen."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.cli.conftest import Clone

pytestmark = pytest.mark.integration

MANIFEST = "envs/prod/manifest.json"


def test_two_people_make_a_full_change(clone: Clone) -> None:
    """Plan says who is missing, approve makes tags that count, and plan turns from waiting to ready."""
    digest = clone.draft(greeting="good day")
    clone.commit()
    waiting = clone.mo("plan", "HEAD", codes=(11,))
    assert "0 of 2" in waiting.out
    assert '~ Marbles.frontend.Parameters.Env.GREETING: "hello" -> "good day"' in waiting.out
    first = clone.mo("approve", "HEAD", "--yes")
    assert "good day" in first.err
    assert "NOT CHECKED" in first.err
    assert "missing: bob, carol" in clone.mo("plan", "HEAD", codes=(11,)).out
    answer = clone.mo("approve", "HEAD", "--yes", "--key", str(clone.keys / "bob"), "-o", "json").json()
    assert answer["tag"] == "approve/shop-demo/2/bob"
    assert answer["digest"] == str(digest)
    assert answer["checked"] is False
    ready = clone.mo("plan", "HEAD", "-o", "json", codes=(10,)).json()
    assert ready["plan"] == "changes-ready"
    assert ready["decision"]["class"] == "full"
    assert {row["user"] for row in ready["decision"]["pieces"]} == {"alice", "bob"}
    assert clone.git("tag", "--list").out.split() == ["approve/shop-demo/2/alice", "approve/shop-demo/2/bob"]


def test_approving_twice_is_once(clone: Clone) -> None:
    """The same approval again changes nothing; another draft of the version needs ``--replace``."""
    clone.draft(greeting="good day")
    clone.commit()
    clone.mo("approve", "HEAD", "--yes")
    before = clone.git("rev-parse", "approve/shop-demo/2/alice").out
    clone.mo("approve", "HEAD", "--yes")
    assert clone.git("rev-parse", "approve/shop-demo/2/alice").out == before
    document = clone.document()
    document["Marbles"]["frontend"]["Parameters"]["Env"]["GREETING"] = "good night"
    clone.write(document)
    clone.commit()
    assert "--replace" in clone.mo("approve", "HEAD", "--yes", codes=(2,)).err
    clone.mo("approve", "HEAD", "--yes", "--replace")
    assert clone.git("rev-parse", "approve/shop-demo/2/alice").out != before


def test_push_carries_the_tag(clone: Clone, tmp_path: Path) -> None:
    """``--push`` brings the tag to the remote."""
    remote = tmp_path / "remote.git"
    clone.git("init", "-q", "--bare", str(remote))
    clone.git("remote", "add", "origin", str(remote))
    clone.draft(greeting="good day")
    clone.commit()
    assert clone.mo("approve", "HEAD", "--yes", "--push", "-o", "json").json()["pushedTo"] == "origin"
    assert "refs/tags/approve/shop-demo/2/alice" in clone.git("ls-remote", str(remote)).out


@pytest.mark.parametrize(("answer", "code", "tags"), [("y\n", 0, 1), ("n\n", 3, 0)])
def test_approve_asks(clone: Clone, answer: str, code: int, tags: int) -> None:
    """At a terminal the page is shown first and nothing is signed without yes."""
    clone.draft(greeting="good day")
    clone.commit()
    done = clone.type_to(answer, sys.executable, "-m", "marbleops", "approve", "HEAD")
    assert done.code == code, done
    assert done.out.index("good day") < done.out.index("Sign sha256:")
    assert len(clone.git("tag", "--list").out.split()) == tags


def test_nobody_to_ask(clone: Clone) -> None:
    """Without a terminal and without ``--yes`` nothing is signed."""
    clone.draft(greeting="good day")
    clone.commit()
    assert "--yes" in clone.mo("approve", "HEAD", codes=(2,)).err


def test_stranger_cannot_approve(clone: Clone) -> None:
    """A key that counts nowhere makes no tag, and the answer says what to do."""
    clone.draft(greeting="good day")
    clone.commit()
    done = clone.mo("approve", "HEAD", "--yes", "--key", str(clone.keys / "mallory"), codes=(3,))
    assert "under nobody" in done.err
    assert "next: " in done.err
    assert clone.git("tag", "--list").out == ""


def test_new_key_is_proved_not_counted(clone: Clone) -> None:
    """A newcomer proves the key; the proof is no vote."""
    clone.draft(greeting="hello")
    document = clone.document()
    document["Users"]["mallory"] = {
        "Roles": ["updater"],
        "SigningKeys": [(clone.keys / "mallory.pub").read_text().strip()],
    }
    clone.write(document)
    clone.commit()
    clone.mo("approve", "HEAD", "--prove-key", "--key", str(clone.keys / "mallory"))
    page = clone.mo("plan", "HEAD", codes=(11,)).out
    assert "key proof by mallory" in page
    assert "0 of 3" in page
    assert "weakening" in page


def test_hopeless_change_is_not_signed(clone: Clone) -> None:
    """What would be refused however many sign is refused before the key is used; plan exits with 3."""
    clone.draft(backend=0)
    clone.commit()
    done = clone.mo("approve", "HEAD", "--yes", codes=(3,))
    assert "security-version-decreases" in done.err
    assert "security-version-decreases" in clone.mo("plan", "HEAD", codes=(3,)).out


def test_enforced_manifest_has_nothing_to_do(clone: Clone) -> None:
    """The manifest this clone last saw enforced needs no plan."""
    assert "nothing to do" in clone.mo("plan").out
    nothing = clone.mo("plan", "-o", "json").json()
    clone.draft(greeting="good day")
    assert set(nothing) == set(clone.mo("plan", "-o", "json", codes=(11,)).json())


def test_base_is_found_by_content_not_by_parent(clone: Clone) -> None:
    """A refused draft between two versions is no base: the diff is against what Previous names."""
    clone.draft(greeting="good day")
    clone.commit(subject="WIP")
    document = clone.document()
    document["Marbles"]["frontend"]["Parameters"]["Env"]["GREETING"] = "good night"
    clone.write(document)
    clone.commit(subject="WIP")
    assert '"hello" -> "good night"' in clone.mo("plan", "HEAD", codes=(11,)).out


def test_unknown_base_is_said(clone: Clone) -> None:
    """A Previous that this clone does not hold is an error with the next step, not a diff against HEAD."""
    clone.draft(greeting="good day")
    document = clone.document()
    document["GitOps"]["Previous"] = "sha256:" + "0" * 64
    clone.write(document)
    done = clone.mo("plan", codes=(2,))
    assert "does not hold" in done.err
    assert "next: git fetch" in done.err


def test_replaced_objects_are_not_shown(clone: Clone) -> None:
    """``refs/replace`` cannot show an approver other bytes than the commit has."""
    clone.draft(greeting="good day")
    clone.commit()
    bad = clone.git("rev-parse", f"HEAD:{MANIFEST}").out.strip()
    good = clone.git("rev-parse", f"HEAD~1:{MANIFEST}").out.strip()
    clone.git("replace", bad, good)
    assert "good day" in clone.mo("plan", "HEAD", codes=(11,)).out


@pytest.mark.parametrize("revision", ["--help-me", "-n1", "--output=/tmp/x", "nothing", "HEAD:envs"])
def test_odd_revisions(clone: Clone, revision: str) -> None:
    """A revision is never an option to Git, and what names no commit is said to."""
    done = clone.mo("approve", "--yes", "--", revision, codes=(2,))
    assert "marbleops:" in done.err


def test_escape_sequences_are_spelled_out(clone: Clone) -> None:
    """A value cannot rewrite the page that an approver reads."""
    clone.draft(greeting="\x1b[2Jnothing changes\u202e")
    clone.commit()
    page = clone.mo("plan", "HEAD", codes=(11,)).out
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "\\u001b" in page


def test_openpgp_signer_is_told(clone: Clone) -> None:
    """Git set up for OpenPGP is told before anything is signed in vain."""
    clone.git("config", "gpg.format", "openpgp")
    clone.draft(greeting="good day")
    clone.commit("--no-gpg-sign")
    assert "gpg.format ssh" in clone.mo("approve", "HEAD", "--yes", codes=(2,)).err


def test_statement_is_verified_by_ssh_keygen(clone: Clone, tmp_path: Path) -> None:
    """What ``statement --sign`` makes is what ``ssh-keygen -Y verify`` accepts over the printed text."""
    text = clone.mo("statement", MANIFEST, "--user", "carol").out
    armor = tmp_path / "carol.sig"
    clone.mo("statement", MANIFEST, "--sign", str(clone.keys / "carol"), "--out", str(armor))
    allowed = tmp_path / "allowed"
    allowed.write_text(f"carol {(clone.keys / 'carol.pub').read_text()}")
    namespace = "manifest-approval@marbleops.v1"
    command = [
        "ssh-keygen",
        "-Y",
        "verify",
        "-f",
        str(allowed),
        "-I",
        "carol",
        "-n",
        namespace,
        "-s",
        str(armor),
    ]
    subprocess.run(command, input=text.encode(), capture_output=True, check=True)


def test_detached_statement_in_the_tree_counts(clone: Clone) -> None:
    """``<path>.sigs/<user>.sig`` beside the manifest is found by plan."""
    clone.draft(greeting="good day")
    folder = clone.folder / f"{MANIFEST}.sigs"
    folder.mkdir()
    clone.mo("statement", MANIFEST, "--sign", str(clone.keys / "carol"), "--out", str(folder / "carol.sig"))
    clone.commit()
    assert "approved by carol (detached" in clone.mo("plan", "HEAD", codes=(11,)).out


def test_tree_vote_is_collected(clone: Clone) -> None:
    """Under ``Binding: tree`` the author's plain signed commit is one vote."""
    document = clone.document()
    document["GitOps"]["Binding"] = "tree"
    clone.write(document)
    clone.git("add", "-A")
    clone.git("commit", "-q", "-S", "-m", "WIP: the enforced manifest of this test")
    clone.remember()
    clone.draft(greeting="good day")
    clone.commit(subject="greet better")
    assert "approved by alice (tree-vote" in clone.mo("plan", "HEAD", codes=(11,)).out


def test_help_is_fast(clone: Clone) -> None:
    """``--help`` imports none of the stack: the best of five runs stays far below the stack's half second."""

    def once() -> float:
        begin = time.monotonic()
        clone.mo("--help")
        return time.monotonic() - begin

    assert min(once() for _ in range(5)) < 0.4


def test_help_imports_no_verb(clone: Clone) -> None:
    """The reason why it is fast."""
    code = (
        "import sys; from marbleops.cli.main import run; run(['--help']); "
        "heavy = {'cryptography', 'rich', 'jsonschema', 'structlog', 'OpenSSL', 'pygit2', 'grpc'}; "
        "sys.exit(bool(heavy & set(sys.modules)) or 'marbleops.cli.plan' in sys.modules)"
    )
    clone.run(sys.executable, "-c", code)


def test_simulation_measures_the_example(clone: Clone, tmp_path: Path) -> None:
    """Both backend builds share signer and product, but not the version."""
    platform = tmp_path / "platform"
    assert "SIMULATION" in clone.mo("simulation", "init", str(platform)).err
    assert (platform / "anchor.der").is_file()
    first, second = (
        clone.mo("simulation", "measure", f"marbles/backend/{build}/enclave.json", "-o", "json").json()
        for build in ("v1", "v2")
    )
    assert (first["SignerID"], first["ProductID"]) == (second["SignerID"], second["ProductID"])
    assert (first["SecurityVersion"], second["SecurityVersion"]) == (1, 2)
    assert first["UniqueID"] != second["UniqueID"]
    assert set(first) == {"UniqueID", "SignerID", "ProductID", "SecurityVersion", "Debug"}
