"""kill -9 at every write, flush, rename and send of a real process, for every command; then every invariant.

``crashpoints.c`` counts the system calls from the moment a command is sent, and ends the process at the n-th.
CI ends where durability and answers are decided; MARBLEOPS_CRASH_POINTS=all takes every call of every
command, and tears every write too. A process that ends loses nothing that the kernel has; what a power cut
loses is the business of ``synchronous=FULL`` and of the disk.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import mmap
import os
import shutil
import signal
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from marbleops.marble.activate import ActivationError, ActivationRefused
from tests.fakes import plain_mesh
from tests.fakes.coordinator_process import CoordinatorProcess
from tests.fakes.plain_mesh import PlainMesh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from marbleops.marble.activate import Parameters
    from tests.fakes.coordinator_process import Answer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3000)]

ALL = os.environ.get("MARBLEOPS_CRASH_POINTS") == "all"
UUID = "02030400-0000-4000-8000-0000000000ab"
PLAN = struct.Struct("qqq")
PLAN_BYTES = PLAN.size + 4096
UNARMED = 2**40
FIRST = plain_mesh.manifest(budget=1)
SECOND = plain_mesh.manifest(budget=1, argument="second", backend=2, recovery=("carol",))


@dataclass
class Plan:
    """The memory shared with the process under test."""

    file: Path
    memory: mmap.mmap = field(init=False)

    def __post_init__(self) -> None:
        self.file.write_bytes(bytes(PLAN_BYTES))
        with self.file.open("r+b") as opened:
            self.memory = mmap.mmap(opened.fileno(), PLAN_BYTES)

    def arm(self, left: int, *, torn: bool) -> None:
        """Let the process end at call number *left* from now."""
        self.memory[:] = PLAN.pack(left, torn, 0) + bytes(4096)

    @property
    def kinds(self) -> str:
        """One letter per call since it was armed."""
        seen = PLAN.unpack(self.memory[: PLAN.size])[2]
        return self.memory[PLAN.size : PLAN.size + seen].decode()


@dataclass
class Stage:
    """A stopped deployment in a folder, to be copied for each life."""

    folder: Path
    marble: Parameters | None = None
    shares: dict[str, bytes] = field(default_factory=dict)


class Life:
    """One copy of a stage; ``running`` runs it."""

    def __init__(self, stage: Stage, folder: Path, preload: Path) -> None:
        shutil.copytree(stage.folder, folder)
        self.stage = stage
        self.plan = Plan(folder / "plan")
        self.process = CoordinatorProcess(folder)
        self.mesh = PlainMesh(self.process)
        self.shares = stage.shares
        if stage.marble is not None:
            self.mesh.remember_marble("marble", stage.marble)
        self.environ = {"LD_PRELOAD": str(preload), "CRASH_PLAN": str(self.plan.file)}

    def run(self, command: Callable[[Life], bool], *, crash_at: int, torn: bool) -> bool:
        """Run *command* with a crash armed; say whether it was answered."""
        self.plan.arm(crash_at, torn=torn)
        try:
            return command(self)
        except (OSError, http.client.HTTPException, ActivationError):
            return False

    def end(self) -> None:
        """Wait for the crash, or kill the process if its calls were fewer this time; then start it again."""
        assert self.process.process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert self.process.process.wait(timeout=1) == -signal.SIGKILL
        self.process.close()
        self.process.start()

    def summary(self) -> object:
        """Say what the process tells about its state, without times."""
        mesh = self.mesh
        code = mesh.get("status").data["code"]
        if code != 3:
            return code
        pending = mesh.get("update-manifest").json["data"]
        return (
            mesh.get("manifest").data["manifest"],
            [{**json.loads(line), "time": ""} for line in mesh.get("update").data["updateLog"]],
            pending and (pending["manifest"], pending["missingUsers"]),
            mesh.get("secrets?s=token", user="alice").data,
            mesh.get("quote").data["cert"].split("-----BEGIN")[2] if self.stage.shares else None,
            self._count(0).data if self.stage.marble else None,
        )

    def answered(self, path: str, raw: bytes, user: str) -> bool:
        """Send a manifest; say whether it was taken."""
        return self.mesh.send_manifest(path, raw, user).status == 200

    def set_manifest(self) -> bool:
        self.shares = self.mesh.set_manifest(FIRST)
        return True

    def raise_version(self) -> bool:
        update = {"Packages": {"backend": {"SecurityVersion": 2}}}
        return self.answered("update", json.dumps(update).encode(), "alice")

    def propose(self) -> bool:
        return self.answered("update", SECOND, "alice")

    def acknowledge(self) -> bool:
        return self.answered("update-manifest", SECOND, "bob")

    def cancel(self) -> bool:
        return self.mesh.post("update-cancel", {}, user="carol").status == 200

    def write(self) -> bool:
        return self.mesh.write_secret("token", b"another token", "alice").status == 200

    def count(self) -> bool:
        return self._count(7).status == 200

    def recover(self) -> bool:
        shares = [plain_mesh.recovery_share(name, secret) for name, secret in self.stage.shares.items()]
        return all(self.mesh.recover(*share).status == 200 for share in shares)

    def activate(self) -> bool:
        self.mesh.activate("backend", uuid=UUID)
        return True

    def _count(self, value: int) -> Answer:
        return self.mesh.post("monotonic-counter", {"name": "used", "value": value}, user="marble")


COMMANDS: dict[str, tuple[str, Callable[[Life], bool]]] = {
    "set": ("fresh", Life.set_manifest),
    "package update": ("running", Life.raise_version),
    "propose": ("running", Life.propose),
    "acknowledge": ("pending", Life.acknowledge),
    "cancel": ("pending", Life.cancel),
    "write a secret": ("running", Life.write),
    "count": ("running", Life.count),
    "recover": ("locked", Life.recover),
}

IN_CI = ("acknowledge",)


@pytest.fixture(scope="module")
def preload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile ``crashpoints.c``."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("preload") / "crashpoints.so"
    source = Path(__file__).with_name("crashpoints.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stage]:
    """Make the deployments that the commands begin with."""
    root = tmp_path_factory.mktemp("stages")
    process = CoordinatorProcess(root / "live")
    process.directory.mkdir()
    mesh = PlainMesh(process)
    found: dict[str, Stage] = {}
    shares: dict[str, bytes] = {}
    marble: Parameters | None = None

    def keep(name: str) -> None:
        process.stop()
        found[name] = Stage(root / name, marble, shares)
        shutil.copytree(process.directory, root / name)
        process.start()

    try:
        process.start()
        if ALL:
            keep("fresh")
        shares = mesh.set_manifest(FIRST)
        assert mesh.write_secret("token", b"a token", "alice").status == 200
        marble = mesh.activate("frontend", uuid=UUID)
        keep("running")
        process.stop()
        shutil.copytree(process.directory, root / "locked")
        plain_mesh.lose_platform(CoordinatorProcess(root / "locked"))
        found["locked"] = Stage(root / "locked", marble, shares)
        process.start()
        assert mesh.send_manifest("update", SECOND, "alice").status == 200
        keep("pending")
    finally:
        process.close()
    return found


def points(kinds: str) -> list[tuple[int, bool]]:
    """Choose the calls to end at, and whether to tear them: (number from 1, torn)."""
    if ALL:
        return [
            (at, torn) for at, kind in enumerate(kinds, 1) for torn in (False, True)[: 1 + (kind in "wW")]
        ]
    flushed, answer = kinds.rindex("F") + 1, kinds.rindex("w")  # the log line comes after the answer is made
    return [(at, False) for at in sorted({flushed, flushed + 1, answer})]


@pytest.mark.parametrize("name", COMMANDS if ALL else IN_CI)
def test_before_or_after(name: str, stages: dict[str, Stage], preload: Path, tmp_path: Path) -> None:
    """INV-DURABLE, INV-ATOMIC: wherever the process dies, all of the change is there or none of it."""
    stage, command = COMMANDS[name]
    with running(Life(stages[stage], tmp_path / "undisturbed", preload)) as life:
        before = life.summary()
        assert life.run(command, crash_at=UNARMED, torn=False)
        kinds = life.plan.kinds
        after = life.summary()
    assert before != after
    check_order(kinds)
    for crash_at, torn in points(kinds):
        folder = tmp_path / f"{crash_at}-{torn}"
        with running(Life(stages[stage], folder, preload)) as life:
            answered = life.run(command, crash_at=crash_at, torn=torn)
            life.end()
            where = f"{kinds[:crash_at]}, torn: {torn}"
            found = life.summary()
            assert found in (before, after), where
            assert found == after or not answered, where
            if found == before:
                assert life.run(command, crash_at=UNARMED, torn=False), where
                assert life.summary() == after, where
            assert "Traceback" not in life.process.log, life.process.log
        shutil.rmtree(folder)


def test_a_budget_is_never_exceeded(stages: dict[str, Stage], preload: Path, tmp_path: Path) -> None:
    """INV-BUDGET: a marble that got its answer has used up the budget, whenever the process dies."""
    with running(Life(stages["running"], tmp_path / "undisturbed", preload)) as life:
        assert life.run(Life.activate, crash_at=UNARMED, torn=False)
        kinds = life.plan.kinds
    check_order(kinds)
    for crash_at, torn in points(kinds):
        with running(Life(stages["running"], tmp_path / f"{crash_at}-{torn}", preload)) as life:
            admitted = [life.run(Life.activate, crash_at=crash_at, torn=torn)]
            life.end()
            with contextlib.suppress(ActivationRefused):
                admitted.append(life.activate())
            assert sum(admitted) <= 1, f"{kinds[:crash_at]}, torn: {torn}"


def check_order(kinds: str) -> None:
    """INV-ORDER: what is decided is flushed, then logged, then answered."""
    assert kinds.rindex("F") < kinds.rindex("w") < kinds.rindex("S"), kinds


@contextlib.contextmanager
def running(life: Life) -> Iterator[Life]:
    """Start it under the plan, and leave nothing running."""
    try:
        life.process.start(**life.environ)
        yield life
    finally:
        life.process.close()
