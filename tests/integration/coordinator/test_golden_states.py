"""States of earlier versions open, answer as they did, and keep what was used up (tests/golden)."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from marbleops.attestation.platform.base import EnclaveIdentity
from marbleops.attestation.platform.simulation import SimulationPlatform
from marbleops.marble.activate import ActivationRefused, Parameters, activate
from marbleops.marble.settings import MarbleSettings
from tests.fakes import shop
from tests.fakes.recovery_holders import decrypt, sign

if TYPE_CHECKING:
    from tests.fakes.coordinator_process import CoordinatorProcess

pytestmark = pytest.mark.integration

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
UUID = "02030400-0000-4000-8000-0000000000ab"
STATES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())


def _restore(coordinator: CoordinatorProcess, name: str) -> dict[str, object]:
    folder = GOLDEN / name
    shutil.copytree(folder / "platform", coordinator.simulation)
    (coordinator.simulation / "platform.key").chmod(0o600)  # Git keeps no such mode
    sealed = coordinator.directory / "sealed"
    sealed.mkdir(mode=0o700)
    shutil.copy(folder / "state.db", sealed)
    expected = json.loads((folder / "expected.json").read_text())
    assert isinstance(expected, dict)
    return expected


def _activate(coordinator: CoordinatorProcess, version: int) -> Parameters:
    identity = EnclaveIdentity(
        unique_id=bytes(32),
        signer_id=shop.SIGNER,
        product_id=shop.PRODUCT,
        security_version=version,
        debug=False,
    )
    (coordinator.directory / "uuid").write_text(UUID)
    settings = MarbleSettings.from_environ(
        {
            "EDG_MARBLE_TYPE": "backend",
            "EDG_MARBLE_COORDINATOR_ADDR": f"127.0.0.1:{coordinator.mesh_port}",
            "EDG_MARBLE_UUID_FILE": str(coordinator.directory / "uuid"),
        },
        directory=coordinator.directory,
    )
    return activate(settings, SimulationPlatform.open(coordinator.simulation).issuer(identity))


def _answers(coordinator: CoordinatorProcess, expected: dict[str, object]) -> None:
    """Compare every answer that was kept; an answer may have gained members since, and lost none."""
    root = json.loads((coordinator.directory / "ready.json").read_text())["root"]
    assert root == f"sha256:{expected['root']}"
    for name, path in (
        ("status", "status"),
        ("manifest", "manifest"),
        ("log", "update"),
        ("policy", "gitops/policy"),
        ("pending", "update-manifest"),
    ):
        kept = expected.get(name)
        if isinstance(kept, dict):
            told = coordinator.get(path).data
            assert {member: told[member] for member in kept} == kept
    if "records" in expected:
        assert coordinator.get("gitops/history").data["records"] == expected["records"]


@pytest.mark.parametrize("name", STATES)
def test_a_state_of_an_earlier_version(coordinator: CoordinatorProcess, name: str) -> None:
    """At the first start, and after a kill: the same answers, secrets and budgets."""
    expected = _restore(coordinator, name)
    coordinator.start()
    _answers(coordinator, expected)
    coordinator.kill()
    coordinator.start()
    _answers(coordinator, expected)
    version = int(str(expected.get("securityVersion", 2)))
    if expected.get("exhausted", "policy" in expected):
        with pytest.raises(ActivationRefused, match=r"reached max activations count \(2\)"):
            _activate(coordinator, version)
        return
    parameters = _activate(coordinator, version)
    env = {name: value.decode() for name, value in parameters.env.items()}
    files = {name: content.decode() for name, content in parameters.files.items()}
    wanted_env, wanted_files = expected["env"], expected["files"]
    assert isinstance(wanted_env, dict)
    assert {name: env[name] for name in wanted_env} == wanted_env
    assert files == wanted_files
    assert list(parameters.argv) == expected["argv"]


@pytest.mark.parametrize("name", [name for name in STATES if name.startswith("state-v2-")])
def test_recovery_of_a_state_of_an_earlier_version(coordinator: CoordinatorProcess, name: str) -> None:
    """The secrets that were handed out then open the state on another machine, and it answers the same."""
    expected = _restore(coordinator, name)
    shutil.rmtree(coordinator.simulation)
    coordinator.start()
    assert coordinator.get("status").data["code"] == 1
    encrypted, holders = expected["recovery"], expected["recoverWith"]
    assert isinstance(encrypted, dict)
    assert isinstance(holders, list)
    for holder in holders:
        secret = decrypt(holder, base64.b64decode(encrypted[holder]))
        call = {
            "recoverySecret": base64.b64encode(secret).decode(),
            "recoverySecretSignature": base64.b64encode(sign(holder, secret)).decode(),
        }
        answer = coordinator.ask("POST", "/api/v2/recover", json.dumps(call).encode())
        assert answer.status == 200, answer.body
    coordinator.kill()
    coordinator.start()
    _answers(coordinator, expected)
