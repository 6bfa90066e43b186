"""Our templates against Go's own ``text/template``: we may refuse more; where both write, bytes are equal."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from marbleops.manifest.model import Secret
from marbleops.manifest.template import Path as SecretPath
from marbleops.manifest.template import Root, Target, TemplateError, TemplateValue, parse_template, render

pytestmark = pytest.mark.integration

PROGRAM: Final = Path(__file__).resolve().parents[2] / "foreign/go/template"
GO: Final = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")

SECRETS: Final = {
    "k": TemplateValue(
        type="symmetric-key",
        public=b"\x00\x01\x02",
        private=b"\x00\x01\x02",
        definition=Secret(type="symmetric-key", size=24, shared=True),
    ),
    "my-secret": TemplateValue(
        type="plain",
        public=b"pass {{ word }}",
        private=b"pass {{ word }}",
        definition=Secret(type="plain", user_defined=True),
    ),
    "c": TemplateValue(
        type="cert-rsa",
        cert=b"c" * 100,
        public=b"p",
        private=b"\xff\xfe",
        definition=Secret(type="cert-rsa", size=2048, valid_for=7),
    ),
    "kéy": TemplateValue(type="plain", definition=Secret(type="plain", user_defined=True)),
}
RESERVED: Final = {
    "RootCA": TemplateValue(cert=b"R"),
    "MarbleCert": TemplateValue(cert=b"M", public=b"m", private=b"s"),
    "CoordinatorRoot": TemplateValue(cert=b"C"),
    "CoordinatorIntermediate": TemplateValue(cert=b"I"),
}

ACCEPTED: Final = r"""
no action }} { - }} -}}
{{hex .Secrets.k}}
a {{- hex .Secrets.k -}} b
{{ .Secrets.k | hex }}
{{ (.Secrets.k) | hex }}
{{ hex (index .Secrets "my-secret") }}
{{ (index .Secrets "my-secret").Private | base64 }}
{{ "my-secret" | index .Secrets | hex }}
{{ index (.Previous.Secrets) `k` | hex }}
{{ hex (((.Secrets.k.Private))) }}
{{ pem .Secrets.c.Cert }}{{ pem .Secrets.c.Public }}{{ pem .Secrets.c.Private }}
{{ pem .MarbleRun.RootCA.Cert }}{{ hex .MarbleRun.MarbleCert }}{{ .MarbleRun.CoordinatorRoot.Size }}
{{ .Secrets.k.Private }} {{ .Secrets.k.Size }} {{ .Secrets.k.Type }} {{ .Secrets.k.Shared }}
{{ .Secrets.c.ValidFor }} {{ .Secrets.c.UserDefined }} {{ .MarbleRun.RootCA.Private }}
{{ len .Secrets.k.Private }} {{ hex .Secrets.k | len }} {{ len "héé" }} {{ index .Secrets.c.Private 1 }}
{{ index "abc" 0x1 }} {{ index (hex .Secrets.k) 3 }} {{ 2 | index `abc` }}
{{ 0 }} {{ 007 }} {{ 0o17 }} {{ 0b1_0 }} {{ 1_000 }} {{ -3 }} {{ +3 }} {{- 3 -}} {{ 0_7 }} {{ 0x_F }} {{ -0 }}
{{ 9223372036854775807 }} {{ -9223372036854775808 }} {{ true }} {{ false }}
{{"a}}b"}} {{ "\a\b\f\n\r\t\v\\\"\x41\101\u00e9\U0001F600" }} {{ `a\n}} "q"` }} {{ "é" }} {{ "\xff\377" }}
{{/* c */}}a {{- /* c }} " */ -}} b {{/**/}} {{/* * / */}}
{{ .Secrets.kéy.Public | len }}{{ .Secrets.kéy.Type }}
{{ .Secrets.k|hex }}{{(hex .Secrets.k)|len}}
{{ "a" -}} }} {{ "b" }}
{{ (index .Secrets "k").Size }}{{ (.Secrets).k.Size }}{{ (.Previous).Secrets.k.Type }}
"""
REFUSED: Final = r"""
{{}}
{{ }}
{{ -}}
{{- -}}
{{- }}
{{
{{ hex .Secrets.k
{{ hex .Secrets.k }
{{ hex }}
{{ hex.Secrets.k }}
{{ hex(.Secrets.k) }}
{{ hex .Secrets.k .Secrets.k }}
{{ .Secrets.my-secret | hex }}
{{ .Secrets.1a }}
{{ .Secrets.k.Nope }}
{{ .Nope }}
{{ .Secrets.k hex }}
{{ "a" .Secrets.k }}
{{ "a""b" }}
{{ "a"b }}
{{ 3 4 }}
{{ 3-}}
{{ 3-4 }}
{{ 3x }}
{{ 0b2 }}
{{ 08 }}
{{ 0x }}
{{ 1__0 }}
{{ 1_ }}
{{ 9223372036854775808 }}
{{ 0xFFFFFFFFFFFFFFFFF }}
{{ ( }}
{{ ) }}
{{ () }}
{{ (hex .Secrets.k }}
{{ hex .Secrets.k) }}
{{ | hex }}
{{ "a" | "b" }}
{{ .Secrets.k | .Secrets.k }}
{{ .Secrets.k | hex | base64 }}
{{ "a" | hex }}
{{ 3 | hex }}
{{ hex .Secrets }}
{{ pem .Secrets.k }}
{{ pem .Secrets.k.Size }}
{{ hex .Secrets.missing }}
{{ hex (index .Secrets "missing") }}
{{ hex .MarbleRun.RootCA }}
{{ hex .MarbleRun.Nope.Cert }}
{{ index .Secrets }}x
{{ index .MarbleRun "RootCA" | hex }}
{{ index .Secrets 3 }}
{{ index "abc" 3 }}
{{ index "abc" -1 }}
{{ index "abc" true }}
{{ index .Secrets.k 0 }}
{{ index .Secrets.c.Cert 0 }}
{{ len .Secrets.k }}
{{ len 3 }}
{{ len }}
{{ nope }}
{{ HEX .Secrets.k }}
{{ "\q" }}
{{ "\'" }}
{{ "\400" }}
{{ "\ud800" }}
{{ "\U00110000" }}
{{ "\x4" }}
{{ "a }}
{{ `a }}
{{ 'ab' }}
{{ /* c */}}
{{/* c */ }}
{{/* c
{{/* c */x}}
{{ , }}
{{ = }}
{{ := }}
{{ a.b }}
{{ . .Secrets }}
{{ nil }}
{{ hex nil }}
{{ true.x }}
{{ "a".x }}
{{ (hex .Secrets.k).x }}
{{ § }}
{{ .§ }}
{{{ hex .Secrets.k }}}
{{ hex hex .Secrets.k }}
{{-hex .Secrets.k }}
{{-3 }}{{ if }}
{{ if true }}
{{ end }}
{{ else }}
{{ break }}
{{ $x }}
{{ hex $x }}
{{ template "x" }}
{{ string .Secrets.k }}
"""
ACCEPTED_WHOLE: Final = (
    "{{ hex\n .Secrets.k\t}}{{ `a\nb\r\n` }}",
    '{{- "x" -}}\n\n{{- /* c\n */ -}}\n\n {{- "y"}}\x00\f{{- "z" -}}\f\u00a0',
    "\x00 {{ `\x00` }}",
    "",
)
REFUSED_WHOLE: Final = ('{{ "a\nb" }}', "{{ \x00 }}", "{{\f}}", "{{ \u00a0 }}", "{{ hex .Secrets.k \u2028}}")
PIECES: Final = (
    *("{{", "}}", "{{- ", " -}}", "{{", "}}", " ", "\n", "(", ")", "|", " | ", "-", "x", "é", '"', "`", "."),
    *("hex ", "base64 ", "pem ", "raw ", "string ", "index ", "len ", "{{/* ", " */}}", '"k"', '"my-secret"'),
    *(".Secrets.k", ".Secrets", ".Previous.Secrets", ".Private", ".Public", ".Cert", ".Size", ".MarbleRun"),
    *(".RootCA", ".Secrets.c", "(index .Secrets `k`)", " 0 ", " 1 ", "-1", "0x2", "true", "\\n", "\\x41"),
)
WHOLE: Final = (
    *("hex .Secrets.k", ".Secrets.c.Cert | pem", 'index .Secrets "k" | base64', "len (hex .Secrets.k)"),
    *(".Secrets.k.Private", '"\\u00e9}}"', "`}}`", "3", "index .Previous.Secrets.k.Public 2", "/* x */"),
)


def generated(count: int) -> list[str]:
    """Make templates out of pieces: some whole actions between texts, some in any order."""
    pick = random.Random(7)
    made = []
    for number in range(count):
        if number % 2:
            made.append("".join(pick.choice(PIECES) for _ in range(pick.randint(1, 9))))
        else:
            middle = "".join(pick.choice(PIECES) for _ in range(pick.randint(1, 6)))
            left, right = pick.choice(("{{", "{{ ", "{{- ")), pick.choice(("}}", " }}", " -}}"))
            whole = pick.choice(WHOLE) if pick.random() < 0.6 else middle
            made.append(f" a\n {left}{whole}{right} \n b {{{{ {pick.choice(WHOLE)} -}}}}\n")
    return made


def ours(text: bytes, target: Target) -> bytes | TemplateError | KeyError:
    def resolve(path: SecretPath) -> TemplateValue:
        if path.root is Root.MARBLERUN:
            value = RESERVED[path.name]
            return TemplateValue(
                cert=value.cert, public=value.public, private=value.private, definition=Secret(type="")
            )
        return SECRETS[path.name]

    try:
        return render(parse_template(text, target=target), resolve)
    except (TemplateError, KeyError) as error:
        return error


def for_go(value: TemplateValue) -> dict[str, Any]:
    definition = value.definition or Secret(type="")
    return {
        "Type": value.type,
        "Size": definition.size,
        "Shared": definition.shared,
        "UserDefined": definition.user_defined,
        "ValidFor": definition.valid_for,
        "Cert": {"Raw": base64.b64encode(value.cert).decode()},
        "Private": base64.b64encode(value.private).decode(),
        "Public": base64.b64encode(value.public).decode(),
    }


def ask_go(cases: list[tuple[bytes, Target]], folder: Path) -> list[dict[str, Any]]:
    assert GO is not None
    secrets = {name: for_go(value) for name, value in SECRETS.items()}
    reserved = {name: for_go(value) for name, value in RESERVED.items()}
    asked = {
        "Data": {"Secrets": secrets, "Previous": {"Secrets": secrets}, "MarbleRun": reserved},
        "Cases": [
            {"File": target is Target.FILE, "Text": base64.b64encode(text).decode()} for text, target in cases
        ],
    }
    environment = {
        **os.environ,
        "GOTOOLCHAIN": "local",
        "GOPROXY": "off",
        "GOFLAGS": "-mod=mod",
        "CGO_ENABLED": "0",
    }
    program = folder / "render"
    subprocess.run([GO, "build", "-o", program, "."], cwd=PROGRAM, env=environment, check=True)
    answered = subprocess.run([program], input=json.dumps(asked).encode(), capture_output=True, check=True)
    answers: list[dict[str, Any]] = json.loads(answered.stdout)
    return answers


@pytest.mark.skipif(GO is None, reason="there is no go to compare with")
def test_same_as_go(tmp_path: Path) -> None:
    """What we write is what Go writes; what Go refuses we refuse; what we should take we take."""
    accepted = [*ACCEPTED.strip("\n").split("\n"), *ACCEPTED_WHOLE]
    refused = [*REFUSED.strip("\n").split("\n"), *REFUSED_WHOLE]
    texts = [*accepted, *refused, *generated(1_500)]
    cases = [(text.encode(), target) for text in texts for target in Target]

    answers = ask_go(cases, tmp_path)

    written = {text: ours(text, target) for text, target in cases if target is Target.FILE}
    assert [text for text in accepted if not isinstance(written[text.encode()], bytes)] == []
    assert [text for text in refused if isinstance(written[text.encode()], bytes)] == []
    for (text, target), answer in zip(cases, answers, strict=True):
        mine = ours(text, target)
        if isinstance(mine, bytes):
            assert not answer["Error"], (text, target, mine, answer["Error"])
            assert mine == base64.b64decode(answer["Written"] or ""), (text, target)
