"""Bodies in and out: strict requests, Go's envelope, the schemas of the wire, and the gate before updates."""

from __future__ import annotations

import asyncio
import base64
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from coordinator.api import envelope
from coordinator.api.body import MAX_STRUCTURE, Bodies, base64_member, parse_object
from coordinator.api.errors import Kind
from coordinator.api.gate import MAX_ADDRESSES, MAX_WAITING, UpdateGate, caller_of
from coordinator.api.gitops import answer, parse_call
from coordinator.errors import MalformedRequestError, TooLargeError, TooManyRequestsError
from marbleops.approval.decision import Decision, Outcome, Refusal, decision_to_json
from marbleops.approval.errors import EvidenceError
from marbleops.approval.evidence import encode_evidence
from marbleops.approval.reasons import Reason
from marbleops.manifest.digest import Digest
from marbleops.manifest.schema import load_schema
from tests.fakes import shop
from tests.fakes.small_world import SmallWorld

if TYPE_CHECKING:
    from collections.abc import Coroutine

CALL = Draft202012Validator(dict(load_schema("update-call.v1.schema.json")))
ANSWER = Draft202012Validator(dict(load_schema("update-answer.v1.schema.json")))


def test_envelope_is_gos() -> None:
    """The bodies of marblerun-core 13.9, and Go's escapes."""
    assert envelope.refusal(Kind.ERROR, 405, "").body == b'{"status":"error","data":null}\n'
    wrong = envelope.refusal(Kind.ERROR, 500, "server is not in expected state")
    assert wrong.body == b'{"status":"error","data":null,"message":"server is not in expected state"}\n'
    assert wrong.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert wrong.headers["X-Content-Type-Options"] == "nosniff"
    assert envelope.success(None).body == b'{"status":"success","data":null}\n'
    assert envelope.refusal(Kind.FAIL, 400, "EOF").content_type == "application/json"
    escaped = b'"a\\u003cb\\u003ec\\u0026d\\u2028\\u2029\xc3\xa4"\n'
    assert envelope.go_json("a<b>c&d\u2028\u2029ä") == escaped


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":1}x', b"\xff", b"[" * 100_000, b"null"]
)
def test_bodies_are_strict(body: bytes) -> None:
    """Anything but one JSON object with unique names is a bad request."""
    with pytest.raises(MalformedRequestError):
        parse_object(body)


def test_bodies_have_few_values() -> None:
    """Bytes become values at forty times their size: more of them than any call has are refused unparsed."""
    full = _call(evidence=[{"object": "e30=", "trees": ["e30="] * 16}] * 64)
    assert parse_object(json.dumps(full).encode()) == full
    with pytest.raises(MalformedRequestError, match="more values than any call"):
        parse_object(b'{"evidence":[' + b"{}," * MAX_STRUCTURE + b"{}]}")


def test_bodies_share_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large bodies share what is beyond their first part; small ones pass beside them; all is given back."""
    monkeypatch.setattr("coordinator.api.body.FREE_BYTES", 100)
    bodies = Bodies(shared_left=1000)

    async def read(size: int) -> int:
        stream = asyncio.StreamReader()
        stream.feed_data(b"x" * size)
        stream.feed_eof()
        request: Any = SimpleNamespace(content_length=None, content=stream, headers={})
        async with bodies.read(request, limit=1200) as body:
            return len(body) if size < 1000 else await read(100) + (await _refused(read(300)))

    async def scenario() -> None:
        assert await read(1000) == 100
        with pytest.raises(TooLargeError):
            await read(1201)
        assert bodies.shared_left == 1000

    asyncio.run(scenario())


def test_a_body_can_be_cut() -> None:
    """MarbleRun looks at the first bytes of a recovery call only, whatever length it says."""

    async def read(size: int) -> int:
        stream = asyncio.StreamReader()
        stream.feed_data(b"x" * size)
        stream.feed_eof()
        request: Any = SimpleNamespace(content_length=size, content=stream, headers={})
        async with Bodies().read(request, limit=1000, cut=True) as body:
            return len(body)

    assert [asyncio.run(read(size)) for size in (0, 999, 1000, 5000)] == [0, 999, 1000, 1000]


async def _refused(reading: Coroutine[Any, Any, int]) -> int:
    with pytest.raises(TooManyRequestsError):
        await reading
    return 0


@pytest.mark.parametrize("value", [None, 1, "a", "YQ", "YQ==\n", "-_8=", "\u00e4"])
def test_base64_is_strict(value: Any) -> None:
    """Padding is needed, line ends and other alphabets are refused."""
    with pytest.raises(MalformedRequestError):
        base64_member({"manifest": value}, "manifest")


def _call(**changes: Any) -> dict[str, Any]:
    pieces = shop.genesis_evidence(shop.manifest())
    call = {"manifest": _b64(b"{}"), "dryRun": True, "evidence": encode_evidence(pieces)}
    return {**call, "source": {"url": "u", "revision": "r"}, **changes}


def test_a_good_call() -> None:
    """What clients send is read completely, and the schema agrees."""
    call = parse_call(_call(), b"{}")
    assert (call.dry_run, len(call.pieces)) == (True, 3)
    assert call.source is not None
    CALL.validate(_call())
    CALL.validate({"manifest": "e30="})


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "manifest.json"},
        {"dryRun": "yes"},
        {"dryRun": None},
        {"source": {"url": "u"}},
        {"source": {"url": "u", "revision": "r\n"}},
        {"source": {"url": "u" * 257, "revision": "r"}},
        {"source": []},
    ],
)
def test_bad_calls(changes: dict[str, Any]) -> None:
    """Unknown members and wrong types are refused, by the code and by the schema."""
    with pytest.raises(MalformedRequestError):
        parse_call(_call(**changes), b"{}")
    assert not CALL.is_valid(_call(**changes))


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        ({}, Reason.MALFORMED_OBJECT),
        ([{"object": "!"}], Reason.MALFORMED_OBJECT),
        ([{"object": "e30=", "kind": "commit"}], Reason.MALFORMED_OBJECT),
        ([{"object": "e30="}] * 65, Reason.TOO_LARGE),
    ],
)
def test_bad_evidence_has_a_reason(evidence: Any, reason: Reason) -> None:
    """Evidence that cannot be read says why in the reasons' own words."""
    with pytest.raises(EvidenceError) as raised:
        parse_call(_call(evidence=evidence), b"{}")
    assert raised.value.reason is reason


def test_answers_follow_the_schema() -> None:
    """Applied, unchanged and refused answers are what the schema says, with the right status."""
    service = SmallWorld().open()
    raw = shop.manifest()
    for pieces in ((), shop.genesis_evidence(raw), ()):
        decision = service.update(raw, pieces, dry_run=False, source=None)
        ANSWER.validate(decision_to_json(decision))
        assert answer(decision).status == (422 if decision.outcome is Outcome.REFUSED else 200)
    refusal = Refusal(reason=Reason.TOO_LARGE, message="too large")
    large = Decision(outcome=Outcome.REFUSED, digest=Digest.of(b""), refusals=(refusal,))
    assert answer(large).status == 413
    ANSWER.validate(decision_to_json(large))


def test_the_gate_lets_few_in() -> None:
    """The bucket empties; the queue before the four places is bounded; places are given back."""

    async def scenario() -> None:
        gate = UpdateGate()
        release = asyncio.Event()
        inside = 0

        async def caller() -> None:
            nonlocal inside
            async with gate.enter():
                inside += 1
                await release.wait()

        tasks = [asyncio.create_task(caller()) for _ in range(4 + MAX_WAITING)]
        await asyncio.sleep(0)
        assert inside == 4
        with pytest.raises(TooManyRequestsError):
            async with gate.enter():
                pass
        release.set()
        await asyncio.gather(*tasks)
        assert inside == 4 + MAX_WAITING

    asyncio.run(scenario())


def test_a_flood_empties_its_own_bucket_only() -> None:
    """Each address has its bucket, which fills again; how many are remembered is bounded."""
    gate = UpdateGate(burst=2.0, refill=1.0)
    for _ in range(2):
        gate.spend("192.0.2.1", 0.0)
    with pytest.raises(TooManyRequestsError):
        gate.spend("192.0.2.1", 0.5)
    gate.spend("192.0.2.2", 0.5)
    gate.spend("192.0.2.1", 1.5)
    for number in range(MAX_ADDRESSES + 10):
        gate.spend(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", 2.0)
    assert len(gate._buckets) == MAX_ADDRESSES


def test_callers_are_sites() -> None:
    """An IPv6 site is one caller, a mapped address is its IPv4 one, and no address is one caller too."""
    assert caller_of("2001:db8::1") == caller_of("2001:db8::ffff:2%eth0")
    assert caller_of("2001:db8::1") != caller_of("2001:db8:0:1::1")
    assert caller_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert caller_of(None) == caller_of("nonsense") == "unknown"


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()
