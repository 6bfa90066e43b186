"""Say what a change will do, as a value: differences, class, approvals, what rotates and what must restart.

Pure: the reconciler logs it, ``marbleops plan`` prints it. The base is always the enforced manifest, never
a Git parent (approvals.md section 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from marbleops.approval.decision import ChangeClass, Decision, Refusal, Requirement
from marbleops.approval.decision import Outcome as Verdict
from marbleops.manifest.diff import Edit, diff
from marbleops.manifest.errors import ManifestError
from marbleops.manifest.template import Target, TemplateError, parse_template

if TYPE_CHECKING:
    from marbleops.manifest.digest import Digest
    from marbleops.manifest.model import Manifest, Marble, Secret

_PLACE = {"Version", "Previous", "Deployment"}
"""The members of ``GitOps`` that every change changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What enforcing ``digest`` instead of ``base`` means.

    ``restarts`` are marbles whose parameters change; running ones keep what they have until then.
    ``refused_at_restart`` are marbles whose package changes: what does not fit it is not admitted again.
    """

    digest: Digest
    base: Digest | None
    version: int | None
    change_class: ChangeClass | None
    outcome: Verdict
    edits: tuple[Edit, ...]
    weakens: tuple[str, ...]
    requirements: tuple[Requirement, ...]
    refusals: tuple[Refusal, ...]
    rotates: tuple[str, ...]
    restarts: tuple[str, ...]
    refused_at_restart: tuple[str, ...]
    summary: str

    @property
    def empty(self) -> bool:
        """Whether nothing would change."""
        return self.outcome is Verdict.UNCHANGED


def make_plan(*, base: Manifest | None, candidate: Manifest, decision: Decision) -> Plan:
    """Plan the change from *base* (``None`` before the first manifest) to *candidate*."""
    edits = diff(base.document if base else {}, candidate.document)
    told = tuple(
        edit
        for edit in edits
        if not (len(edit.path) == 2 and edit.path[0] == "GitOps" and edit.path[1] in _PLACE)
    )
    unchanged = decision.outcome is Verdict.UNCHANGED
    return Plan(
        digest=candidate.digest,
        base=base.digest if base else None,
        version=decision.version,
        change_class=decision.change_class,
        outcome=decision.outcome,
        edits=() if unchanged else told,
        weakens=decision.weakens,
        requirements=decision.requirements,
        refusals=decision.refusals,
        rotates=() if unchanged else _rotates(base, candidate, decision.change_class),
        restarts=() if base is None or unchanged else _restarts(base, candidate),
        refused_at_restart=() if base is None or unchanged else _raised(base, candidate),
        summary=decision.summary,
    )


def _rotates(base: Manifest | None, candidate: Manifest, change_class: ChangeClass | None) -> tuple[str, ...]:
    """Name what gets new keys (marblerun-core 6.3, 6.4)."""
    if base is None:
        return ()
    rotated = ["the intermediate CA and the marble root certificate"]
    certificates = sorted(
        name
        for name, secret in candidate.secrets.items()
        if secret.type.startswith("cert-") and not secret.user_defined and name in base.secrets
    )
    bump = change_class is ChangeClass.PACKAGE_BUMP
    rotated += [
        f"certificate secret {name}" for name in certificates if candidate.secrets[name].shared or not bump
    ]
    changed = sorted(
        name
        for name, secret in candidate.secrets.items()
        if name in base.secrets and name not in certificates and secret != base.secrets[name]
    )
    rotated += [f"secret {name}, whose definition changes" for name in changed]
    if candidate.config.rotate_root_secret and not bump:
        rotated.append("the root secret, and with it every generated symmetric key")
    return tuple(rotated)


def _restarts(base: Manifest, candidate: Manifest) -> tuple[str, ...]:
    secrets = {
        name
        for name in {*base.secrets, *candidate.secrets}
        if base.secrets.get(name) != candidate.secrets.get(name)
    }
    if candidate.config.rotate_root_secret:
        secrets |= {name for name, secret in candidate.secrets.items() if _symmetric(secret)}
    tags = {name for name in {*base.tls, *candidate.tls} if base.tls.get(name) != candidate.tls.get(name)}
    return tuple(
        sorted(
            name
            for name, marble in candidate.marbles.items()
            if (old := base.marbles.get(name)) is not None
            and (old != marble or tags.intersection(marble.tls) or secrets.intersection(secrets_read(marble)))
        )
    )


def _symmetric(secret: Secret) -> bool:
    return secret.type == "symmetric-key" and not secret.user_defined


def _raised(base: Manifest, candidate: Manifest) -> tuple[str, ...]:
    changed = {
        name
        for name, package in candidate.packages.items()
        if name in base.packages and package != base.packages[name]
    }
    return tuple(sorted(name for name, marble in candidate.marbles.items() if marble.package in changed))


def secrets_read(marble: Marble) -> frozenset[str]:
    """Name the secrets that a marble's templates read; a template that does not parse reads none."""
    names: set[str] = set()
    for target, files in ((Target.FILE, marble.parameters.files), (Target.ENV, marble.parameters.env)):
        for file in files.values():
            if file.no_templates:
                continue
            try:
                names |= parse_template(file.data, target=target).references()
            except (TemplateError, ManifestError):
                continue
    return frozenset(names)
