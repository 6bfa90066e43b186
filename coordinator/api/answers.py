"""What the calls of MarbleRun's interface answer, in both versions (marblerun-core 1.7, section 11)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from coordinator.domain.certificates import DEFAULT_DAYS
from marbleops.manifest.certificate_read import read_template

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from coordinator.domain.secrets import Material
    from marbleops.manifest.model import Secret

CANCELLED = "Update successfully cancelled"
RECOVER_IS_V2 = (
    "Recovering the Coordinator using the /recover API endpoint has been disabled. "
    "Use the /api/v2/recover endpoint instead."
)


def base64_text(value: bytes) -> str:
    """Write bytes that are there."""
    return base64.b64encode(value).decode()


def base64_or_null(value: bytes) -> str | None:
    """Write bytes that may be unset, which Go has as ``null``."""
    return base64_text(value) if value else None


def base64_table(values: Mapping[str, bytes]) -> dict[str, str]:
    """Write bytes by name, in Go's order."""
    return {name: base64_text(value) for name, value in sorted(values.items())}


def secret_table(secrets: Mapping[str, tuple[Secret, Material]]) -> dict[str, dict[str, Any]]:
    """Write secrets with their values, under the names of Go's fields (13.7)."""
    return {name: _secret(*secrets[name]) for name in sorted(secrets)}


def _secret(definition: Secret, material: Material) -> dict[str, Any]:
    return {
        "Type": definition.type,
        "Size": definition.size,
        "Shared": definition.shared,
        "UserDefined": definition.user_defined,
        "Cert": base64_or_null(material.cert),
        "ValidFor": _days(definition),
        "Private": base64_or_null(material.private),
        "Public": base64_or_null(material.public),
    }


def _days(definition: Secret) -> int:
    """MarbleRun shows the days it has given a generated certificate that asks for none (5.4)."""
    generated = definition.type.startswith("cert-") and not definition.user_defined
    if definition.valid_for or not generated or read_template(definition.cert).not_after is not None:
        return definition.valid_for
    return DEFAULT_DAYS


def acknowledged(missing: int) -> str:
    """Say how many acknowledgements are missing; clients of version 1 parse the first word."""
    if missing == 0:
        return "All users have acknowledged the update manifest. Update successfully applied"
    who = "1 user still needs" if missing == 1 else f"{missing} users still need"
    return f"{who} to acknowledge the update manifest"


def acknowledged_by_name(missing: int, users: Collection[str]) -> str:
    """Say how many acknowledgements are missing, and who has not given one."""
    if missing == 0:
        return acknowledged(missing)
    names = ", ".join(users)
    return f"{acknowledged(missing)}.\nThe following users have not yet accepted: {names}"
