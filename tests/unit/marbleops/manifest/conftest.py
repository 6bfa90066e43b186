"""Small manifests to start from; every test gets its own copy."""

from __future__ import annotations

from typing import Any

import pytest

Document = dict[str, Any]


@pytest.fixture
def plain() -> Document:
    """Give a manifest that MarbleRun and both strictness levels accept."""
    return {
        "Packages": {"backend": {"SignerID": "AB" * 32, "ProductID": 15, "SecurityVersion": 8}},
        "Marbles": {"api": {"Package": "backend"}},
    }


@pytest.fixture
def signed(plain: Document) -> Document:
    """Give a first version under signed approvals."""
    return {
        **plain,
        "Users": {
            "alice": {"Roles": ["updater"], "SigningKeys": ["ssh-ed25519 AAAA alice"]},
            "bob": {"Roles": ["updater"], "SigningKeys": ["ssh-ed25519 BBBB bob"]},
        },
        "Roles": {"updater": {"ResourceType": "Manifest", "Actions": ["UpdateManifest"]}},
        "Config": {"UpdateThreshold": 1},
        "GitOps": {"Lineage": "shop-prod", "Version": 1, "Path": "envs/prod/manifest.json"},
    }
