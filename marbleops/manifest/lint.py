"""Advice about a manifest that is not refused: what is unsafe, what will surprise, what no one can undo."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from marbleops.manifest.check import may_update_manifest, missing_identity
from marbleops.manifest.issues import nearest
from marbleops.manifest.limits import MAX_SECURITY_VERSION
from marbleops.manifest.position import JsonPath, Positions, decode_text, format_path, scan, shown
from marbleops.manifest.shape import field_names, ignored_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from marbleops.manifest.model import GitOps, Manifest, Package

TCB_STATUSES: Final = (
    "UpToDate",
    "OutOfDate",
    "Revoked",
    "ConfigurationNeeded",
    "OutOfDateConfigurationNeeded",
    "SWHardeningNeeded",
    "ConfigurationAndSWHardeningNeeded",
)
_RISKY_STATUSES: Final = frozenset({"OutOfDate", "Revoked", "OutOfDateConfigurationNeeded"})
_MEASUREMENT: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Warning_:  # noqa: N801 - `Warning` is a builtin exception
    """One piece of advice; ``code`` is stable, ``path``, ``line`` and ``column`` are as in an ``Issue``."""

    code: str
    path: str
    message: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column} {self.path}: {self.message}"


_Advice = tuple[str, JsonPath, str]


def lint(manifest: Manifest) -> tuple[Warning_, ...]:
    """Give advice about a manifest that ``parse.load`` has accepted, in the order of the text."""
    text = decode_text(manifest.raw)[0]
    positions = scan(text)
    advice = [
        *_packages(manifest),
        *_secrets(manifest),
        *_people(manifest),
        *_ignored(json.loads(text)),
    ]
    if manifest.gitops is not None:
        advice += _gitops(manifest, manifest.gitops)
    warnings = {_warning(positions, *piece) for piece in advice}
    return tuple(sorted(warnings, key=lambda w: (w.line, w.column, w.path, w.code, w.message)))


def ignored_fields(manifest: Manifest) -> tuple[Warning_, ...]:
    """Name the fields that a Coordinator passes over in silence; the rules across fields need not hold."""
    text = decode_text(manifest.raw)[0]
    positions = scan(text)
    return tuple(_warning(positions, *piece) for piece in _ignored(json.loads(text)))


def _warning(positions: Positions, code: str, path: JsonPath, message: str) -> Warning_:
    line, column = positions.value(path)
    return Warning_(code=code, path=format_path(path), message=message, line=line, column=column)


def _packages(manifest: Manifest) -> Iterator[_Advice]:
    used = {marble.package for marble in manifest.marbles.values()}
    for name, package in manifest.packages.items():
        path: JsonPath = ("Packages", name)
        if name not in used:
            yield "unused-package", path, "no marble uses this package, and its fields were not checked"
        if package.debug:
            yield (
                "debug-enclave",
                (*path, "Debug"),
                "a debug enclave protects nothing: its memory can be read",
            )
        yield from _identity(path, package)
        for index, status in enumerate(package.accepted_tcb_statuses):
            place = (*path, "AcceptedTCBStatuses", index)
            if status not in TCB_STATUSES:
                hint = nearest(status, TCB_STATUSES)
                words = f"'{shown(status)}' is no status and never matches"
                yield "unknown-tcb-status", place, f"{words} ({hint})" if hint else words
            if status in _RISKY_STATUSES:
                yield "risky-tcb-status", place, f"accepts platforms with known weaknesses: {status}"


def _identity(path: JsonPath, package: Package) -> Iterator[_Advice]:
    missing = missing_identity(package)
    if package.debug and package.unique_id is None and missing:
        words = f"not pinned: {', '.join(missing)}; allowed only because of Debug"
        yield "not-pinned", path, words
    if package.debug and package.unique_id is not None and len(missing) < 3:
        words = "UniqueID stands beside SignerID, ProductID or SecurityVersion; allowed only because of Debug"
        yield "pinned-twice", (*path, "UniqueID"), words
    for field, value in (("UniqueID", package.unique_id), ("SignerID", package.signer_id)):
        if value is not None and _MEASUREMENT.fullmatch(value) is None:
            yield "not-a-measurement", (*path, field), "not 64 hexadecimal digits: no enclave can match"
    if (package.security_version or 0) > MAX_SECURITY_VERSION:
        words = f"an enclave's SecurityVersion is at most {MAX_SECURITY_VERSION}: none can match"
        yield "unreachable-security-version", (*path, "SecurityVersion"), words


def _secrets(manifest: Manifest) -> Iterator[_Advice]:
    for name, secret in manifest.secrets.items():
        path: JsonPath = ("Secrets", name)
        if secret.type == "plain" and not secret.user_defined:
            yield "plain-not-user-defined", path, "a plain secret cannot be generated: set UserDefined"
        if secret.private is not None:
            yield (
                "value-in-manifest",
                (*path, "Private"),
                "this value can be read by everyone who has the manifest",
            )
    for name, marble in manifest.marbles.items():
        if marble.disable_secret_binding:
            words = "marbles of other kinds with this setting derive the same keys"
            yield "no-secret-binding", ("Marbles", name, "DisableSecretBinding"), words


def _people(manifest: Manifest) -> Iterator[_Advice]:
    if not manifest.recovery_keys:
        words = "no RecoveryKeys: if the machine or its enclave keys are lost, so is the state"
        yield "no-recovery-keys", ("RecoveryKeys",), words
    if manifest.config.seal_mode == "Disabled":
        yield "not-sealed", ("Config", "SealMode"), "nothing is kept: a restart loses the deployment"
    elif manifest.gitops is not None and manifest.config.seal_mode != "UniqueKey":
        words = "every Coordinator build of the same signer can open the state (UniqueKey: this build only)"
        yield "sealed-to-signer", ("Config", "SealMode"), words


def _gitops(manifest: Manifest, gitops: GitOps) -> Iterator[_Advice]:
    approvers = len(may_update_manifest(manifest))
    threshold = manifest.config.update_threshold or 0
    path: JsonPath = ("Config", "UpdateThreshold")
    if approvers == threshold:
        words = f"all {approvers} approvers are needed: any lost key is final, list one more"
        yield "no-spare-approver", path, words
    if threshold == 1:
        yield "one-approver", path, "one key decides alone, and pushing a signed draft is approving it"
    if gitops.binding == "tree":
        words = "an author's plain signed commit is a vote, bound to the manifest by SHA-1 only"
        yield "tree-binding", ("GitOps", "Binding"), words
    if gitops.public_evidence:
        words = "everyone may read the signed objects, with names and e-mail addresses"
        yield "public-evidence", ("GitOps", "PublicEvidence"), words
    if gitops.version > 1:
        for field, value in (("Previous", gitops.previous), ("Deployment", gitops.deployment)):
            if value is None:
                words = f"{field} is required from Version 2 on (`marbleops propose` fills it in)"
                yield "incomplete-successor", ("GitOps", field), words
    elif gitops.previous is not None or gitops.deployment is not None:
        words = "the first version has neither Previous nor Deployment"
        yield "incomplete-successor", ("GitOps", "Version"), words
    for name, user in manifest.users.items():
        if not user.certificate:
            yield (
                "no-certificate",
                ("Users", name),
                "a MarbleRun Coordinator wants a Certificate for every user",
            )


def _ignored(document: Any) -> Iterator[_Advice]:
    """Name what a MarbleRun Coordinator passes over in silence."""
    for path in ignored_names(document):
        name = str(path[-1])
        hint = nearest(name, field_names(path[:-1]))
        words = f"the field '{shown(name)}' is unknown and ignored"
        yield "ignored-field", path, f"{words} ({hint})" if hint else words
