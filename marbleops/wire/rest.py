"""The Coordinator's REST interface for everybody who relies on it: attest first, then ask.

``attest`` ties the TLS certificate to a fresh quote and fixes it; every other call refuses before that, and
every later connection must present the same certificate. Answers are read strictly where they carry a
decision.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote as percent

from marbleops.approval import jsonread
from marbleops.approval.decision import Decision, decision_from_json
from marbleops.approval.enforced import Enforced
from marbleops.approval.evidence import Piece, encode_evidence
from marbleops.approval.floors import attested_from_json, floors_from_json
from marbleops.approval.record import MAX_RECORD_BYTES
from marbleops.attestation.collateral import Collateral, CollateralError
from marbleops.manifest.canonical import canonical_json
from marbleops.manifest.digest import Digest
from marbleops.manifest.limits import MAX_MANIFEST_BYTES
from marbleops.manifest.parse import Strictness, load
from marbleops.wire.attest import AttestedCoordinator, Trust, UntrustedCoordinator, attest_certificate
from marbleops.wire.connection import (
    MAX_ANSWER_BYTES,
    MAX_STRANGER_BYTES,
    Address,
    CoordinatorUnreachable,
    PinnedHttps,
    UnexpectedCertificate,
)
from marbleops.wire.envelope import CoordinatorError, Reading, data_object, open_envelope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

__all__ = [
    "AttestedCoordinator",
    "CoordinatorClient",
    "CoordinatorError",
    "CoordinatorUnreachable",
    "FetchedManifest",
    "HistoryAnswer",
    "HistoryHead",
    "NotAttested",
    "Source",
    "Status",
    "Trust",
    "UntrustedCoordinator",
]

MIN_NONCE_BYTES = 16
MAX_HISTORY_PAGES = 10_000
MAX_PAGE_RECORDS = 100
_RETRIES_OF_A_RACE = 3


class NotAttested(Exception):  # noqa: N818  a programming mistake, named as a state
    """A call was made before ``attest`` succeeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where the Coordinator stands; ``extra`` is what it says beyond MarbleRun."""

    code: int
    message: str
    extra: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedManifest:
    """The enforced manifest's very bytes; the fingerprint has been compared with them."""

    raw: bytes = field(repr=False)
    fingerprint: str
    signature: bytes

    @property
    def digest(self) -> Digest:
        """The digest of the bytes."""
        return Digest.of(self.raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryHead:
    """The history's end as the root key signs it; the signature is not checked yet."""

    deployment: Digest | None
    position: int
    hash: Digest
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryAnswer:
    """Encoded records from ``first`` on without a gap, as served; ``record.verify_chain`` judges them."""

    first: int
    records: tuple[bytes, ...] = field(repr=False)
    head: HistoryHead


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a manifest came from: a claim, shown to people, never trusted."""

    url: str
    revision: str


class CoordinatorClient:
    """A client of one Coordinator. Not for several threads at once."""

    def __init__(self, address: str, *, connect_timeout: float = 5.0, timeout: float = 30.0) -> None:
        self.address = Address.parse(address)
        self._https = PinnedHttps(self.address, connect_timeout=connect_timeout, timeout=timeout)
        self.attested: AttestedCoordinator | None = None

    def close(self) -> None:
        """Close the connection."""
        self._https.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def attest(self, trust: Trust, *, nonce: bytes, at: datetime) -> AttestedCoordinator:
        """Fetch a quote over *nonce* on a new connection and tie the connection's certificate to it.

        Raises:
            ValueError: *nonce* is too short to be fresh.
            UntrustedCoordinator: the evidence, the enclave or the certificate is not the wanted one.
            CoordinatorUnreachable: no answer.
            CoordinatorError: the Coordinator refuses to give a quote.
        """
        if len(nonce) < MIN_NONCE_BYTES:
            raise ValueError(f"a nonce has at least {MIN_NONCE_BYTES} random bytes, not {len(nonce)}")
        self.attested = self._https.pin = None
        presented = self._https.fresh()
        # The connection of this certificate must also carry the quote: none is opened in between unseen.
        self._https.pin = presented
        try:
            query = percent(base64.urlsafe_b64encode(nonce).decode())
            answer = self._get(f"/api/v2/quote?nonce={query}")
            collateral = trust.collateral or self._fetch_collateral()
            self.attested = attest_certificate(
                presented, answer, trust=trust, collateral=collateral, nonce=nonce, at=at
            )
        except BaseException:
            self._https.pin = None
            self._https.close()
            raise
        return self.attested

    def status(self) -> Status:
        """Ask where the Coordinator stands."""
        found = dict(data_object(self._attested_get("/api/v2/status")))
        with Reading():
            code = jsonread.integer(found.pop("code", None), name="code")
            message = jsonread.text(found.pop("message", None), name="message", max_chars=65_536)
        return Status(code=code, message=message, extra=found)

    def manifest(self) -> FetchedManifest | None:
        """Fetch the enforced manifest; None where there is none yet."""
        try:
            found = data_object(self._attested_get("/api/v2/manifest"))
        except CoordinatorError as error:
            if error.message == "requested value not set":  # MarbleRun's words, marblerun-core 11
                return None
            raise
        with Reading():
            raw = jsonread.base64_bytes(found.get("manifest"), name="manifest")
            fingerprint = jsonread.text(found.get("manifestFingerprint"), name="fingerprint", max_chars=64)
            signature = jsonread.base64_bytes(found.get("manifestSignatureRootECDSA"), name="signature")
            if len(raw) > MAX_MANIFEST_BYTES or Digest.of(raw).hex != fingerprint:
                raise jsonread.JsonShapeError("the fingerprint is not the manifest's")
        return FetchedManifest(raw=raw, fingerprint=fingerprint, signature=signature)

    def policy(self) -> dict[str, Any] | None:
        """Ask for the policy in force; None where no manifest with a GitOps section is enforced."""
        try:
            return dict(data_object(self._attested_get("/api/v2/gitops/policy")))
        except CoordinatorError as error:
            if error.http == 409:
                return None
            raise

    def enforced(self) -> Enforced | None:
        """Build what decisions start from, out of manifest and policy of one moment; None where fresh.

        Raises:
            CoordinatorError: the two do not fit together, or the manifest is not one.
        """
        for _ in range(_RETRIES_OF_A_RACE):
            policy = self.policy()
            fetched = self.manifest()
            if policy is None or fetched is None:
                return None
            with Reading():
                if jsonread.digest(policy.get("digest"), name="digest") != fetched.digest:
                    continue  # an update came in between
                return _enforced(fetched.raw, policy)
        raise CoordinatorError(200, "malformed", "policy and manifest do not belong together")

    def history(self, since: int = 0) -> HistoryAnswer:
        """Fetch all records from position *since* on, page by page, with the head of the last page."""
        records: list[bytes] = []
        position: int | None = since
        for _ in range(MAX_HISTORY_PAGES):
            page = data_object(self._attested_get(f"/api/v2/gitops/history?from={position}"))
            with Reading():
                found, position, head = _read_page(page, first=since + len(records))
            records.extend(found)
            if position is None:
                return HistoryAnswer(first=since, records=tuple(records), head=head)
        raise CoordinatorError(200, "malformed", "the history does not end")

    def update(
        self, raw: bytes, pieces: Sequence[Piece], *, dry_run: bool, source: Source | None = None
    ) -> Decision:
        """Submit a manifest with its evidence; a refusal is a Decision too.

        Raises:
            CoordinatorError: wrong state (409), too large (413), or not the interface's form.
        """
        body: dict[str, Any] = {
            "manifest": base64.b64encode(raw).decode(),
            "dryRun": dry_run,
            "evidence": encode_evidence(pieces),
        }
        if source is not None:
            body["source"] = {"url": source.url, "revision": source.revision}
        try:
            answer = self._attested_call("POST", "/api/v2/gitops/update", canonical_json(body))
        except CoordinatorError as error:
            if error.http != 422 or not isinstance(error.data, dict):
                raise
            answer = error.data
        with Reading():
            return decision_from_json(answer)

    def update_log(self) -> tuple[str, ...]:
        """Fetch the update log, one JSON text per line, as MarbleRun has it."""
        found = data_object(self._attested_get("/api/v2/update"))
        with Reading():
            return jsonread.texts(
                found.get("updateLog"), name="updateLog", max_items=1_000_000, max_chars=65_536
            )

    def evidence(self, digest: Digest) -> bytes | None:
        """Fetch one piece of evidence by its digest; None where the deployment keeps it private."""
        try:
            found = self._attested_get(f"/api/v2/gitops/evidence/{digest.hex}")
        except CoordinatorError as error:
            if error.http in (403, 404):
                return None
            raise
        with Reading():
            raw = jsonread.base64_bytes(found, name="evidence")
            if Digest.of(raw) != digest:
                raise jsonread.JsonShapeError("the evidence has another digest")
        return raw

    def _fetch_collateral(self) -> Collateral:
        # Untrusted carriage: its own signatures and the anchor decide what it is worth.
        found = self._get("/api/v2/collateral")
        try:
            return Collateral.from_json(json.dumps(found))
        except (CollateralError, RecursionError) as error:
            raise CoordinatorError(200, "malformed", f"collateral: {error}") from error

    def _attested_get(self, target: str) -> Any:
        return self._attested_call("GET", target)

    def _attested_call(self, method: str, target: str, body: bytes | None = None) -> Any:
        if self.attested is None:
            raise NotAttested("attest() comes first")
        return self._call(method, target, body)

    def _get(self, target: str) -> Any:
        return self._call("GET", target, None)

    def _call(self, method: str, target: str, body: bytes | None) -> Any:
        limit = MAX_STRANGER_BYTES if self.attested is None else MAX_ANSWER_BYTES
        try:
            answer = self._https.request(method, target, body, repeatable=body is None, limit=limit)
        except UnexpectedCertificate as error:
            raise UntrustedCoordinator(str(error), code="certificate-changed") from error
        return open_envelope(answer)


def _enforced(raw: bytes, policy: Mapping[str, Any]) -> Enforced:
    revoked = jsonread.texts(policy.get("revoked"), name="revoked", max_items=65_536, max_chars=256)
    return Enforced(
        manifest=load(raw, strictness=Strictness.STRICT),
        deployment=jsonread.digest(policy.get("deployment"), name="deployment"),
        floors=floors_from_json(policy.get("floors")),
        attested=attested_from_json(policy.get("attested")),
        revoked=frozenset(revoked),
    )


def _read_page(page: Mapping[str, Any], *, first: int) -> tuple[tuple[bytes, ...], int | None, HistoryHead]:
    if jsonread.integer(page.get("from"), name="from") != first:
        raise jsonread.JsonShapeError("from: another page than the one asked for")
    records = tuple(
        jsonread.base64_bytes(row, name="records")
        for row in jsonread.items(page.get("records"), name="records", max_items=MAX_PAGE_RECORDS)
    )
    if any(len(record) > MAX_RECORD_BYTES for record in records):
        raise jsonread.JsonShapeError("records: a record is too large")
    following = page.get("next")
    if following is not None and (following != first + len(records) or not records):
        raise jsonread.JsonShapeError("next: not the position after this page")
    given = jsonread.members(page.get("head"), required=("deployment", "position", "hash", "signature"))
    head = HistoryHead(
        deployment=jsonread.optional_digest(given["deployment"], name="deployment"),
        position=jsonread.integer(given["position"], name="position"),
        hash=jsonread.digest(given["hash"], name="hash"),
        signature=jsonread.base64_bytes(given["signature"], name="signature"),
    )
    return records, following, head
