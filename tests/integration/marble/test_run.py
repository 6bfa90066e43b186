"""``marbleops marble run`` as a process, against a marble port with a throwaway CA."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from coordinator.api.grpc import Code, GrpcError
from marbleops.attestation.platform.simulation import SimulationPlatform
from marbleops.attestation.quote import parse_evidence
from tests.integration.marble.conftest import MarblePort, Mesh, marble_port_of, pem, report

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

MAIN = "import os, sys; from marbleops.marble.run import main; sys.exit(main(sys.argv[1:], os.environ))"


def run(port: int, directory: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    given = {
        "PATH": os.environ["PATH"],
        "EDG_MARBLE_COORDINATOR_ADDR": f"127.0.0.1:{port}",
        "EDG_MARBLE_TYPE": "frontend",
        "https_proxy": "http://127.0.0.1:1",
        **environ,
    }
    return subprocess.run(
        [sys.executable, "-c", MAIN, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=directory,
        env=given,
        check=False,
    )


def test_a_marble_becomes_its_program(
    marble_port: MarblePort, tmp_path: Path, report_program: list[str]
) -> None:
    """The whole run: quote over the TLS certificate, request, files, environment, and then the command."""
    at = datetime.now(UTC)
    SimulationPlatform.create(tmp_path / "platform", at=at)
    (tmp_path / "app.py").write_text("print()\n")
    enclave = {"signer": "team", "productID": 1, "securityVersion": 2, "debug": False, "files": ["app.py"]}
    (tmp_path / "enclave.json").write_text(json.dumps({**enclave, "argv": ["app.py"]}))
    marble_port.files = {"etc/deep/secret": b"\0binary", str(tmp_path / "absolute"): b"text"}
    marble_port.env = {"GIVEN": b"by the manifest", "PATH_LIKE": "ü".encode()}
    platform = ["--platform", "simulation", "--simulation-dir", "platform", "--enclave", "enclave.json"]

    done = run(
        marble_port.port, tmp_path, *platform, "--", *report_program, "--flag", "--", "x",
        GIVEN="by the host", EDG_MARBLE_DNS_NAMES="front,10.0.0.7",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "INSECURE simulation" in done.stderr
    argv, environ = report(done.stdout)
    assert argv[1:] == ["--flag", "--", "x"]
    assert (environ["GIVEN"], environ["PATH_LIKE"]) == ("by the manifest", "ü")
    assert environ["MARBLE_PREDEFINED_PRIVATE_KEY"].startswith("-----BEGIN PRIVATE KEY")
    for path, content in marble_port.files.items():
        written = tmp_path / path
        assert written.read_bytes() == content
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "etc/deep").stat().st_mode) == 0o700

    ((request, certificates),) = marble_port.requests
    certificate = x509.load_der_x509_certificate(certificates[0])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["front"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "10.0.0.7"]
    asked = x509.load_der_x509_csr(request.CSR)
    assert asked.is_signature_valid
    assert asked.public_key() == certificate.public_key()
    quoted = parse_evidence(request.Quote).report.report_data
    assert quoted == hashlib.sha256(certificates[0]).digest() + bytes(32)
    assert (request.MarbleType, request.UUID) == ("frontend", (tmp_path / "uuid").read_text())
    assert uuid.UUID(request.UUID).version == 4
    assert stat.S_IMODE((tmp_path / "uuid").stat().st_mode) == 0o600


def test_argv_of_the_manifest_wins_and_the_uuid_stays(
    marble_port: MarblePort, tmp_path: Path, report_program: list[str]
) -> None:
    """A second start of the same marble keeps its UUID; the manifest's Argv replaces the command."""
    marble_port.argv = [*report_program, "from the manifest"]
    for _ in range(2):
        done = run(marble_port.port, tmp_path, "--", "/bin/false")
        assert done.returncode == 0, done.stderr
        assert report(done.stdout)[0][1:] == ["from the manifest"]
    first, second = (request for request, _ in marble_port.requests)
    assert first.UUID == second.UUID
    assert first.Quote == b""


def test_a_refused_marble_is_told_why(marble_port: MarblePort, tmp_path: Path) -> None:
    """The Coordinator's reason is printed, and nothing is written or started."""
    marble_port.files = {"secret": b"x"}
    marble_port.refusal = GrpcError(Code.PERMISSION_DENIED, "marble verification failed: SVN 1 < 2")
    done = run(marble_port.port, tmp_path, "--", "/bin/true")
    assert done.returncode == 3
    assert "refused this marble: marble verification failed: SVN 1 < 2" in done.stderr
    assert not (tmp_path / "secret").exists()


def test_no_coordinator_and_no_type(marble_port: MarblePort, tmp_path: Path) -> None:
    """Unreachable and unusable settings have their own exit codes and name what is wrong."""
    nobody = run(1, tmp_path, "--", "/bin/true")
    assert (nobody.returncode, "no Coordinator answers at 127.0.0.1:1" in nobody.stderr) == (5, True)
    nameless = run(marble_port.port, tmp_path, "--", "/bin/true", EDG_MARBLE_TYPE="")
    assert (nameless.returncode, "EDG_MARBLE_TYPE" in nameless.stderr) == (2, True)
    empty = run(marble_port.port, tmp_path)
    assert (empty.returncode, "nothing to run" in empty.stderr) == (2, True)
    missing = run(marble_port.port, tmp_path, "--", "./not-there")
    assert (missing.returncode, "not-there cannot be started" in missing.stderr) == (126, True)


@pytest.mark.parametrize("trap", ["file", "folder"])
def test_symbolic_links_are_not_followed(marble_port: MarblePort, tmp_path: Path, trap: str) -> None:
    """A link planted where a secret will be written, or on the way there, stops the start."""
    outside = tmp_path / "outside"
    outside.mkdir()
    work = tmp_path / "work"
    work.mkdir()
    (work / "link").symlink_to(outside / "target" if trap == "file" else outside)
    marble_port.files = {"link" if trap == "file" else "link/target": b"secret"}
    done = run(marble_port.port, work, "--", "/bin/true")
    assert done.returncode == 126
    assert "cannot be written" in done.stderr
    assert list(outside.iterdir()) == []


def test_the_pinned_root_admits_its_own_coordinator(marble_port: MarblePort, tmp_path: Path) -> None:
    """With EDG_MARBLE_COORDINATOR_ROOT the right Coordinator is accepted."""
    (tmp_path / "root.pem").write_bytes(pem(marble_port.mesh.root))
    done = run(marble_port.port, tmp_path, "--", "/bin/true", EDG_MARBLE_COORDINATOR_ROOT="root.pem")
    assert done.returncode == 0, done.stderr


def test_the_pinned_root_refuses_an_impostor(other_mesh: Mesh, mesh: Mesh, tmp_path: Path) -> None:
    """Another Coordinator, and one that shows copied certificates without their key, give nothing."""
    (tmp_path / "root.pem").write_bytes(pem(mesh.root))
    pin: dict[str, Any] = {"EDG_MARBLE_COORDINATOR_ROOT": "root.pem"}
    for presented, words in ((None, "another Coordinator"), (other_mesh, "does not hold the key")):
        served = other_mesh if presented is None else mesh
        with marble_port_of(served, presented) as port:
            port.files = {"secret": b"planted"}
            done = run(port.port, tmp_path, "--", "/bin/true", **pin)
        assert (done.returncode, words in done.stderr) == (6, True), done.stderr
        assert not (tmp_path / "secret").exists()


def test_a_marble_cannot_stand_in_for_its_coordinator(mesh: Mesh, tmp_path: Path) -> None:
    """What is compared with the pin is the certificate of the connection that carried the call.

    The marble root is a certificate authority: a client that fetches it on one connection and trusts it on
    the next accepts every marble of the mesh there, with an answer made of public certificates.
    """
    (tmp_path / "root.pem").write_bytes(pem(mesh.root))
    pin: dict[str, Any] = {"EDG_MARBLE_COORDINATOR_ROOT": "root.pem"}
    with marble_port_of(mesh, then=mesh.a_marbles_own()) as port:
        done = run(port.port, tmp_path, "--", "/bin/true", **pin)
        assert (done.returncode, port.connections) == (0, 1), done.stderr
        port.files = {"secret": b"planted"}
        done = run(port.port, tmp_path, "--", "/bin/true", **pin)
    assert (done.returncode, "does not hold the key" in done.stderr) == (6, True), done.stderr
    assert not (tmp_path / "secret").exists()


@pytest.mark.parametrize("first", ["", "/no/such/program", "."])
def test_a_program_that_cannot_be_started(marble_port: MarblePort, tmp_path: Path, first: str) -> None:
    """An Argv that starts nothing ends with a sentence and 126, not with a traceback."""
    marble_port.argv = [first, "argument"]
    done = run(marble_port.port, tmp_path, "--", "/bin/true")
    assert (done.returncode, "cannot be" in done.stderr, "Traceback" in done.stderr) == (126, True, False)


def test_ttls_is_refused(marble_port: MarblePort, tmp_path: Path) -> None:
    """A manifest with TLS tags is refused, rather than running the marble without them."""
    marble_port.env = {"MARBLE_TTLS_CONFIG": b"{}"}
    done = run(marble_port.port, tmp_path, "--", "/bin/true")
    assert done.returncode == 3
    assert "TLS tags" in done.stderr
