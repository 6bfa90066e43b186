"""A small deployment, *shop*: three people with keys, manifests of any version, and the evidence for them."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from conformance import gitsmith
from marbleops.approval.evidence import DetachedPiece, Piece
from marbleops.approval.statement import approval_statement, key_proof_statement
from marbleops.attestation.platform.measure import signer_of_label
from marbleops.manifest.digest import Digest
from tests.fakes.logins import login

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LINEAGE = "shop-test"
PEOPLE = ("alice", "bob", "carol")
SIGNER = signer_of_label("shop vendor")
PRODUCT = 15


def document() -> dict[str, Any]:
    """Return the manifest of version 1, to be changed at will."""
    return copy.deepcopy(_DOCUMENT)


def manifest(
    version: int = 1,
    *,
    previous: bytes | None = None,
    deployment: Digest | None = None,
    change: Callable[[dict[str, Any]], None] | None = None,
) -> bytes:
    """Write the manifest of *version*, which follows the bytes *previous* in *deployment*."""
    made = document() if previous is None else json.loads(previous)
    made["GitOps"]["Version"] = version
    if previous is not None:
        made["GitOps"]["Previous"] = str(Digest.of(previous))
    if deployment is not None:
        made["GitOps"]["Deployment"] = str(deployment)
    if change is not None:
        change(made)
    return json.dumps(made, indent=2).encode() + b"\n"


def bump(version: int) -> Callable[[dict[str, Any]], None]:
    """Return the change that raises the backend's SecurityVersion to *version*."""

    def change(made: dict[str, Any]) -> None:
        made["Packages"]["backend"]["SecurityVersion"] = version

    return change


def plain_manifest() -> bytes:
    """Write a manifest without a GitOps section, as MarbleRun knows it."""
    made = document()
    del made["GitOps"]
    for name, user in made["Users"].items():
        del user["SigningKeys"]
        user["Certificate"] = login(name).certificate_pem.decode()
    return json.dumps(made).encode()


def approval(raw: bytes, user: str) -> Piece:
    """Approve the manifest *raw* in the name of *user*, detached."""
    version = json.loads(raw)["GitOps"]["Version"]
    statement = approval_statement(lineage=LINEAGE, version=version, digest=Digest.of(raw), user=user)
    return DetachedPiece(signature=gitsmith.key(user).sign(statement, gitsmith.STATEMENT), user=user)


def proof(user: str) -> Piece:
    """Prove the key of *user*."""
    key = gitsmith.key(user)
    statement = key_proof_statement(fingerprint=key.fingerprint, lineage=LINEAGE, user=user)
    return DetachedPiece(signature=key.sign(statement, gitsmith.STATEMENT), user=user, statement="key-proof")


def approvals(raw: bytes, *users: str) -> Sequence[Piece]:
    """Approve *raw* in the name of each of *users*."""
    return tuple(approval(raw, user) for user in users)


def genesis_evidence(raw: bytes) -> Sequence[Piece]:
    """Return what a genesis needs: two approvals, and the key proof of the third person."""
    return (approval(raw, "alice"), approval(raw, "bob"), proof("carol"))


_DOCUMENT: dict[str, Any] = {
    "Packages": {
        "backend": {"SignerID": SIGNER.hex(), "ProductID": PRODUCT, "SecurityVersion": 1},
        "frontend": {"SignerID": SIGNER.hex(), "ProductID": 16, "SecurityVersion": 1},
    },
    "Marbles": {
        "backend": {
            "Package": "backend",
            "MaxActivations": 2,
            "Parameters": {
                "Files": {"/tmp/key.hex": "{{ hex .Secrets.shared }}"},
                "Env": {"OWN": "{{ base64 .Secrets.own }}", "GREETING": "hello"},
                "Argv": ["backend", "--serve"],
            },
        },
        "frontend": {
            "Package": "frontend",
            "Parameters": {"Env": {"ROOT": "{{ pem .MarbleRun.RootCA.Cert }}"}, "Argv": ["frontend"]},
        },
    },
    "Secrets": {
        "shared": {"Type": "symmetric-key", "Size": 128, "Shared": True},
        "own": {"Type": "symmetric-key", "Size": 256},
        "token": {"Type": "plain", "UserDefined": True},
    },
    "Users": {
        name: {
            "Certificate": f"certificate of {name}",
            "Roles": ["updater", "backend-release"] if name == "alice" else ["updater"],
            "SigningKeys": [gitsmith.key(name).public_line(f"{name}@example.org")],
        }
        for name in PEOPLE
    },
    "Roles": {
        "updater": {"ResourceType": "Manifest", "Actions": ["UpdateManifest"]},
        "backend-release": {
            "ResourceType": "Packages",
            "ResourceNames": ["backend"],
            "Actions": ["UpdateSecurityVersion"],
        },
    },
    "Config": {"UpdateThreshold": 2},
    "GitOps": {"Lineage": LINEAGE, "Version": 1, "Path": "manifest.json"},
}
