"""Who may vote, and what changes that (approvals.md section 3, *Electorate*).

Changing the electorate is more than a change of policy: whoever may vote others in or out can do everything
after that. Rights are compared per user, because that is what a role amounts to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from marbleops.approval.effect import Weakening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from marbleops.approval.policy import Policy, Principal, Right
    from marbleops.manifest.diff import Edit


def electorate_edits(old: Policy, new: Policy) -> Iterator[Weakening]:
    """List every edit that adds or removes a voter, a voter's key, or somebody's right to bump."""
    for name in sorted(old.users.keys() | new.users.keys()):
        before, after = old.users.get(name), new.users.get(name)
        path = ("Users", name)
        if _is_approver(before) != _is_approver(after):
            verb = "becomes" if _is_approver(after) else "is no longer"
            yield Weakening(path=path, words=f"{name} {verb} an approver")
        elif _is_approver(after) and _material(before) != _material(after):
            yield Weakening(path=path, words=f"the keys of the approver {name} change")
        for package in sorted(_bumps(after) - _bumps(before)):
            yield Weakening(path=path, words=f"{name} may raise the SecurityVersion of {package}")
        if _bumps(after) and not _is_approver(after) and _material(after) - _material(before):
            yield Weakening(path=path, words=f"{name}, who may raise a SecurityVersion, gets a key")


def new_rights(old: Policy, new: Policy) -> Iterator[Weakening]:
    """List every right and quorum seat that somebody gains, and new certificates of users of secrets."""
    for name, user in new.users.items():
        before = old.users.get(name)
        gained = user.rights - (before.rights if before else frozenset())
        for right in sorted(gained):
            yield Weakening(path=("Users", name, "Roles"), words=f"{name} {_words(right)}")
        for role in sorted(set(user.roles) - set(before.roles if before else ())):
            if role in new.quorum or role in old.quorum:
                yield Weakening(
                    path=("Users", name, "Roles"), words=f"{name} may sit for {role} in the quorum"
                )
        certificate = new.manifest.users[name].certificate
        known = old.manifest.users[name].certificate if before else certificate
        if certificate != known and any(kind == "Secrets" for kind, _, _ in user.rights):
            words = f"another certificate stands for {name}, who may use secrets"
            yield Weakening(path=("Users", name, "Certificate"), words=words)


def replaced_user(old: Policy, new: Policy, edits: tuple[Edit, ...]) -> str | None:
    """Name the one user X whom a transition replaces and does nothing else: rule (ii), a replacement.

    *edits* are those that count (Version, Previous and Deployment do not). Rights and keys of X may go
    or be exchanged, never grow; or X goes and one new user takes exactly X's roles.
    """
    touched = {edit.path[1] if edit.path[0] == "Users" and len(edit.path) > 1 else None for edit in edits}
    if not touched or None in touched:
        return None
    names = sorted(str(name) for name in touched)
    if len(names) == 1 and names[0] in old.users:
        before, after = old.users[names[0]], new.users.get(names[0])
        shrinks = after is None or (
            set(after.roles) <= set(before.roles) and len(after.listed) <= len(before.listed)
        )
        return names[0] if shrinks else None
    gone = [name for name in names if name in old.users and name not in new.users]
    come = [name for name in names if name not in old.users and name in new.users]
    if len(names) == 2 and len(gone) == len(come) == 1:
        before, after = old.users[gone[0]], new.users[come[0]]
        return gone[0] if set(before.roles) == set(after.roles) else None
    return None


def _is_approver(user: Principal | None) -> bool:
    return user is not None and user.approver


def _bumps(user: Principal | None) -> frozenset[str]:
    return user.bumps if user else frozenset()


def _material(user: Principal | None) -> frozenset[bytes]:
    return frozenset(key.blob for key in user.keys) if user else frozenset()


def _words(right: Right) -> str:
    _, action, resource = right
    return f"may {action} {resource}".rstrip()
