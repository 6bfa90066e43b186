"""The customer's side against real Coordinator processes and against hostile servers."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from marbleops.attestation.anchors import Anchors
from marbleops.attestation.platform.simulation import SimulationPlatform
from marbleops.wire.pins import Fork, PinStore, Rollback
from marbleops.wire.rest import (
    CoordinatorClient,
    CoordinatorError,
    CoordinatorUnreachable,
    NotAttested,
    Trust,
    UntrustedCoordinator,
)
from marbleops.wire.verify import DeploymentRefused, VerifiedDeployment, verify_deployment
from tests.fakes import shop
from tests.fakes.coordinator_process import CoordinatorProcess
from tests.integration.edge.harness import Credential, self_signed

if TYPE_CHECKING:
    from pathlib import Path

    from marbleops.manifest.digest import Digest

pytestmark = pytest.mark.integration

NONCE = bytes(range(32))


def now() -> datetime:
    return datetime.now(UTC)


def trust(process: CoordinatorProcess, *, root: str | None = None) -> Trust:
    return Trust(anchors=SimulationPlatform.open(process.simulation).anchors(), pinned_root=root)


def verify(
    process: CoordinatorProcess, pins: PinStore | None, *, expect: Digest | None = None
) -> VerifiedDeployment:
    with CoordinatorClient(f"127.0.0.1:{process.client_port}") as client:
        return verify_deployment(
            client, trust(process), pins, expect_deployment=expect, nonce=NONCE, at=now()
        )


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Callable[[str], CoordinatorProcess]]:
    """Return a maker of Coordinators that share one simulated machine."""
    with ExitStack() as stack:

        def make(name: str) -> CoordinatorProcess:
            directory = tmp_path / name
            directory.mkdir()
            process = CoordinatorProcess(
                directory, {"EDG_COORDINATOR_SIMULATION_DIR": str(tmp_path / "platform")}
            )
            (directory / "platform").symlink_to(tmp_path / "platform")
            stack.callback(process.close)
            return process

        yield make


def enforce_genesis(process: CoordinatorProcess) -> tuple[bytes, Digest]:
    first = shop.manifest()
    assert process.update(first, shop.genesis_evidence(first)).status == 200
    return first, process.deployment()


def enforce_second(process: CoordinatorProcess, first: bytes, deployment: Digest, *users: str) -> None:
    second = shop.manifest(2, previous=first, deployment=deployment)
    assert process.update(second, shop.approvals(second, *users)).status == 200


def test_pins_refuse_impostor_rollback_and_fork(
    processes: Callable[[str], CoordinatorProcess], tmp_path: Path
) -> None:
    """The walk of ``verify``: not pinned, pinned, another Coordinator, an older disk, another branch."""
    process = processes("genuine").start()
    pins = PinStore(tmp_path / "pins" / "pins.json")

    with pytest.raises(DeploymentRefused) as fresh:
        verify(process, pins)
    assert fresh.value.code == "gitops-not-enabled"

    first, deployment = enforce_genesis(process)
    unpinned = verify(process, pins)
    assert (unpinned.pinned, unpinned.deployment, unpinned.version) == (False, deployment, 1)
    assert pins.get(deployment) is None, "a first look without an id keeps nothing"
    assert verify(process, pins, expect=deployment).pinned
    assert verify(process, pins).pinned, "what is kept counts as given"

    process.stop()
    shutil.copytree(process.directory / "sealed", process.directory / "older")
    process.start()
    enforce_second(process, first, deployment, "alice", "bob")
    found = verify(process, pins)
    assert (found.version, len(found.records)) == (2, 2)
    assert all(check.ok for check in found.checks)

    impostor = processes("impostor").start()
    enforce_genesis(impostor)
    with pytest.raises(DeploymentRefused) as other:
        verify(impostor, pins, expect=deployment)
    assert (other.value.code, other.value.checks[-1].ok) == ("deployment-mismatch", False)
    assert not verify(impostor, pins).pinned

    process.stop()
    shutil.rmtree(process.directory / "sealed")
    shutil.copytree(process.directory / "older", process.directory / "sealed")
    process.start()
    with pytest.raises(Rollback):
        verify(process, pins, expect=deployment)
    enforce_second(process, first, deployment, "bob", "carol")
    with pytest.raises(Fork):
        verify(process, pins, expect=deployment)


def test_attestation_fixes_the_certificate(processes: Callable[[str], CoordinatorProcess]) -> None:
    """Nothing works before it, a pinned root must match, and another Coordinator on the port is noticed."""
    process = processes("first").start()
    client = CoordinatorClient(f"127.0.0.1:{process.client_port}")
    with pytest.raises(NotAttested):
        client.status()
    wrong = f"sha256:{'0' * 64}"
    with pytest.raises(UntrustedCoordinator) as caught:
        client.attest(trust(process, root=wrong), nonce=NONCE, at=now())
    assert caught.value.code == "root-not-pinned"
    with pytest.raises(NotAttested):
        client.status()
    attested = client.attest(trust(process), nonce=NONCE, at=now())
    client.attest(trust(process, root=attested.root_fingerprint), nonce=NONCE, at=now())
    assert client.status().extra["platform"] == "simulation"
    assert client.manifest() is None
    assert client.policy() is None
    assert client.enforced() is None
    with pytest.raises(CoordinatorError) as refused:
        client.history()
    assert refused.value.http == 409
    with pytest.raises(CoordinatorError):
        client.update(b"{}" + b" " * (2 * 1024 * 1024), (), dry_run=True)

    enforce_genesis(process)
    client.close()
    process.stop()
    process.environ["EDG_COORDINATOR_CLIENT_ADDR"] = f"127.0.0.1:{client.address.port}"
    process.start()
    assert client.status().code == 3, "the same root after a restart, on a new connection"
    client.close()
    process.stop()
    other = processes("second")
    other.environ["EDG_COORDINATOR_CLIENT_ADDR"] = f"127.0.0.1:{client.address.port}"
    other.start()
    with pytest.raises(UntrustedCoordinator) as changed:
        client.status()
    assert changed.value.code == "certificate-changed"


Behaviour = Callable[[ssl.SSLSocket], None]


@contextmanager
def hostile(directory: Path, behave: Behaviour, credential: Credential | None = None) -> Iterator[int]:
    """Serve TLS connections, each handled by *behave*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*(credential or self_signed("hostile")).files(directory, "hostile"))
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=handle, args=(plain,), daemon=True).start()

    def handle(plain: socket.socket) -> None:
        try:
            with plain, context.wrap_socket(plain, server_side=True) as tls:
                tls.settimeout(10)
                behave(tls)
        except OSError:
            return

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def drip(tls: ssl.SSLSocket) -> None:
    tls.recv(1000)
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100:
        tls.sendall(bytes([byte]))
        time.sleep(0.05)


def cut(tls: ssl.SSLSocket) -> None:
    tls.recv(1000)
    tls.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"status":"success","data":{')
    socket.socket(fileno=tls.detach()).close()


def flood(tls: ssl.SSLSocket) -> None:
    tls.recv(1000)
    tls.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(40):
        tls.sendall(bytes(1024 * 1024))


def silent(tls: ssl.SSLSocket) -> None:
    tls.recv(1000)
    time.sleep(3)


@pytest.mark.parametrize("behave", [drip, cut, flood, silent])
def test_hostile_answers_end_as_unreachable(tmp_path: Path, behave: Behaviour) -> None:
    """A server that drips, stops, cuts or floods costs bounded time and memory."""
    trusting = Trust(anchors=SimulationPlatform.create(tmp_path / "p", at=now()).anchors())
    with hostile(tmp_path, behave) as port:
        client = CoordinatorClient(f"127.0.0.1:{port}", timeout=0.4)
        started = time.monotonic()
        with pytest.raises(CoordinatorUnreachable):
            client.attest(trusting, nonce=NONCE, at=now())
        assert time.monotonic() - started < 5


def test_a_stranger_may_not_send_much(tmp_path: Path) -> None:
    """Before it has attested, a server gets a small part of the memory that an answer may take."""

    def lists(tls: ssl.SSLSocket) -> None:
        tls.recv(1000)
        tls.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with contextlib.suppress(OSError):
            tls.sendall(b"[" + b"[]," * 1024 * 1024 + b"[]]")

    trusting = Trust(anchors=SimulationPlatform.create(tmp_path / "p", at=now()).anchors())
    with (
        hostile(tmp_path, lists) as port,
        CoordinatorClient(f"127.0.0.1:{port}") as client,
        pytest.raises(CoordinatorUnreachable, match="larger than 2097152 bytes"),
    ):
        client.attest(trusting, nonce=NONCE, at=now())


@pytest.mark.parametrize(
    "body",
    [b'{"status":"success","data":1,"data":2}', b'{"status":"success","data":NaN}', b"[" * 100_000],
    ids=["duplicate", "nan", "deep"],
)
def test_answers_that_read_two_ways_are_malformed(tmp_path: Path, body: bytes) -> None:
    """Duplicate members, numbers that are not JSON, and nesting without end are no answer."""

    def say(tls: ssl.SSLSocket) -> None:
        tls.recv(1000)
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    trusting = Trust(anchors=SimulationPlatform.create(tmp_path / "p", at=now()).anchors())
    with (
        hostile(tmp_path, say) as port,
        CoordinatorClient(f"127.0.0.1:{port}") as client,
        pytest.raises(CoordinatorError, match="not JSON"),
    ):
        client.attest(trusting, nonce=NONCE, at=now())


def test_no_attestation_without_freshness() -> None:
    """A nonce that is not there, or could be guessed, is a mistake of the caller."""
    trusting = Trust(anchors=Anchors.intel())
    for nonce in (b"", bytes(15)):
        with pytest.raises(ValueError, match="at least 16"):
            CoordinatorClient("127.0.0.1:1").attest(trusting, nonce=nonce, at=now())


def test_a_man_in_the_middle_is_refused(
    processes: Callable[[str], CoordinatorProcess], tmp_path: Path
) -> None:
    """A relayed genuine quote does not vouch for the relay's certificate."""
    process = processes("genuine").start()

    def relay(tls: ssl.SSLSocket) -> None:
        while request := tls.recv(65536):
            target = request.split(b" ", 2)[1].decode()
            body = process.ask("GET", target).body
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with (
        hostile(tmp_path, relay) as port,
        CoordinatorClient(f"127.0.0.1:{port}") as client,
        pytest.raises(UntrustedCoordinator) as caught,
    ):
        client.attest(trust(process), nonce=NONCE, at=now())
    assert caught.value.code == "certificate-mismatch"


def test_a_replayed_quote_is_refused(
    processes: Callable[[str], CoordinatorProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quote over another nonce does not pass: freshness is part of the report data."""
    process = processes("genuine").start()
    with CoordinatorClient(f"127.0.0.1:{process.client_port}") as client:
        asked = client._https.request
        monkeypatch.setattr(
            client._https,
            "request",
            lambda method, target, body=None, **options: asked(
                method, target.replace("AAEC", "BBEC"), body, **options
            ),
        )
        with pytest.raises(UntrustedCoordinator, match="Report data"):
            client.attest(trust(process), nonce=NONCE, at=now())


def test_nobody_there() -> None:
    """A closed port is unreachable."""
    with CoordinatorClient("127.0.0.1:1") as client, pytest.raises(CoordinatorUnreachable):
        client._https.fresh()
