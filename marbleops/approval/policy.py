"""Who may agree to what: the policy that a GitOps section states (approvals.md sections 1 and 3).

Reading a policy parses every key, finds out who is an approver and who may bump which package, and refuses a
policy that its own users could never meet. The same reading serves the enforced manifest (whose policy
decides) and the candidate (whose policy must be one to live with).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from marbleops.approval.decision import Refusal
from marbleops.approval.errors import EvidenceError
from marbleops.approval.limits import MAX_LISTED_KEYS, MAX_PIECES, MAX_RIGHTS
from marbleops.approval.reasons import Reason
from marbleops.approval.seating import seat
from marbleops.approval.sshkey import PublicKey, parse_public_key
from marbleops.manifest.position import JsonPath, Positions, decode_text, format_path, scan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marbleops.manifest.model import Manifest, Role

MAX_REFUSALS = 20
"""Problems told of one kind: a caller who lists thousands of bad keys gets no scan of the text for each."""

UPDATE_MANIFEST = "updatemanifest"
UPDATE_SECURITY_VERSION = "updatesecurityversion"

Right = tuple[str, str, str]
"""Resource type, action, resource name (empty for rights on the manifest)."""


class PolicyError(Exception):
    """A policy that cannot be used; holds every problem found."""

    def __init__(self, issues: tuple[Refusal, ...]) -> None:
        assert issues, "an error without an issue explains nothing"
        super().__init__("; ".join(issue.message for issue in issues))
        self.issues = issues

    @property
    def reason(self) -> Reason:
        """The reason of the first problem."""
        return self.issues[0].reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A user as these rules see one: ``keys`` may vote, ``listed`` are all keys written down."""

    name: str
    keys: tuple[PublicKey, ...]
    listed: tuple[PublicKey, ...]
    roles: tuple[str, ...]
    rights: frozenset[Right]
    approver: bool
    bumps: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules in force; ``weaken_quorum`` is how many approvers a weakening needs, defaults resolved."""

    manifest: Manifest = field(repr=False)
    users: Mapping[str, Principal]
    lineage: str
    version: int
    path: str
    binding: str
    update_threshold: int
    package_threshold: int
    weaken_quorum: int
    quorum: Mapping[str, int]
    require_user_presence: bool

    @property
    def approvers(self) -> frozenset[str]:
        """The users whose votes count for every class."""
        return frozenset(name for name, user in self.users.items() if user.approver)

    def bumpers(self, package: str) -> frozenset[str]:
        """Return the users with a usable key who may raise the SecurityVersion of *package*."""
        return frozenset(name for name, user in self.users.items() if user.keys and package in user.bumps)


def read_policy(manifest: Manifest, *, revoked: frozenset[str] = frozenset()) -> Policy:
    """Read the policy of a manifest; *revoked* holds fingerprints of keys that count nowhere.

    Raises:
        PolicyError: ``gitops-not-enabled`` without the section, ``manifest-invalid`` or
        ``unsupported-key-type`` for
            keys, ``too-large``, ``policy-unsatisfiable`` where the users could never meet a requirement.
    """
    gitops = manifest.gitops
    if gitops is None:
        raise PolicyError((Refusal(reason=Reason.GITOPS_NOT_ENABLED, message="no GitOps section"),))
    listed = _read_keys(manifest)
    rights = _read_rights(manifest)
    users = {
        name: _principal(manifest, name, listed=listed[name], rights=rights[name], revoked=revoked)
        for name in sorted(manifest.users)
    }
    _check_users(manifest, users, revoked)
    threshold = manifest.config.update_threshold or 0
    approvers = sum(user.approver for user in users.values())
    policy = Policy(
        manifest=manifest,
        users=users,
        lineage=gitops.lineage,
        version=gitops.version,
        path=gitops.path,
        binding=gitops.binding,
        update_threshold=threshold,
        package_threshold=gitops.package_threshold,
        weaken_quorum=weaken_quorum(
            threshold=threshold, approvers=approvers, written=gitops.weaken_threshold
        ),
        quorum=dict(sorted(gitops.quorum.items())),
        require_user_presence=gitops.require_user_presence,
    )
    issues = tuple(_unsatisfiable(policy))
    if issues:
        raise PolicyError(issues)
    return policy


def weaken_quorum(threshold: int, *, approvers: int, written: int) -> int:
    """Resolve how many approvers a weakening needs: max(UpdateThreshold, W) of approvals.md section 3.

    The default is one more than usual where that many exist, and always a majority, so that a minority that
    may change things cannot vote the others out.
    """
    default = max(min(threshold + 1, approvers), approvers // 2 + 1)
    return max(threshold, written or default)


def refusal_at(manifest: Manifest, reason: Reason, path: JsonPath, message: str) -> Refusal:
    """Write a refusal with the place in the manifest's text that it speaks of."""
    line, column = _positions(manifest.raw).value(path)
    return Refusal(reason=reason, message=message, path=format_path(path), line=line, column=column)


@lru_cache(maxsize=1)
def _positions(raw: bytes) -> Positions:
    """Index the text once for all refusals of one manifest; a parsed manifest always scans."""
    return scan(decode_text(raw)[0])


def _read_keys(manifest: Manifest) -> Mapping[str, tuple[PublicKey, ...]]:
    """Parse every listed key; the same material in two places would be one person counted twice."""
    if sum(len(user.signing_keys) for user in manifest.users.values()) > MAX_LISTED_KEYS:
        raise _too_large(manifest, f"more than {MAX_LISTED_KEYS} signing keys")
    issues: list[Refusal] = []
    holders: dict[bytes, str] = {}
    keys: dict[str, list[PublicKey]] = {name: [] for name in manifest.users}
    for name in sorted(manifest.users):
        for index, text in enumerate(manifest.users[name].signing_keys):
            if len(issues) == MAX_REFUSALS:
                raise PolicyError(tuple(issues))
            path = ("Users", name, "SigningKeys", index)
            try:
                key = parse_public_key(text)
            except EvidenceError as error:
                issues.append(refusal_at(manifest, error.reason, path, error.message))
                continue
            if key.blob in holders:
                message = f"the key {key.fingerprint} is listed under {holders[key.blob]} already"
                issues.append(refusal_at(manifest, Reason.MANIFEST_INVALID, path, message))
                continue
            holders[key.blob] = name
            keys[name].append(key)
    if issues:
        raise PolicyError(tuple(issues))
    return {name: tuple(listed) for name, listed in keys.items()}


def _principal(
    manifest: Manifest,
    name: str,
    *,
    listed: tuple[PublicKey, ...],
    rights: frozenset[Right],
    revoked: frozenset[str],
) -> Principal:
    presence = manifest.gitops is not None and manifest.gitops.require_user_presence
    usable = tuple(
        key for key in listed if key.fingerprint not in revoked and (key.is_security_key or not presence)
    )
    return Principal(
        name=name,
        keys=usable,
        listed=listed,
        roles=manifest.users[name].roles,
        rights=rights,
        approver=_may_update(rights) and bool(usable),
        bumps=frozenset(resource for kind, action, resource in rights if (kind, action) == _BUMP),
    )


_BUMP = ("Packages", UPDATE_SECURITY_VERSION)


def _read_rights(manifest: Manifest) -> Mapping[str, frozenset[Right]]:
    """Collect what each user may do; rights are what counts, however roles are cut (effect, not entries)."""
    of_role = {name: _rights_of(role) for name, role in manifest.roles.items()}
    held = {
        name: [of_role.get(role, frozenset()) for role in set(user.roles)]
        for name, user in manifest.users.items()
    }
    if sum(len(rights) for roles in held.values() for rights in roles) > MAX_RIGHTS:
        raise _too_large(manifest, f"more than {MAX_RIGHTS} rights, roles multiplied out")
    return {name: frozenset().union(*roles) for name, roles in held.items()}


def _rights_of(role: Role) -> frozenset[Right]:
    resources = frozenset(role.resource_names) or (("",) if role.resource_type == "Manifest" else ())
    return frozenset(
        (role.resource_type, action, resource) for action in set(role.actions) for resource in resources
    )


def _too_large(manifest: Manifest, what: str) -> PolicyError:
    return PolicyError((refusal_at(manifest, Reason.TOO_LARGE, ("Users",), f"the users have {what}"),))


def _may_update(rights: frozenset[Right]) -> bool:
    return any((kind, action) == ("Manifest", UPDATE_MANIFEST) for kind, action, _ in rights)


def _check_users(manifest: Manifest, users: Mapping[str, Principal], revoked: frozenset[str]) -> None:
    """Refuse users who hold UpdateManifest and could never use it, unless a revocation is why."""
    useless = (
        name
        for name, user in users.items()
        if _may_update(user.rights) and not user.keys and not _has_revoked(user, revoked)
    )
    message = "holds UpdateManifest but has no key that can vote under this manifest's rules"
    issues = tuple(
        refusal_at(manifest, Reason.MANIFEST_INVALID, ("Users", name), f"{name} {message}")
        for name in islice(useless, MAX_REFUSALS)
    )
    if issues:
        raise PolicyError(issues)


def _has_revoked(user: Principal, revoked: frozenset[str]) -> bool:
    return any(key.fingerprint in revoked for key in user.listed)


def _unsatisfiable(policy: Policy) -> list[Refusal]:
    """List the requirements that this policy's own users could never meet (approvals.md section 1)."""
    found: list[Refusal] = []

    def refuse(path: JsonPath, message: str) -> None:
        found.append(refusal_at(policy.manifest, Reason.POLICY_UNSATISFIABLE, path, message))

    approvers = len(policy.approvers)
    if policy.update_threshold < 1 or policy.package_threshold < 1:
        refuse(("Config",), "every threshold is at least one person")
    if approvers < policy.update_threshold:
        refuse(("Config", "UpdateThreshold"), f"asks for {policy.update_threshold} of {approvers} approvers")
    elif approvers < policy.weaken_quorum:
        refuse(("GitOps", "WeakenThreshold"), f"asks for {policy.weaken_quorum} of {approvers} approvers")
    if max(policy.weaken_quorum, sum(policy.quorum.values())) > MAX_PIECES:
        # More people than one request can carry votes of; it also bounds the seating below.
        refuse(("GitOps", "Quorum"), f"asks for more than {MAX_PIECES} people, which no request can bring")
        return found
    seated = seat(policy.quorum, {name: policy.users[name].roles for name in policy.approvers})
    for role, needed in policy.quorum.items():
        if needed < 1:
            refuse(("GitOps", "Quorum", role), "a quorum row is at least one person")
        elif len(seated[role]) < needed:
            refuse(("GitOps", "Quorum", role), f"cannot be seated by {needed} approvers of its own")
    return found
