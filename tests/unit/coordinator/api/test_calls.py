"""What MarbleRun's calls take and answer: certificates, nonces, names, and the texts that clients parse."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any

import pytest
from multidict import MultiDict

from coordinator.api import answers, calls
from coordinator.domain.secrets import Material, UserSecret
from coordinator.errors import MalformedRequestError
from marbleops.manifest.model import Secret
from tests.fakes.logins import login

CERTIFICATE = login("rita").certificate_der


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _query(*pairs: tuple[str, str]) -> Any:
    return SimpleNamespace(query=MultiDict(pairs))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (
            {"Cert": _b64(CERTIFICATE), "Private": "AQ=="},
            UserSecret(cert=CERTIFICATE, private=b"\1", key=None),
        ),
        ({"cert": "no base64!", "key": ""}, UserSecret(cert=None, private=None, key=b"")),
        ({"Cert": None, "public": "AQ=="}, UserSecret()),
        (None, UserSecret()),
    ],
)
def test_uploads(written: Any, read: UserSecret) -> None:
    """Both versions read the same entries; a certificate that is no base64 counts as none (1.7)."""
    assert calls.secrets_v1_in(json.dumps({"s": written}).encode()) == {"s": read}
    assert calls.secrets_in(json.dumps({"secrets": {"s": written}}).encode()) == {"s": read}


@pytest.mark.parametrize("cert", ["", "AQ==", _b64(CERTIFICATE + b"\0"), [1], {"Raw": "AQ=="}])
def test_bad_certificates(cert: Any) -> None:
    """Bytes that are no certificate are an error of the body, and so is a template."""
    with pytest.raises(MalformedRequestError, match=r"malformed certificate|certificate in DER"):
        calls.secrets_v1_in(json.dumps({"s": {"Cert": cert}}).encode())


def test_an_absent_manifest_is_an_empty_one() -> None:
    """It is the manifest's reader that refuses it, as in MarbleRun."""
    assert calls.manifest_in(b"{}") == calls.manifest_in(b'{"manifest":null}') == b""
    assert calls.manifest_in(b'{"manifest":"e30="} and more') == b"{}"


def test_nonces() -> None:
    """Base64url with padding; an empty one is none."""
    assert calls.nonce_in(_query(("nonce", "_-8="))) == b"\xff\xef"
    assert calls.nonce_in(_query()) is calls.nonce_in(_query(("nonce", ""))) is None
    for wrong in ("+/8=", "_-8", "a" * 5000, "\u00e4==="):
        with pytest.raises(MalformedRequestError, match=r"^invalid query: bad nonce format: "):
            calls.nonce_in(_query(("nonce", wrong)))


def test_names() -> None:
    """At least one, none of them empty; the same name may come again."""
    assert calls.names_in(_query(("s", "a"), ("t", ""), ("s", "a"))) == ("a", "a")
    with pytest.raises(MalformedRequestError, match=r"^invalid query: endpoint requires at least one query"):
        calls.names_in(_query(("S", "a")))
    with pytest.raises(MalformedRequestError, match=r"^malformed query string: empty query parameter$"):
        calls.names_in(_query(("s", "a"), ("s", "")))


def test_secrets_are_written_as_go_does() -> None:
    """The order of 13.7, null for what is unset, names sorted, the days a certificate was given."""
    unset = (Secret(type="symmetric-key", size=128, user_defined=True), Material(type="symmetric-key"))
    cert = (
        Secret(type="cert-ecdsa", size=256, shared=True),
        Material(type="cert-ecdsa", private=b"\1", public=b"\2", cert=b"\3"),
    )
    written = answers.secret_table({"b": unset, "a": cert})
    assert list(written) == ["a", "b"]
    assert json.dumps(written["b"], separators=(",", ":")) == (
        '{"Type":"symmetric-key","Size":128,"Shared":false,"UserDefined":true,"Cert":null,"ValidFor":0,'
        '"Private":null,"Public":null}'
    )
    expected = {"Cert": "Aw==", "ValidFor": 365, "Private": "AQ==", "Public": "Ag=="}
    assert {name: written["a"][name] for name in expected} == expected


def test_the_words_clients_parse() -> None:
    """Version 1's first word is All or a number; version 2 names who is missing."""
    done = "All users have acknowledged the update manifest. Update successfully applied"
    assert answers.acknowledged(0) == answers.acknowledged_by_name(0, ()) == done
    assert answers.acknowledged(1) == "1 user still needs to acknowledge the update manifest"
    assert answers.acknowledged_by_name(2, ("a", "b")) == (
        "2 users still need to acknowledge the update manifest.\n"
        "The following users have not yet accepted: a, b"
    )
