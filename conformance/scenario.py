"""Small manifests, people with keys, and their statements: the stage for cases and tests of ``decide``.

Everything is derived from labels, so the same calls give the same bytes. A manifest is a plain dictionary
that a scenario edits; ``raw`` writes it down.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from conformance import gitsmith
from marbleops.approval.deployment import deployment_id
from marbleops.approval.enforced import Enforced
from marbleops.approval.evidence import DetachedPiece, ObjectPiece, ParentProof
from marbleops.approval.floors import NO_FLOORS, AttestedVersions, Floors, advance
from marbleops.approval.statement import (
    approval_line,
    approval_statement,
    key_proof_line,
    key_proof_statement,
)
from marbleops.manifest.digest import Digest
from marbleops.manifest.parse import Strictness, load

if TYPE_CHECKING:
    from marbleops.manifest.model import Manifest

Document = dict[str, Any]

SIGNER = "a1" * 32
OTHER_SIGNER = "b2" * 32
PRODUCT = 15
LINEAGE = "shop-prod"
PATH = "envs/prod/manifest.json"
ROOT_SPKI = b"the root key of a deployment that exists in cases only"
NO_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def user(name: str, *roles: str, keys: tuple[gitsmith.Key, ...] | None = None) -> Document:
    """Make a user with an Ed25519 key derived from the name, or with *keys*."""
    chosen = (gitsmith.key(name),) if keys is None else keys
    return {
        "Certificate": f"certificate of {name}",
        "Roles": list(roles),
        "SigningKeys": [key.public_line(f"{name}@example.org") for key in chosen],
    }


def base() -> Document:
    """Make the first manifest: approvers alice, bob and carol (two of them), dave may bump backend."""
    return {
        "Packages": {
            "backend": {"SignerID": SIGNER, "ProductID": PRODUCT, "SecurityVersion": 5},
            "frontend": {"SignerID": SIGNER, "ProductID": 16, "SecurityVersion": 3},
        },
        "Marbles": {
            "backend": {"Package": "backend", "Parameters": {"Env": {"KEY": "{{ hex .Secrets.db }}"}}},
            "frontend": {"Package": "frontend", "MaxActivations": 2},
        },
        "Secrets": {
            "db": {"Type": "symmetric-key", "Size": 128, "Shared": True},
            "other": {"Type": "symmetric-key", "Size": 128, "Shared": True},
            "upload": {"Type": "plain", "UserDefined": True},
        },
        "Roles": {
            "updater": {"ResourceType": "Manifest", "Actions": ["UpdateManifest"]},
            "release": {
                "ResourceType": "Packages",
                "ResourceNames": ["backend"],
                "Actions": ["UpdateSecurityVersion"],
            },
            "security": {"ResourceType": "Manifest", "Actions": []},
        },
        "Users": {
            "alice": user("alice", "updater"),
            "bob": user("bob", "updater"),
            "carol": user("carol", "updater"),
            "dave": user("dave", "release"),
        },
        "Config": {"UpdateThreshold": 2},
        "GitOps": {"Lineage": LINEAGE, "Version": 1, "Path": PATH},
    }


def raw(document: Document) -> bytes:
    """Write a manifest down."""
    return json.dumps(document, indent=1).encode() + b"\n"


@lru_cache(maxsize=256)
def _load(encoded: bytes) -> Manifest:
    # Most cases start from the same few manifests, and a schema check costs milliseconds.
    return load(encoded, strictness=Strictness.STRICT)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A deployment in which *document* is enforced."""

    document: Document
    floors: Floors | None = None
    attested: AttestedVersions = field(default_factory=dict)
    revoked: frozenset[str] = frozenset()
    withdrawn: dict[Digest, frozenset[str]] = field(default_factory=dict)

    @property
    def raw(self) -> bytes:
        """The enforced bytes."""
        return raw(self.document)

    @property
    def manifest(self) -> Manifest:
        """The enforced manifest."""
        return _load(self.raw)

    @property
    def deployment(self) -> Digest:
        """The deployment's id."""
        return deployment_id(ROOT_SPKI, Digest.of(b"the genesis of all cases"))

    @property
    def enforced(self) -> Enforced:
        """What a decision starts from."""
        return Enforced(
            manifest=self.manifest,
            deployment=self.deployment,
            floors=self.floors or advance(NO_FLOORS, None, self.manifest),
            attested=self.attested,
            revoked=self.revoked,
            withdrawn=self.withdrawn,
        )

    def next(self) -> Document:
        """Make the next manifest, so far without any other change."""
        document = copy.deepcopy(self.document)
        document["GitOps"] |= {
            "Version": document["GitOps"]["Version"] + 1,
            "Previous": str(Digest.of(self.raw)),
            "Deployment": str(self.deployment),
        }
        return document


def stage(**gitops: Any) -> Stage:
    """Make the usual stage; *gitops* are further members of the section."""
    document = base()
    document["GitOps"] |= gitops
    return Stage(document=document)


def tag(message: str, key: gitsmith.Key, author: str = "somebody") -> ObjectPiece:
    """Make a signed tag with *message*."""
    return ObjectPiece(object=gitsmith.make_tag("1" * 40, "approve/x", author, message, key))


def approve(manifest: bytes, name: str, *, key: gitsmith.Key | None = None) -> ObjectPiece:
    """Make the signed tag by which *name* approves *manifest*."""
    line = approval_line(Digest.of(manifest), name)
    return tag(f"approve\n\n{line}\n", key or gitsmith.key(name), name)


def approve_commit(manifest: bytes, name: str, *, subject: str = "an approval") -> ObjectPiece:
    """Make the signed empty commit by which *name* approves *manifest*."""
    message = f"{subject}\n\n{approval_line(Digest.of(manifest), name)}\n"
    return ObjectPiece(object=gitsmith.make_commit(NO_TREE, (), name, message, gitsmith.key(name)))


def approve_detached(
    manifest: bytes, name: str, *, version: int, lineage: str = LINEAGE, key: gitsmith.Key | None = None
) -> DetachedPiece:
    """Make the detached statement by which *name* approves *manifest*."""
    text = approval_statement(lineage=lineage, version=version, digest=Digest.of(manifest), user=name)
    return DetachedPiece(signature=(key or gitsmith.key(name)).sign(text, gitsmith.STATEMENT), user=name)


def prove(name: str, *, key: gitsmith.Key | None = None, lineage: str = LINEAGE) -> ObjectPiece:
    """Make the signed tag by which *name* proves to have a key."""
    proven = key or gitsmith.key(name)
    line = key_proof_line(fingerprint=proven.fingerprint, lineage=lineage, user=name)
    return tag(f"key\n\n{line}\n", proven, name)


def prove_detached(name: str, *, key: gitsmith.Key | None = None, lineage: str = LINEAGE) -> DetachedPiece:
    """Make the detached statement by which *name* proves to have a key."""
    proven = key or gitsmith.key(name)
    text = key_proof_statement(fingerprint=proven.fingerprint, lineage=lineage, user=name)
    return DetachedPiece(signature=proven.sign(text, gitsmith.STATEMENT), user=name, statement="key-proof")


def tree_vote(
    manifest: bytes,
    name: str,
    *,
    parents: tuple[bytes, ...],
    message: str = "change the manifest\n",
    path: str = PATH,
    committer: str | None = None,
) -> ObjectPiece:
    """Make *name*'s plain signed commit of *manifest* on top of commits that hold *parents* at the path."""
    proofs = []
    for content in parents:
        root, trees = gitsmith.make_path(path, content)
        proofs.append(ParentProof(object=gitsmith.make_commit(root, (), "bob", "before\n"), trees=trees))
    root, trees = gitsmith.make_path(path, manifest)
    ids = [gitsmith.object_id("commit", proof.object) for proof in proofs]
    commit = gitsmith.make_commit(root, ids, name, message, gitsmith.key(name), committer=committer)
    return ObjectPiece(object=commit, trees=trees, parents=tuple(proofs))


def genesis_evidence(
    manifest: bytes, approvers: tuple[str, ...], provers: tuple[str, ...]
) -> list[ObjectPiece]:
    """Make approvals and key proofs of a first manifest."""
    return [*(approve(manifest, name) for name in approvers), *(prove(name) for name in provers)]
