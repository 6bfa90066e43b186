"""What a marble may be and what it gets, before and after (approvals.md section 3, effect, not entries).

For every marble type the old and the new package it resolves to are compared as one edit, so that a weaker
package under a new name is found out, and a renamed one is not held against anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from marbleops.manifest.check import CERTIFICATE_TYPES
from marbleops.manifest.position import shown
from marbleops.manifest.template import PARTS, Kind, Root, marble_templates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from marbleops.manifest.model import Manifest, Marble, Package
    from marbleops.manifest.position import JsonPath

_UP_TO_DATE = "UpToDate"
_DEFAULT_STATUSES = ("SWHardeningNeeded",)
"""What MarbleRun accepts beside UpToDate where no list is written (marblerun-core 10.4)."""

_SYMMETRIC = "symmetric-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weakening:
    """Something that becomes weaker: where, and in words."""

    path: JsonPath
    words: str


def compare_marbles(old: Manifest, new: Manifest) -> Iterator[Weakening]:
    """List what weakens by effect: packages, client authentication, secrets read."""
    yield from _compare_packages(old, new)
    before, after = _ports_by_tag(old), _ports_by_tag(new)
    for name in sorted(new.marbles):
        yield from _compare_connections(name, old.marbles.get(name), new.marbles[name], before, after)
        yield from _compare_marble(name, old, new)
    yield from _compare_tags(old, new)


def secrets_read(manifest: Manifest, marble: Marble) -> Mapping[str, bool]:
    """Return the secrets that a marble gets; false where it gets a certificate's public part only."""
    found: dict[str, bool] = {}
    for name, kind, _ in sorted(_reads(manifest, marble, manifest)):
        whole = kind is Kind.PRIVATE or manifest.secrets[name].type not in CERTIFICATE_TYPES
        found[name] = found.get(name, False) or whole
    return found


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
    had = _reads(old, before, old) if before else frozenset()
    gained = {
        (secret, kind, only)
        for secret, kind, only in _reads(new, marble, old)
        if not had & {(secret, kind, only), (secret, kind, "")}
    }
    for secret in sorted({secret for secret, _, _ in gained}):
        words = f"reads the existing secret {shown(secret)} as it did not before"
        yield Weakening(path=("Marbles", name), words=words)


def _reads(manifest: Manifest, marble: Marble, old: Manifest) -> frozenset[tuple[str, Kind, str]]:
    """Collect the parts of the secrets of *old* that a marble gets by templates and by its TLS tags.

    A symmetric key has only one part; of other secrets ``.Secrets.NAME`` writes the public one. Who has a
    certificate's private key has the rest of it too. The last member is empty for a whole part and names the
    little that ``len`` or ``index`` take of it: who has that has not read the part. Fields of a definition
    are no part: everybody reads them in the manifest.
    """
    tags = (manifest.tls[tag] for tag in dict.fromkeys(marble.tls) if tag in manifest.tls)
    read = {(entry.cert, Kind.PRIVATE, "") for tag in tags for entry in tag.incoming if entry.cert}
    read |= {
        (reading.path.name, reading.path.kind, reading.only)
        for template in marble_templates(marble)
        for reading in template.readings()
        if reading.path.root is not Root.MARBLERUN and reading.path.kind in {Kind.SECRET, *PARTS}
    }
    parts: set[tuple[str, Kind, str]] = set()
    for name, kind, only in read:
        definition = old.secrets.get(name)
        if definition is None:
            continue
        if definition.type == _SYMMETRIC:
            parts.add((name, Kind.PRIVATE, only))
        elif definition.type in CERTIFICATE_TYPES and kind is Kind.PRIVATE and not only:
            parts |= {(name, part, "") for part in PARTS}
        else:
            parts.add((name, Kind.PUBLIC if kind is Kind.SECRET else kind, only))
    return frozenset(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ports:
    """What a TLS tag wraps: ports open to all clients, ports wrapped at all, addresses dialled."""

    open: frozenset[str]
    incoming: frozenset[str]
    outgoing: frozenset[tuple[str, str]]


_NO_PORTS = _Ports(open=frozenset(), incoming=frozenset(), outgoing=frozenset())


def _ports_by_tag(manifest: Manifest) -> Mapping[str, _Ports]:
    """Read each tag once: a tag of many entries may stand at many marbles."""
    return {
        name: _Ports(
            open=frozenset(entry.port for entry in tag.incoming if entry.disable_client_auth),
            incoming=frozenset(entry.port for entry in tag.incoming),
            outgoing=frozenset((entry.addr, entry.port) for entry in tag.outgoing),
        )
        for name, tag in manifest.tls.items()
    }


def _ports_of(marble: Marble | None, tags: Mapping[str, _Ports]) -> _Ports:
    carried = [tags.get(tag, _NO_PORTS) for tag in dict.fromkeys(marble.tls if marble else ())]
    if len(carried) == 1:
        return carried[0]
    return _Ports(
        open=frozenset().union(*(ports.open for ports in carried)),
        incoming=frozenset().union(*(ports.incoming for ports in carried)),
        outgoing=frozenset().union(*(ports.outgoing for ports in carried)),
    )


def _compare_connections(
    name: str, before: Marble | None, after: Marble, old: Mapping[str, _Ports], new: Mapping[str, _Ports]
) -> Iterator[Weakening]:
    """List connections of a marble that lose their protection, by whatever edit of whatever tag."""
    had, has = _ports_of(before, old), _ports_of(after, new)
    path = ("Marbles", name, "TLS")
    for port in sorted(has.open - had.open):
        yield Weakening(path=path, words=f"port {shown(port)} admits clients without authentication")
    for port in sorted(had.incoming - has.incoming):
        yield Weakening(path=path, words=f"port {shown(port)} is no longer wrapped in TLS")
    for address, port in sorted(had.outgoing - has.outgoing):
        words = f"the connection to {shown(address)}:{shown(port)} is no longer wrapped in TLS"
        yield Weakening(path=path, words=words)


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
