"""What a deployment may do and who may change it, in words."""

from __future__ import annotations

import json
from typing import Any

from marbleops.approval.floors import Floors
from marbleops.approval.policy import read_policy
from marbleops.approval.powers import powers
from marbleops.manifest.parse import Strictness, load
from tests.fakes import shop


def words(document: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return all lines about a manifest, and the weak ones."""
    manifest = load(json.dumps(document).encode(), strictness=Strictness.STRICT)
    found = powers(read_policy(manifest), Floors(names={"backend": 1}))
    return [power.words for power in found], [power.words for power in found if power.weak]


def test_a_sound_deployment_has_nothing_weak() -> None:
    """Builds, budgets, secrets and people, each in a line."""
    said, weak = words(shop.document())
    build = f"builds signed by {shop.SIGNER.hex()}, product 15, SecurityVersion 1 or higher"
    assert weak == []
    for line in (
        f"package backend: {build} (never below 1 again)",
        "marble backend: runs backend, at most 2 starts in all",
        "marble frontend: runs frontend, any number of starts",
        "secret shared: made in the enclave, one for all, given to marbles backend, read by users none",
        "secret token: written by none, given to marbles none, read by users none",
        "anything: 2 of alice, bob, carol",
        "what weakens the rules: 3 of alice, bob, carol",
        "the SecurityVersion of backend, upwards: 1 of alice",
        "nobody outside its own platform: there are no recovery keys",
    ):
        assert line in said, said


def test_what_is_weak_is_marked() -> None:
    """Debug, a missing pin, an old platform, one person alone, unbound secrets; and rights on secrets."""
    made = shop.document()
    made["Packages"]["backend"] |= {
        "AcceptedTCBStatuses": ["OutOfDate"],
        "AcceptedAdvisories": ["INTEL-SA-1"],
    }
    made["Packages"]["frontend"] = {"Debug": True, "SignerID": shop.SIGNER.hex()}
    made["Marbles"]["backend"] |= {"DisableSecretBinding": True, "TLS": ["web"]}
    made["Secrets"]["web"] = {"Type": "cert-ecdsa", "Shared": True, "ValidFor": 7, "Cert": {}}
    made["TLS"] = {"web": {"Incoming": [{"Port": "8080", "Cert": "web", "DisableClientAuth": True}]}}
    made["Marbles"]["frontend"]["Parameters"]["Env"]["WEB"] = "{{ pem .Secrets.web.Cert }}"
    made["Roles"]["clerk"] = {
        "ResourceType": "Secrets",
        "ResourceNames": ["token"],
        "Actions": ["WriteSecret", "ReadSecret"],
    }
    made["Users"]["bob"]["Roles"].append("clerk")
    made["Config"] = {"UpdateThreshold": 1, "SealMode": "UniqueKey"}
    made["GitOps"] |= {"Binding": "tree", "Quorum": {"backend-release": 1}}
    said, weak = words(made)
    assert weak == [
        "package backend: runs on platforms that are OutOfDate",
        "package backend: runs in spite of INTEL-SA-1",
        "package frontend: DEBUG: the host can read everything in this enclave",
        "package frontend: does not pin ProductID, SecurityVersion",
        "marble backend: its secrets are not bound to its type (DisableSecretBinding)",
        "anything: 1 of alice, bob, carol",
        "a plain signed commit is one vote, without naming the manifest (Binding: tree)",
    ]
    readers = "marbles backend, frontend (certificate only)"
    for line in (
        "marble backend: admits clients without a certificate on port 8080",
        "secret token: written by bob, given to marbles none, read by users bob",
        f"secret web: made in the enclave, one for all, given to {readers}, read by users none",
        "among them 1 of alice (backend-release)",
    ):
        assert line in said, said
