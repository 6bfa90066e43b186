"""MarbleRun's owners and marbles on the REST port of real processes, in both versions of the interface.

With real client certificates: expired, of RSA, somebody else's, in chains (marblerun-core section 11 and
14.5, marblerun-api-cli-k8s 1.3 to 1.7).
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)
from cryptography.x509.oid import NameOID

from marbleops.attestation.platform.base import EnclaveIdentity
from marbleops.attestation.platform.simulation import SimulationPlatform
from marbleops.marble.activate import activate
from marbleops.marble.settings import MarbleSettings
from tests.fakes import mesh, shop
from tests.fakes.coordinator_process import CoordinatorProcess, unverified_context
from tests.fakes.logins import login

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.coordinator_process import Answer

pytestmark = pytest.mark.integration

WRONG_STATE = "server is not in expected state"
NO_USER = "unauthorized user: client certificate did not match any MarbleRun users"
NO_MARBLE = "unauthorized marble: client certificate did not match any Marble"
IN_PROGRESS = (
    "update already in progress. Acknowledge the update to apply it, or cancel it to start a new one"
)
UUID = "02030400-0000-4000-8000-0000000000ab"


@dataclass(slots=True)
class People:
    """Asks a process as somebody."""

    process: CoordinatorProcess

    def ask(self, method: str, path: str, body: bytes | None = None, who: str | None = None) -> Answer:
        return self.ask_with(None if who is None else self.file(who, _login_pem(who)), method, path, body)

    def ask_with(self, identity: Path | None, method: str, path: str, body: bytes | None = None) -> Answer:
        context = unverified_context()
        if identity is not None:
            context.load_cert_chain(identity)
        return self.process.ask(method, path, body, context=context)

    def post(self, path: str, document: Any, who: str | None = None) -> Answer:
        return self.ask("POST", f"/api/v2/{path}", json.dumps(document).encode(), who)

    def file(self, name: str, pem: bytes) -> Path:
        path = self.process.directory / f"{name}.pem"
        path.write_bytes(pem)
        return path


@pytest.fixture(scope="module")
def rsa_pem() -> tuple[bytes, bytes]:
    """Make a key and a certificate of RSA."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rsa")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2090, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem, certificate.public_bytes(Encoding.PEM)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, rsa_pem: tuple[bytes, bytes]) -> Iterator[People]:
    """Start a process with a deployment of MarbleRun's kind, both feature gates open."""
    directory = tmp_path_factory.mktemp("owners")
    environ = {"EDG_COORDINATOR_INSECURE_EMPTY_QUOTE": "1", "EDG_COORDINATOR_PROMETHEUS_ADDR": "127.0.0.1:0"}
    process = CoordinatorProcess(directory, environ).start()

    def change(made: dict[str, Any]) -> None:
        made["Config"]["FeatureGates"] = ["signquoteendpoint", "MonotonicCounter"]
        made["Users"]["rsa"] = {"Certificate": rsa_pem[1].decode(), "Roles": ["secrets"]}

    people = People(process)
    answer = people.post("manifest", {"Manifest": _b64(mesh.manifest(change)), "unknown": None})
    assert answer.body == b'{"status":"success","data":{"RecoverySecrets":{}}}\n'
    yield people
    process.close()


def test_what_anyone_may_read(people: People) -> None:
    """Version 1 and version 2 say the same under other names, byte for byte."""
    assert people.ask("GET", "/status").body == (
        b'{"status":"success","data":{"StatusCode":3,"StatusMessage":'
        b'"Coordinator is running correctly and ready to accept marbles."}}\n'
    )
    new, old = people.ask("GET", "/api/v2/manifest").data, people.ask("GET", "/manifest").data
    assert list(old) == ["ManifestSignatureRootECDSA", "ManifestSignature", "Manifest"]
    assert list(new) == ["manifestSignatureRootECDSA", "manifestFingerprint", "manifest"]
    assert list(old.values()) == list(new.values())
    raw = base64.b64decode(new["manifest"])
    assert new["manifestFingerprint"] == hashlib.sha256(raw).hexdigest()
    quoted, fresh = people.ask("GET", "/quote?nonce=!!"), people.ask("GET", "/api/v2/quote?nonce=AAAA")
    chain = x509.load_pem_x509_certificates(quoted.data["Cert"].encode())
    assert list(quoted.data) == ["Cert", "Quote"]
    assert list(fresh.data) == ["cert", "quote", "state"]
    assert quoted.data["Cert"] == fresh.data["cert"]
    assert quoted.data["Quote"] != fresh.data["quote"]
    root = chain[1].public_key()
    assert isinstance(root, ec.EllipticCurvePublicKey)
    root.verify(base64.b64decode(new["manifestSignatureRootECDSA"]), raw, ec.ECDSA(hashes.SHA256()))
    (line,) = people.ask("GET", "/api/v2/update").data["updateLog"]
    assert people.ask("GET", "/update").data == line + "\n"
    assert list(json.loads(line).values())[1:] == ["Initial manifest set"]
    bad = people.ask("GET", "/api/v2/quote?nonce=A")
    assert (bad.status, bad.json["status"]) == (400, "fail")
    assert bad.json["message"].startswith("invalid query: bad nonce format: ")
    assert "deprecated API endpoint: use /api/v2/manifest" in people.process.log


def test_a_second_manifest_is_refused(people: People) -> None:
    """Version 1 says 400, version 2 500; a body that is no call is 400, what follows a call is not read."""
    raw = mesh.manifest()
    expected = f'{{"status":"error","data":null,"message":"{WRONG_STATE}"}}\n'.encode()
    for path, body, status in (
        ("/manifest", raw, 400),
        ("/api/v2/manifest", json.dumps({"manifest": _b64(raw)}).encode() + b" and so on", 500),
    ):
        answer = people.ask("POST", path, body)
        assert (answer.status, answer.body) == (status, expected)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
    for body, words in ((b"", "EOF"), (b'{"manifest":"', "unexpected EOF")):
        answer = people.ask("POST", "/api/v2/manifest", body)
        assert answer.status == 400
        assert answer.body == f'{{"status":"fail","data":null,"message":"{words}"}}\n'.encode()
        assert answer.headers["content-type"] == "application/json"


USERS_CALLS = (
    ("POST", "update"),
    ("POST", "update-manifest"),
    ("POST", "update-cancel"),
    ("GET", "secrets?s=password"),
    ("POST", "secrets"),
)


@pytest.mark.parametrize(("method", "path"), USERS_CALLS)
def test_strangers_are_401_before_anything_is_read(people: People, method: str, path: str) -> None:
    """Without a certificate or with a stranger's: *error* in version 1, *fail* in version 2."""
    for who in (None, "stranger"):
        for prefix, kind, mime in (
            ("/", "error", "text/plain; charset=utf-8"),
            ("/api/v2/", "fail", "application/json"),
        ):
            answer = people.ask(method, prefix + path, b"garbage" if method == "POST" else None, who)
            assert answer.status == 401
            assert answer.body == f'{{"status":"{kind}","data":null,"message":"{NO_USER}"}}\n'.encode()
            assert answer.headers["content-type"] == mime


def test_only_the_proven_certificate_counts(people: People) -> None:
    """An owner's certificate is public: behind another one, whose key is at hand, it opens nothing."""
    own, owner = login("stranger"), login("sam")
    chain = people.file("chain", own.key_pem + own.certificate_pem + owner.certificate_pem)
    assert people.ask_with(chain, "GET", "/api/v2/secrets?s=password").status == 401
    reverse = people.file("reverse", owner.key_pem + owner.certificate_pem + own.certificate_pem)
    assert people.ask_with(reverse, "GET", "/api/v2/secrets?s=password").status == 200


def test_secrets(people: People, rsa_pem: tuple[bytes, bytes]) -> None:
    """Users with expired and with RSA certificates set and read; queries, rights and values are checked."""
    unset = people.ask("GET", "/api/v2/secrets?s=password", who="sam")
    assert unset.body == (
        b'{"status":"success","data":{"secrets":{"password":{"Type":"plain","Size":0,"Shared":false,'
        b'"UserDefined":true,"Cert":null,"ValidFor":0,"Private":null,"Public":null}}}}\n'
    )
    done = b'{"status":"success","data":null}\n'
    assert people.post("secrets", {"SECRETS": {"password": {"key": [97, 98]}}}, "sam").body == done
    assert (
        people.ask("GET", "/secrets?s=password&s=password", who="sam").data["password"]["Private"] == "YWI="
    )
    identity = people.file("rsa", b"".join(rsa_pem))
    written = people.ask_with(identity, "POST", "/secrets", b'{"password":{"Key":"Yw=="}}\n')
    assert written.body == done
    read = people.ask_with(identity, "GET", "/api/v2/secrets?s=password")
    assert read.data["secrets"]["password"]["Public"] == "Yw=="
    log = [json.loads(line) for line in people.ask("GET", "/api/v2/update").data["updateLog"]]
    assert [list(line)[1:] for line in log[1:]] == [["update", "user", "secret", "type"]] * 2
    assert [line["user"] for line in log[1:]] == ["sam", "rsa"]
    for path, v2_words in (
        ("secrets", "invalid query: endpoint requires at least one query parameter"),
        ("secrets?s=password&s=", "malformed query string: empty query parameter"),
    ):
        for prefix, kind in (("/", "error"), ("/api/v2/", "fail")):
            answer = people.ask("GET", prefix + path, who="sam")
            assert (answer.status, answer.json["status"], answer.json["message"]) == (400, kind, v2_words)
    for prefix, status in (("/", 400), ("/api/v2/", 500)):
        refused = people.ask("GET", f"{prefix}secrets?s=password&s=shared", who="sam")
        assert (refused.status, refused.json["status"]) == (status, "error")
        words = "user sam is not allowed to read one or more secrets of: [password shared]"
        assert refused.json["message"] == words
    call = b'{"shared":{"Key":"YQ=="}}'
    refused = people.ask("POST", "/secrets", call, "sam")
    assert (refused.status, refused.json["status"]) == (400, "error")
    assert refused.json["message"] == "parsing new secrets: secret shared is not writeable"
    refused = people.ask("POST", "/api/v2/secrets", b'{"secrets":' + call + b"}", "sam")
    assert (refused.status, refused.json["status"]) == (500, "error")
    assert people.ask("POST", "/secrets", b"{} trailing", "sam").status == 400
    assert people.post("secrets", {}, "sam").json["message"] == "parsing new secrets: no new secrets defined"
    bad = people.ask("POST", "/api/v2/secrets", b'{"secrets":5}', "sam")
    assert (bad.status, bad.json["status"], bad.json["data"]) == (400, "fail", None)


def test_monotonic_counters(people: People) -> None:
    """Only an activated marble counts; the answer is the value before, and no smaller value is taken."""
    identity = _activated(people)
    marble_root = x509.load_pem_x509_certificate(
        identity.read_bytes().split(b"-----END PRIVATE KEY-----\n")[1]
    )
    assert marble_root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == UUID

    def count(body: bytes) -> Answer:
        return people.ask_with(identity, "POST", "/api/v2/monotonic-counter", body)

    assert count(b'{"name":"a","value":7}').body == b'{"status":"success","data":{"value":0}}\n'
    assert [count(b'{"Name":"a","value":%d}' % value).data["value"] for value in (3, 7, 2**64 - 1, 0)] == [
        7,
        7,
        7,
        2**64 - 1,
    ]
    assert count(b"{}").data == {"value": 0}
    bad = count(b'{"value":-1}')
    assert (bad.status, bad.json["status"], bad.json["data"]) == (400, "fail", None)
    assert count(b'{"name":"%s"}' % (b"a" * 300)).status == 500
    stranger = people.ask("POST", "/api/v2/monotonic-counter", b"garbage", "sam")
    assert (stranger.status, stranger.json) == (401, {"status": "fail", "data": None, "message": NO_MARBLE})
    login_pem = login("stranger").key_pem + login("stranger").certificate_pem
    behind = people.file("behind", login_pem + identity.read_bytes().split(b"-----END PRIVATE KEY-----\n")[1])
    refused = people.ask_with(behind, "POST", "/api/v2/monotonic-counter", b"{}")
    assert refused.status == 401


def test_sign_quote(people: People) -> None:
    """A quote is vouched for as it was sent; what is no quote says so in MarbleRun's two places."""
    platform = SimulationPlatform.open(people.process.simulation)
    quote = platform.issuer(_identity()).quote(bytes(64))
    answer = people.post("sign-quote", {"sgxQuote": _b64(quote)})
    assert list(answer.data) == ["tcbStatus", "verificationSignature"]
    signed = (_b64(quote) + answer.data["tcbStatus"]).encode()
    chain = x509.load_pem_x509_certificates(people.ask("GET", "/api/v2/quote").data["cert"].encode())
    root = chain[1].public_key()
    assert isinstance(root, ec.EllipticCurvePublicKey)
    root.verify(base64.b64decode(answer.data["verificationSignature"]), signed, ec.ECDSA(hashes.SHA256()))
    refused = people.post("sign-quote", {"sgxQuote": "AAAA"})
    assert (refused.status, refused.json["status"]) == (400, "fail")
    assert refused.json["message"] == "quote verification failed"
    assert refused.data["sgxQuote"].startswith("quote verification failed: ")
    unread = people.ask("POST", "/api/v2/sign-quote", b"")
    assert unread.status == 400
    assert unread.body == (
        b'{"status":"fail","data":{"sgxQuote":"failed to parse JSON data"},"message":"bad request: EOF"}\n'
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/manifest/"),
        ("GET", "/recover"),
        ("PUT", "/quote"),
        ("POST", "/status"),
        ("OPTIONS", "/secrets"),
        ("POST", "/api/v2/quote"),
        ("GET", "/sign-quote"),
        ("POST", "/monotonic-counter"),
        ("GET", "/recover/public-key"),
        ("GET", "/api/v1/status"),
        ("GET", "/api/v2/gitops"),
    ],
)
def test_what_there_is_not_is_405(people: People, method: str, path: str) -> None:
    """Never 404: clients go back to version 1 on 405 only. Metrics are on, where MarbleRun panics (A21)."""
    answer = people.ask(method, path)
    assert (answer.status, answer.body) == (405, b'{"status":"error","data":null}\n')


def test_recovery_is_elsewhere(people: People) -> None:
    """Version 1 is gone, version 2 waits for its state; only 20480 bytes of a call are looked at."""
    gone = people.ask("POST", "/recover", b"0123456789abcdef")
    assert (gone.status, gone.json["status"]) == (410, "error")
    assert gone.json["message"] == (
        "Recovering the Coordinator using the /recover API endpoint has been disabled. "
        "Use the /api/v2/recover endpoint instead."
    )
    assert people.ask("GET", "/api/v2/recover/public-key").json["message"] == WRONG_STATE
    call = json.dumps({"recoverySecret": _b64(bytes(16)), "recoverySecretSignature": ""}).encode()
    assert people.ask("POST", "/api/v2/recover", call).json["message"] == WRONG_STATE
    assert people.ask("POST", "/api/v2/recover", call + b" " * 30_000).json["message"] == WRONG_STATE
    long = people.ask("POST", "/api/v2/recover", b" " * 20_480 + call)
    assert (long.status, long.json["message"]) == (400, "EOF")


def test_updates(coordinator: CoordinatorProcess) -> None:
    """Packages by one, everything by two of three; acknowledged, cancelled, refused, in both versions."""
    people = People(coordinator.start())
    first = mesh.manifest()
    assert people.ask("POST", "/manifest", first).body == b'{"status":"success","data":null}\n'
    assert people.ask("POST", "/api/v2/sign-quote", b"x").json["message"] == (
        "SignQuoteEndpoint feature is not enabled in the manifest"
    )
    closed = people.ask("POST", "/api/v2/monotonic-counter", b"garbage")
    assert (closed.status, closed.json["status"], closed.json["data"]) == (403, "error", None)
    _package_updates(people)
    _full_updates(people)


def _package_updates(people: People) -> None:
    applied = people.post("update", {"manifest": _b64(mesh.package_update(backend=3))}, "rita")
    assert applied.body == (b'{"status":"success","data":{"missingAcknowledgments":0,"missingUsers":null}}\n')
    done = people.ask("POST", "/update", mesh.package_update(backend=4), "rita")
    assert done.body == b'{"status":"success","data":null}\n'
    for prefix, status, frontend in (
        ("/", 400, mesh.package_update(frontend=9)),
        ("/api/v2/", 500, json.dumps({"manifest": _b64(mesh.package_update(frontend=9))}).encode()),
    ):
        refused = people.ask("POST", f"{prefix}update", frontend, "rita")
        assert (refused.status, refused.json["status"]) == (status, "error")
        words = "user rita is not allowed to update one or more packages of [frontend]"
        assert refused.json["message"] == words
    assert '"package":"backend","new version":4}' in people.ask("GET", "/update").data


def _full_updates(people: People) -> None:
    for prefix in ("/", "/api/v2/"):
        none = people.ask("GET", f"{prefix}update-manifest")
        assert (none.status, none.json["status"], none.json["message"]) == (
            404,
            "error",
            "no update in progress",
        )
        assert people.ask("POST", f"{prefix}update-cancel", b"", "anna").status == 404
    raw = mesh.manifest(lambda made: made["Packages"]["backend"].update(SecurityVersion=5))
    call = {"manifest": _b64(raw)}
    not_allowed = people.ask("POST", "/update", raw, "rita")
    assert not_allowed.status == 400
    assert not_allowed.json["message"] == "user rita is not allowed to update the complete manifest"
    proposed = people.post("update", call, "anna")
    assert proposed.body == (
        b'{"status":"success","data":{"missingAcknowledgments":1,"missingUsers":["ben","cleo"]}}\n'
    )
    pending = people.ask("GET", "/update-manifest")
    assert pending.body == people.ask("GET", "/api/v2/update-manifest").body
    waiting = (
        "1 user still needs to acknowledge the update manifest.\n"
        "The following users have not yet accepted: ben, cleo"
    )
    assert pending.data == {"manifest": _b64(raw), "message": waiting, "missingUsers": ["ben", "cleo"]}
    assert people.post("update", call, "ben").json["message"] == IN_PROGRESS
    assert people.ask("POST", "/update", mesh.package_update(backend=6), "rita").status == 400
    again = people.post("update-manifest", call, "anna").data
    assert again == {"message": waiting, "missingUsers": ["ben", "cleo"], "missingAcknowledgments": 1}
    v1 = people.ask("POST", "/update-manifest", raw, "anna")
    assert v1.data == "1 user still needs to acknowledge the update manifest"
    other = people.ask("POST", "/update-manifest", raw + b" ", "ben")
    assert (other.status, other.json["message"]) == (
        500,
        "provided manifest does not match the pending manifest",
    )
    outsider = people.post("update-manifest", call, "rita")
    assert (outsider.status, outsider.json["message"]) == (
        500,
        "user rita is not allowed to acknowledge manifest updates",
    )
    cancelled = people.post("update-cancel", None, "cleo")
    assert cancelled.body == b'{"status":"success","data":{"message":"Update successfully cancelled"}}\n'
    assert people.ask("POST", "/update", raw, "anna").data is None
    assert people.ask("POST", "/update-cancel", b"x", "cleo").data == "Update successfully cancelled"
    assert people.post("update", call, "anna").status == 200
    applied = people.post("update-manifest", call, "ben")
    assert applied.body == (
        b'{"status":"success","data":{"message":"All users have acknowledged the update manifest. '
        b'Update successfully applied","missingUsers":null,"missingAcknowledgments":0}}\n'
    )
    assert people.ask("GET", "/api/v2/manifest").data["manifest"] == _b64(raw)
    # A22: a failed update leaves nothing pending that the next caller could meet.
    broken = mesh.manifest(lambda made: made["Marbles"].clear())
    refused = people.post("update", {"manifest": _b64(broken)}, "anna")
    assert (refused.status, refused.json["status"]) == (500, "error")
    assert people.ask("GET", "/api/v2/update-manifest").status == 404


def test_from_nothing_to_recovered(coordinator: CoordinatorProcess) -> None:
    """What there is before a manifest; recovery secrets; and the way back after the machine's key is lost."""
    people = People(coordinator.start())
    empty = people.ask("GET", "/manifest")
    assert empty.body == (
        b'{"status":"success","data":{"ManifestSignatureRootECDSA":null,"ManifestSignature":"","Manifest":null}}\n'
    )
    none = people.ask("GET", "/api/v2/manifest")
    assert (none.status, none.json["message"]) == (500, "requested value not set")
    assert people.ask("GET", "/status").data["StatusCode"] == 2
    assert [people.ask("GET", path).json["message"] for path in ("/update", "/api/v2/update")] == [
        WRONG_STATE
    ] * 2
    assert people.ask("GET", "/api/v2/secrets?s=a", who="sam").status == 401
    assert people.ask("POST", "/api/v2/monotonic-counter", b"").status == 403
    for body in (b"", b"{", b"{}"):
        assert people.ask("POST", "/manifest", body).status == 400
    assert people.post("manifest", {"manifest": "e30="}).status == 500
    assert people.post("manifest", {}).status == 500
    keys = {name: rsa.generate_private_key(65537, 2048) for name in ("anna", "ben")}
    raw = mesh.manifest(
        lambda made: made.update(RecoveryKeys={name: _pem(key) for name, key in keys.items()})
    )
    secrets = people.ask("POST", "/manifest", raw).data["RecoverySecrets"]
    assert list(secrets) == ["anna", "ben"]
    root = people.ask("GET", "/quote").data["Cert"].split("-----END CERTIFICATE-----")[1]
    coordinator.stop()
    _lose_key(coordinator)
    coordinator.start()
    status = people.ask("GET", "/status").data
    assert status["StatusCode"] == 1
    assert status["StatusMessage"].startswith(
        "Coordinator is in recovery mode. Either upload a key to unseal"
    )
    answer = people.ask("GET", "/api/v2/recover/public-key").data
    assert answer["algorithm"] == "RSA"
    ephemeral = load_der_public_key(base64.b64decode(answer["ephemeralPublicKey"]))
    assert isinstance(ephemeral, rsa.RSAPublicKey)
    assert ephemeral.key_size == 4096
    garbage = people.post("recover", {"recoverySecret": _b64(bytes(20))})
    assert (garbage.status, garbage.json["status"], garbage.json["data"]) == (400, "fail", None)
    assert garbage.json["message"].startswith("failed to decrypt recovery secret: ")
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    shares = {name: key.decrypt(base64.b64decode(secrets[name]), oaep) for name, key in keys.items()}
    signatures = {
        name: key.sign(shares[name], padding.PKCS1v15(), hashes.SHA256()) for name, key in keys.items()
    }
    calls = [
        {"recoverySecret": _b64(shares["anna"]), "recoverySecretSignature": _b64(signatures["anna"])},
        {
            "recoverySecret": _b64(ephemeral.encrypt(shares["ben"], oaep)),
            "RECOVERYSECRETSIGNATURE": _b64(signatures["ben"]),
        },
    ]
    assert [people.post("recover", call).data for call in calls] == [
        {
            "remaining": 1,
            "message": "Secret was processed successfully. Upload the next secret. Remaining secrets: 1",
        },
        {"remaining": 0, "message": "Recovery successful."},
    ]
    assert people.ask("GET", "/status").data["StatusCode"] == 3
    assert people.ask("GET", "/quote").data["Cert"].split("-----END CERTIFICATE-----")[1] == root


def _lose_key(coordinator: CoordinatorProcess) -> None:
    """Put another machine in the place of the old one."""
    coordinator.simulation.rename(coordinator.directory / "old-platform")
    SimulationPlatform.create(coordinator.simulation.resolve(), at=datetime.now(UTC))


def _identity() -> EnclaveIdentity:
    return EnclaveIdentity(
        unique_id=bytes(32), signer_id=shop.SIGNER, product_id=15, security_version=1, debug=False
    )


def _activated(people: People) -> Path:
    """Activate a marble without a quote; return its key and its chain, leaf first, as one PEM file."""
    uuid = people.process.directory / "uuid"
    uuid.write_text(UUID)
    environ = {
        "EDG_MARBLE_TYPE": "frontend",
        "EDG_MARBLE_COORDINATOR_ADDR": f"127.0.0.1:{people.process.mesh_port}",
        "EDG_MARBLE_UUID_FILE": str(uuid),
    }
    env = activate(MarbleSettings.from_environ(environ, directory=people.process.directory), None).env
    key = env["MARBLE_PREDEFINED_PRIVATE_KEY"]
    return people.file("marble", key.strip() + b"\n" + env["MARBLE_PREDEFINED_MARBLE_CERTIFICATE_CHAIN"])


def _login_pem(name: str) -> bytes:
    return login(name).key_pem + login(name).certificate_pem


def _pem(key: rsa.RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()
