"""Fetching: from https with a private CA, and every way a repository can be wrong."""

from __future__ import annotations

import datetime as dt
import http.server
import ipaddress
import os
import ssl
import subprocess
import threading
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from reconciler.fetch import fetch
from reconciler.outcome import Outcome, Stop
from reconciler.settings import Target, read_settings
from tests.fakes.git import Team, clean_environment, run
from tests.integration.reconciler.conftest import config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.reconciler.conftest import Desk

pytestmark = pytest.mark.integration


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """One person and a repository with one manifest."""
    made = Team.make(tmp_path, "alice")
    made.write(made.manifest())
    made.commit("genesis", by="alice")
    made.push()
    return made


@pytest.fixture
def server(team: Team, tmp_path: Path) -> Iterator[str]:
    """``git http-backend`` behind TLS with a certificate of a private CA (``ca.pem``)."""
    make_certificates(tmp_path)
    handler = _backend(team)
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{httpd.server_port}/repository.git"
    httpd.shutdown()
    httpd.server_close()
    thread.join(5)


def target_of(folder: Path, **repository: str) -> Target:
    """Read a target whose repository is as given."""
    return read_settings(config(folder, repository=repository)).targets[0]


def test_https_with_a_private_ca(team: Team, server: str, tmp_path: Path) -> None:
    """A server whose certificate leads to ``repository.ca`` is fetched from; later pushes arrive too."""
    target = target_of(tmp_path, url=server, ca=str(tmp_path / "ca.pem"))
    first = fetch(target, lineage=None)
    assert first.commit == team.git("rev-parse", "HEAD")
    team.commit("more", by="alice", empty=True)
    team.push()
    tag = team.tag(b"x", by="alice", version=1)
    second = fetch(target, lineage="shop-prod")
    assert second.commit == team.git("rev-parse", "HEAD")
    assert second.repository.reference(f"refs/tags/{tag}") == team.git("rev-parse", f"refs/tags/{tag}")


def test_https_without_that_ca_is_refused(server: str, tmp_path: Path) -> None:
    """libgit2's verdict on the certificate is kept."""
    with pytest.raises(Stop) as caught:
        fetch(target_of(tmp_path, url=server), lineage=None)
    assert (caught.value.outcome, caught.value.reason) == (Outcome.STALLED, "CertificateRefused")


def test_https_missing_repository(server: str, tmp_path: Path) -> None:
    """A wrong address needs a person."""
    url = server.replace("repository.git", "nothing.git")
    with pytest.raises(Stop) as caught:
        fetch(target_of(tmp_path, url=url, ca=str(tmp_path / "ca.pem")), lineage=None)
    assert caught.value.reason == "RepositoryNotFound"


def test_https_server_away_may_heal(tmp_path: Path) -> None:
    """A port where nobody listens is retried."""
    with pytest.raises(Stop) as caught:
        fetch(target_of(tmp_path, url="https://127.0.0.1:9/repository.git"), lineage=None)
    assert caught.value.outcome is Outcome.RETRYING


def test_file_url_and_deleted_tags(team: Team, tmp_path: Path) -> None:
    """``file://`` works like a path, and a tag deleted at the origin is forgotten."""
    target = target_of(tmp_path, url=team.bare.as_uri())
    tag = team.tag(b"x", by="alice", version=1)
    assert fetch(target, lineage=None).repository.references("refs/tags/approve/")
    team.git("push", "-q", "origin", f":refs/tags/{tag}")
    assert not fetch(target, lineage=None).repository.references("refs/tags/approve/")


def test_only_branch_and_approvals_are_fetched(team: Team, tmp_path: Path) -> None:
    """Other branches, other lineages' tags and ``refs/replace`` never reach the cache."""
    head = team.git("rev-parse", "HEAD")
    for name in (
        "refs/heads/other",
        "refs/tags/v1",
        "refs/tags/approve/elsewhere/1/alice",
        f"refs/replace/{head}",
    ):
        team.git("push", "-q", "origin", f"HEAD:{name}")
    repository = fetch(target_of(tmp_path, url=str(team.bare)), lineage="shop-prod").repository
    assert [name for name, _ in repository.references("refs/")] == ["refs/heads/main"]


def test_missing_branch(team: Team, tmp_path: Path) -> None:
    """A branch that is not there needs a person, or a push."""
    with pytest.raises(Stop) as caught:
        fetch(target_of(tmp_path, url=str(team.bare), branch="nowhere"), lineage=None)
    assert (caught.value.outcome, caught.value.reason) == (Outcome.STALLED, "BranchNotFound")


def test_sha256_repository_is_a_named_condition(team: Team, tmp_path: Path) -> None:
    """libgit2 knows no SHA-256 repositories; that is said, not retried."""
    other = tmp_path / "sha256.git"
    team.git("init", "-q", "--bare", "--object-format=sha256", str(other))
    with pytest.raises(Stop) as caught:
        fetch(target_of(tmp_path, url=str(other)), lineage=None)
    assert caught.value.reason == "UnsupportedRepository"


def test_reftable_repository_is_a_named_condition(team: Team, tmp_path: Path) -> None:
    """The same for reftable."""
    team.git.at(team.bare)("config", "core.repositoryformatversion", "1")
    team.git.at(team.bare)("config", "extensions.refstorage", "reftable")
    with pytest.raises(Stop) as caught:
        fetch(target_of(tmp_path, url=str(team.bare)), lineage=None)
    assert caught.value.reason == "UnsupportedRepository"


def test_missing_folder(tmp_path: Path) -> None:
    """A local path where nothing is needs a person."""
    with pytest.raises(Stop) as caught:
        fetch(target_of(tmp_path, url=str(tmp_path / "nowhere")), lineage=None)
    assert caught.value.reason == "RepositoryNotFound"


def test_users_configuration_plays_no_part(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's ``insteadOf`` does not send the fetch elsewhere."""
    home = tmp_path / "evil-home"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[url "{tmp_path}/elsewhere"]\n\tinsteadOf = {team.bare}\n')
    monkeypatch.setenv("HOME", str(home))
    assert fetch(target_of(tmp_path, url=str(team.bare)), lineage=None).commit


def test_moved_repository_fills_the_same_cache(team: Team, tmp_path: Path) -> None:
    """A changed URL in the settings is taken up."""
    target = target_of(tmp_path, url=str(team.bare))
    first = fetch(target, lineage=None)
    moved = tmp_path / "moved.git"
    team.bare.rename(moved)
    settings = replace(target.repository, url=str(moved), local=moved)
    assert fetch(replace(target, repository=settings), lineage=None).commit == first.commit


def test_unattended_desk(desk: Desk) -> None:
    """An empty repository is a missing branch."""
    assert desk.reconcile().reason == "BranchNotFound"


def make_certificates(folder: Path) -> None:
    """Write a CA and a server certificate for 127.0.0.1."""
    now = dt.datetime.now(dt.UTC)

    def build(
        name: str,
        key: ec.EllipticCurvePrivateKey,
        issuer: str,
        signer: ec.EllipticCurvePrivateKey,
        *,
        ca: bool,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        return builder.sign(signer, hashes.SHA256())

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(build("ca", ca_key, "ca", ca_key, ca=True).public_bytes(pem))
    (folder / "server.pem").write_bytes(build("server", key, "ca", ca_key, ca=False).public_bytes(pem))
    (folder / "server.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _backend(team: Team) -> type[http.server.BaseHTTPRequestHandler]:
    program = (
        run(["git", "--exec-path"], cwd=team.home, home=team.home).decode().strip() + "/git-http-backend"
    )
    if not os.access(program, os.X_OK):
        pytest.skip("git http-backend is not installed")

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve(b"")

        def do_POST(self) -> None:
            self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _serve(self, body: bytes) -> None:
            parts = urlsplit(self.path)
            environment = clean_environment(team.home) | {
                "GIT_PROJECT_ROOT": str(team.bare.parent),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": parts.path,
                "QUERY_STRING": parts.query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "REMOTE_ADDR": "127.0.0.1",
            }
            done = subprocess.run([program], env=environment, input=body, capture_output=True, check=False)
            head, _, payload = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            """Keep tests quiet."""

    return Handler
