"""Recovery with real processes: a microcode update, a stolen disk, encrypted shares, reset."""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from coordinator.domain.recovery_keys import OAEP
from marbleops.attestation.platform.simulation import SimulationPlatform
from tests.fakes import shop
from tests.fakes.recovery_holders import NAMES, decrypt, public_pems, sign

if TYPE_CHECKING:
    from tests.fakes.coordinator_process import Answer, CoordinatorProcess

pytestmark = pytest.mark.integration


def _manifest(count: int, **config: Any) -> bytes:
    made = json.loads(shop.plain_manifest())
    made["RecoveryKeys"] = public_pems(count)
    made["Config"] = config
    return json.dumps(made).encode()


def _post_manifest(coordinator: CoordinatorProcess, raw: bytes) -> Answer:
    call = {"manifest": base64.b64encode(raw).decode()}
    return coordinator.ask("POST", "/api/v2/manifest", json.dumps(call).encode())


def _set(coordinator: CoordinatorProcess, raw: bytes) -> dict[str, bytes]:
    """Set a manifest and return the decrypted secrets by holder."""
    answer = _post_manifest(coordinator, raw)
    assert answer.status == 200, answer.body
    given = answer.data["RecoverySecrets"]
    return {name: decrypt(name, base64.b64decode(text)) for name, text in given.items()}


def _recover(coordinator: CoordinatorProcess, secret: bytes, signature: bytes) -> Answer:
    call = {
        "recoverySecret": base64.b64encode(secret).decode(),
        "recoverySecretSignature": base64.b64encode(signature).decode(),
    }
    return coordinator.ask("POST", "/api/v2/recover", json.dumps(call).encode())


def _root(coordinator: CoordinatorProcess) -> str:
    return str(json.loads((coordinator.directory / "ready.json").read_text())["root"])


def _code(coordinator: CoordinatorProcess) -> int:
    return int(coordinator.get("status").data["code"])


def test_a_microcode_update_is_no_disaster(coordinator: CoordinatorProcess) -> None:
    """The owners bring the state back with encrypted shares; from then on it opens by itself again."""
    coordinator.start()
    secrets = _set(coordinator, _manifest(3, RecoveryThreshold=2))
    root, chain = _root(coordinator), coordinator.get("quote").data["cert"]
    coordinator.stop()
    SimulationPlatform.open(coordinator.simulation).update_microcode()
    coordinator.start()
    assert _code(coordinator) == 1
    assert _root(coordinator) != root
    assert "an update of microcode or BIOS" in coordinator.log
    assert "upload 2 of 3 recovery secrets" in coordinator.log
    answer = coordinator.get("recover/public-key").data
    assert answer["algorithm"] == "RSA"
    key = load_der_public_key(base64.b64decode(answer["ephemeralPublicKey"]))
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 4096
    wrong = _recover(coordinator, bytes(33), b"")
    assert (wrong.status, wrong.json["message"]) == (500, "uploaded an invalid or already used secret")
    told = []
    for name in ("cleo", "ann"):
        encrypted = key.encrypt(secrets[name], OAEP)
        told.append(_recover(coordinator, encrypted, sign(name, secrets[name])).data["remaining"])
    assert told == [2, 0]
    assert coordinator.get("quote").data["cert"] == chain
    coordinator.kill()
    coordinator.start()
    assert _code(coordinator) == 3
    assert coordinator.get("quote").data["cert"] == chain
    assert not any(secret.hex() in coordinator.log for secret in secrets.values())


def test_the_disk_on_another_machine(coordinator: CoordinatorProcess) -> None:
    """Another machine cannot read it; a plain deployment may be replaced there, and the old file is kept."""
    coordinator.start()
    secrets = _set(coordinator, _manifest(2))
    coordinator.stop()
    coordinator.simulation.rename(coordinator.directory / "first machine")
    SimulationPlatform.create(coordinator.simulation, at=datetime.now(UTC))
    coordinator.start()
    assert _code(coordinator) == 1
    assert "another machine" in coordinator.log
    assert _recover(coordinator, secrets["ann"], sign("ann", secrets["ann"])).data["remaining"] == 1
    swapped = _recover(coordinator, secrets["ben"], sign("ann", secrets["ben"]))
    assert swapped.status == 500
    assert 'no matching recovery key found for recovery public key "ben"' in swapped.json["message"]
    assert _code(coordinator) == 1
    assert _set(coordinator, _manifest(0)) == {}
    assert _code(coordinator) == 3
    kept = [path.name for path in (coordinator.directory / "sealed").iterdir() if path.name != "state.db"]
    assert any(name.startswith("state-") for name in kept)
    coordinator.kill()
    coordinator.start()
    assert _code(coordinator) == 3


def test_a_signed_deployment_is_not_replaced(coordinator: CoordinatorProcess) -> None:
    """No call sets a manifest over it; its owners recover it; what cannot be judged again does not start."""
    coordinator.start()

    def change(made: dict[str, Any]) -> None:
        made["RecoveryKeys"] = public_pems(2)

    first = shop.manifest(change=change)
    assert coordinator.update(first, shop.genesis_evidence(first)).status == 200
    given = coordinator.get("gitops/recovery-secrets").data
    deployment = coordinator.deployment()
    coordinator.stop()
    SimulationPlatform.open(coordinator.simulation).update_microcode()
    coordinator.start()
    refused = _post_manifest(coordinator, _manifest(0))
    assert refused.status == 500
    assert "server is not in expected state" in refused.json["message"]
    assert coordinator.update(first, shop.genesis_evidence(first)).status == 409
    for name in NAMES[:2]:
        secret = decrypt(name, base64.b64decode(given[name]))
        assert _recover(coordinator, secret, sign(name, secret)).status == 200
    assert coordinator.deployment() == deployment
    coordinator.stop()
    with contextlib.closing(sqlite3.connect(coordinator.directory / "sealed" / "state.db")) as database:
        database.execute("DELETE FROM entries WHERE name LIKE 'evidence/%'")
        database.commit()
    assert coordinator.launch().wait(20) == 1
    assert "pieces of evidence are missing" in coordinator.log
    coordinator.start(EDG_COORDINATOR_ALLOW_RESET="1")
    assert _code(coordinator) == 2


def test_disabled_sealing_keeps_nothing(coordinator: CoordinatorProcess) -> None:
    """With SealMode Disabled nothing reaches the disk, and a restart is a fresh one."""
    coordinator.start()
    _set(coordinator, _manifest(0, SealMode="Disabled"))
    assert _code(coordinator) == 3
    coordinator.stop()
    size = (coordinator.directory / "sealed" / "state.db").stat().st_size
    assert size <= 3 * 4096
    coordinator.start()
    assert _code(coordinator) == 2
