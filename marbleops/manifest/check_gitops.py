"""The rules of a manifest under signed approvals that need no key parsing (approvals.md section 1).

Keys, seats and satisfiability are ``approval.policy``'s; what compares with the enforced manifest (Version,
Previous, Deployment, floors) is ``approval.decide``'s.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from marbleops.manifest.limits import MAX_SECURITY_VERSION
from marbleops.manifest.position import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from marbleops.manifest.issues import Issues
    from marbleops.manifest.model import GitOps, Manifest, Package

USER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_MEASUREMENT: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NO_SEGMENTS: Final = frozenset({".", "..", ".git"})


def check_gitops(manifest: Manifest, gitops: GitOps, issues: Issues) -> None:
    """Add every rule that *manifest* breaks to *issues*."""
    _check_names("Users", manifest.users, USER_NAME, issues)
    _check_names("Roles", manifest.roles, NAME, issues)
    _check_names("Packages", manifest.packages, NAME, issues)
    if NAME.fullmatch(gitops.lineage) is None:
        _tell_name(("GitOps", "Lineage"), gitops.lineage, NAME, issues)
    _check_path(gitops.path, issues)
    for name, package in manifest.packages.items():
        _check_identity(name, package, issues)
    _check_people(manifest, gitops, issues)
    _check_recovery(manifest, issues)


def _check_names(section: str, names: Iterable[str], form: re.Pattern[str], issues: Issues) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if form.fullmatch(name) is None:
            _tell_name((section, name), name, form, issues)
        first = seen.setdefault(name.casefold(), name)
        if first != name:
            message = f"the names '{shown(first)}' and '{shown(name)}' differ only by case"
            issues.invalid((section, name), message)


def _tell_name(path: tuple[str, ...], name: str, form: re.Pattern[str], issues: Issues) -> None:
    issues.invalid(path, f"'{shown(name)}' is not a name: with GitOps it matches {form.pattern}")


def _check_path(path: str, issues: Issues) -> None:
    segments = path.split("/")
    if any(_SEGMENT.fullmatch(s) is None or s.lower() in _NO_SEGMENTS for s in segments):
        message = (
            f"'{shown(path)}' is not a path in a repository: segments of letters, digits, '.', '_' and '-', "
            "none of them '.', '..' or '.git'"
        )
        issues.invalid(("GitOps", "Path"), message)


def _check_identity(name: str, package: Package, issues: Issues) -> None:
    """Refuse identities that no quote can show: floors and history keep them for ever."""
    for field, number in (("ProductID", package.product_id), ("SecurityVersion", package.security_version)):
        if (number or 0) > MAX_SECURITY_VERSION:
            issues.invalid(("Packages", name, field), f"with GitOps {field} is 0 to {MAX_SECURITY_VERSION}")
    for field, text in (("SignerID", package.signer_id), ("UniqueID", package.unique_id)):
        if text is not None and _MEASUREMENT.fullmatch(text) is None:
            issues.invalid(("Packages", name, field), f"with GitOps {field} is 64 hexadecimal digits")


def _check_people(manifest: Manifest, gitops: GitOps, issues: Issues) -> None:
    threshold = manifest.config.update_threshold
    if threshold is None:
        issues.invalid(("Config", "UpdateThreshold"), "with GitOps Config.UpdateThreshold is written out")
    elif threshold < 1:
        issues.invalid(("Config", "UpdateThreshold"), "with GitOps UpdateThreshold is at least 1")
    if gitops.package_threshold < 1:
        issues.invalid(("GitOps", "PackageThreshold"), "PackageThreshold is at least 1")
    for role, seats in gitops.quorum.items():
        if role not in manifest.roles:
            message = f"Quorum names the role {shown(role)}, which is not in Roles"
            issues.invalid(("GitOps", "Quorum", role), message, hint=issues.nearest(role, manifest.roles))
        if seats < 1:
            issues.invalid(("GitOps", "Quorum", role), "a row of Quorum is at least 1")
    granting = {name for name, role in manifest.roles.items() if "updatemanifest" in role.actions}
    for name, user in manifest.users.items():
        if not granting.isdisjoint(user.roles) and not user.signing_keys:
            message = f"user {shown(name)} has UpdateManifest and no signing key"
            issues.invalid(
                ("Users", name, "SigningKeys"), message, hint="an approver who cannot sign counts nowhere"
            )


def _check_recovery(manifest: Manifest, issues: Issues) -> None:
    """Recovery holders together read every secret and impersonate: they are a quorum too."""
    config = manifest.config
    if config.seal_mode == "Disabled":
        issues.invalid(
            ("Config", "SealMode"), "SealMode Disabled is refused with GitOps: nothing would be kept"
        )
    keys = len(manifest.recovery_keys)
    effective = config.recovery_threshold or keys
    if keys and effective < (config.update_threshold or 0):
        message = (
            f"{effective} recovery keys together recover the state, fewer than UpdateThreshold "
            f"({config.update_threshold})"
        )
        issues.invalid(("Config", "RecoveryThreshold"), message, hint="raise it, or list no recovery keys")
