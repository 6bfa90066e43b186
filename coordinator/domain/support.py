"""What this version cannot enforce, refused when a manifest is set and never when a marble needs it.

Each refusal names the place and what brings the feature. A manifest that passes here is enforced completely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator.domain.recovery import check_recovery_keys
from coordinator.domain.rendering import template_value
from coordinator.domain.secrets import check_definitions
from coordinator.domain.ttls import check_connections
from coordinator.errors import ManifestRefusedError, NotSupportedYetError, SecretRefusedError
from marbleops.manifest.errors import ManifestError
from marbleops.manifest.template import dry_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coordinator.domain.secrets import Material
    from marbleops.manifest.model import Manifest

LATER = "a later version"
MAX_PACKAGE_NAME_CHARS = 256
"""What floors and attested versions can name (``approval.floors``); GitOps manifests keep to 64 anyway."""
_UNSUPPORTED_FEATURES = frozenset({"azurehsmsealing"})


def check_supported(manifest: Manifest) -> None:
    """Refuse what could be parsed but not enforced.

    Raises:
        NotSupportedYetError: a feature of a later version.
        ManifestRefusedError: secrets, connections or templates that no marble could be given, recovery keys
        that nobody could use, names and sizes beyond what is kept, or a signed deployment that asks to keep
        nothing.
    """
    for feature in manifest.config.feature_gates:
        if feature.lower() in _UNSUPPORTED_FEATURES:
            raise NotSupportedYetError(f"Config.FeatureGates: {feature}", LATER)
    if manifest.gitops is not None and manifest.config.seal_mode == "Disabled":
        raise ManifestRefusedError(
            "Config.SealMode: the mode Disabled keeps nothing over a restart, but a deployment under signed "
            "commits must not forget what was enforced; use ProductKey or UniqueKey"
        )
    if any(len(name) > MAX_PACKAGE_NAME_CHARS for name in manifest.packages):
        raise ManifestRefusedError(f"Packages: a name has more than {MAX_PACKAGE_NAME_CHARS} characters")
    check_definitions(manifest.secrets)
    check_recovery_keys(manifest.recovery_keys)
    check_connections(manifest)
    try:
        dry_run(manifest)
    except ManifestError as error:
        raise ManifestRefusedError(f"running manifest template dry run: {error.statement}") from error


def check_uploads(manifest: Manifest, values: Mapping[str, Material]) -> None:
    """Refuse uploaded values that a template of the manifest could not write (marblerun-core 5.7).

    Every other user-defined secret has a dummy value.

    Raises:
        SecretRefusedError: with the place of the template.
    """
    shown = {name: template_value(one, manifest.secrets[name]) for name, one in values.items()}
    try:
        dry_run(manifest, values=shown)
    except ManifestError as error:
        raise SecretRefusedError(f"running manifest template dry run: {error.statement}") from error
