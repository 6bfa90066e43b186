"""The customer's one question: what this Coordinator enforces, and who agreed to it.

quote → root certificate → history → deployment id → enforced manifest → version → who approved. Each step
rests only on the ones before it; the first that fails ends the walk (approvals.md sections 1 and 6). What is
*not* checked here: the approvals' signatures, which the attested enclave judged, since their evidence may be
private.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from marbleops.approval.deployment import deployment_id
from marbleops.approval.record import ChainError, head_message, last_signed, record_hash, verify_chain
from marbleops.attestation.anchors import spki_der
from marbleops.attestation.verdict import Check
from marbleops.manifest.errors import ManifestError
from marbleops.manifest.parse import Strictness, load
from marbleops.wire.attest import attest_certificate
from marbleops.wire.bundle import Bundle, bundle_of
from marbleops.wire.pins import Pin, PinStore, check_history
from marbleops.wire.rest import (
    AttestedCoordinator,
    CoordinatorClient,
    CoordinatorError,
    FetchedManifest,
    HistoryAnswer,
    Source,
    Trust,
)

if TYPE_CHECKING:
    from datetime import datetime

    from marbleops.approval.decision import CountedApproval
    from marbleops.approval.record import PublicRecord
    from marbleops.manifest.digest import Digest
    from marbleops.manifest.model import Manifest

_RETRIES_OF_A_RACE = 3
_CLOCK_SKEW = timedelta(minutes=5)


class DeploymentRefused(Exception):  # noqa: N818  the name of the condition in exit codes
    """A genuine Coordinator that does not show the wanted deployment; ``checks`` lists the steps made."""

    def __init__(self, reason: str, *, code: str, checks: tuple[Check, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.checks = checks


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedDeployment:
    """What was found. ``pinned`` false means: nobody said which deployment it must be (NOT PINNED).

    ``source`` is the reconciler's claim, nothing more. ``seen`` is the look that was kept before this one;
    ``behind`` says that the evidence is older than that. ``bundle`` is all that was judged.
    """

    deployment: Digest
    root: str
    version: int
    digest: Digest
    lineage: str
    manifest: Manifest = field(repr=False)
    records: tuple[PublicRecord, ...] = field(repr=False)
    head: Digest
    approvals: tuple[CountedApproval, ...]
    source: Source | None
    pinned: bool
    weakens: tuple[str, ...]
    checks: tuple[Check, ...]
    attested: AttestedCoordinator = field(repr=False)
    bundle: Bundle = field(repr=False)
    seen: Pin | None = None

    @property
    def behind(self) -> bool:
        """Tell whether more of the history was seen before than this evidence holds."""
        return self.seen is not None and self.seen.position >= len(self.records)


def verify_deployment(
    client: CoordinatorClient,
    trust: Trust,
    pins: PinStore | None,
    *,
    expect_deployment: Digest | None,
    nonce: bytes,
    at: datetime,
) -> VerifiedDeployment:
    """Walk from a fresh quote to the people who approved what is enforced, and keep the head if it is pinned.

    Raises:
        UntrustedCoordinator: the Coordinator itself is not genuine.
        DeploymentRefused: history, signature, id or manifest contradict each other or what was expected.
        Fork, Rollback: the history contradicts what was kept.
        CoordinatorUnreachable, CoordinatorError: no answer, or none of the interface's form.
    """
    attested = client.attest(trust, nonce=nonce, at=at)
    address = str(client.address)
    bundle = _fetch(client, _Steps(attested))
    expected = _Expected(given=expect_deployment, pins=pins, address=address)
    found = _judge(attested, bundle, expected)
    if pins is not None:
        pins.check(found.deployment, bundle.history.records)
    if pins is not None and found.pinned:
        last = len(found.records) - 1
        pin = Pin(deployment=found.deployment, root=found.root, position=last, head=found.head)
        pins.update(pin, address=address, encoded=bundle.history.records)
    return found


def verify_bundle(
    bundle: Bundle, trust: Trust, pins: PinStore | None, *, expect_deployment: Digest | None, now: datetime
) -> VerifiedDeployment:
    """Judge again, without any network, what was saved; certificates and collateral as of the bundle's time.

    That time is the word of whoever saved it, and the nonce is theirs: it proves what an enclave once said,
    not that it says so now. Kept heads are compared and never moved; evidence that is older than the last
    look is no rollback.

    Raises:
        UntrustedCoordinator, DeploymentRefused, Fork: as for a running Coordinator.
    """
    attested = attest_certificate(
        bundle.root,
        bundle.quote_answer(),
        trust=trust,
        collateral=trust.collateral or bundle.collateral,
        nonce=bundle.nonce,
        at=bundle.taken,
    )
    steps = _Steps(attested)
    if bundle.taken > now + _CLOCK_SKEW:
        raise steps.refuse("Time", "bundle-from-the-future", f"the evidence is dated {bundle.taken_text}")
    found = _judge(attested, bundle, _Expected(given=expect_deployment, pins=pins, address=None))
    if found.seen is not None and not found.behind:
        check_history(found.seen, bundle.history.records)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expected:
    """Which deployment it must be: the one given or, failing that, the one kept for the address."""

    given: Digest | None
    pins: PinStore | None
    address: str | None

    def at_address(self) -> Digest | None:
        """Return what is kept for the address."""
        if self.pins is None or self.address is None:
            return None
        return self.pins.deployment_at(self.address)


def _judge(attested: AttestedCoordinator, bundle: Bundle, expected: _Expected) -> VerifiedDeployment:
    """Walk the steps after the quote; live and saved evidence take the same ones."""
    steps = _Steps(attested)
    records = steps.chain(bundle.history)
    deployment = steps.deployment(records)
    steps.manifest_signature(bundle.manifest)
    decided = last_signed(records)
    manifest = steps.manifest(bundle.manifest, decided)
    steps.quoted(manifest.digest)
    pinned = steps.pinned(deployment, expected)
    seen = expected.pins.get(deployment) if expected.pins is not None else None
    assert manifest.gitops is not None
    return VerifiedDeployment(
        deployment=deployment,
        root=attested.root_fingerprint,
        version=manifest.gitops.version,
        digest=manifest.digest,
        lineage=manifest.gitops.lineage,
        manifest=manifest,
        records=records,
        head=record_hash(bundle.history.records[-1]),
        approvals=decided.approvals,
        source=bundle.source,
        pinned=pinned or seen is not None,
        weakens=decided.weakens,
        checks=tuple(steps.checks),
        attested=attested,
        bundle=bundle,
        seen=seen,
    )


def _fetch(client: CoordinatorClient, steps: _Steps) -> Bundle:
    for _ in range(_RETRIES_OF_A_RACE):
        policy, fetched = client.policy(), client.manifest()
        if policy is None or fetched is None:
            raise steps.refuse(
                "History", "gitops-not-enabled", "no manifest with a GitOps section is enforced here"
            )
        history = client.history()
        if policy.get("digest") == str(fetched.digest) and _ends_with(history, fetched):
            source = _source(policy.get("source"))
            return bundle_of(steps.attested, history=history, manifest=fetched, source=source)
    raise steps.refuse(
        "History", "history-mismatch", "the history does not end with the manifest that is served as enforced"
    )


def _ends_with(history: HistoryAnswer, fetched: FetchedManifest) -> bool:
    # Only to tell a race from a lie; the records are judged afterwards.
    return bool(history.records) and f'"{fetched.digest}"'.encode() in history.records[-1]


def _source(claim: object) -> Source | None:
    if not isinstance(claim, dict):
        return None
    url, revision = claim.get("url"), claim.get("revision")
    if not isinstance(url, str) or not isinstance(revision, str) or len(url) + len(revision) > 1024:
        raise CoordinatorError(200, "malformed", "the claimed source is not of the interface's form")
    return Source(url=url, revision=revision)


class _Steps:
    """The walk's steps in order; each leaves a check, and the first that fails raises with all of them."""

    def __init__(self, attested: AttestedCoordinator) -> None:
        self.attested = attested
        self.checks: list[Check] = [*attested.verdict.checks, *attested.appraisal.checks]

    def refuse(
        self, name: str, code: str, reason: str, expected: str = "", found: str = ""
    ) -> DeploymentRefused:
        self.checks.append(Check(name=name, ok=False, expected=expected, found=found or reason))
        return DeploymentRefused(reason, code=code, checks=tuple(self.checks))

    def _pass(self, name: str, expected: str, found: str) -> None:
        self.checks.append(Check(name=name, ok=True, expected=expected, found=found))

    def chain(self, history: HistoryAnswer) -> tuple[PublicRecord, ...]:
        """Check the chain and that the root key signs exactly its end."""
        try:
            records = verify_chain(history.records)
        except ChainError as error:
            raise self.refuse("History", "history-broken", str(error)) from error
        head, end = history.head, record_hash(history.records[-1])
        if (head.position, head.hash) != (len(records) - 1, end):
            raise self.refuse(
                "History",
                "history-head",
                "the signed head is not the history's end",
                str(end),
                str(head.hash),
            )
        message = head_message(deployment=head.deployment, position=head.position, head=head.hash)
        if head.deployment != records[-1].deployment:
            raise self.refuse("History", "history-head", "the signed head is of another deployment")
        self._signed("History head", message, head.signature, hashes.SHA384())
        self._pass("History", "an unbroken chain", f"{len(records)} records, head {end}")
        return records

    def deployment(self, records: tuple[PublicRecord, ...]) -> Digest:
        """Compute the id from root key and genesis, which no record can claim otherwise."""
        computed = deployment_id(spki_der(self.attested.root), records[0].manifest)
        if records[0].kind != "genesis" or records[0].deployment != computed:
            raise self.refuse(
                "Deployment id",
                "deployment-mismatch",
                "the history's first record is not this root key's genesis",
                str(computed),
                str(records[0].deployment),
            )
        return computed

    def manifest_signature(self, fetched: FetchedManifest) -> None:
        """Check MarbleRun's signature of the manifest (marblerun-core section 3)."""
        self._signed("Manifest signature", fetched.raw, fetched.signature, hashes.SHA256())

    def manifest(self, fetched: FetchedManifest, last: PublicRecord) -> Manifest:
        """Tie the enforced bytes to the last record, and the record's version to the bytes."""
        if fetched.digest != last.manifest:
            raise self.refuse(
                "Manifest",
                "manifest-mismatch",
                "the manifest is not the one of the last record",
                str(last.manifest),
                str(fetched.digest),
            )
        try:
            manifest = load(fetched.raw, strictness=Strictness.STRICT)
        except ManifestError as error:
            raise self.refuse("Manifest", "manifest-invalid", f"the enforced manifest: {error}") from error
        if manifest.gitops is None or manifest.gitops.version != last.version:
            raise self.refuse("Manifest", "manifest-mismatch", "the record names another version")
        self._pass("Manifest", str(last.manifest), str(fetched.digest))
        self._pass("Version", str(last.version), str(manifest.gitops.version))
        if not last.approvals:
            raise self.refuse("Approvals", "nobody-approved", "the last record counts no approval")
        people = ", ".join(sorted({counted.user for counted in last.approvals}))
        self._pass("Approvals", "at least one person", people)
        return manifest

    def quoted(self, digest: Digest) -> None:
        """Check that the quote itself names the manifest, not only the root key that signs it (ADR 8)."""
        standing = self.attested.standing
        told = "nothing" if standing is None else str(standing.enforced)
        if standing is None or standing.enforced != digest:
            raise self.refuse(
                "Quoted manifest",
                "manifest-mismatch",
                "the enclave's quote names another manifest; if an update came just now, verify again",
                str(digest),
                told,
            )
        self._pass("Quoted manifest", str(digest), told)

    def pinned(self, deployment: Digest, known: _Expected) -> bool:
        """Compare the id with the one that is expected; false where nothing is."""
        expected = known.given or known.at_address()
        if expected is None:
            return False
        if expected != deployment:
            whose = "given" if known.given is not None else f"kept for {known.address}"
            raise self.refuse(
                "Deployment id",
                "deployment-mismatch",
                f"this is deployment {deployment}, {whose} is {expected}",
                str(expected),
                str(deployment),
            )
        self._pass("Deployment id", str(expected), str(deployment))
        return True

    def _signed(
        self, name: str, message: bytes, signature: bytes, algorithm: hashes.SHA256 | hashes.SHA384
    ) -> None:
        key = self.attested.root.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise self.refuse(name, "root-key", "the root key is not an elliptic-curve key")
        try:
            key.verify(signature, message, ec.ECDSA(algorithm))
        except InvalidSignature as error:
            raise self.refuse(name, "bad-signature", f"{name}: not signed by the root key") from error
        self._pass(name, "signed by the root key", "signed by the root key")
