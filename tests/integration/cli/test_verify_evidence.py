"""``verify`` with a real Coordinator: what it tells, what it saves, and the saved file judged again alone."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from marbleops.cli.exits import Exit
from marbleops.cli.main import run
from marbleops.manifest.canonical import canonical_json
from tests.fakes import shop
from tests.fakes.coordinator_process import CoordinatorProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from marbleops.manifest.digest import Digest

pytestmark = pytest.mark.integration

CLAIMS = {("source",), ("source", "url"), ("source", "revision"), ("taken",)}
"""Nobody signs them, and ``verify`` says so; ``taken`` is bounded by the collateral's dates."""
UNUSED = {("collateral", "pck_crl_issuer_chain")}
"""The quote's own chain holds the issuer of the revocation list; this copy of it decides nothing."""


def update(process: CoordinatorProcess, first: bytes, deployment: Digest) -> None:
    second = shop.manifest(2, previous=first, deployment=deployment, change=raise_limit)
    assert process.update(second, shop.approvals(second, "alice", "bob", "carol")).status == 200


def raise_limit(made: dict[str, Any]) -> None:
    made["Marbles"]["backend"]["MaxActivations"] = 3


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        rows = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in rows:
            yield from leaves(inner, (*path, name))
    else:
        yield path


def altered(value: Any) -> Any:
    """Change a value and keep its form, so that the reader takes it and a check must refuse it."""
    if not isinstance(value, str):
        return 1 if value is None else value + 1
    try:
        raw = bytearray(base64.b64decode(value, validate=True))
        raw[len(raw) // 2] ^= 1
        return base64.b64encode(raw).decode()
    except (ValueError, IndexError):
        middle = len(value) // 2
        return value[:middle] + ("0" if value[middle] != "0" else "1") + value[middle + 1 :]


def test_saved_evidence_is_judged_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Live, after a change, and from the file when nothing runs any more; then every member altered."""
    process = CoordinatorProcess(tmp_path)
    trust = ["--insecure-simulation", "--anchor", str(tmp_path / "platform" / "anchor.der")]
    file, pins = tmp_path / "evidence.json", str(tmp_path / "pins.json")

    def verify(*arguments: str, state: str = pins) -> tuple[int, str]:
        capsys.readouterr()
        code = run(["verify", *trust, "--state", state, *arguments])
        return code, capsys.readouterr().out

    try:
        process.start()
        live = ("--coordinator", f"127.0.0.1:{process.client_port}")
        first = shop.manifest()
        assert process.update(first, shop.genesis_evidence(first)).status == 200
        deployment = process.deployment()
        code, said = verify(*live, "--deployment", str(deployment), "--save", str(file))
        assert code == Exit.OK, said
        assert "since your last look" not in said
        old = file.read_bytes()

        update(process, first, deployment)
        code, said = verify(*live, "--save", str(file))
        assert code == Exit.OK, said
        assert "  record 1: version 2, a change of class weakening, approved by alice, bob, carol\n" in said
        assert "    weakened: " in said
        assert "  marble backend: runs backend, at most 3 starts in all\n" in said
        code, said = verify(*live)
        assert "nothing changed since your last look" in said
    finally:
        process.close()

    pinned = ("--deployment", str(deployment))
    nobody = str(tmp_path / "no-pins.json")
    code, said = verify("--from", str(file), *pinned, state=nobody)
    assert code == Exit.OK, said
    assert said.startswith("SAVED EVIDENCE, judged as of 20")
    assert "not proven: that it still holds now" in said
    assert verify("--from", str(file), state=nobody)[0] == Exit.NOT_PINNED
    code, said = verify("--from", str(file), "--deployment", f"sha256:{'0' * 64}", state=nobody)
    assert code == Exit.UNTRUSTED
    code, said = verify("--from", str(file), "-o", "json")
    told = json.loads(said)
    assert (code, told["offline"], told["version"], told["since"]["changes"]) == (Exit.OK, True, 2, [])
    assert len(told["notProven"]) == 2

    older = tmp_path / "older.json"
    older.write_bytes(old)
    code, said = verify("--from", str(older))
    assert code == Exit.OK
    assert "older than your last look, which was at record 1: not compared" in said

    document = json.loads(file.read_bytes())
    tried = 0
    for path in leaves(document):
        if path in CLAIMS | UNUSED:
            continue
        changed = json.loads(file.read_bytes())
        place = changed
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = altered(place[path[-1]])
        older.write_bytes(canonical_json(changed))
        code, said = verify("--from", str(older), *pinned, state=nobody)
        assert code in (Exit.UNTRUSTED, Exit.USAGE), (path, said)
        tried += 1
    assert tried > 20
    for taken in ("2001-01-01T00:00:00Z", "2200-01-01T00:00:00Z"):
        older.write_bytes(canonical_json(document | {"taken": taken}))
        assert verify("--from", str(older), *pinned, state=nobody)[0] == Exit.UNTRUSTED
