"""What a marble may be and what it gets, before and after (approvals.md section 3, effect, not entries).

For every marble type the old and the new package it resolves to are compared as one edit, so that a weaker
package under a new name is found out, and a renamed one is not held against anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from marbleops.manifest.template import Kind, Root, marble_templates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from marbleops.manifest.model import Manifest, Marble, Package
    from marbleops.manifest.position import JsonPath

_UP_TO_DATE = "UpToDate"
_DEFAULT_STATUSES = ("SWHardeningNeeded",)
"""What MarbleRun accepts beside UpToDate where no list is written (marblerun-core 10.4)."""

_WHOLE = frozenset({Kind.SECRET.value, Kind.PRIVATE.value})
"""Parts of a secret that give everything: the key itself. The public parts follow from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weakening:
    """Something that becomes weaker: where, and in words."""

    path: JsonPath
    words: str


def compare_marbles(old: Manifest, new: Manifest) -> Iterator[Weakening]:
    """List what weakens by effect: packages, client authentication, secrets read."""
    yield from _compare_packages(old, new)
    for name in sorted(new.marbles):
        yield from _compare_marble(name, old, new)
    yield from _compare_tags(old, new)


def _compare_packages(old: Manifest, new: Manifest) -> Iterator[Weakening]:
    pairs: set[tuple[str | None, str, tuple[str, ...]]] = {
        (name if name in old.packages else None, name, ("Packages", name)) for name in new.packages
    }
    for marble_name, marble in new.marbles.items():
        before = old.marbles.get(marble_name)
        if before is None or before.package != marble.package:
            pairs.add(
                (before.package if before else None, marble.package, ("Marbles", marble_name, "Package"))
            )
    for old_name, new_name, path in sorted(pairs, key=lambda pair: pair[2]):
        package = new.packages[new_name]
        known = old.packages.get(old_name) if old_name is not None else None
        words = _new_package(package) if known is None else _changed_package(known, package)
        for each in words:
            yield Weakening(path=path, words=each)


def _new_package(package: Package) -> Iterator[str]:
    """List what a package that nobody ran before must not bring silently."""
    if package.debug:
        yield "a debug enclave may run"
    if package.signer_id is not None and package.security_version is None:
        yield "a signer is trusted without a SecurityVersion"
    if set(package.accepted_tcb_statuses) - {_UP_TO_DATE}:
        yield "a TCB status beyond UpToDate is accepted"
    if package.accepted_advisories:
        yield "advisories are accepted"


def _changed_package(old: Package, new: Package) -> Iterator[str]:
    if new.debug and not old.debug:
        yield "a debug enclave may run"
    if old.unique_id is None and new.unique_id is not None and old.security_version is not None:
        yield "UniqueID replaces pinning by SecurityVersion"
    if old.unique_id is not None and new.unique_id is None:
        yield "UniqueID is no longer pinned"
    for name, before, after in (
        ("SignerID", old.signer_id, new.signer_id),
        ("ProductID", old.product_id, new.product_id),
    ):
        if before is not None and after != before:
            yield f"{name} is no longer the one pinned"
    if old.security_version is not None and (
        new.security_version is None or new.security_version < old.security_version
    ):
        yield "SecurityVersion is lowered or no longer pinned"
    if _statuses(new) - _statuses(old):
        yield "more TCB statuses are accepted"
    if _accepts_more_advisories(old, new):
        yield "more advisories are accepted"


def _statuses(package: Package) -> set[str]:
    return {_UP_TO_DATE, *(package.accepted_tcb_statuses or _DEFAULT_STATUSES)}


def _accepts_more_advisories(old: Package, new: Package) -> bool:
    """Compare lists where the empty one accepts all (marblerun-core 10.4)."""
    before = {advisory.lower() for advisory in old.accepted_advisories}
    after = {advisory.lower() for advisory in new.accepted_advisories}
    return bool(before) and (not after or not after <= before)


def _compare_marble(name: str, old: Manifest, new: Manifest) -> Iterator[Weakening]:
    marble, before = new.marbles[name], old.marbles.get(name)
    if before is None and marble.disable_secret_binding:
        yield Weakening(
            path=("Marbles", name, "DisableSecretBinding"), words="secrets are not bound to the type"
        )
    opened = _open_ports(new, marble) - (_open_ports(old, before) if before else frozenset())
    for port in sorted(opened):
        yield Weakening(
            path=("Marbles", name, "TLS"), words=f"port {port} admits clients without authentication"
        )
    read_before = _reads(old, before) if before else frozenset()
    had_all = {secret for secret, part in read_before if part in _WHOLE}
    gained = {secret for secret, _ in _reads(new, marble) - read_before} - had_all
    for secret in sorted(gained & old.secrets.keys()):
        words = f"reads the existing secret {secret} as it did not before"
        yield Weakening(path=("Marbles", name), words=words)


def _open_ports(manifest: Manifest, marble: Marble) -> frozenset[str]:
    return frozenset(
        entry.port
        for tag in marble.tls
        for entry in (manifest.tls[tag].incoming if tag in manifest.tls else ())
        if entry.disable_client_auth
    )


def _reads(manifest: Manifest, marble: Marble) -> frozenset[tuple[str, str]]:
    """Collect the secrets, and which part of them, that a marble gets by templates and by its TLS tags."""
    entries = (entry for tag in marble.tls if tag in manifest.tls for entry in manifest.tls[tag].incoming)
    read = {(entry.cert, Kind.PRIVATE.value) for entry in entries if entry.cert}
    read |= {
        (action.path.name, action.path.kind.value)
        for template in marble_templates(marble)
        for action in template.actions
        if action.path.root is not Root.MARBLERUN
    }
    return frozenset(read)


def _compare_tags(old: Manifest, new: Manifest) -> Iterator[Weakening]:
    """Judge tags where they stand: an entry that disappears, or that newly admits unknown clients."""
    for name in sorted(new.tls):
        before = frozenset(old.tls[name].incoming) if name in old.tls else frozenset()
        after = frozenset(new.tls[name].incoming)
        if any(entry.disable_client_auth for entry in after - before):
            yield Weakening(
                path=("TLS", name, "Incoming"), words="clients are admitted without authentication"
            )
        if {entry.port for entry in before} - {entry.port for entry in after}:
            yield Weakening(
                path=("TLS", name, "Incoming"), words="a connection is no longer protected as before"
            )
