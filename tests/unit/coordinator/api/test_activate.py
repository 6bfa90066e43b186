"""The marble port's adapter: messages in and out, and what each refusal becomes on the wire."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from coordinator.api.activate import activate_handler
from coordinator.api.gate import ActivationGate
from coordinator.api.grpc import Code, GrpcError
from coordinator.api.routes import Caller
from coordinator.errors import MarblePhaseError
from marbleops.wire import marble_pb2
from tests.fakes.small_world import CERTIFICATE, SmallWorld, make_csr, marble_quote

UUID = "02030400-0000-4000-8000-0000000000ab"


def _call(service: Any, message: bytes, certificates: tuple[bytes, ...] = (CERTIFICATE,)) -> bytes:
    async def call(executor: ThreadPoolExecutor) -> bytes:
        return await activate_handler(Caller(service, executor))(message, certificates)

    with ThreadPoolExecutor(1) as executor:
        return asyncio.run(call(executor))


def _request(**changes: Any) -> bytes:
    fields = {"Quote": marble_quote(), "CSR": make_csr(), "MarbleType": "backend", "UUID": UUID, **changes}
    message: bytes = marble_pb2.ActivationReq(**fields).SerializeToString()
    return message


def test_a_marble_gets_its_parameters() -> None:
    """Files, environment and arguments go out as the message has them."""
    service, _ = SmallWorld().enforce_genesis()
    answer = marble_pb2.ActivationResp.FromString(_call(service, _request()))
    assert list(answer.Parameters.Argv) == ["backend", "--serve"]
    assert len(answer.Parameters.Files["/tmp/key.hex"]) == 32
    assert answer.Parameters.Env["MARBLE_PREDEFINED_PRIVATE_KEY"].startswith(b"-----BEGIN PRIVATE KEY-----\n")


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        (b"\xff\xff", Code.INVALID_ARGUMENT, "no valid message"),
        (_request(UUID="x" * 65), Code.INVALID_ARGUMENT, "too long"),
        (_request(MarbleType="x" * 1025), Code.INVALID_ARGUMENT, "too long"),
        (_request(UUID="x"), Code.INVALID_ARGUMENT, "invalid UUID"),
        (_request(MarbleType="nothing"), Code.PERMISSION_DENIED, "unknown marble type requested"),
        (_request(Quote=b""), Code.PERMISSION_DENIED, "invalid quote"),
        (_request(CSR=b"junk"), Code.INTERNAL, "parsing CSR"),
    ],
)
def test_refusals_have_marbleruns_codes(message: bytes, code: Code, words: str) -> None:
    """Each refusal has the gRPC status that marblerun-core 4.4 names."""
    service, _ = SmallWorld().enforce_genesis()
    with pytest.raises(GrpcError, match=words) as raised:
        _call(service, message)
    assert raised.value.code == code


def test_no_certificate_and_no_manifest() -> None:
    """Without a client certificate: unauthenticated; before a manifest: failed precondition."""
    for certificates, code in (((), Code.UNAUTHENTICATED), ((CERTIFICATE,), Code.FAILED_PRECONDITION)):
        with pytest.raises(GrpcError) as raised:
            _call(SmallWorld().open(), _request(), certificates)
        assert raised.value.code == code


def test_the_unexpected_is_an_incident(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown exception becomes *internal* with a number; its text stays in the log."""

    class Broken:
        @property
        def marbles(self) -> Broken:
            return self

        def is_brief(self, _: str) -> bool:
            return False

        def activate(self, *_: object) -> None:
            raise RuntimeError("the secret words")

    with pytest.raises(GrpcError, match=r"internal error, incident \d+ of this process") as raised:
        _call(Broken(), _request())
    assert raised.value.code == Code.INTERNAL
    assert "secret words" not in raised.value.message


def test_a_full_queue_says_when_to_come_back() -> None:
    """Beyond the queue: UNAVAILABLE, with a time for clients that retry; who waits gets his turn."""

    async def scenario(executor: ThreadPoolExecutor) -> None:
        gate = ActivationGate(at_once=1, waiting=1)
        handle = activate_handler(Caller(SmallWorld().open(), executor), gate)
        async with gate.enter():
            waits = asyncio.ensure_future(handle(_request(), (CERTIFICATE,)))
            await asyncio.sleep(0)
            with pytest.raises(GrpcError, match="try again") as raised:
                await handle(_request(), (CERTIFICATE,))
            assert (raised.value.code, raised.value.retry_after) == (Code.UNAVAILABLE, 2.0)
        with pytest.raises(GrpcError, match="current state"):
            await waits

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(scenario(executor))


def test_a_reset_call_leaves_the_queue() -> None:
    """Calls that are reset while they wait never run: sending and resetting piles up no work."""
    started, release = threading.Event(), threading.Event()
    ran: list[object] = []

    class Slow:
        @property
        def marbles(self) -> Slow:
            return self

        def is_brief(self, _: str) -> bool:
            return False

        def activate(self, *_: object) -> None:
            ran.append(None)
            started.set()
            release.wait(5)
            raise MarblePhaseError

    async def scenario(executor: ThreadPoolExecutor) -> None:
        service: Any = Slow()
        handle = activate_handler(Caller(service, executor))
        calls = [asyncio.ensure_future(handle(_request(), (CERTIFICATE,))) for _ in range(20)]
        await asyncio.to_thread(started.wait, 5)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        release.set()

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(scenario(executor))
    assert len(ran) == 1


def test_deciding_takes_one_thread() -> None:
    """However many manifests wait for a decision, the other threads are free for marbles and readers."""
    release = threading.Event()
    running: list[int] = []

    async def scenario(executor: ThreadPoolExecutor) -> None:
        caller = Caller(SmallWorld().open(), executor)

        def work() -> None:
            running.append(len(running))
            release.wait(5)

        decisions = [asyncio.ensure_future(caller.decide(work)) for _ in range(6)]
        assert await asyncio.wait_for(caller.run(lambda: "free"), 5) == "free"
        assert len(running) <= 1
        release.set()
        await asyncio.gather(*decisions)

    with ThreadPoolExecutor(2) as executor:
        asyncio.run(scenario(executor))
    assert len(running) == 6
