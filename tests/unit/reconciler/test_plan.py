"""A plan says in words and names what a change does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from marbleops.approval.decision import ChangeClass, Decision, Refusal
from marbleops.approval.decision import Outcome as Verdict
from marbleops.approval.reasons import Reason
from marbleops.manifest.parse import Strictness, parse
from reconciler.plan import Plan, make_plan, secrets_read

if TYPE_CHECKING:
    from marbleops.manifest.model import Manifest

BASE: dict[str, Any] = {
    "Packages": {
        "backend": {"SignerID": "ab" * 32, "ProductID": 15, "SecurityVersion": 1},
        "frontend": {"SignerID": "cd" * 32, "ProductID": 16, "SecurityVersion": 1},
    },
    "Marbles": {
        "api": {"Package": "backend", "Parameters": {"Env": {"KEY": "{{ hex .Secrets.db }}"}}},
        "web": {"Package": "frontend", "Parameters": {"Argv": ["web"]}, "TLS": ["outside"]},
    },
    "Secrets": {
        "db": {"Type": "symmetric-key", "Size": 128, "Shared": True},
        "edge": {"Type": "cert-ecdsa", "Size": 256, "Shared": True, "ValidFor": 30, "Cert": {}},
        "own": {"Type": "cert-ecdsa", "Size": 256, "ValidFor": 30, "Cert": {}},
    },
    "TLS": {"outside": {"Incoming": [{"Port": "8443", "Cert": "edge"}]}},
    "GitOps": {"Lineage": "shop", "Version": 1, "Path": "manifest.json"},
}


def manifest(document: dict[str, Any]) -> Manifest:
    """Parse a document's shape."""
    return parse(json.dumps(document).encode(), strictness=Strictness.STRICT)


def changed(*path: str, value: Any, version: int = 2) -> dict[str, Any]:
    """Return the base with one value changed."""
    document: dict[str, Any] = json.loads(json.dumps(BASE))
    document["GitOps"]["Version"] = version
    inner = document
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return document


def plan(document: dict[str, Any], *, change: ChangeClass = ChangeClass.FULL, first: bool = False) -> Plan:
    """Plan the change from the base."""
    candidate = manifest(document)
    refusal = Refusal(reason=Reason.THRESHOLD_NOT_MET, message="0 of 2")
    decision = Decision(
        outcome=Verdict.REFUSED, digest=candidate.digest, change_class=change, version=2, refusals=(refusal,)
    )
    return make_plan(base=None if first else manifest(BASE), candidate=candidate, decision=decision)


def test_version_is_not_told_as_a_change() -> None:
    """``Version`` and ``Previous`` change in every change; the rest is listed."""
    made = plan(changed("Packages", "backend", "SecurityVersion", value=2), change=ChangeClass.PACKAGE_BUMP)
    assert [edit.path for edit in made.edits] == [("Packages", "backend", "SecurityVersion")]
    assert made.refused_at_restart == ("api",)
    assert made.restarts == ()


def test_bump_rotates_the_intermediate_and_shared_certificates_only() -> None:
    """As MarbleRun's package update does (marblerun-core 6.3)."""
    bump = plan(changed("Packages", "backend", "SecurityVersion", value=2), change=ChangeClass.PACKAGE_BUMP)
    assert any("intermediate" in words for words in bump.rotates)
    assert any("edge" in words for words in bump.rotates)
    assert not any("own" in words for words in bump.rotates)
    full = plan(changed("Marbles", "web", "Parameters", value={"Argv": ["web", "-v"]}))
    assert any("own" in words for words in full.rotates)


def test_changed_parameters_tags_and_secrets_restart() -> None:
    """A marble restarts for its own entry, its TLS tags and the secrets its templates read."""
    assert plan(changed("Marbles", "web", "Parameters", value={"Argv": ["x"]})).restarts == ("web",)
    assert plan(changed("TLS", "outside", "Incoming", value=[{"Port": "9443"}])).restarts == ("web",)
    assert plan(changed("Secrets", "db", "Size", value=256)).restarts == ("api",)
    assert plan(changed("Config", value={"RotateRootSecret": True})).restarts == ("api",)


def test_first_manifest() -> None:
    """Nothing rotates and nothing restarts where nothing was."""
    made = plan(BASE, first=True, change=ChangeClass.GENESIS)
    assert (made.base, made.rotates, made.restarts) == (None, (), ())
    assert {edit.path[0] for edit in made.edits} >= {"Packages", "Marbles", "GitOps"}


def test_unchanged_is_empty() -> None:
    """The same manifest again does nothing."""
    candidate = manifest(BASE)
    decision = Decision(outcome=Verdict.UNCHANGED, digest=candidate.digest)
    made = make_plan(base=candidate, candidate=candidate, decision=decision)
    assert made.empty
    assert (made.edits, made.rotates, made.restarts) == ((), (), ())


def test_secrets_read_by_templates() -> None:
    """Templates are parsed, not searched."""
    assert secrets_read(manifest(BASE).marbles["api"]) == {"db"}
    assert secrets_read(manifest(BASE).marbles["web"]) == frozenset()
