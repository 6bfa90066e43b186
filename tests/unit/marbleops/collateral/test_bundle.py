"""A bundle is taken whole, from whom it should come, and never puts an older document over a newer one."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path  # noqa: TC003  tmp_path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conformance import quotesmith as smith
from marbleops.attestation.anchors import Anchors
from marbleops.collateral import bundle
from marbleops.collateral.cache import CacheError, CollateralCache, Entry
from marbleops.collateral.documents import Key, Kind, read_document
from marbleops.manifest.canonical import canonical_json

if TYPE_CHECKING:
    from datetime import datetime

AT = smith.AT
DAY = timedelta(days=1)
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
PCK_CRL = Key(kind=Kind.PCK_CRL, subject="platform")
ANCHORS = Anchors.simulation(smith.ANCHOR)


def entry(at: datetime = AT, key: Key = PCK_CRL) -> Entry:
    made = smith.collateral(at=at)
    body = made.pck_crl if key is PCK_CRL else made.root_ca_crl
    document = read_document(key, body, made.pck_crl_issuer_chain if key is PCK_CRL else "")
    return Entry(document=document, source="pccs:https://pccs", fetched_at=at)


ENTRIES = (entry(), entry(key=Key(kind=Kind.ROOT_CRL)))
SIGNED = bundle.export_bundle(ENTRIES, created=AT, signing_key=KEY)
PLAIN = bundle.export_bundle(ENTRIES, created=AT, signing_key=None)


def test_there_and_back(tmp_path: Path) -> None:
    """What was exported is what is imported; a second import changes nothing for the worse."""
    packed = bundle.read_bundle(SIGNED, signer=KEY.public_key())
    assert set(packed.entries) == set(ENTRIES)
    assert packed.signer == KEY.public_key().public_bytes_raw()
    assert bundle.read_bundle(PLAIN).signer is None
    cache = CollateralCache(tmp_path / "cache")
    assert len(bundle.import_bundle(packed, cache, anchors=ANCHORS).stored) == 2
    assert set(cache.entries()[0]) == set(ENTRIES)

    old = bundle.read_bundle(bundle.export_bundle([entry(AT - DAY)], created=AT, signing_key=None))
    done = bundle.import_bundle(old, cache, anchors=ANCHORS)
    assert [key for key, _ in done.kept] == [PCK_CRL]
    assert cache.load(PCK_CRL) == ENTRIES[0]
    refused = bundle.import_bundle(packed, CollateralCache(tmp_path / "b"), anchors=Anchors.intel()).refused
    assert [key for key, _ in refused] == [PCK_CRL]


def _edited(**members: object) -> bytes:
    document = json.loads(SIGNED)
    document["content"].update(members)
    return canonical_json(document) + b"\n"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not JSON"),
        (SIGNED[:-200], "not JSON"),
        (b"[]", "not a bundle"),
        (b'{"content":{},"digest":""}', "not a bundle"),
        (json.dumps(json.loads(SIGNED)).encode(), "not canonical JSON"),
        (_edited(version=2), "bundle has version 2"),
        (_edited(created="2027-01-01T00:00:00+00:00"), "digest does not match"),
        (SIGNED.replace(b'"value":"', b'"value":"00'), "its signature"),
        (SIGNED.replace(KEY.public_key().public_bytes_raw().hex().encode(), b"00" * 32), "its signature"),
        (SIGNED.replace(b'"publicKey"', b'"publicFoe"'), "its signature cannot be read"),
    ],
)
def test_a_bundle_that_was_touched(raw: bytes, words: str) -> None:
    """Each is refused with a reason."""
    with pytest.raises(bundle.BundleError, match=words):
        bundle.read_bundle(raw)


def test_a_bundle_of_somebody_else() -> None:
    """A pinned signer is the only one; no signature is none."""
    for raw, words in ((SIGNED, "it is signed by"), (PLAIN, "it is not signed")):
        with pytest.raises(bundle.BundleError, match=words):
            bundle.read_bundle(raw, signer=OTHER.public_key())


def test_keys_from_files() -> None:
    """PEM and OpenSSH, private and public; anything else is refused without being quoted."""
    none = serialization.NoEncryption()
    for form in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.OpenSSH):
        raw = KEY.private_bytes(serialization.Encoding.PEM, form, none)
        assert bundle.load_signing_key(raw).private_bytes_raw() == KEY.private_bytes_raw()
    public = KEY.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    line = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    for raw in (pem, line + b" somebody\n"):
        assert bundle.load_signer(raw).public_bytes_raw() == public.public_bytes_raw()
    wrong = smith.PKI.root.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for raw in (b"secret words", wrong):
        with pytest.raises(bundle.BundleError, match=r"not (a public|an Ed25519) key"):
            bundle.load_signer(raw)
    with pytest.raises(bundle.BundleError) as caught:
        bundle.load_signing_key(b"secret words")
    assert "secret" not in str(caught.value)


def test_damaged_files_count_as_none(tmp_path: Path) -> None:
    """Half a file, another document's, another version: the cache goes on without and names them."""
    cache = CollateralCache(tmp_path)
    cache.store(ENTRIES[0])
    file = tmp_path / f"{PCK_CRL.name}.json"
    assert file.stat().st_mode & 0o777 == 0o600
    good = file.read_text()
    for text in (
        good[:100],
        good.replace("platform", "processor"),
        good.replace('"version": 1', '"version": 2'),
        "[]",
    ):
        file.write_text(text)
        assert cache.load(PCK_CRL) is None
        assert cache.entries() == ((), (file.name,))
    (tmp_path / f"{PCK_CRL.name}.failed").write_text("{}")
    assert cache.failure(PCK_CRL) is None
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="cannot use the collateral cache"):
        CollateralCache(tmp_path / "file")
