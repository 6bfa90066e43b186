"""A state machine over a real process: every call of owners and marbles, restarts, crashes and recovery.

The model is what the documents promise; ``compare`` asks the process after every step. Invariants have the
ids of ``docs/invariants.md``. MARBLEOPS_MACHINE_EXAMPLES asks for more lives than CI has time for.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from marbleops.marble.activate import ActivationRefused
from tests.fakes import plain_mesh
from tests.fakes.coordinator_process import CoordinatorProcess
from tests.fakes.plain_mesh import UPDATERS, PlainMesh

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.coordinator_process import Answer

EXAMPLES = os.environ.get("MARBLEOPS_MACHINE_EXAMPLES")
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(20_000 if EXAMPLES else 300)]

UUIDS = ("02030400-0000-4000-8000-0000000000ab", "02030400-0000-4000-8000-0000000000cd")
MARBLES = tuple(f"{kind}/{uuid}" for kind in plain_mesh.PRODUCTS for uuid in UUIDS)

people = st.sampled_from([*plain_mesh.PEOPLE, "stranger"])
versions = st.integers(1, 4)
values = st.binary(min_size=1, max_size=40).filter(lambda value: b"\0" not in value)


@dataclass(frozen=True)
class Pending:
    """A full update that waits."""

    raw: bytes
    agreed: frozenset[str]


@dataclass(frozen=True)
class Model:
    """What must be so."""

    raw: bytes
    log: tuple[str, ...]
    recovery: dict[str, bytes]
    root: str
    version: int = 1
    authorities: int = 0
    pending: Pending | None = None
    token: bytes | None = None
    activations: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    leaves: dict[str, int] = field(default_factory=dict)
    own: dict[str, bytes] = field(default_factory=dict)

    @property
    def document(self) -> Any:
        """The manifest, parsed."""
        return json.loads(self.raw)

    @property
    def budget(self) -> int:
        """How many backends may ever activate."""
        limit: int = self.document["Marbles"]["backend"]["MaxActivations"]
        return limit


class Deployment(RuleBasedStateMachine):
    """One deployment's life."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="machine-")
        self.process = CoordinatorProcess(Path(self.folder.name))
        self.mesh = PlainMesh(self.process)
        self.recovering = False

    def teardown(self) -> None:
        """End the process, and look once more at what it wrote."""
        self.process.close()
        log = self.process.log
        self.folder.cleanup()
        assert "Traceback" not in log, log

    @initialize(budget=st.integers(1, 4))
    def begin(self, budget: int) -> None:
        """Set the first manifest."""
        self.process.start()
        raw = plain_mesh.manifest(budget=budget)
        shares = self.mesh.set_manifest(raw)
        self.model = Model(raw=raw, log=self._log(), recovery=shares, root=self._root())
        assert len(self.model.log) == 1

    # Owners.

    @precondition(lambda self: not self.recovering)
    @rule(user=people, version=versions)
    def raise_version(self, user: str, version: int) -> None:
        """Only alice may, only upwards, and not while a full update waits."""
        model = self.model
        answer = self._package_update(version, user)
        if model.pending is None and user == "alice" and version >= model.version:
            assert answer.status == 200, answer.body
            self._raised(version)
        else:
            self._refused(answer, user)

    @precondition(lambda self: not self.recovering)
    @rule(
        user=people,
        version=versions,
        argument=st.sampled_from(["first", "second"]),
        budget=st.integers(1, 5),
        rotate=st.booleans(),
        holders=st.sampled_from([("alice", "bob"), ("carol",)]),
    )
    def propose(
        self, user: str, version: int, argument: str, budget: int, *, rotate: bool, holders: tuple[str, ...]
    ) -> None:
        """Any updater may propose; two must agree; no floor may fall."""
        raw = plain_mesh.manifest(
            backend=version, budget=budget, argument=argument, rotate=rotate, recovery=holders
        )
        answer = self.mesh.send_manifest("update", raw, user)
        if self.model.pending is None and user in UPDATERS and version >= self.model.version:
            assert answer.status == 200, answer.body
            assert answer.data["missingAcknowledgments"] == 1
            self._change(pending=Pending(raw, frozenset({user})))
        else:
            self._refused(answer, user)

    @precondition(lambda self: not self.recovering and self.model.pending is not None)
    @rule(user=people, same=st.sampled_from([True, True, True, False]))
    def acknowledge(self, user: str, *, same: bool) -> None:
        """Apply the update with the second updater's acknowledgement of the very same bytes."""
        pending = self.model.pending
        assert pending is not None
        answer = self.mesh.send_manifest("update-manifest", pending.raw if same else pending.raw + b" ", user)
        if user not in UPDATERS or not same:
            self._refused(answer, user)
            return
        assert answer.status == 200, answer.body
        assert answer.data["missingAcknowledgments"] == (1 if user in pending.agreed else 0)
        if user not in pending.agreed:
            self._applied(pending.raw, plain_mesh.decoded(answer.data.get("recoverySecrets")))

    @precondition(lambda self: not self.recovering)
    @rule(user=people)
    def cancel(self, user: str) -> None:
        """Any updater may cancel what waits."""
        answer = self.mesh.post("update-cancel", {}, user=user)
        if self.model.pending is not None and user in UPDATERS:
            assert answer.status == 200, answer.body
            self._change(pending=None)
        else:
            assert answer.status in {401, 404, 500}

    @precondition(lambda self: not self.recovering)
    @rule(user=people, value=values)
    def write_secret(self, user: str, value: bytes) -> None:
        """Only alice may write the token."""
        answer = self.mesh.write_secret("token", value, user)
        if user == "alice":
            assert answer.status == 200, answer.body
            self._change(token=value)
        else:
            self._refused(answer, user)

    @precondition(lambda self: not self.recovering)
    @rule(user=people, name=st.sampled_from(["token", "shared", "own"]))
    def read_secret(self, user: str, name: str) -> None:
        """INV-READ: a secret is read only by whom the manifest lets read it."""
        answer = self.mesh.get(f"secrets?s={name}", user=user)
        if user == "alice" and name != "own":
            assert answer.status == 200, answer.body
        else:
            self._refused(answer, user)

    @precondition(lambda self: not self.recovering)
    @rule(raw=st.just(plain_mesh.manifest()))
    def set_again(self, raw: bytes) -> None:
        """INV-AUTHORITY: a manifest in force is never replaced without its owners."""
        answer = self.mesh.post("manifest", {"manifest": plain_mesh.encoded(raw)})
        assert answer.status == 500
        assert answer.json["message"] == "server is not in expected state"

    # Marbles.

    @rule(
        kind=st.sampled_from(["backend", "backend", "frontend"]),
        version=versions,
        uuid=st.sampled_from(UUIDS),
    )
    def activate(self, kind: str, version: int, uuid: str) -> None:
        """INV-ADMIT, INV-BUDGET: who the current manifest does not admit gets nothing."""
        model = self.model
        floor = model.version if kind == "backend" else 1
        within = kind == "frontend" or (model.activations < model.budget and model.token is not None)
        try:
            got = self.mesh.activate(kind, version=version, uuid=uuid)
        except ActivationRefused as refusal:
            unexpected = not self.recovering and version >= floor and within
            if unexpected:
                raise AssertionError("a marble was refused that the manifest admits") from refusal
            return
        assert not self.recovering
        assert version >= floor, "a marble below the floor was admitted"
        assert within, "the budget was exceeded"
        if kind == "backend":
            assert got.argv == tuple(model.document["Marbles"]["backend"]["Parameters"]["Argv"])
            assert got.env["TOKEN"] == model.token
        assert got.env["MARBLE_PREDEFINED_COORDINATOR_ROOT_CA"].decode() == model.root
        own = {f"{kind}/{uuid}": got.env["OWN"], "shared": got.env["SHARED"]}
        assert {**own, **model.own} == {**model.own, **own}, "a secret changed without a rotation"
        self.mesh.remember_marble(f"{kind}/{uuid}", got)
        self._change(
            activations=model.activations + (kind == "backend"),
            own={**model.own, **own},
            leaves={**model.leaves, f"{kind}/{uuid}": model.authorities},
        )

    @precondition(lambda self: not self.recovering and bool(self.model.leaves))
    @rule(marble=st.sampled_from(MARBLES), value=st.integers(0, 2**64 - 1))
    def count(self, marble: str, value: int) -> None:
        """INV-COUNTER: a counter never falls, and only a marble of the current authority raises it."""
        model = self.model
        if marble not in model.leaves:
            return
        answer = self.mesh.post("monotonic-counter", {"name": "used", "value": value}, user=marble)
        if model.leaves[marble] != model.authorities:
            assert answer.status == 401, answer.body
            return
        before = model.counters.get(marble, 0)
        assert (answer.status, answer.data) == (200, {"value": before})
        self._change(counters={**model.counters, marble: max(before, value)})

    # The host.

    @rule()
    def restart(self) -> None:
        """INV-RESTART: an orderly end changes nothing."""
        assert self.process.stop() == 0
        self.process.start()

    @rule()
    def crash(self) -> None:
        """INV-DURABLE: what was answered survives kill -9."""
        self.process.kill()
        self.process.start()

    @precondition(lambda self: not self.recovering and self.model.pending is None)
    @rule(
        version=versions,
        value=values,
        milliseconds=st.floats(0, 12),
        what=st.sampled_from(["raise", "write"]),
    )
    def crash_within(self, version: int, value: bytes, milliseconds: float, what: str) -> None:
        """INV-ATOMIC: a change that the crash interrupted happened wholly or not at all."""
        answers: list[Answer] = []

        def send() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if what == "raise":
                    answers.append(self._package_update(version, "alice"))
                else:
                    answers.append(self.mesh.write_secret("token", value, "alice"))

        sender = threading.Thread(target=send)
        sender.start()
        time.sleep(milliseconds / 1000)
        self.process.kill()
        sender.join()
        self.process.start()
        if answers and answers[0].status != 200:
            assert version < self.model.version
            return
        happened = len(self._log()) > len(self.model.log)
        assert happened or not answers, "an acknowledged change was lost"
        if happened and what == "raise":
            self._raised(version)
        elif happened:
            self._change(token=value)

    @precondition(lambda self: not self.recovering)
    @rule()
    def lose_platform(self) -> None:
        """Serve nothing of the state when the machine that sealed it is gone."""
        self.process.stop()
        plain_mesh.lose_platform(self.process)
        self.process.start()
        self.recovering = True
        answer = self.mesh.get("status")
        assert answer.data["code"] == 1
        assert self._package_update(4, "alice").status != 200
        assert self.mesh.get("secrets?s=token", user="alice").status != 200

    @precondition(lambda self: self.recovering)
    @rule(wrong=st.booleans(), forged=st.booleans())
    def recover(self, *, wrong: bool, forged: bool) -> None:
        """INV-RECOVERED: the holders' secrets bring back the very state there was; nobody else's do."""
        if wrong:
            assert self.mesh.recover(b"w" * 32, b"signature").status == 500
        shares = {name: plain_mesh.recovery_share(name, blob) for name, blob in self.model.recovery.items()}
        if forged:
            answers = [self.mesh.recover(secret, b"forged") for secret, _ in shares.values()]
            assert answers[-1].status == 500, answers[-1].body
            assert self.mesh.get("status").data["code"] == 1
        remaining = [self.mesh.recover(*share).data["remaining"] for share in shares.values()]
        assert remaining == list(range(len(shares)))[::-1]
        self.recovering = False

    @invariant()
    def compare(self) -> None:
        """Ask the process for everything the model knows."""
        if self.recovering or not hasattr(self, "model"):
            return
        model = self.model
        assert self.mesh.get("status").data["code"] == 3
        found = self.mesh.get("manifest").data
        assert found["manifest"] == plain_mesh.encoded(model.raw), (
            "INV-AUTHORITY: another manifest is in force"
        )
        assert self._root() == model.root, "INV-ROOT: the root changed"
        self._check_signature(found["manifestSignatureRootECDSA"])
        assert self._log() == model.log, "INV-LOG: the log tells another story"
        read = self.mesh.get("secrets?s=token&s=shared", user="alice").data["secrets"]
        token = None if model.token is None else plain_mesh.encoded(model.token)
        assert read["token"]["Private"] == token, "INV-DURABLE: an uploaded value is lost"
        self._check_pending()

    def _check_pending(self) -> None:
        pending = self.model.pending
        answer = self.mesh.get("update-manifest")
        if pending is None:
            assert answer.status == 404
            return
        assert answer.data["manifest"] == plain_mesh.encoded(pending.raw)
        assert len(pending.agreed) == 1, "INV-THRESHOLD: two agreed, and still it waits"
        assert set(answer.data["missingUsers"]) == set(UPDATERS) - pending.agreed

    def _check_signature(self, signature: str) -> None:
        key = x509.load_pem_x509_certificate(self.model.root.encode()).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        signed = plain_mesh.decoded({"signature": signature})["signature"]
        key.verify(signed, self.model.raw, ec.ECDSA(hashes.SHA256()))

    def _package_update(self, version: int, user: str) -> Answer:
        update = {"Packages": {"backend": {"SecurityVersion": version}}}
        return self.mesh.send_manifest("update", json.dumps(update).encode(), user)

    def _raised(self, version: int) -> None:
        self._change(version=version, authorities=self.model.authorities + 1)
        assert f'"package":"backend","new version":{version}' in self.model.log[-1], "INV-LOG"

    def _applied(self, raw: bytes, shares: dict[str, bytes]) -> None:
        before, after = self.model.document, json.loads(raw)
        assert bool(shares) == (before["RecoveryKeys"] != after["RecoveryKeys"])
        rotated = after["Config"]["RotateRootSecret"]
        self._change(
            raw=raw,
            pending=None,
            version=after["Packages"]["backend"]["SecurityVersion"],
            authorities=self.model.authorities + 1,
            recovery=shares or self.model.recovery,
            own={} if rotated else self.model.own,
        )

    def _change(self, **changes: Any) -> None:
        """INV-LOG: the log only grows; take its new lines where the change is one that is logged."""
        log = self._log()
        assert log[: len(self.model.log)] == self.model.log, "INV-LOG: a line of the log changed"
        logged = set(changes) & {"raw", "pending", "token", "version"}
        assert (len(log) > len(self.model.log)) == bool(logged), "INV-LOG: a change without its line"
        self.model = replace(self.model, log=log, **changes)

    def _refused(self, answer: Answer, user: str) -> None:
        assert answer.status in ({401} if user == "stranger" else {404, 500}), answer.body
        assert answer.data is None

    def _log(self) -> tuple[str, ...]:
        return tuple(self.mesh.get("update").data["updateLog"])

    def _root(self) -> str:
        chain: str = self.mesh.get("quote").data["cert"]
        return "-----BEGIN" + chain.split("-----BEGIN")[2]


Deployment.TestCase.settings = settings(
    max_examples=int(EXAMPLES or 2),
    stateful_step_count=30 if EXAMPLES else 8,
    deadline=None,
    derandomize=EXAMPLES is None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
TestDeployment = Deployment.TestCase


def test_a_whole_life() -> None:
    """One life that takes every rule, both ways where it has two: chance need not find them in every run."""
    life = Deployment()
    full: dict[str, Any] = {"argument": "second", "budget": 4, "rotate": False, "holders": ("alice", "bob")}
    steps: list[Callable[[], None]] = [
        lambda: life.begin(budget=2),
        lambda: life.activate(kind="backend", version=1, uuid=UUIDS[0]),  # its secret is not there yet
        lambda: life.write_secret(user="bob", value=b"one"),
        lambda: life.write_secret(user="alice", value=b"one"),
        lambda: life.read_secret(user="alice", name="token"),
        lambda: life.read_secret(user="alice", name="own"),
        lambda: life.read_secret(user="bob", name="token"),
        lambda: life.activate(kind="backend", version=1, uuid=UUIDS[0]),
        lambda: life.count(marble=MARBLES[0], value=5),
        life.crash,  # with nothing after it that would write what it did not
        lambda: life.count(marble=MARBLES[0], value=4),
        lambda: life.raise_version(user="alice", version=3),
        lambda: life.raise_version(user="alice", version=2),
        lambda: life.raise_version(user="bob", version=4),
        lambda: life.count(marble=MARBLES[0], value=6),  # of an authority that is gone
        lambda: life.activate(kind="backend", version=1, uuid=UUIDS[0]),
        lambda: life.activate(kind="backend", version=3, uuid=UUIDS[1]),
        life.crash,
        lambda: life.activate(kind="backend", version=3, uuid=UUIDS[0]),  # beyond the budget
        lambda: life.activate(kind="frontend", version=1, uuid=UUIDS[0]),
        lambda: life.set_again(raw=plain_mesh.manifest()),
        lambda: life.propose(user="alice", version=2, **full),
        lambda: life.propose(user="dave", version=3, **full),
        lambda: life.propose(user="bob", version=3, **full),
        lambda: life.propose(user="alice", version=3, **full),
        lambda: life.raise_version(user="alice", version=4),
        life.restart,
        lambda: life.acknowledge(user="bob", same=True),
        lambda: life.acknowledge(user="dave", same=True),
        lambda: life.acknowledge(user="alice", same=False),
        lambda: life.cancel(user="dave"),
        lambda: life.cancel(user="carol"),
        lambda: life.propose(user="carol", version=4, **{**full, "rotate": True, "holders": ("carol",)}),
        life.crash,
        lambda: life.acknowledge(user="alice", same=True),
        lambda: life.activate(kind="backend", version=4, uuid=UUIDS[0]),
        lambda: life.crash_within(version=4, value=b"two", milliseconds=4, what="write"),
        life.lose_platform,
        lambda: life.activate(kind="backend", version=4, uuid=UUIDS[1]),
        life.restart,
        lambda: life.recover(wrong=True, forged=True),
        lambda: life.count(marble=MARBLES[0], value=7),
        lambda: life.activate(kind="backend", version=4, uuid=UUIDS[1]),
    ]
    try:
        for step in steps:
            step()
            life.compare()
        assert (life.model.activations, life.model.version, life.model.pending) == (4, 4, None)
        assert life.model.counters[MARBLES[0]] == 7
    finally:
        life.teardown()
