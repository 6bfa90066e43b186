"""What is read from disk and from the command line: manifests, evidence folders, paths, revisions."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from marbleops.approval.evidence import DetachedPiece, ObjectPiece, encode_evidence
from marbleops.cli.errors import UsageProblem
from marbleops.cli.evidence import read_folder
from marbleops.cli.exits import Exit
from marbleops.cli.git import check_path, check_revision
from marbleops.cli.main import run
from marbleops.manifest.digest import Digest

EXAMPLE = Path(__file__).resolve().parents[4] / "examples" / "gitops-repo"


def public_key(seed: int) -> str:
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def example_manifest() -> str:
    template = Template((EXAMPLE / "envs/prod/manifest.template.json").read_text())
    return template.substitute(
        ALICE_KEY=public_key(1),
        BOB_KEY=public_key(2),
        CAROL_KEY=public_key(3),
        FRONTEND_SIGNER="a" * 64,
        BACKEND_SIGNER="b" * 64,
    )


def test_example_manifest_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The example that people copy passes lint, and lint says how many keys may be lost."""
    file = tmp_path / "manifest.json"
    file.write_text(example_manifest())
    assert run(["lint", str(file), "-o", "json"]) == Exit.OK
    report = json.loads(capsys.readouterr().out)["files"][0]
    assert report["ok"]
    assert report["digest"] == str(Digest.of(file.read_bytes()))
    assert any("may be lost" in fact for fact in report["facts"])


def test_backend_builds_differ_in_their_number_only() -> None:
    """Build 2 is build 1 with another number, so that the demo shows a version and nothing else."""
    first, second = ((EXAMPLE / f"marbles/backend/{build}/app.py").read_text() for build in ("v1", "v2"))
    assert first.replace("BUILD = 1", "BUILD = 2") == second
    assert first != second


def test_lint_shows_place_and_nearest_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A typo is named with file, line, column and the name that was meant; exit code 3."""
    file = tmp_path / "manifest.json"
    text = example_manifest().replace('"Package": "backend"', '"Pakage": "backend"')
    file.write_text(text)
    assert run(["lint", str(file)]) == Exit.REFUSED
    page = capsys.readouterr().out
    line = text[: text.index("Pakage")].count("\n") + 1
    assert f"{file}:{line}:" in page
    assert "Package" in page


def test_lint_knows_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A key that cannot sign is found before anybody needs it."""
    file = tmp_path / "manifest.json"
    file.write_text(example_manifest().replace(public_key(3), "ssh-ed25519 AAAA"))
    assert run(["lint", str(file)]) == Exit.REFUSED
    assert "carol" in capsys.readouterr().out


def test_lint_marblerun_misses_certificates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--marblerun`` says what a MarbleRun Coordinator would still want."""
    file = tmp_path / "manifest.json"
    file.write_text(example_manifest())
    assert run(["lint", "--marblerun", str(file)]) == Exit.OK
    assert "Users.alice: a MarbleRun Coordinator wants a Certificate" in capsys.readouterr().out


def test_digest_is_over_the_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is canonicalised."""
    file = tmp_path / "x"
    file.write_bytes(b"{ }\n")
    assert run(["digest", str(file)]) == Exit.OK
    assert capsys.readouterr().out == f"{Digest.of(b'{ }' + bytes([10]))}\n"


def test_statement_is_byte_for_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a key the exact text is printed, ready for ``ssh-keygen -Y sign``."""
    file = tmp_path / "manifest.json"
    file.write_text(example_manifest())
    assert run(["statement", str(file), "--user", "alice"]) == Exit.OK
    digest = Digest.of(file.read_bytes())
    expected = f"marbleops approval v1\nlineage: shop-demo\nversion: 1\nmanifest: {digest}\nuser: alice\n"
    assert capsys.readouterr().out == expected


def test_evidence_folder(tmp_path: Path) -> None:
    """Objects, detached signatures of both kinds, and the call's own form, all from one folder."""
    (tmp_path / "manifest.json").write_bytes(b"{}")
    (tmp_path / "1.commit").write_bytes(b"tree x")
    (tmp_path / "2.tag").write_bytes(b"object x")
    (tmp_path / "alice.b@c.sig").write_text("armor")
    (tmp_path / "alice.key-proof.sig").write_text("proof")
    more = ObjectPiece(object=b"more")
    (tmp_path / "tree-votes.json").write_text(json.dumps(encode_evidence((more,))))
    raw, pieces = read_folder(tmp_path)
    assert raw == b"{}"
    assert set(pieces) == {
        ObjectPiece(object=b"tree x"),
        ObjectPiece(object=b"object x"),
        DetachedPiece(signature="armor", user="alice.b@c", statement="approval"),
        DetachedPiece(signature="proof", user="alice", statement="key-proof"),
        more,
    }


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'[{"object": "!"}]'])
def test_evidence_folder_refuses_nonsense(tmp_path: Path, content: bytes) -> None:
    """An evidence file that is not the call's form is named, not skipped."""
    (tmp_path / "manifest.json").write_bytes(b"{}")
    (tmp_path / "evidence.json").write_bytes(content)
    with pytest.raises(UsageProblem, match="evidence"):
        read_folder(tmp_path)


def test_evidence_folder_has_a_limit(tmp_path: Path) -> None:
    """More pieces than the call takes are refused here, where the person can choose."""
    (tmp_path / "manifest.json").write_bytes(b"{}")
    for number in range(65):
        (tmp_path / f"{number}.tag").write_bytes(b"x")
    with pytest.raises(UsageProblem, match="65 pieces"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    "path", ["../x", "a/../b", ".git/config", "a/.git/b", "/x", "a//b", "a b", "-x", "", ":x", "a/"]
)
def test_bad_paths(path: str) -> None:
    """Only what approvals.md section 1 allows is a manifest's path."""
    with pytest.raises(UsageProblem):
        check_path(path)


@pytest.mark.parametrize("path", ["manifest.json", "envs/prod/manifest.json", ".github/x.json", "a.git/b"])
def test_good_paths(path: str) -> None:
    """Ordinary paths pass."""
    assert check_path(path) == path


@given(st.text(max_size=40))
def test_revision_is_never_an_option(text: str) -> None:
    """Whatever passes is printable and does not start like an option."""
    try:
        check_revision(text)
    except UsageProblem:
        return
    assert text
    assert not text.startswith("-")
    assert text.isprintable()


def test_simulation_needs_its_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A simulation anchor alone is refused: nobody accepts it by accident."""
    anchor = tmp_path / "anchor.der"
    anchor.write_bytes(b"x")
    code = run(
        ["verify", "--coordinator", "127.0.0.1:1", "--anchor", str(anchor), "--state", str(tmp_path / "p")]
    )
    assert code == Exit.USAGE
    assert "--insecure-simulation" in capsys.readouterr().err
