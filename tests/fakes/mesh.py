"""A deployment of MarbleRun's kind: a manifest without signed commits, and its users with certificates."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from tests.fakes import shop
from tests.fakes.logins import login

if TYPE_CHECKING:
    from collections.abc import Callable

ADMINS = ("anna", "ben", "cleo")


def document() -> dict[str, Any]:
    """Return the manifest: three admins, one who may only raise ``backend``, one who handles secrets."""
    users = {name: ["admin"] for name in ADMINS} | {"rita": ["releaser"], "sam": ["secrets"]}
    return {
        "Packages": {
            "backend": {"SignerID": shop.SIGNER.hex(), "ProductID": shop.PRODUCT, "SecurityVersion": 2},
            "frontend": {"SignerID": shop.SIGNER.hex(), "ProductID": 16, "SecurityVersion": 1},
        },
        "Marbles": {
            "backend": {
                "Package": "backend",
                "MaxActivations": 3,
                "Parameters": {
                    "Argv": ["backend"],
                    "Env": {"PASSWORD": "{{ string .Secrets.password }}", "OWN": "{{ hex .Secrets.own }}"},
                    "Files": {"/key": "{{ hex .Secrets.shared }}"},
                },
            },
            "frontend": {"Package": "frontend"},
        },
        "Users": {
            name: {"Certificate": login(name).certificate_pem.decode(), "Roles": roles}
            for name, roles in users.items()
        },
        "Roles": {
            "admin": {"ResourceType": "Manifest", "Actions": ["UpdateManifest"]},
            "releaser": {
                "ResourceType": "Packages",
                "ResourceNames": ["backend"],
                "Actions": ["UpdateSecurityVersion"],
            },
            "secrets": {
                "ResourceType": "Secrets",
                "ResourceNames": ["password"],
                "Actions": ["ReadSecret", "WriteSecret"],
            },
        },
        "Secrets": {
            "password": {"Type": "plain", "UserDefined": True},
            "own": {"Type": "symmetric-key", "Size": 128},
            "shared": {"Type": "symmetric-key", "Size": 256, "Shared": True},
        },
        "Config": {"UpdateThreshold": 2},
    }


def manifest(change: Callable[[dict[str, Any]], None] | None = None) -> bytes:
    """Write the manifest, changed."""
    made = copy.deepcopy(document())
    if change is not None:
        change(made)
    return json.dumps(made).encode()


def package_update(**versions: int) -> bytes:
    """Write a manifest that only raises SecurityVersions."""
    packages = {name: {"SecurityVersion": version} for name, version in versions.items()}
    return json.dumps({"Packages": packages}).encode()
