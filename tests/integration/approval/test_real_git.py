"""Our parsers and the real git and ssh-keygen agree on good objects and differ exactly as documented.

What they make is accepted, what gitsmith makes is accepted by them, and the table of gitops.md 2.3 is run
against the real `git verify-commit`, so that the difference to our parsers stays known.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance import gitsmith as smith
from marbleops.approval.errors import EvidenceError
from marbleops.approval.gitobject import Commit, Tag, extract_mergetags, object_id, parse_commit, parse_object
from marbleops.approval.reasons import Reason
from marbleops.approval.signed import VerifiedObject, verify_detached, verify_object
from marbleops.approval.sshkey import PublicKey, parse_public_key
from marbleops.approval.statement import approval_line, approval_statement, read_approval
from marbleops.approval.tree import find_blob, index_trees, parse_tree
from marbleops.manifest.digest import Digest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("git") is None, reason="needs git"),
    pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen"),
]

MANIFEST = b'{"Packages":{}}\n'
PATH = "envs/prod/manifest.json"
DIGEST = Digest.of(MANIFEST)
MESSAGE = "Raise backend\n"


@dataclass(frozen=True)
class Repository:
    """A repository in a clean environment: no configuration of this machine, no agent."""

    root: Path

    def git(self, *args: str, stdin: bytes = b"", ok: bool = True) -> subprocess.CompletedProcess[bytes]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root.parent),
            "GIT_CONFIG_NOSYSTEM": "1",
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(
            ["git", *args], cwd=self.root, env=environment, input=stdin, capture_output=True, check=False
        )
        assert done.returncode == 0 or not ok, done.stderr.decode()
        return done

    def text(self, *args: str) -> str:
        return self.git(*args).stdout.decode().strip()

    def raw(self, kind: str, revision: str) -> bytes:
        return self.git("--no-replace-objects", "cat-file", kind, revision).stdout

    def store(self, kind: str, raw: bytes) -> str:
        """Write an object as it is, however crooked; return its id."""
        name = self.git("hash-object", "-t", kind, "-w", "--stdin", "--literally", stdin=raw).stdout
        return name.decode().strip()

    def allow(self, *keys: str) -> None:
        lines = "".join(f"alice@example.org {key}\n" for key in keys)
        (self.root.parent / "allowed").write_text(lines)

    def git_accepts(self, revision: str, *, verb: str = "verify-commit") -> bool:
        return self.git(verb, revision, ok=False).returncode == 0


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    root = tmp_path / "repo"
    root.mkdir()
    made = Repository(root)
    made.git("init", "-q", "-b", "main")
    for name, setting in {
        "user.name": "Alice",
        "user.email": "alice@example.org",
        "gpg.format": "ssh",
        "gpg.ssh.allowedSignersFile": str(tmp_path / "allowed"),
    }.items():
        made.git("config", name, setting)
    return made


def keygen(folder: Path, name: str, *options: str) -> PublicKey:
    """Make a key pair with ssh-keygen and read its public line with ours."""
    path = folder / name
    subprocess.run(
        ["ssh-keygen", "-q", "-N", "", "-C", name, "-f", str(path), *options], check=True, capture_output=True
    )
    return parse_public_key((folder / f"{name}.pub").read_text())


def verified(raw: bytes, *keys: PublicKey) -> VerifiedObject:
    return verify_object(raw, keys=keys, require_user_presence=False)


def refused(raw: bytes, *keys: PublicKey) -> Reason:
    with pytest.raises(EvidenceError) as caught:
        verified(raw, *keys)
    return caught.value.reason


def ours(key: smith.Key) -> PublicKey:
    return parse_public_key(key.public_line())


@pytest.mark.parametrize(
    "options",
    [
        ("-t", "ed25519"),
        ("-t", "ecdsa", "-b", "256"),
        ("-t", "ecdsa", "-b", "384"),
        ("-t", "ecdsa", "-b", "521"),
        ("-t", "rsa", "-b", "2048"),
    ],
    ids=lambda options: "-".join(options[1::2]),
)
def test_commits_and_tags_by_git_verify(
    repository: Repository, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Every kind of key that ssh-keygen makes without hardware, through git commit -S and git tag -s."""
    key = keygen(tmp_path, "alice", *options)
    repository.git("config", "user.signingKey", str(tmp_path / "alice"))
    line = approval_line(DIGEST, "alice")
    repository.git("commit", "-q", "-S", "--allow-empty", "-m", "Raise", "--trailer", line)
    repository.git("tag", "-s", "approve/shop/2/alice", "-m", "Approve", "-m", line)

    commit = verified(repository.raw("commit", "HEAD"), key)
    tag = verified(repository.raw("tag", "approve/shop/2/alice"), key)

    for found in (commit, tag):
        assert found.key.fingerprint == key.fingerprint
        said = read_approval(found.object.message)
        assert said is not None
        assert (said.digest, said.user) == (DIGEST, "alice")
    assert isinstance(tag.object, Tag)
    assert tag.object.target == repository.text("rev-parse", "HEAD")
    assert tag.object.name == "approve/shop/2/alice"
    assert isinstance(commit.object, Commit)
    assert commit.object.tree == repository.text("rev-parse", "HEAD^{tree}")
    listed = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(tmp_path / "alice.pub")], check=True, capture_output=True
    )
    assert key.fingerprint in listed.stdout.decode().split()


@pytest.mark.parametrize("hash_algorithm", ["sha256", "sha512"])
def test_a_detached_statement_by_ssh_keygen_verifies(tmp_path: Path, hash_algorithm: str) -> None:
    """The air-gapped way: print the statement, sign it with ssh-keygen, send the armor."""
    key = keygen(tmp_path, "carol", "-t", "ed25519")
    statement = approval_statement(lineage="shop", version=2, digest=DIGEST, user="carol")
    options = ("-O", f"hashalg={hash_algorithm}", "-f", str(tmp_path / "carol"))
    made = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-q", "-n", smith.STATEMENT, *options],
        input=statement,
        check=True,
        capture_output=True,
    )

    found = verify_detached(made.stdout.decode(), message=statement, keys=[key], require_user_presence=False)

    assert found == key


@pytest.mark.parametrize("kind", smith.KINDS)
def test_git_accepts_what_the_smith_makes(repository: Repository, kind: str) -> None:
    """The smith is a fair stand-in: git and ssh-keygen take its objects, software security keys included."""
    key = smith.key("alice", kind)
    repository.allow(key.public_line())
    root, trees = smith.make_path(PATH, MANIFEST)
    assert repository.store("blob", MANIFEST) == smith.blob_id(MANIFEST)
    for tree in trees:
        assert repository.store("tree", tree) == smith.object_id("tree", tree)
    parent = smith.make_commit(root, [], "alice", "First\n", key)
    commit = smith.make_commit(root, [repository.store("commit", parent)], "alice", MESSAGE, key)
    name = repository.store("commit", commit)
    tag = repository.store("tag", smith.make_tag(name, "v1", "alice", "Yes\n", key))
    repository.git("update-ref", "refs/heads/main", name)
    repository.git("update-ref", "refs/tags/v1", tag)

    assert repository.git_accepts(name)
    assert repository.git_accepts(tag, verb="verify-tag")
    repository.git("fsck", "--strict", "--full")
    assert repository.text("rev-parse", f"{name}:{PATH}") == smith.blob_id(MANIFEST)


@pytest.mark.parametrize("kind", smith.KINDS)
def test_ssh_keygen_accepts_what_the_smith_signs(tmp_path: Path, kind: str) -> None:
    key = smith.key("alice", kind)
    (tmp_path / "allowed").write_text(f"alice {key.public_line()}\n")
    for hash_algorithm in ("sha256", "sha512"):
        armor = key.sign(b"text", smith.STATEMENT, hash_algorithm=hash_algorithm)
        (tmp_path / "sig").write_text(armor)
        files = ("-f", str(tmp_path / "allowed"), "-s", str(tmp_path / "sig"))
        subprocess.run(
            ["ssh-keygen", "-Y", "verify", "-I", "alice", "-n", smith.STATEMENT, *files],
            input=b"text",
            check=True,
            capture_output=True,
        )


def test_every_tree_of_a_real_repository_leads_to_the_manifest(
    repository: Repository, tmp_path: Path
) -> None:
    """Trees, ids and the path, with links, executables and a submodule beside it."""
    key = keygen(tmp_path, "alice", "-t", "ed25519")
    repository.git("config", "user.signingKey", str(tmp_path / "alice"))
    target = repository.root / PATH
    target.parent.mkdir(parents=True)
    target.write_bytes(MANIFEST)
    (target.parent / "run.sh").write_text("true\n")
    (target.parent / "run.sh").chmod(0o755)
    (target.parent / "link").symlink_to("manifest.json")
    (repository.root / "envs.txt").write_text("sorts between envs and envs/\n")
    repository.git("add", ".")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module")
    repository.git("commit", "-q", "-S", "-m", "First")

    commit = verified(repository.raw("commit", "HEAD"), key).object
    assert isinstance(commit, Commit)
    names = [line.split()[2] for line in repository.text("ls-tree", "-r", "-d", "-t", "HEAD").splitlines()]
    raws = [repository.raw("tree", name) for name in (commit.tree, *(n for n in names if n != "1" * 40))]

    assert find_blob(root=commit.tree, path=PATH, trees=index_trees(raws)) == object_id("blob", MANIFEST)
    assert {entry.mode for raw in raws for entry in parse_tree(raw)} == {
        "40000",
        "100644",
        "100755",
        "120000",
        "160000",
    }


def test_a_mergetag_of_a_real_merge_is_evidence_of_its_own(repository: Repository, tmp_path: Path) -> None:
    """Kernel style: pulling a signed tag embeds it in the merge; the merger's signature covers it."""
    key = keygen(tmp_path, "alice", "-t", "ed25519")
    repository.git("config", "user.signingKey", str(tmp_path / "alice"))
    repository.git("commit", "-q", "--allow-empty", "-m", "First")
    repository.git("switch", "-q", "-c", "topic")
    repository.git("commit", "-q", "--allow-empty", "-m", "Topic")
    repository.git("tag", "-s", "topic-1", "-m", "Pull me")
    repository.git("switch", "-q", "main")
    repository.git("merge", "-q", "--no-ff", "-S", "-m", "Merge", "topic-1")

    merge = verified(repository.raw("commit", "HEAD"), key).object
    assert isinstance(merge, Commit)
    (embedded,) = extract_mergetags(merge.raw)

    assert embedded == repository.raw("tag", "topic-1")
    assert isinstance(verified(embedded, key).object, Tag)


def test_amend_rebase_and_encoding_by_real_git(repository: Repository, tmp_path: Path) -> None:
    """A re-signed commit verifies for whoever re-signed it; a commit in Latin-1 is refused."""
    alice = keygen(tmp_path, "alice", "-t", "ed25519")
    bob = keygen(tmp_path, "bob", "-t", "ed25519")
    repository.git("config", "user.signingKey", str(tmp_path / "alice"))
    repository.git("commit", "-q", "-S", "--allow-empty", "-m", f"Raise\n\n{approval_line(DIGEST, 'alice')}")
    repository.git("config", "user.signingKey", str(tmp_path / "bob"))
    repository.git("-c", "user.name=Bob", "commit", "-q", "-S", "--amend", "--no-edit", "--allow-empty")
    amended = verified(repository.raw("commit", "HEAD"), alice, bob)
    repository.git("-c", "i18n.commitEncoding=ISO-8859-1", "commit", "-q", "-S", "--allow-empty", "-m", "x")

    assert amended.key.fingerprint == bob.fingerprint
    said = read_approval(amended.object.message)
    assert said is not None
    assert said.user == "alice"
    assert refused(repository.raw("commit", "HEAD"), alice, bob) is Reason.MALFORMED_OBJECT


# The table of gitops.md 2.3: what git says, what we say.

ALICE = smith.key("alice")
ECDSA = smith.key("alice", "ecdsa-256")
TREE, _ = smith.make_path("manifest.json", MANIFEST)
UNSIGNED = smith.make_commit(TREE, [], "alice", MESSAGE)
ARMOR = ALICE.sign(UNSIGNED)
GOOD = smith.add_commit_signature(UNSIGNED, ARMOR)
START, END = GOOD.index(b"gpgsig "), GOOD.index(b"\n\n") + 1
HEADER = GOOD[START:END]
GOOD_TAG = smith.make_tag(smith.object_id("commit", GOOD), "v1", "alice", "Yes\n", ALICE)


def negated(raw: bytes) -> bytes:
    """Replace s by n - s in the innermost signature of a P-256 commit."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    payload = parse_commit(raw).payload
    made = ECDSA.sign_raw(payload)
    at = 4 + len(ECDSA.algorithm) + 4
    size = int.from_bytes(made[at : at + 4], "big")
    s = int.from_bytes(made[at + 8 + size :], "big")
    pair = made[at : at + 4 + size] + smith.mpint(order - s)
    inner = smith.string(ECDSA.algorithm.encode()) + smith.string(pair)
    return smith.add_commit_signature(payload, smith.wrap(smith.join_sshsig(ECDSA.blob, inner)))


COMMIT_ROWS = [
    ("plain good", GOOD, True, None),
    ("altered message", GOOD.replace(b"Raise", b"Lower"), False, Reason.BAD_SIGNATURE),
    (
        "untrusted key",
        smith.make_commit(TREE, [], "alice", MESSAGE, smith.key("mallory")),
        False,
        Reason.UNKNOWN_KEY,
    ),
    (
        "wrong namespace",
        smith.add_commit_signature(UNSIGNED, ALICE.sign(UNSIGNED, "file")),
        False,
        Reason.WRONG_NAMESPACE,
    ),
    ("two gpgsig", GOOD[:END] + b"gpgsig junk\n" + GOOD[END:], True, Reason.MALFORMED_OBJECT),
    ("gpgsig-sha256", GOOD[:END] + b"gpgsig-sha256 junk\n" + GOOD[END:], True, Reason.MALFORMED_OBJECT),
    (
        "gpgsigEVIL",
        GOOD[:END] + b"gpgsigEVIL approved-by: everyone\n" + GOOD[END:],
        True,
        Reason.MALFORMED_OBJECT,
    ),
    (
        "junk after END",
        smith.add_commit_signature(UNSIGNED, ARMOR + "junk\n"),
        True,
        Reason.MALFORMED_SIGNATURE,
    ),
    (
        "junk before BEGIN",
        smith.add_commit_signature(UNSIGNED, "junk\n" + ARMOR),
        False,
        Reason.MALFORMED_SIGNATURE,
    ),
    ("two trees", None, True, Reason.MALFORMED_OBJECT),
    (
        "gpgsig before author",
        (GOOD[:START] + GOOD[END:]).replace(b"author ", HEADER + b"author ", 1),
        True,
        Reason.MALFORMED_OBJECT,
    ),
]


@pytest.mark.parametrize(
    ("raw", "git_says", "reason"), [row[1:] for row in COMMIT_ROWS], ids=[row[0] for row in COMMIT_ROWS]
)
def test_crafted_commits(
    repository: Repository, raw: bytes | None, git_says: bool, reason: Reason | None
) -> None:
    """Git's answer is asserted too: where it changes, the table needs a look."""
    repository.allow(ALICE.public_line())
    if raw is None:  # signed with both tree headers, as in the table
        doubled = UNSIGNED.replace(b"tree ", f"tree {TREE}\ntree ".encode(), 1)
        raw = smith.add_commit_signature(doubled, ALICE.sign(doubled))

    assert repository.git_accepts(repository.store("commit", raw)) is git_says
    if reason is None:
        assert verified(raw, ours(ALICE)).key == ours(ALICE)
    else:
        assert refused(raw, ours(ALICE)) is reason


def test_ecdsa_is_malleable_and_the_payload_digest_is_not(repository: Repository) -> None:
    repository.allow(ECDSA.public_line())
    good = smith.make_commit(TREE, [], "alice", MESSAGE, ECDSA)
    other = negated(good)

    first, second = repository.store("commit", good), repository.store("commit", other)

    assert first != second
    assert repository.git_accepts(first)
    assert repository.git_accepts(second)
    found = [verified(raw, ours(ECDSA)).object.payload_digest for raw in (good, other)]
    assert found[0] == found[1]


def test_text_after_the_armor_of_a_tag(repository: Repository) -> None:
    repository.allow(ALICE.public_line())
    evil = GOOD_TAG + b"approved by everyone\n"

    assert repository.git_accepts(repository.store("tag", GOOD_TAG), verb="verify-tag")
    assert repository.git_accepts(repository.store("tag", evil), verb="verify-tag")
    assert refused(evil, ours(ALICE)) is Reason.MALFORMED_OBJECT


def test_a_nested_armor_in_a_tag() -> None:
    nested = smith.make_tag("a" * 40, "v1", "alice", "See\n" + smith.key("mallory").sign(b"x"), ALICE)

    assert refused(nested, ours(ALICE)) is Reason.MALFORMED_OBJECT


def test_a_tag_behind_another_ref_says_its_own_name(repository: Repository) -> None:
    repository.allow(ALICE.public_line())
    repository.store("blob", MANIFEST)
    repository.store("commit", GOOD)
    repository.git("update-ref", "refs/tags/v2", repository.store("tag", GOOD_TAG))

    found = verified(repository.raw("tag", "v2"), ours(ALICE)).object

    assert repository.git_accepts("v2", verb="verify-tag")
    assert isinstance(found, Tag)
    assert found.name == "v1"


def test_a_replaced_commit_is_judged_by_its_raw_bytes(repository: Repository) -> None:
    """Git verifies the good object and shows the evil one; whoever sends the evil bytes is refused."""
    repository.allow(ALICE.public_line())
    good = repository.store("commit", GOOD)
    evil_raw = smith.add_commit_signature(UNSIGNED.replace(b"Raise", b"Evil "), ARMOR)
    evil = repository.store("commit", evil_raw)
    repository.git("update-ref", f"refs/replace/{good}", evil)

    shown = repository.git("cat-file", "commit", good).stdout

    assert shown == evil_raw
    assert refused(shown, ours(ALICE)) is Reason.BAD_SIGNATURE
    assert verified(repository.raw("commit", good), ours(ALICE)).object.message == MESSAGE


@pytest.mark.parametrize("kind", ["sk-ed25519", "sk-ecdsa"])
def test_ssh_keygen_says_good_without_user_presence(repository: Repository, kind: str) -> None:
    """The row that needs a software authenticator: ssh-keygen and git accept, we refuse."""
    key = smith.key("alice", kind, flags=0)
    repository.allow(key.public_line())
    raw = smith.make_commit(TREE, [], "alice", MESSAGE, key)

    assert repository.git_accepts(repository.store("commit", raw))
    assert refused(raw, ours(key)) is Reason.USER_PRESENCE_MISSING


def test_openpgp_signatures_are_unsupported(repository: Repository, tmp_path: Path) -> None:
    """Real ones where gpg is installed; the rows about OpenPGP all end here until a later rules version."""
    if shutil.which("gpg") is None:
        pytest.skip("needs gpg")
    home = tmp_path / "g"
    home.mkdir(mode=0o700)
    command = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    subprocess.run(
        [*command, "--quick-gen-key", "alice@example.org", "ed25519"], check=True, capture_output=True
    )
    made = subprocess.run([*command, "-ab"], input=UNSIGNED, check=True, capture_output=True)
    raw = smith.add_commit_signature(UNSIGNED, made.stdout.decode())

    assert parse_object(raw).armor is not None
    assert refused(raw, ours(ALICE)) is Reason.UNSUPPORTED_KEY_TYPE


def test_real_histories_parse() -> None:
    """The strict parsers refuse nothing in the histories that MARBLEOPS_TEST_HISTORIES names."""
    folders = [
        Path(part) for part in os.environ.get("MARBLEOPS_TEST_HISTORIES", "").split(os.pathsep) if part
    ]
    if not folders:
        pytest.skip("MARBLEOPS_TEST_HISTORIES names no repositories")

    for folder in folders:
        assert parse_everything(Repository(folder))


def parse_everything(repository: Repository) -> list[str]:
    """Parse up to 20,000 objects; return their ids."""
    listing = repository.git("cat-file", "--batch-check", "--batch-all-objects", ok=False).stdout.decode()
    rows = [line.split() for line in listing.splitlines()]
    wanted = [row[0] for row in rows if row[1] in {"commit", "tag", "tree"}][:20_000]
    stream = repository.git(
        "cat-file", "--batch", stdin="".join(f"{name}\n" for name in wanted).encode()
    ).stdout
    at = 0
    for name in wanted:
        end = stream.index(b"\n", at)
        kind, size = stream[at:end].split()[1:]
        raw = stream[end + 1 : end + 1 + int(size)]
        at = end + 2 + int(size)
        assert object_id(kind.decode(), raw) == name
        if kind == b"tree":
            parse_tree(raw)
        else:
            parse_object(raw)
    return wanted
