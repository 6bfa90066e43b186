"""The TTLS configuration of a marble's tags (marblerun-core 4.6)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from coordinator.domain import pki, secrets
from coordinator.domain.making import Making
from coordinator.domain.ttls import ttls_config
from coordinator.errors import ActivationFailedError
from marbleops.manifest.model import Manifest, Secret
from marbleops.manifest.parse import Strictness, parse
from tests.fakes.small_world import FakeEntropy

AT = datetime(2026, 11, 23, tzinfo=UTC)
MAKING = Making(at=AT, random=FakeEntropy("ttls").bytes)
ROOT = pki.create_root(names=("localhost",), at=AT, random=MAKING.random)
AUTHORITIES = pki.renew(ROOT, names=("localhost",), at=AT, random=MAKING.random)
LEAF = AUTHORITIES.intermediate
"""Any pair will do: here only PEM is made of it."""


def test_entries_of_several_tags() -> None:
    """Tags merge, later ones overwrite; the keys are sorted and the texts escaped as Go does."""
    written = _config(
        {
            "first": {
                "Incoming": [{"Port": "2000"}, {"Port": "3000"}],
                "Outgoing": [{"Addr": "<a>&\u2028", "Port": "1"}],
            },
            "second": {"Incoming": [{"Port": "3000", "Cert": "web", "DisableClientAuth": True}]},
            "other": {"Incoming": [{"Port": "4000"}]},
        },
        ["first", "second"],
    )
    assert written.startswith('{"tls":{"Incoming":{"*:2000":{"cacrt":"-----BEGIN CERTIFICATE-----')
    assert r'"Outgoing":{"\u003ca\u003e\u0026\u2028:1":{"cacrt"' in written
    tls = json.loads(written)["tls"]
    own = {
        "cacrt": AUTHORITIES.marble_root.certificate_pem.decode(),
        "clicrt": LEAF.certificate_pem.decode(),
        "clikey": LEAF.key_pem.decode(),
    }
    assert tls["Outgoing"] == {"<a>&\u2028:1": own}
    assert tls["Incoming"]["*:2000"] == {**own, "clientAuth": True}
    assert list(tls["Incoming"]) == ["*:2000", "*:3000"]
    assert list(tls["Incoming"]["*:2000"]) == ["cacrt", "clicrt", "clientAuth", "clikey"]
    web = tls["Incoming"]["*:3000"]
    certificate = x509.load_pem_x509_certificate(web["clicrt"].encode())
    certificate.verify_directly_issued_by(AUTHORITIES.marble_root.certificate)
    assert certificate.public_bytes(Encoding.PEM).decode() == web["clicrt"]
    assert (web["cacrt"], web["clientAuth"]) == (own["cacrt"], False)
    assert web["clikey"].startswith("-----BEGIN PRIVATE KEY-----\n")


def test_no_tags_and_empty_tags() -> None:
    """Without a tag there is no variable at all; both objects are there even when empty."""
    assert _config({"t": {}}, ["t"]) == '{"tls":{"Incoming":{},"Outgoing":{}}}'
    manifest = _manifest({"t": {}}, [])
    assert (
        ttls_config(
            manifest, manifest.marbles["m"], leaf=LEAF, marble_root=AUTHORITIES.marble_root, secrets={}
        )
        is None
    )


def test_a_certificate_that_is_not_there_yet() -> None:
    """A marble that needs an uploaded certificate waits for it, and is told which."""
    entry = {"Port": "1", "Cert": "theirs", "DisableClientAuth": True}
    with pytest.raises(ActivationFailedError, match="creating TTLS config: the secret theirs"):
        _config({"t": {"Incoming": [entry]}}, ["t"])


def _config(tags: dict[str, Any], carried: list[str]) -> str:
    manifest = _manifest(tags, carried)
    stored = secrets.first_secrets(
        {
            "web": Secret(type="cert-ecdsa", size=256, shared=True),
            "theirs": Secret(type="cert-rsa", user_defined=True),
        },
        issuer=AUTHORITIES.marble_root,
        making=MAKING,
    )
    written = ttls_config(
        manifest, manifest.marbles["m"], leaf=LEAF, marble_root=AUTHORITIES.marble_root, secrets=stored
    )
    assert written is not None
    return written.decode()


def _manifest(tags: dict[str, Any], carried: list[str]) -> Manifest:
    document = {
        "Packages": {"p": {"Debug": True}},
        "Marbles": {"m": {"Package": "p", "TLS": carried}},
        "TLS": tags,
    }
    return parse(json.dumps(document).encode(), strictness=Strictness.MARBLERUN)
