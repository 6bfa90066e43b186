"""The REST port as strangers find it: exact routes, MarbleRun's answers, and bounds."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jsonschema import Draft202012Validator

from coordinator.api.body import MAX_UPDATE_BODY
from marbleops.manifest.digest import Digest
from marbleops.manifest.schema import load_schema
from tests.fakes import shop
from tests.fakes.coordinator_process import CoordinatorProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

EMPTY_405 = b'{"status":"error","data":null}\n'
OWNERS = (
    ("POST", "/api/v2/update"),
    ("POST", "/api/v2/update-manifest"),
    ("POST", "/api/v2/update-cancel"),
    ("GET", "/api/v2/secrets"),
    ("POST", "/api/v2/secrets"),
    ("POST", "/update"),
)


@pytest.fixture(scope="module")
def recovery_keys() -> dict[str, rsa.RSAPrivateKey]:
    return {name: rsa.generate_private_key(65537, 2048) for name in ("alice", "bob")}


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, recovery_keys: dict[str, rsa.RSAPrivateKey]
) -> Iterator[CoordinatorProcess]:
    process = CoordinatorProcess(tmp_path_factory.mktemp("rest")).start()
    keys = {name: _public(key) for name, key in recovery_keys.items()}
    first = shop.manifest(change=lambda made: made.update(RecoveryKeys=keys))
    assert process.update(first, shop.genesis_evidence(first)).status == 200
    yield process
    process.close()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/api/v2/status/"),
        ("GET", "/api/v2//status"),
        ("GET", "/api/v2/STATUS"),
        ("GET", "/api/v2/%73tatus"),
        ("GET", "/statuses"),
        ("PUT", "/api/v2/status"),
        ("OPTIONS", "/api/v2/status"),
        ("POST", "/api/v2/status"),
        ("DELETE", "/api/v2/manifest"),
        ("GET", "/api/v2/gitops/update"),
        ("GET", "/api/v2/gitops/evidence/"),
        ("GET", "/api/v2/gitops/evidence/a/b"),
    ],
)
def test_everything_unknown_is_405(running: CoordinatorProcess, method: str, path: str) -> None:
    """Paths match exactly, and an unknown path or method is 405 with MarbleRun's empty error."""
    answer = running.ask(method, path)
    assert (answer.status, answer.body) == (405, EMPTY_405)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_head_is_405_without_a_body(running: CoordinatorProcess) -> None:
    """HEAD is no GET here."""
    answer = running.ask("HEAD", "/api/v2/status")
    assert (answer.status, answer.body) == (405, b"")


@pytest.mark.parametrize(("method", "path"), OWNERS)
def test_nobody_is_a_user_without_a_certificate(running: CoordinatorProcess, method: str, path: str) -> None:
    """The doors of MarbleRun's owners are closed to whoever presents nothing, here as everywhere."""
    answer = running.ask(method, path)
    assert answer.status == 401
    assert answer.json["message"].startswith("unauthorized user: ")


def test_status_and_quote(running: CoordinatorProcess) -> None:
    """Status follows its schema; the chain is intermediate and root, the root is the server's certificate."""
    Draft202012Validator(dict(load_schema("status.v1.schema.json"))).validate(running.get("status").data)
    chain = x509.load_pem_x509_certificates(running.get("quote").data["cert"].encode())
    chain[0].verify_directly_issued_by(chain[1])
    presented = ssl.get_server_certificate(("127.0.0.1", running.client_port))
    assert x509.load_pem_x509_certificate(presented.encode()) == chain[1]
    plain = running.get("quote").data["quote"]
    assert plain == running.get("quote").data["quote"] != running.get("quote?nonce=_-8=").data["quote"]
    assert running.get("quote?nonce=").status == 200
    for wrong in ("+/8=", "YQ", "%00"):
        assert running.get(f"quote?nonce={wrong}").status == 400


def test_bad_calls_of_gitops(running: CoordinatorProcess) -> None:
    """Wrong bodies, positions and digests are refused without a trace."""
    for body in (
        b"",
        b"[]",
        b'{"manifest":"!"}',
        b'{"manifest":"e30=","path":"x"}',
        b'{"manifest":"","manifest":""}',
    ):
        assert running.ask("POST", "/api/v2/gitops/update", body).status == 400
    malformed = json.dumps({"manifest": "e30=", "evidence": [{"object": 1}]}).encode()
    answer = running.ask("POST", "/api/v2/gitops/update", malformed)
    assert (answer.status, answer.data["refusals"][0]["reason"]) == (422, "malformed-object")
    assert running.get("gitops/history?from=-1").status == 400
    assert running.get("gitops/history?from=7").data["records"] == []
    assert running.get("gitops/evidence/00").status == 400
    assert running.get(f"gitops/evidence/{Digest.of(b'').hex}").status == 403
    statements = running.ask("POST", "/api/v2/gitops/statements", b"{}")
    assert (statements.status, statements.data["reason"]) == (422, "unsupported-statement")


def test_recovery_secrets_can_be_fetched(
    running: CoordinatorProcess, recovery_keys: dict[str, rsa.RSAPrivateKey]
) -> None:
    """A signed update cannot answer with them, so whoever holds a recovery key fetches hers, encrypted."""
    secrets = running.get("gitops/recovery-secrets").data
    assert list(secrets) == ["alice", "bob"]
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    shares = {recovery_keys[name].decrypt(base64.b64decode(secret), oaep) for name, secret in secrets.items()}
    assert [len(share) for share in shares] == [32, 32]


def test_sizes_are_bounded(running: CoordinatorProcess) -> None:
    """A body that says it is too large, one that is, and a manifest that is: 413 each."""
    large = base64.b64encode(b" " * (1024 * 1024 + 1)).decode()
    answer = running.ask("POST", "/api/v2/gitops/update", json.dumps({"manifest": large}).encode())
    assert (answer.status, answer.data["refusals"][0]["reason"]) == (413, "too-large")
    reply = _raw(
        running,
        b"POST /api/v2/gitops/update HTTP/1.1\r\nHost: a\r\n"
        + f"Content-Length: {MAX_UPDATE_BODY + 1}\r\n\r\n".encode(),
    )
    assert reply.startswith(b"HTTP/1.1 413 ")


def test_who_waits_for_leave_to_send_gets_it(running: CoordinatorProcess) -> None:
    """Expect: 100-continue is answered before the body comes; curl waits a second for it."""
    request = (
        b"POST /api/v2/gitops/update HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    )
    assert _raw(running, request) == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_garbage_is_answered_and_logged_as_one_line(running: CoordinatorProcess) -> None:
    """Bytes that are no HTTP get an answer, and every line of the log stays one JSON object."""
    assert _raw(running, b"\x00\x01\x02 garbage\r\n\r\n").startswith(b"HTTP/1.")
    assert running.get("status").status == 200
    for line in running.log.splitlines():
        assert isinstance(json.loads(line), dict)


def _public(key: rsa.RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _raw(running: CoordinatorProcess, request: bytes) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", running.client_port), timeout=10) as tcp,
        context.wrap_socket(tcp) as tls,
    ):
        tls.sendall(request)
        return tls.recv(65536)
