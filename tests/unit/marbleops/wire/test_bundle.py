"""Evidence bundles: what is written is read again, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marbleops.attestation.collateral import Collateral
from marbleops.manifest.canonical import canonical_json
from marbleops.manifest.digest import Digest
from marbleops.wire import bundle as module
from marbleops.wire.attest import Standing
from marbleops.wire.bundle import Bundle, BundleError, encode_bundle, read_bundle
from marbleops.wire.rest import FetchedManifest, HistoryAnswer, HistoryHead, Source

if TYPE_CHECKING:
    from collections.abc import Callable

RAW = b'{"a": 1}'
COLLATERAL = Collateral(
    pck_crl_issuer_chain="chain",
    root_ca_crl=b"crl",
    pck_crl=b"crl",
    tcb_info_issuer_chain="chain",
    tcb_info="{}",
    tcb_info_signature=bytes(64),
    qe_identity_issuer_chain="chain",
    qe_identity="{}",
    qe_identity_signature=bytes(64),
)
BUNDLE = Bundle(
    taken=datetime(2026, 11, 24, 3, 0, 0, tzinfo=UTC),
    nonce=bytes(32),
    root=b"root",
    chain_pem="pem",
    quote=b"quote",
    standing=Standing(phase=3, enforced=Digest.of(RAW)),
    collateral=COLLATERAL,
    manifest=FetchedManifest(raw=RAW, fingerprint=Digest.of(RAW).hex, signature=b"s"),
    history=HistoryAnswer(
        first=0,
        records=(b"genesis", b"second"),
        head=HistoryHead(deployment=Digest.of(b"d"), position=1, hash=Digest.of(b"h"), signature=b"s"),
    ),
    source=Source(url="https://example.org/shop.git", revision="1" * 40),
)
ENCODED = encode_bundle(BUNDLE)


@pytest.mark.parametrize(
    "bundle",
    [
        BUNDLE,
        replace(BUNDLE, source=None, standing=None),
        replace(BUNDLE, standing=Standing(phase=2, enforced=None)),
    ],
)
def test_what_was_written_is_read_again(bundle: Bundle) -> None:
    """Member for member, with and without what a bundle need not have."""
    assert read_bundle(encode_bundle(bundle)) == bundle


def put(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return the edit that sets one member."""

    def edit(document: dict[str, Any]) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (put("format", value="another"), "format"),
        (put("version", value=2), "version"),
        (put("version", value=True), "version"),
        (put("more", value=1), "unknown member"),
        (put("taken", value="2026-11-24"), "taken"),
        (put("taken", value="2026-11-24T3:00:00Z"), "canonical"),
        (put("nonce", value="AAAA"), "nonce: fewer"),
        (put("nonce", value="A" * 88), "nonce: longer"),
        (put("quote", "quote", value="A" * 87_384), "quote: longer"),
        (put("quote", "cert", value="x" * 65_537), "cert: longer"),
        (put("quote", "state", "code", value=256), "not a phase"),
        (put("quote", "state", "manifestFingerprint", value="0"), "manifestFingerprint"),
        (put("collateral", "tcb_info", value=1), "tcb_info"),
        (put("collateral", "tcb_info", value="{}\0"), "canonical"),
        (put("collateral", value=[]), "not a JSON object"),
        (put("manifest", "signature", value="===="), "not base64"),
        (put("history", "records", value=[]), "records: empty"),
        (put("history", "head", "position", value=-1), "position"),
        (put("source", "url", value="x" * 1025), "url: longer"),
        (put("source", "url", value="\ud800"), "surrogate"),
    ],
)
def test_a_member_of_another_form_is_refused(edit: Callable[[dict[str, Any]], None], words: str) -> None:
    """The error says which one."""
    document = json.loads(ENCODED)
    edit(document)
    raw = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(BundleError, match=words):
        read_bundle(raw)


@pytest.mark.parametrize("name", sorted(json.loads(ENCODED)))
def test_no_member_may_be_missing(name: str) -> None:
    """There are no defaults: what is not there was not judged."""
    document = json.loads(ENCODED)
    del document[name]
    with pytest.raises(BundleError, match=name):
        read_bundle(canonical_json(document))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b"1" * 5000,
        ENCODED + b"\n",
        json.dumps(json.loads(ENCODED)).encode(),
        ENCODED.replace(b'"version":1', b'"version":1,"version":1'),
    ],
    ids=["empty", "list", "bytes", "deep", "number", "newline", "spaces", "twice"],
)
def test_only_the_canonical_form_is_read(raw: bytes) -> None:
    """One bundle has one file: two readers never see two things in it."""
    with pytest.raises(BundleError):
        read_bundle(raw)


def test_a_bundle_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no reader would take is not written."""
    monkeypatch.setattr(module, "MAX_BUNDLE_BYTES", len(ENCODED) - 1)
    with pytest.raises(BundleError, match="larger"):
        read_bundle(ENCODED)
    with pytest.raises(BundleError, match="more evidence"):
        encode_bundle(BUNDLE)


@settings(max_examples=40, deadline=None)
@given(place=st.integers(0, len(ENCODED) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_another_bundle_or_none(place: int, byte: int) -> None:
    """The reader ends in its own error, or in a bundle that says exactly these bytes."""
    raw = ENCODED[:place] + bytes([byte]) + ENCODED[place + 1 :]
    try:
        found = read_bundle(raw)
    except BundleError:
        return
    assert encode_bundle(found) == raw
    assert (found == BUNDLE) == (raw == ENCODED)
