"""Canary secrets, planted everywhere, are found nowhere they do not belong (INV-SILENCE).

One process with the noisiest settings takes every kind of secret, and every kind of bad request that carries
one. Then its log, its metrics and events, its error answers, its command line and environment, its files and
the core file it does not write are searched for every secret: those planted, and those it made, which are
read from the opened state afterwards. Each is looked for raw, in hex and in base64 at each alignment.

The memory of the process does hold secrets, as any process that uses them: what protects it is the enclave.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import resource
import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from coordinator.adapters.gramine import Hardware
from coordinator.opening import open_state, open_world
from coordinator.settings import read_settings
from marbleops.marble.activate import ActivationRefused
from tests.fakes import plain_mesh
from tests.fakes.plain_mesh import PlainMesh

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from coordinator.domain.state import State
    from tests.fakes.coordinator_process import Answer, CoordinatorProcess

pytestmark = pytest.mark.integration

WINDOW = 16
"""So many bytes in a row of a secret are a leak."""
UUID = "02030400-0000-4000-8000-0000000000ab"
PRESET = b"canary-preset-" + secrets.token_hex(8).encode()


def forms(secret: bytes) -> Iterator[bytes]:
    """Write the first and the last bytes of *secret* in every way that somebody could by accident."""
    assert len(secret) >= WINDOW, "too short to be told from chance"
    for part in {secret[:WINDOW], secret[-WINDOW:]}:
        yield part
        yield part.hex().encode()
        yield part.hex().upper().encode()
        yield repr(part)[2:-1].encode()
        yield " ".join(str(byte) for byte in part).encode()
        for skipped in range(3):
            whole = part[skipped : skipped + (WINDOW - skipped) // 3 * 3]
            yield base64.b64encode(whole)
            yield base64.urlsafe_b64encode(whole)


def leaks(haystack: bytes, canaries: Mapping[str, bytes]) -> list[str]:
    """Return the names of the secrets that *haystack* holds in any form."""
    return [name for name, secret in canaries.items() if any(form in haystack for form in forms(secret))]


def test_the_search_finds() -> None:
    """A secret that leaks in any of its forms is found: otherwise finding nothing would mean nothing."""
    secret = {"it": secrets.token_bytes(48)}
    value = secret["it"]
    for text in (
        value,
        value.hex().encode(),
        json.dumps({"a": base64.b64encode(b"xy" + value).decode()}).encode(),
        repr(value).encode(),
        base64.b64encode(b"x" + value[-WINDOW:]),
    ):
        assert leaks(b"before " + text + b" after", secret) == ["it"]
    assert leaks(secrets.token_bytes(4096), secret) == []


@pytest.fixture
def core_files() -> Iterator[None]:
    """Allow core files, so that the Coordinator has something to forbid."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.mark.usefixtures("core_files")
def test_canaries(coordinator: CoordinatorProcess) -> None:
    """Every secret stays where it belongs."""
    coordinator.environ |= {"EDG_DEBUG_LOGGING": "1", "EDG_COORDINATOR_PROMETHEUS_ADDR": "127.0.0.1:0"}
    coordinator.start()
    mesh = PlainMesh(coordinator)
    planted, answers = _live(mesh)
    process = coordinator.process
    assert process is not None
    places = {name: (_proc(process.pid) / name).read_bytes() for name in ("cmdline", "environ")}
    places |= _monitoring(coordinator)
    places |= {f"answer {number}": answer.body for number, answer in enumerate(answers)}
    assert {answer.status for answer in answers} >= {400, 401, 500}
    assert all(answer.status >= 400 for answer in answers)

    process.send_signal(signal.SIGSEGV)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -signal.SIGSEGV
    assert os.WTERMSIG(status) == signal.SIGSEGV
    assert not os.WCOREDUMP(status), "a crash wrote the process's memory to the disk"

    kept = _kept(coordinator)
    places["log"] = coordinator.log.encode()
    for file in (coordinator.directory / "sealed").iterdir():
        places[file.name] = file.read_bytes()
    canaries = planted | kept
    assert len(canaries) > 12
    assert {
        place: leaks(content, canaries) for place, content in places.items() if leaks(content, canaries)
    } == {}


def _live(mesh: PlainMesh) -> tuple[dict[str, bytes], list[Answer]]:
    """Use every kind of secret; return those planted, and the answers that are errors."""
    document = json.loads(plain_mesh.manifest())
    document["Secrets"]["preset"] = {
        "Type": "plain",
        "UserDefined": True,
        "Private": base64.b64encode(PRESET).decode(),
        "Public": base64.b64encode(PRESET).decode(),
    }
    document["Marbles"]["frontend"]["Parameters"]["Env"]["PRESET"] = "{{ string .Secrets.preset }}"
    token, wrong = (b"canary-" + secrets.token_hex(16).encode() for _ in range(2))
    shares = mesh.set_manifest(json.dumps(document).encode())
    holders = {name: plain_mesh.recovery_share(name, secret) for name, secret in shares.items()}
    assert mesh.write_secret("token", token, "alice").status == 200
    mesh.get("secrets?s=token&s=shared", user="alice")
    planted = {"preset": PRESET, "token": token, "refused token": wrong}
    for kind in ("backend", "frontend"):
        got = mesh.activate(kind, uuid=UUID)
        key = load_pem_private_key(got.env["MARBLE_PREDEFINED_PRIVATE_KEY"], None)
        planted[f"{kind} key"] = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        planted[f"{kind} own"] = bytes.fromhex(got.env["OWN"].decode())
    planted |= {f"recovery secret of {name}": share[0] for name, share in holders.items()}
    with contextlib.suppress(ActivationRefused):
        mesh.activate("backend", version=0, uuid=UUID)
    encoded = base64.b64encode(wrong).decode()
    bad = [
        mesh.write_secret("token", wrong, "bob"),
        mesh.write_secret("token", wrong, "stranger"),
        mesh.write_secret("token", wrong + b"\0", "alice"),
        mesh.write_secret("shared", wrong, "alice"),
        mesh.write_secret("unknown", wrong, "alice"),
        mesh.post("secrets", {"secrets": {"token": {"Key": encoded, "Private": encoded}}}, user="alice"),
        mesh.post("secrets", {"secrets": {"token": {"Key": encoded + "!"}}}, user="alice"),
        mesh.post("secrets", {"secrets": {"token": encoded}}, user="alice"),
        mesh.post("secrets", {"secrets": encoded}, user="alice"),
        mesh.get(f"secrets?s={wrong.decode()[:4]}&s=token", user="bob"),
        mesh.post("manifest", {"manifest": encoded}),
        mesh.post("update", {"manifest": base64.b64encode(b'{"Secrets": "' + wrong).decode()}, user="alice"),
        *(mesh.recover(*share) for share in holders.values()),
        mesh.post("recover", {"recoverySecret": base64.b64encode(b"x" + wrong).decode()}),
        mesh.post("sign-quote", {"sgxQuote": encoded}),
        mesh.post("monotonic-counter", {"name": "used", "value": encoded}, user="alice"),
    ]
    return planted, bad


def _kept(coordinator: CoordinatorProcess) -> dict[str, bytes]:
    """Open the state that the process left, and return every secret in it."""
    environ = {
        "EDG_COORDINATOR_PLATFORM": "simulation",
        "EDG_COORDINATOR_SEAL_DIR": str(coordinator.directory / "sealed"),
        "EDG_COORDINATOR_SIMULATION_DIR": str(coordinator.simulation),
    }
    settings = read_settings(environ, cwd=coordinator.directory)
    world = open_world(settings, Hardware())
    store, guard = open_state(settings, world)
    try:
        state, keyring = guard.current, guard.vault.keyring
    finally:
        store.close()
    found = {f"data key {name}": key for name, key in keyring.known.items()}
    sealing = world.platform.sealing_keys()
    found |= {"unique sealing key": sealing.unique, "product sealing key": sealing.product}
    return found | dict(_secrets_of(state))


def _secrets_of(state: State) -> Iterable[tuple[str, bytes]]:
    enforcement = state.enforcement
    assert enforcement is not None
    yield "root secret", enforcement.secrets.root
    for name, value in state.current_secrets.items():
        if value.private:
            yield f"secret {name}", value.private
    for name, pair in (("root", state.authorities.root), ("marble root", state.authorities.marble_root)):
        number = pair.key.private_numbers().private_value
        yield f"{name} key", number.to_bytes(48)


def _monitoring(coordinator: CoordinatorProcess) -> dict[str, bytes]:
    port = json.loads((coordinator.directory / "ready.json").read_text())["monitoringPort"]
    found = {}
    for path in ("/metrics", "/events"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", path)
        response = connection.getresponse()
        found[path] = response.read()
        assert response.status == 200
        connection.close()
    assert b"marble_activations" in found["/metrics"]
    return found


def _proc(pid: int) -> Path:

    return Path("/proc") / str(pid)
