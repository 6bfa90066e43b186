"""A Go program against a real process: Go's rules for TLS, certificates, JSON and HTTP/2 judge the answers.

The program is built from the standard library alone, so no network is needed. MarbleRun's own programs are
run by ``tools/foreign-marblerun``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.fakes import shop
from tests.fakes.coordinator_process import CoordinatorProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]  # a cold build compiles Go's net/http

SOURCES = Path(__file__).resolve().parents[2] / "foreign" / "go" / "client"
GO = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
CHECKS = (
    "handshakes",
    "quote and pinned root",
    "names of the root",
    "unknown paths",
    "manifest",
    "users",
    "secrets",
    "activation refused",
    "activation",
    "certificate chains",
    "mutual TLS between marbles",
    "monotonic counter",
    "package update",
)


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Build the program, run it once, and return what it found by name of the check."""
    if GO is None:
        pytest.skip("Go is not installed")
    here = tmp_path_factory.mktemp("go-client")
    client = _build(GO, here)
    (here / "manifest.json").write_text(json.dumps(_manifest(_user(here))))
    update = {"Packages": {"backend": {"SecurityVersion": 2}}}
    (here / "update.json").write_text(json.dumps(update))
    coordinator = CoordinatorProcess(here, {"EDG_COORDINATOR_INSECURE_EMPTY_QUOTE": "1"})
    try:
        coordinator.start()
        done = subprocess.run(
            [
                str(client),
                f"-rest=localhost:{coordinator.client_port}",
                f"-mesh=localhost:{coordinator.mesh_port}",
                "-manifest=manifest.json",
                "-update=update.json",
                "-user=user.pem",
                "-key=user.key",
            ],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        coordinator.close()
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert tuple(one["check"] for one in found) == CHECKS
    return {one["check"]: one["problem"] for one in found}


@pytest.mark.parametrize("check", CHECKS)
def test_go_accepts(problems: dict[str, str], check: str) -> None:
    """Each check of the Go program passes."""
    assert problems[check] == ""


def _build(go: str, here: Path) -> Path:
    client = here / "client"
    own = {"CGO_ENABLED": "0", "GOFLAGS": "", "GOPROXY": "off", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    built = subprocess.run(
        [go, "build", "-trimpath", "-buildvcs=false", "-o", str(client), "."],
        cwd=SOURCES,
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return client


def _user(here: Path) -> str:
    """Write a certificate and key; return the certificate's PEM text."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    text = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    (here / "user.pem").write_bytes(text)
    (here / "user.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return text.decode()


def _manifest(certificate: str) -> dict[str, object]:
    package = {"SignerID": shop.SIGNER.hex(), "ProductID": shop.PRODUCT, "SecurityVersion": 1}
    parameters = {
        "Argv": ["backend", "--serve"],
        "Env": {"OWN": "{{ hex .Secrets.own }}", "TOKEN": "{{ string .Secrets.token }}"},
        "Files": {"/tmp/shared": "{{ raw .Secrets.shared }}"},
    }
    return {
        "Packages": {"backend": package},
        "Marbles": {"backend": {"Package": "backend", "MaxActivations": 2, "Parameters": parameters}},
        "Secrets": {
            "own": {"Type": "symmetric-key", "Size": 128},
            "shared": {"Type": "symmetric-key", "Size": 128, "Shared": True},
            "token": {"Type": "plain", "UserDefined": True},
        },
        "Users": {"alice": {"Certificate": certificate, "Roles": ["packages", "reader", "writer"]}},
        "Roles": {
            "packages": {
                "ResourceType": "Packages",
                "ResourceNames": ["backend"],
                "Actions": ["UpdateSecurityVersion"],
            },
            "reader": {
                "ResourceType": "Secrets",
                "ResourceNames": ["token", "shared"],
                "Actions": ["ReadSecret"],
            },
            "writer": {"ResourceType": "Secrets", "ResourceNames": ["token"], "Actions": ["WriteSecret"]},
        },
        "Config": {"FeatureGates": ["MonotonicCounter"]},
    }
