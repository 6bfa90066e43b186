"""What a deployment may do and who may change it, in plain words, read from the manifest that is enforced.

The customer's view of approvals.md sections 1 and 3: every line is something that holds while this manifest
does. What makes the rest worth less (debug, no pin, one person alone) is marked *weak*.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from marbleops.approval.effect import secrets_read
from marbleops.approval.satisfiability import satisfiability_words
from marbleops.manifest.check import missing_identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from marbleops.approval.floors import Floors
    from marbleops.approval.policy import Policy
    from marbleops.manifest.model import Manifest, Marble, Package

_GOOD_STATUSES = frozenset({"UpToDate", "SWHardeningNeeded"})
"""What MarbleRun accepts where no list is written (marblerun-core 10.4)."""


class Topic(StrEnum):
    """What a line is about."""

    RUNS = "what may run"
    SECRETS = "who gets which secret"
    CHANGES = "who may change it"
    RECOVERS = "who can open its state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """One thing that holds, in words; ``weak`` where a customer should ask why."""

    topic: Topic
    words: str
    weak: bool = False


def powers(policy: Policy, floors: Floors) -> tuple[Power, ...]:
    """Say what *policy* and its manifest allow, under the *floors* that are kept."""
    manifest = policy.manifest
    return (
        *_packages(manifest, floors),
        *_marbles(manifest),
        *_secrets(manifest),
        *_changes(policy),
        *_recovery(manifest),
    )


def _packages(manifest: Manifest, floors: Floors) -> Iterator[Power]:
    for name, package in sorted(manifest.packages.items()):
        floor = floors.names.get(name)
        kept = "" if floor is None else f" (never below {floor} again)"
        yield Power(topic=Topic.RUNS, words=f"package {name}: {_identity(package)}{kept}")
        for words in _package_weakness(package):
            yield Power(topic=Topic.RUNS, words=f"package {name}: {words}", weak=True)


def _identity(package: Package) -> str:
    if package.unique_id is not None:
        return f"exactly the build {package.unique_id}"
    parts = (
        "any signer" if package.signer_id is None else f"builds signed by {package.signer_id}",
        "any product" if package.product_id is None else f"product {package.product_id}",
        "any SecurityVersion"
        if package.security_version is None
        else f"SecurityVersion {package.security_version} or higher",
    )
    return ", ".join(parts)


def _package_weakness(package: Package) -> Iterator[str]:
    if package.debug:
        yield "DEBUG: the host can read everything in this enclave"
    if package.unique_id is None and (missing := missing_identity(package)):
        yield f"does not pin {', '.join(missing)}"
    if statuses := sorted(set(package.accepted_tcb_statuses) - _GOOD_STATUSES):
        yield f"runs on platforms that are {', '.join(statuses)}"
    if package.accepted_advisories:
        yield f"runs in spite of {', '.join(package.accepted_advisories)}"


def _marbles(manifest: Manifest) -> Iterator[Power]:
    for name, marble in sorted(manifest.marbles.items()):
        budget = marble.max_activations
        often = (
            f"at most {budget} {'start' if budget == 1 else 'starts'} in all"
            if budget
            else "any number of starts"
        )
        yield Power(topic=Topic.RUNS, words=f"marble {name}: runs {marble.package}, {often}")
        if marble.disable_secret_binding:
            words = f"marble {name}: its secrets are not bound to its type (DisableSecretBinding)"
            yield Power(topic=Topic.RUNS, words=words, weak=True)
        if ports := _open_ports(manifest, marble):
            words = f"marble {name}: admits clients without a certificate on port {', '.join(ports)}"
            yield Power(topic=Topic.RUNS, words=words)


def _open_ports(manifest: Manifest, marble: Marble) -> list[str]:
    tags = (manifest.tls[tag] for tag in marble.tls if tag in manifest.tls)
    return sorted({entry.port for tag in tags for entry in tag.incoming if entry.disable_client_auth})


def _secrets(manifest: Manifest) -> Iterator[Power]:
    got = {name: secrets_read(manifest, marble) for name, marble in sorted(manifest.marbles.items())}
    for name, secret in sorted(manifest.secrets.items()):
        marbles = [
            marble if read[name] else f"{marble} (certificate only)"
            for marble, read in got.items()
            if name in read
        ]
        origin = f"written by {_names(_holders(manifest, 'Secrets', 'writesecret', name))}"
        if not secret.user_defined:
            origin = f"made in the enclave, {'one for all' if secret.shared else 'one for each marble'}"
        people = _holders(manifest, "Secrets", "readsecret", name)
        words = f"secret {name}: {origin}, given to marbles {_names(marbles)}"
        yield Power(topic=Topic.SECRETS, words=f"{words}, read by users {_names(people)}")


def _changes(policy: Policy) -> Iterator[Power]:
    manifest, approvers = policy.manifest, sorted(policy.approvers)
    yield Power(
        topic=Topic.CHANGES,
        words=f"anything: {policy.update_threshold} of {_names(approvers)}",
        weak=policy.update_threshold < 2,
    )
    yield Power(
        topic=Topic.CHANGES,
        words=f"what weakens the rules: {policy.weaken_quorum} of {_names(approvers)}",
        weak=policy.weaken_quorum < 2,
    )
    for role, needed in policy.quorum.items():
        able = sorted(name for name in approvers if role in policy.users[name].roles)
        yield Power(topic=Topic.CHANGES, words=f"among them {needed} of {_names(able)} ({role})")
    for package in sorted(manifest.packages):
        if able := sorted(policy.bumpers(package)):
            words = f"the SecurityVersion of {package}, upwards: {policy.package_threshold} of {_names(able)}"
            yield Power(topic=Topic.CHANGES, words=words)
    for words in satisfiability_words(policy)[1:]:
        yield Power(topic=Topic.CHANGES, words=words)
    if policy.binding == "tree":
        words = "a plain signed commit is one vote, without naming the manifest (Binding: tree)"
        yield Power(topic=Topic.CHANGES, words=words, weak=True)
    if manifest.gitops is not None and (lower := manifest.gitops.allow_security_version_decrease):
        words = f"this version allowed an older SecurityVersion of {_names(sorted(lower))}"
        yield Power(topic=Topic.CHANGES, words=words, weak=True)


def _recovery(manifest: Manifest) -> Iterator[Power]:
    holders = sorted(manifest.recovery_keys)
    needed = manifest.config.recovery_threshold or len(holders)
    if not holders:
        yield Power(topic=Topic.RECOVERS, words="nobody outside its own platform: there are no recovery keys")
    else:
        can = "read every secret and can act as this deployment; they approve nothing"
        words = f"{needed} of {_names(holders)} together {can}"
        yield Power(topic=Topic.RECOVERS, words=words, weak=needed < 2)
    if manifest.config.seal_mode != "UniqueKey":
        words = (
            "another Coordinator build of the same signer, on the same machine (SealMode is not UniqueKey)"
        )
        yield Power(topic=Topic.RECOVERS, words=words)


def _holders(manifest: Manifest, kind: str, action: str, resource: str) -> list[str]:
    roles = {
        name
        for name, role in manifest.roles.items()
        if role.resource_type == kind and action in role.actions and resource in role.resource_names
    }
    return sorted(name for name, user in manifest.users.items() if roles & set(user.roles))


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
