"""Advice: what is accepted and still worth a word."""

from __future__ import annotations

import json
from typing import Any

from marbleops.manifest.lint import lint
from marbleops.manifest.parse import Strictness, load

Document = dict[str, Any]


def advice(document: Document) -> dict[str, set[str]]:
    """Return the codes of the advice, by path."""
    manifest = load(json.dumps(document).encode(), strictness=Strictness.MARBLERUN)
    found: dict[str, set[str]] = {}
    for warning in lint(manifest):
        found.setdefault(warning.path, set()).add(warning.code)
    return found


def test_plain(plain: Document) -> None:
    """A sound manifest gets the one piece of advice about recovery."""
    assert advice(plain) == {"RecoveryKeys": {"no-recovery-keys"}}


def test_debug_package(plain: Document) -> None:
    """Debug, missing pins and ones that can never match are told."""
    plain["Packages"]["backend"] = {"Debug": True, "UniqueID": "<later>", "SecurityVersion": 70_000}
    plain["Packages"]["other"] = {"Debug": True}

    found = advice(plain)

    assert found["Packages.backend.Debug"] == {"debug-enclave"}
    assert found["Packages.backend.UniqueID"] == {"not-a-measurement", "pinned-twice"}
    assert found["Packages.backend.SecurityVersion"] == {"unreachable-security-version"}
    assert found["Packages.other"] == {"unused-package", "not-pinned"}


def test_statuses(plain: Document) -> None:
    """A misspelt status never matches, a risky one is named."""
    plain["Packages"]["backend"]["AcceptedTCBStatuses"] = ["SWHardeningneeded", "OutOfDate", "UpToDate"]

    found = advice(plain)

    assert found["Packages.backend.AcceptedTCBStatuses[0]"] == {"unknown-tcb-status"}
    assert found["Packages.backend.AcceptedTCBStatuses[1]"] == {"risky-tcb-status"}


def test_ignored_fields_are_told_with_a_hint(plain: Document) -> None:
    """What a MarbleRun Coordinator would pass over in silence is told."""
    plain["Packages"]["backend"]["SecurityVerison"] = 9
    manifest = load(json.dumps(plain).encode(), strictness=Strictness.MARBLERUN)

    (warning,) = (w for w in lint(manifest) if w.code == "ignored-field")

    assert warning.path == "Packages.backend.SecurityVerison"
    assert "did you mean 'SecurityVersion'?" in warning.message
    assert str(warning).startswith(f"1:{warning.column} Packages.backend.SecurityVerison: ")


def test_secrets_and_marbles(plain: Document) -> None:
    """Values in the manifest, plain secrets nobody uploads, and unbound secrets are told."""
    plain["Secrets"] = {
        "a": {"Type": "plain"},
        "b": {"Type": "plain", "UserDefined": True, "Private": "AA=="},
    }
    plain["Marbles"]["api"]["DisableSecretBinding"] = True
    plain["Config"] = {"SealMode": "Disabled"}

    found = advice(plain)

    assert found["Secrets.a"] == {"plain-not-user-defined"}
    assert found["Secrets.b.Private"] == {"value-in-manifest"}
    assert found["Marbles.api.DisableSecretBinding"] == {"no-secret-binding"}
    assert found["Config.SealMode"] == {"not-sealed"}


def test_gitops(signed: Document) -> None:
    """Under approvals, what cannot be undone is told."""
    found = advice(signed)

    assert found["Config.UpdateThreshold"] == {"one-approver"}
    assert found["Config.SealMode"] == {"sealed-to-signer"}
    assert found["Users.alice"] == {"no-certificate"}


def test_gitops_without_a_spare(signed: Document) -> None:
    """Where every approver is needed, any lost key is final."""
    signed["Config"] = {"UpdateThreshold": 2, "SealMode": "UniqueKey"}
    signed["GitOps"] |= {"Version": 3, "Binding": "tree", "PublicEvidence": True}

    found = advice(signed)

    assert found["Config.UpdateThreshold"] == {"no-spare-approver"}
    assert found["GitOps.Binding"] == {"tree-binding"}
    assert found["GitOps.PublicEvidence"] == {"public-evidence"}
    assert found["GitOps.Previous"] == {"incomplete-successor"}
    assert "Config.SealMode" not in found


def test_first_version_with_a_predecessor(signed: Document) -> None:
    """The first version replaces nothing."""
    signed["GitOps"]["Deployment"] = f"sha256:{'0' * 64}"

    assert advice(signed)["GitOps.Version"] == {"incomplete-successor"}
