"""What this version cannot enforce, refused when a manifest is set and never when a marble needs it.

Each refusal names the place and what brings the feature. A manifest that passes here is enforced completely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator.domain.secrets import check_definitions
from coordinator.errors import ManifestRefusedError, NotSupportedYetError
from marbleops.manifest.errors import ManifestError
from marbleops.manifest.template import dry_run

if TYPE_CHECKING:
    from marbleops.manifest.model import Manifest

DROP_IN = "A drop-in MarbleRun Coordinator"
MAX_PACKAGE_NAME_CHARS = 256
"""What floors and attested versions can name (``approval.floors``); GitOps manifests keep to 64 anyway."""


def check_supported(manifest: Manifest) -> None:
    """Refuse what could be parsed but not enforced.

    Raises:
        NotSupportedYetError: a feature of a later version.
        ManifestRefusedError: secrets or templates that could never be rendered, or names and sizes beyond
        what is kept.
    """
    for name, marble in sorted(manifest.marbles.items()):
        if marble.tls:
            raise NotSupportedYetError(f"Marbles.{name}.TLS: a TLS tag", DROP_IN)
    if manifest.recovery_keys:
        raise NotSupportedYetError("RecoveryKeys", DROP_IN)
    if manifest.config.seal_mode == "Disabled":
        raise NotSupportedYetError("Config.SealMode: the mode Disabled", DROP_IN)
    if manifest.config.feature_gates:
        raise NotSupportedYetError(
            f"Config.FeatureGates: {', '.join(manifest.config.feature_gates)}", DROP_IN
        )
    if any(len(name) > MAX_PACKAGE_NAME_CHARS for name in manifest.packages):
        raise ManifestRefusedError(f"Packages: a name has more than {MAX_PACKAGE_NAME_CHARS} characters")
    check_definitions(manifest.secrets)
    try:
        dry_run(manifest)
    except ManifestError as error:
        raise ManifestRefusedError(f"running manifest template dry run: {error}") from error
