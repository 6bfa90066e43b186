"""The gitops calls against a real process: genesis, bump, refusal, restart, kill -9."""

from __future__ import annotations

import base64
import json
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from marbleops.approval.record import head_message, record_hash, verify_chain
from marbleops.manifest.digest import Digest
from tests.fakes import shop

if TYPE_CHECKING:
    from tests.fakes.coordinator_process import CoordinatorProcess

pytestmark = pytest.mark.integration


def test_genesis_then_full_update(coordinator: CoordinatorProcess) -> None:
    """A genesis with proofs is enforced, a second version by two people follows; the history has both."""
    coordinator.start()
    assert coordinator.get("status").data["code"] == 2
    first = shop.manifest()
    source = {"url": "https://git.example/shop", "revision": "main@sha1:00"}
    answer = coordinator.update(first, shop.genesis_evidence(first), source=source)
    assert (answer.status, answer.data["outcome"], answer.data["class"]) == (200, "applied", "genesis")
    status = coordinator.get("status").data
    assert (status["code"], status["version"], status["digest"]) == (3, 1, str(Digest.of(first)))
    assert any("INSECURE SIMULATION" in warning for warning in status["warnings"])

    second = shop.manifest(2, previous=first, deployment=coordinator.deployment(), change=_greet("hi"))
    applied = coordinator.update(second, shop.approvals(second, "bob", "carol"))
    assert (applied.status, applied.data["class"]) == (200, "full")
    fetched = coordinator.get("manifest").data
    assert base64.b64decode(fetched["manifest"]) == second
    assert fetched["manifestFingerprint"] == Digest.of(second).hex

    policy = coordinator.get("gitops/policy").data
    assert (policy["version"], policy["updateThreshold"], policy["source"]) == (2, 2, None)
    assert [user["name"] for user in policy["users"]] == ["alice", "bob", "carol"]
    _check_history(coordinator, digests=[first, second])
    log = coordinator.get("update").data["updateLog"]
    assert [json.loads(line)["update"] for line in log] == [
        "Initial manifest set",
        "Complete Manifest updated",
    ]


def test_refusals_change_nothing(coordinator: CoordinatorProcess) -> None:
    """One approval of two, a stranger, an old statement and garbage are refused with their reasons."""
    coordinator.start()
    first = shop.manifest()
    incomplete = coordinator.update(first, shop.approvals(first, "alice", "bob"))
    assert (incomplete.status, _reasons(incomplete.data)) == (422, ["new-key-unproven"])
    assert coordinator.get("status").data["code"] == 2
    coordinator.update(first, shop.genesis_evidence(first))

    second = shop.manifest(2, previous=first, deployment=coordinator.deployment(), change=_greet("hi"))
    alone = coordinator.update(second, shop.approvals(second, "alice"))
    assert (alone.status, _reasons(alone.data)) == (422, ["threshold-not-met"])
    assert "1 of 2" in alone.data["summary"]
    stale = coordinator.update(second, shop.approvals(first, "alice", "bob"))
    assert stale.status == 422
    assert {piece["verdict"] for piece in stale.data["pieces"]} == {"refused"}
    dry = coordinator.update(second, shop.approvals(second, "alice", "bob"), dry_run=True)
    assert (dry.status, dry.data["outcome"]) == (200, "would-apply")
    again = coordinator.update(first, ())
    assert (again.status, again.data["outcome"]) == (200, "unchanged")
    assert coordinator.get("status").data["version"] == 1
    _check_history(coordinator, digests=[first])


def test_restart_keeps_everything(coordinator: CoordinatorProcess) -> None:
    """After SIGTERM and after SIGKILL the same root, deployment, history and manifest are there."""
    coordinator.start()
    first = shop.manifest()
    coordinator.update(first, shop.genesis_evidence(first))
    before = _everything(coordinator)
    assert coordinator.stop() == 0
    assert _everything(coordinator.start()) == before
    coordinator.kill()
    assert _everything(coordinator.start()) == before
    second = shop.manifest(2, previous=first, deployment=coordinator.deployment(), change=_greet("hi"))
    assert coordinator.update(second, shop.approvals(second, "alice", "carol")).status == 200
    coordinator.kill()
    assert coordinator.start().get("status").data["version"] == 2


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1, 2])
def test_kill_while_updating_loses_nothing_acknowledged(coordinator: CoordinatorProcess, seed: int) -> None:
    """SIGKILL at 50 random moments in all: what was acknowledged is enforced, and the state verifies."""
    dice = random.Random(seed)
    coordinator.start()
    current, version = shop.manifest(), 1
    assert coordinator.update(current, shop.genesis_evidence(current)).status == 200
    deployment = coordinator.deployment()
    for _ in range(25):
        acknowledged, sent = [version], {version: current}
        timer = threading.Timer(dice.uniform(0.0, 0.08), coordinator.kill)
        timer.start()
        try:
            while True:
                following = shop.manifest(
                    version + 1, previous=current, deployment=deployment, change=_greet(f"hello {version}")
                )
                sent[version + 1] = following
                assert coordinator.update(following, shop.approvals(following, "alice", "bob")).status == 200
                current, version = following, version + 1
                acknowledged.append(version)
        except OSError:
            timer.join()
        coordinator.start()
        enforced = coordinator.get("status").data["version"]
        assert acknowledged[-1] <= enforced <= acknowledged[-1] + 1
        current, version = sent[enforced], enforced
        assert base64.b64decode(coordinator.get("manifest").data["manifest"]) == current


def test_a_second_process_is_refused(coordinator: CoordinatorProcess) -> None:
    """There is never more than one writer: a second Coordinator on the same seal directory does not start."""
    coordinator.start()
    first = coordinator.process
    second = coordinator.launch()
    assert second.wait(timeout=20) == 1
    assert "another process holds it" in coordinator.log
    coordinator.process = first


def test_plain_marblerun_mode(coordinator: CoordinatorProcess) -> None:
    """A manifest without GitOps is set once by POST manifest; with it, the call points to gitops/update."""
    coordinator.start()
    body = json.dumps({"manifest": base64.b64encode(shop.manifest()).decode()}).encode()
    refused = coordinator.ask("POST", "/api/v2/manifest", body)
    assert "gitops/update" in refused.json["message"]
    plain = json.dumps({"manifest": base64.b64encode(shop.plain_manifest()).decode()}).encode()
    accepted = coordinator.ask("POST", "/api/v2/manifest", plain)
    assert accepted.body == b'{"status":"success","data":{"RecoverySecrets":{}}}\n'
    again = coordinator.ask("POST", "/api/v2/manifest", plain)
    assert again.json["message"] == "server is not in expected state"
    closed = coordinator.update(shop.manifest(), ())
    assert (closed.status, closed.data) == (409, {"reason": "gitops-not-enabled"})
    coordinator.kill()
    assert coordinator.start().get("status").data["code"] == 3


def test_wrong_settings_are_all_named(coordinator: CoordinatorProcess) -> None:
    """Every wrong variable is printed with what to set, and nothing starts."""
    process = coordinator.launch(
        EDG_COORDINATOR_PLATFORM="", EDG_COORDINATOR_CLIENT_ADDR="nowhere", EDG_STORE_BACKEND="k8s-secret"
    )
    assert process.wait(timeout=20) == 2
    for name in ("EDG_COORDINATOR_PLATFORM", "EDG_COORDINATOR_CLIENT_ADDR", "EDG_STORE_BACKEND"):
        assert name in coordinator.log


def test_another_machine_means_recovery(coordinator: CoordinatorProcess) -> None:
    """State sealed on another machine: phase 1, no update; ALLOW_RESET keeps it aside and starts fresh."""
    coordinator.start()
    first = shop.manifest()
    coordinator.update(first, shop.genesis_evidence(first))
    coordinator.kill()
    coordinator.simulation.rename(coordinator.directory / "old-platform")
    coordinator.start()
    assert coordinator.get("status").data["code"] == 1
    answer = coordinator.update(first, shop.genesis_evidence(first))
    assert (answer.status, answer.data["reason"]) == (409, "gitops-not-enabled")
    coordinator.kill()
    coordinator.start(EDG_COORDINATOR_ALLOW_RESET="1")
    assert coordinator.get("status").data["code"] == 2
    kept = [path.name for path in (coordinator.directory / "sealed").iterdir()]
    assert any(name.startswith("state-") for name in kept)


def test_logs_have_one_line_per_request(coordinator: CoordinatorProcess) -> None:
    """Each request leaves one JSON line with its path, status and code; the banner is loud."""
    coordinator.start()
    coordinator.get("status")
    coordinator.get("nothing")
    time.sleep(0.05)
    lines = [json.loads(line) for line in coordinator.log.splitlines()]
    assert [(line["path"], line["status"], line["code"]) for line in lines if line["event"] == "request"] == [
        ("/api/v2/status", 200, "ok"),
        ("/api/v2/nothing", 405, "no-such-route"),
    ]
    assert any(line["event"] == "insecure" for line in lines)


def _greet(words: str) -> Any:
    def change(made: dict[str, Any]) -> None:
        made["Marbles"]["backend"]["Parameters"]["Env"]["GREETING"] = words

    return change


def _reasons(data: Any) -> list[str]:
    return [refusal["reason"] for refusal in data["refusals"]]


def _everything(coordinator: CoordinatorProcess) -> Any:
    chain = x509.load_pem_x509_certificates(coordinator.get("quote").data["cert"].encode())
    history = coordinator.get("gitops/history").data
    del history["head"]["signature"]  # ECDSA signatures are random
    manifest = coordinator.get("manifest").data
    return coordinator.get("status").data, manifest, chain, history, coordinator.get("update").data


def _check_history(coordinator: CoordinatorProcess, *, digests: list[bytes]) -> None:
    """Verify chain, deployment and the head's signature as a client does."""
    data = coordinator.get("gitops/history").data
    encoded = [base64.b64decode(record) for record in data["records"]]
    records = verify_chain(encoded)
    assert [record.manifest for record in records] == [Digest.of(raw) for raw in digests]
    head = data["head"]
    assert Digest.parse(head["hash"]) == record_hash(encoded[-1])
    root = x509.load_pem_x509_certificates(coordinator.get("quote").data["cert"].encode())[1]
    key = root.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    message = head_message(
        deployment=Digest.parse(head["deployment"]),
        position=head["position"],
        head=Digest.parse(head["hash"]),
    )
    key.verify(base64.b64decode(head["signature"]), message, ec.ECDSA(hashes.SHA384()))
