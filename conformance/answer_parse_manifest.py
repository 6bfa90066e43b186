"""Answers a `parse-manifest` question with this implementation; see ``cases_parse_manifest``."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from marbleops.manifest.errors import ManifestError
from marbleops.manifest.parse import Strictness, load
from marbleops.manifest.template import dry_run

if TYPE_CHECKING:
    from collections.abc import Mapping


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``verdict`` and, for a refused manifest, ``reason`` and ``path`` of its first issue."""
    raw = (
        base64.b64decode(question["manifestBase64"])
        if "manifestBase64" in question
        else question["manifest"].encode()
    )
    try:
        dry_run(load(raw, strictness=Strictness(question["strictness"])))
    except ManifestError as error:
        return {"verdict": "reject", "reason": error.code.value, "path": error.issues[0].path}
    return {"verdict": "accept"}
