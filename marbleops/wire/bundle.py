"""Evidence of one verification in one file: what ``verify --save`` writes and ``verify --from`` judges again.

It holds everything that ``verify`` looked at and nothing that it decided, so the reader trusts no word of
whoever saved it: quote, certificates, history and manifest vouch for each other as they do live. The form is
canonical JSON, read strictly and within bounds. Two things are claims: the time, and the source.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from marbleops.approval import jsonread
from marbleops.approval.record import MAX_RECORD_BYTES
from marbleops.attestation.collateral import Collateral, CollateralError
from marbleops.manifest.canonical import canonical_json
from marbleops.manifest.digest import Digest
from marbleops.manifest.limits import MAX_MANIFEST_BYTES
from marbleops.wire.attest import MAX_CHAIN_CHARACTERS, MAX_PHASE, MAX_QUOTE_BYTES, Standing
from marbleops.wire.rest import MIN_NONCE_BYTES, FetchedManifest, HistoryAnswer, HistoryHead, Source

if TYPE_CHECKING:
    from marbleops.wire.attest import AttestedCoordinator

FORMAT = "marbleops/evidence-bundle"
VERSION = 1
MAX_BUNDLE_BYTES = 64 * 1024 * 1024
MAX_RECORDS = 100_000
MAX_NONCE_BYTES = 64
MAX_SIGNATURE_BYTES = 1024
MAX_SOURCE_CHARACTERS = 1024
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_MEMBERS = (
    "format", "version", "taken", "nonce", "root", "quote", "collateral", "manifest", "history", "source",
)  # fmt: skip


class BundleError(ValueError):
    """The bytes are no evidence bundle of this version; the text says which member is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """All that was judged. ``root`` is the certificate that the connection presented (DER)."""

    taken: datetime
    nonce: bytes
    root: bytes = field(repr=False)
    chain_pem: str = field(repr=False)
    quote: bytes = field(repr=False)
    standing: Standing | None
    collateral: Collateral = field(repr=False)
    manifest: FetchedManifest
    history: HistoryAnswer
    source: Source | None

    @property
    def taken_text(self) -> str:
        """The time of the verification, in UTC."""
        return self.taken.astimezone(UTC).strftime(_TIME)

    def quote_answer(self) -> dict[str, Any]:
        """Return what ``GET quote`` answered, as ``attest_certificate`` takes it."""
        answer: dict[str, Any] = {"cert": self.chain_pem, "quote": _base64(self.quote)}
        if self.standing is not None:
            enforced = self.standing.enforced
            fingerprint = None if enforced is None else enforced.hex
            answer["state"] = {"code": self.standing.phase, "manifestFingerprint": fingerprint}
        return answer


def bundle_of(
    attested: AttestedCoordinator, *, history: HistoryAnswer, manifest: FetchedManifest, source: Source | None
) -> Bundle:
    """Put together what was judged of a running Coordinator. Times are whole seconds, as in certificates."""
    return Bundle(
        taken=attested.at.astimezone(UTC).replace(microsecond=0),
        nonce=attested.nonce,
        root=attested.root_der,
        chain_pem=attested.chain_pem,
        quote=attested.quote,
        standing=attested.standing,
        collateral=attested.collateral,
        manifest=manifest,
        history=history,
        source=source,
    )


def encode_bundle(bundle: Bundle) -> bytes:
    """Write a bundle as canonical JSON.

    Raises:
        BundleError: it is larger than a reader takes.
    """
    head, source = bundle.history.head, bundle.source
    answer = bundle.quote_answer()
    encoded = canonical_json(
        {
            "format": FORMAT,
            "version": VERSION,
            "taken": bundle.taken_text,
            "nonce": _base64(bundle.nonce),
            "root": _base64(bundle.root),
            "quote": {"state": None, **answer},
            "collateral": json.loads(bundle.collateral.to_json()),
            "manifest": {
                "bytes": _base64(bundle.manifest.raw),
                "signature": _base64(bundle.manifest.signature),
            },
            "history": {
                "records": [_base64(record) for record in bundle.history.records],
                "head": {
                    "deployment": None if head.deployment is None else str(head.deployment),
                    "position": head.position,
                    "hash": str(head.hash),
                    "signature": _base64(head.signature),
                },
            },
            "source": None if source is None else {"url": source.url, "revision": source.revision},
        }
    )
    if len(encoded) > MAX_BUNDLE_BYTES or len(bundle.history.records) > MAX_RECORDS:
        raise BundleError(f"more evidence than {MAX_RECORDS} records or {MAX_BUNDLE_BYTES} bytes")
    return encoded


def read_bundle(raw: bytes) -> Bundle:
    """Read a bundle strictly: it must be exactly the bytes that ``encode_bundle`` writes.

    Raises:
        BundleError: it is not.
    """
    if len(raw) > MAX_BUNDLE_BYTES:
        raise BundleError(f"larger than {MAX_BUNDLE_BYTES} bytes")
    try:
        bundle = _read(json.loads(raw.decode("utf-8")))
        canonical = encode_bundle(bundle)
    except (BundleError, CollateralError, jsonread.JsonShapeError) as error:
        raise BundleError(f"not an evidence bundle: {error}") from error
    except (ValueError, RecursionError) as error:  # Python's words would quote the file
        raise BundleError("not an evidence bundle: not JSON") from error
    if canonical != raw:
        raise BundleError(
            "not an evidence bundle: not in canonical form, so it was changed after it was saved"
        )
    return bundle


def _read(value: object) -> Bundle:
    given = jsonread.members(value, required=_MEMBERS)
    version = jsonread.integer(given["version"], name="version")
    if (given["format"], version) != (FORMAT, VERSION):
        raise jsonread.JsonShapeError("format: of another kind, or another version of this program")
    nonce = _bytes(given["nonce"], "nonce", MAX_NONCE_BYTES)
    if len(nonce) < MIN_NONCE_BYTES:
        raise jsonread.JsonShapeError(f"nonce: fewer than {MIN_NONCE_BYTES} bytes")
    quote = jsonread.members(given["quote"], required=("cert", "quote", "state"))
    return Bundle(
        taken=_time(given["taken"]),
        nonce=nonce,
        root=_bytes(given["root"], "root", MAX_CHAIN_CHARACTERS),
        chain_pem=jsonread.text(quote["cert"], name="cert", max_chars=MAX_CHAIN_CHARACTERS),
        quote=_bytes(quote["quote"], "quote", MAX_QUOTE_BYTES),
        standing=_standing(quote["state"]),
        collateral=Collateral.from_json(json.dumps(given["collateral"])),
        manifest=_manifest(given["manifest"]),
        history=_history(given["history"]),
        source=_source(given["source"]),
    )


def _standing(value: object) -> Standing | None:
    if value is None:
        return None
    given = jsonread.members(value, required=("code", "manifestFingerprint"))
    phase = jsonread.integer(given["code"], name="code")
    if phase > MAX_PHASE:
        raise jsonread.JsonShapeError("code: not a phase")
    fingerprint = given["manifestFingerprint"]
    if fingerprint is None:
        return Standing(phase=phase, enforced=None)
    text = jsonread.text(fingerprint, name="manifestFingerprint", max_chars=64)
    return Standing(phase=phase, enforced=jsonread.digest(f"sha256:{text}", name="manifestFingerprint"))


def _manifest(value: object) -> FetchedManifest:
    given = jsonread.members(value, required=("bytes", "signature"))
    raw = _bytes(given["bytes"], "manifest", MAX_MANIFEST_BYTES)
    signature = _bytes(given["signature"], "signature", MAX_SIGNATURE_BYTES)
    return FetchedManifest(raw=raw, fingerprint=Digest.of(raw).hex, signature=signature)


def _history(value: object) -> HistoryAnswer:
    given = jsonread.members(value, required=("records", "head"))
    rows = jsonread.items(given["records"], name="records", max_items=MAX_RECORDS)
    if not rows:
        raise jsonread.JsonShapeError("records: empty")
    head = jsonread.members(given["head"], required=("deployment", "position", "hash", "signature"))
    return HistoryAnswer(
        first=0,
        records=tuple(_bytes(row, "records", MAX_RECORD_BYTES) for row in rows),
        head=HistoryHead(
            deployment=jsonread.optional_digest(head["deployment"], name="deployment"),
            position=jsonread.integer(head["position"], name="position"),
            hash=jsonread.digest(head["hash"], name="hash"),
            signature=_bytes(head["signature"], "signature", MAX_SIGNATURE_BYTES),
        ),
    )


def _source(value: object) -> Source | None:
    if value is None:
        return None
    given = jsonread.members(value, required=("url", "revision"))
    return Source(
        url=jsonread.text(given["url"], name="url", max_chars=MAX_SOURCE_CHARACTERS),
        revision=jsonread.text(given["revision"], name="revision", max_chars=MAX_SOURCE_CHARACTERS),
    )


def _time(value: object) -> datetime:
    try:
        return datetime.strptime(jsonread.text(value, name="taken", max_chars=20), _TIME).replace(tzinfo=UTC)
    except ValueError as error:
        raise jsonread.JsonShapeError("taken: expected a time like 2026-11-24T03:00:00Z") from error


def _bytes(value: object, name: str, limit: int) -> bytes:
    found = jsonread.base64_bytes(value, name=name)
    if len(found) > limit:
        raise jsonread.JsonShapeError(f"{name}: longer than {limit} bytes")
    return found


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
