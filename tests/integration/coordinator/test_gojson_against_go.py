"""Our reader of request bodies against Go's own: the same bodies are taken, and read to the same values."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from coordinator.api import gojson
from coordinator.errors import MalformedRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

pytestmark = pytest.mark.integration

PROGRAM: Final = Path(__file__).resolve().parents[2] / "foreign/go/gojson"
GO: Final = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
BODIES = 6000
ENDS = frozenset({"EOF", "unexpected EOF"})
"""Texts of errors that are Go's own. The end of a number that is cut off is the one we do not tell."""

PARTS: Final = (
    *'{}[]:,"\\',
    *" \t\r\n\0\x0b",
    *(
        '"manifest":',
        '"Manifest":',
        '"MANIFEST" :',
        '"name":',
        '"NAME":',
        '"value":',
        '"\u212aey":',
        '"key":',
    ),
    *('"secrets":{', '"Secrets": {', '"a":{', '"a":null', '"b":{"Cert":"YQ=="}', '"Private":[1,2,null]'),
    *('"YQ=="', '"YR=="', '"YQ"', r'"Y\nQ=\r=="', '"_-8="', '"+/8="', '""', '"YWJj"', '"=" ', '"YQ===="'),
    *("[97,98]", "[null]", "[256]", "[]", "[1.0]", "[-0]", '["a"]', "[[1]]", "{}", "null", "true", "false"),
    *("0", "-0", "1", "01", "1.", "1.5", "1e2", "1E+", "-", "18446744073709551615", "18446744073709551616"),
    *(
        r'"\ud800"',
        r'"\ud83d\ude00"',
        r'"\udc00\ud800x"',
        r'"\u00e4"',
        r'"\q"',
        r'"\u12"',
        '"\x7f"',
        '"\x01"',
    ),
    *("tru", "nul", "NaN", "\ufeff", "//", "'a'", "\u017f", "1e999"),
)
FOREIGN: Final = (b"\xff", b"\xe2\x82", b"\xed\xa0\x80", b"\xc0\x80", b"\xf0\x9f")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    cert: bytes | None = gojson.blob("Cert")
    private: bytes | None = gojson.blob("Private")
    key: bytes | None = gojson.blob("Key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    manifest: bytes | None = gojson.blob("manifest")
    name: str = gojson.text("name")
    value: int = gojson.uint64("value")
    secrets: Mapping[str, Entry] = gojson.table("secrets", Entry)


@pytest.mark.skipif(GO is None, reason="needs a Go tool chain")
def test_every_body_is_read_alike(tmp_path: Path) -> None:
    """Thousands of bodies, good ones and mutated ones, with a fixed seed."""
    chance = random.Random(3)
    bodies = [_body(chance) for _ in range(BODIES)]
    taken = 0
    for body, answer in zip(bodies, _ask_go(bodies, tmp_path), strict=True):
        taken += answer["first"]["body"] is not None
        assert _read(gojson.first, body) == _expected(answer["first"], body), body
        assert _read(gojson.whole, body) == _expected(answer["whole"], body), body
    assert BODIES / 5 < taken < BODIES, "the bodies are too good or too bad to tell anything"


def _body(chance: random.Random) -> bytes:
    """Make a good body, and change it at up to three places."""
    members = []
    for _ in range(chance.randint(0, 4)):
        name = chance.choice(('"manifest":', '"Manifest":', '"name":', '"value":', '"x":', '"secrets":'))
        members.append(name + _value(chance, name))
    body = ("{" + ",".join(members) + "}" + chance.choice(("", "", "\n", "}", "x"))).encode()
    for _ in range(chance.choice((0, 0, 1, 1, 2, 3))):
        at, gone = chance.randint(0, len(body)), chance.choice((0, 0, 1, 4))
        part = chance.choice(PARTS).encode() if chance.random() < 0.9 else chance.choice(FOREIGN)
        body = body[:at] + part + body[at + gone :]
    return body[: chance.randint(0, len(body))] if chance.random() < 0.1 else body


def _value(chance: random.Random, name: str) -> str:
    fitting = {
        '"value":': ("0", "7", "18446744073709551615", "null"),
        '"name":': ('"a"', r'"\ud800"', '"\u00e4<"', "null"),
        '"secrets":': ('{"a":{"KEY":"YQ=="}}', '{"a":null,"b":{"\u212aey":[1]}}', "null", "{}"),
    }
    return chance.choice(
        fitting.get(name, ('"YQ=="', '"YWJj"', "[97,98,99]", "[null,1]", "null", '""', "[]"))
    )


def _ask_go(bodies: list[bytes], directory: Path) -> list[dict[str, Any]]:
    assert GO is not None
    environ = {**os.environ, "GOTOOLCHAIN": "local", "GOPROXY": "off"}
    program = directory / "gojson"
    subprocess.run([GO, "build", "-o", program, "."], cwd=PROGRAM, env=environ, check=True)
    asked = json.dumps([base64.b64encode(body).decode() for body in bodies]).encode()
    ran = subprocess.run([program], input=asked, capture_output=True, check=True)
    answers: list[dict[str, Any]] = json.loads(ran.stdout)
    return answers


def _expected(outcome: dict[str, Any], body: bytes) -> tuple[Body | None, str]:
    read = outcome["body"]
    if read is None:
        return None, _words(outcome["error"], body)
    secrets = {name: _entry(entry) for name, entry in (read["secrets"] or {}).items()}
    manifest = _bytes(read["manifest"])
    return Body(manifest=manifest, name=read["name"], value=read["value"], secrets=secrets), ""


def _entry(read: dict[str, Any]) -> Entry:
    return Entry(cert=_bytes(read["Cert"]), private=_bytes(read["Private"]), key=_bytes(read["Key"]))


def _bytes(written: str | None) -> bytes | None:
    return None if written is None else base64.b64decode(written)


def _read(read: Callable[[bytes, type[Body]], Body], body: bytes) -> tuple[Body | None, str]:
    try:
        return read(body, Body), ""
    except MalformedRequestError as error:
        return None, _words(str(error), body)


def _words(error: str, body: bytes) -> str:
    return error if error in ENDS and body[-1:] not in b".eE+-" else "refused"
