"""Templates: a subset of Go's, byte-exact results, everything else refused before a marble starts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

import pytest

from marbleops.manifest.errors import ManifestError
from marbleops.manifest.limits import (
    MAX_MANIFEST_ACTIONS,
    MAX_RENDERED_BYTES,
    MAX_TEMPLATE_ACTIONS,
    MAX_TEMPLATE_BYTES,
)
from marbleops.manifest.model import Secret
from marbleops.manifest.parse import Strictness, parse
from marbleops.manifest.template import (
    Kind,
    Path,
    Reading,
    Root,
    Target,
    TemplateError,
    TemplateValue,
    dry_run,
    marble_templates,
    parse_template,
    render,
)

KEY = TemplateValue(type="symmetric-key", public=b"\x00\x01\x02", private=b"\x00\x01\x02")
PLAIN = TemplateValue(type="plain", public=b"pass word")


def written(text: str, value: TemplateValue = KEY, target: Target = Target.FILE) -> bytes:
    return render(parse_template(text.encode(), target=target), lambda _: value)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", b""),
        ("no action }} {", b"no action }} {"),
        ("{{ hex .Secrets.sym }}", b"000102"),
        ("{{hex .Secrets.sym}}", b"000102"),
        ("{{ hex   .Secrets.sym\n}}", b"000102"),
        ("{{- hex .Secrets.sym -}} x", b"000102x"),
        ("a \n {{- hex .Secrets.sym }} b", b"a000102 b"),
        ("{{ hex .Secrets.sym -}}\n{{- hex .Secrets.sym }}", b"000102000102"),
        ("{{ raw .Secrets.sym.Private }}!", b"\x00\x01\x02!"),
        ("{{ base64 .Secrets.sym }}", b"AAEC"),
        ("{{ pem .Secrets.sym.Private }}", b"-----BEGIN PRIVATE KEY-----\nAAEC\n-----END PRIVATE KEY-----\n"),
        ("{{ pem .Secrets.sym.Public }}", b"-----BEGIN PUBLIC KEY-----\nAAEC\n-----END PUBLIC KEY-----\n"),
        ("{{ .Secrets.sym | hex }} {{ (.Secrets.sym).Private | hex }}", b"000102 000102"),
        ('{{ hex (index .Secrets "my-secret") }}', b"000102"),
        ('{{ "my-secret" | index .Previous.Secrets | hex }}', b"000102"),
        ("{{ raw .Secrets.sym | len }} {{ index .Secrets.sym.Public 2 }}", b"3 2"),
        ("{{ .Secrets.sym.Private }} {{ .Secrets.sym.Type }}", b"[0 1 2] symmetric-key"),
        ('a {{- " b" }}', b"a b"),
        ("a {{- /* c }} */ -}} b", b"ab"),
        ('{{"a}}b"}} {{ `\\n` }} {{ "\\x41\\101\\u00e9\\t\\"" }}', 'a}}b \\n AAé\t"'.encode()),
        ("{{ 0x1F }} {{ 017 }} {{ 0b1_0 }} {{- 3 -}} {{ -3 }} {{ true }}", b"31 15 23-3 true"),
    ],
)
def test_results(text: str, result: bytes) -> None:
    """The results of the reference (marblerun-core 13.10) and their neighbours."""
    assert written(text) == result


def test_literal_bytes_pass() -> None:
    """What is not an action need not be text."""
    template = parse_template(b"\xff\x00{{ raw .Secrets.a }}\xfe", target=Target.FILE)

    assert render(template, lambda _: PLAIN) == b"\xff\x00pass word\xfe"


def test_pem_lines() -> None:
    """PEM lines have 64 characters."""
    value = TemplateValue(cert=b"c" * 100)

    lines = written("{{ pem .MarbleRun.RootCA.Cert }}", value).split(b"\n")

    assert lines[0] == b"-----BEGIN CERTIFICATE-----"
    assert [len(line) for line in lines[1:-2]] == [64, 64, 8]


def test_string() -> None:
    """String is for plain secrets in the environment."""
    assert written("<{{ string .Secrets.p }}>", PLAIN, Target.ENV) == b"<pass word>"


@pytest.mark.parametrize(
    ("text", "value", "target", "words"),
    [
        ("{{ index .Secrets.a.Private 3 }}", KEY, Target.FILE, "index out of range: 3"),
        ("{{ .Secrets.a.Size }}", KEY, Target.FILE, "the Size of this secret is not kept"),
        ("{{ hex .Secrets.a.Cert }}", KEY, Target.FILE, "tried to parse secret with empty value"),
        ("{{ string .Secrets.a }}", KEY, Target.ENV, "only secrets of type plain are allowed"),
        (
            "{{ string .Secrets.a }}",
            TemplateValue(type="plain", public=b"\0"),
            Target.ENV,
            "secret contains null bytes",
        ),
        (
            "{{ string .Secrets.a }}",
            TemplateValue(type="plain"),
            Target.ENV,
            "tried to parse secret with empty value",
        ),
    ],
)
def test_unwritable_values(text: str, value: TemplateValue, target: Target, words: str) -> None:
    """A value that the function cannot write is an error, in MarbleRun's words."""
    with pytest.raises(TemplateError, match=words):
        written(text, value, target)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{}}", "missing value for command"),
        ("{{ }}", "missing value for command"),
        ("{{ hex .Secrets.a | }}", "missing value for command"),
        ("{{ hex .Secrets.a", "unclosed action"),
        ("{{ (hex .Secrets.a }}", "unclosed left paren"),
        ("{{ hex .Secrets.a) }}", "unexpected right paren"),
        ("{{/* c", "unclosed comment"),
        ("{{/* c */ }}", "a comment stands alone"),
        ("{{ /* c */}}", "a comment begins right behind the braces"),
        ('{{ "a }}', "is not closed"),
        (r'{{ "\q" }}', "is not one of Go's"),
        (r'{{ "\400" }}', "is not one of Go's"),
        (r'{{ "\ud800" }}', "is no character"),
        ("{{ hex }}", "wrong number of args for hex: want 1 got 0"),
        ("{{ hex .Secrets.a .Secrets.b }}", "wrong number of args for hex: want 1 got 2"),
        ("{{ hex hex .Secrets.a }}", "want 1 got 2"),
        ("{{ hex len }}", "stands in parentheses"),
        ("{{ hex.Secrets.a }}", "a function has no fields"),
        ("{{ (hex .Secrets.a).b }}", "a text has no fields"),
        ("{{ .Secrets.a hex }}", "can't give argument to non-function"),
        ('{{ "a""b" }}', "in operand"),
        ("{{ hex .Secrets.my-secret }}", '(index .Secrets "NAME")'),
        ("{{ hex .Secrets.1a }}", '(index .Secrets "NAME")'),
        ("{{-hex .Secrets.a }}", "not an integer constant"),
        ("{{ 1.5 }}", "not an integer constant"),
        ("{{ 9223372036854775808 }}", "does not fit 64 bits"),
        ("{{ if .Secrets.a }}{{ end }}", "'if' is not supported: there are no conditions"),
        ("{{ range .Secrets }}", "'range' is not supported: there are no loops"),
        ("{{ with .Secrets.a }}", "'with' is not supported"),
        ("{{ printf `%x` .Secrets.a }}", "'printf' is not supported"),
        ('{{ define "x" }}', "there are no nested templates"),
        ("{{ $x := .Secrets.a }}", "the variable $x is not supported"),
        ("{{ hex nil }}", "nil is no value"),
        ("{{ 'a' }}", "a character constant is not supported"),
        ("{{ . }}", "the dot alone"),
        ("{{ § }}", "neither a letter nor a digit"),
        ("{{ string .Secrets.a }}", 'function "string" not defined for a file'),
        (
            "{{ HEX .Secrets.a }}",
            'function "HEX" not defined for a file: it has raw, hex, base64, pem, index',
        ),
        ("{{ .Secrets.a }}", "a whole secret is not written as it is: use one of raw"),
        ("{{ .Secrets.a.Cert }}", "a certificate is not written as it is"),
        ("{{ hex .Secrets }}", "the path .Secrets names no secret"),
        ("{{ .Previous.Secrets }}", "the path .Previous.Secrets names no secret"),
        ("{{ hex .secrets.a }}", "is not a path: known are .Secrets, .Previous, .MarbleRun"),
        ("{{ hex .Previous.a }}", "known are .Previous.Secrets"),
        ("{{ hex .Secrets.a.Cert.Raw }}", "a certificate has no fields"),
        ("{{ hex .Secrets.a.Nope }}", "is not a field of a secret"),
        ("{{ hex .MarbleRun.Root }}", "is not a reserved secret: known are RootCA"),
        ("{{ " + "(" * 7 + "1 " * 60 + " }}", "words and signs"),
        ("{{ hex .Secrets.a.Size }}", "invalid secret type"),
        ("{{ .Secrets.a | hex | base64 }}", "invalid secret type"),
        ("{{ pem .Secrets.a }}", "invalid secret type for pem encoding"),
        ("{{ len .Secrets.a }}", "len takes a text"),
        ("{{ hex (index .Secrets .Secrets.a.Type) }}", "the key of index is a constant"),
        ("{{ hex (index .Secrets 3) }}", "the name of a secret is a text"),
        (r'{{ hex (index .Secrets "\xff") }}', "UTF-8"),
        ('{{ hex (index .MarbleRun "RootCA") }}', "can't index .MarbleRun"),
        ("{{ index .Secrets.a 0 }}", "can't index a whole secret"),
        ('{{ index .Secrets.a.Private "0" }}', "cannot index a private key with a text"),
        ("{{ index .Secrets.a.Private -1 }}", "index out of range: -1"),
        ("{{ " + "(" * 40 + " }}", "parentheses deep"),
    ],
)
def test_refused_templates(text: str, words: str) -> None:
    """Whatever is not of the subset is refused with its reason."""
    with pytest.raises(TemplateError) as caught:
        parse_template(text.encode(), target=Target.FILE)

    assert words in caught.value.message


def test_refusals_have_a_place() -> None:
    """The place is that of the word that is wrong."""
    with pytest.raises(TemplateError) as caught:
        parse_template(b"one\n  {{ hex .Secrets.a }}\n\n two {{ nope }}", target=Target.ENV)

    assert (caught.value.line, caught.value.column) == (4, 9)


def test_action_that_is_not_text() -> None:
    """An action is UTF-8."""
    with pytest.raises(TemplateError, match="UTF-8"):
        parse_template(b"{{ hex .Secrets.\xff }}", target=Target.FILE)


def test_bounds() -> None:
    """A template is bounded in its size, its actions and what it grows to."""
    with pytest.raises(TemplateError, match="actions in one template"):
        parse_template(b"{{1}}" * (MAX_TEMPLATE_ACTIONS + 1), target=Target.FILE)
    with pytest.raises(TemplateError, match="bytes"):
        parse_template(b"{{" + b" " * MAX_TEMPLATE_BYTES, target=Target.FILE)
    with pytest.raises(ManifestError, match="actions together"):
        dry_run(
            manifest_with(Files={str(n): "{{1}}" * 1024 for n in range(MAX_MANIFEST_ACTIONS // 1024 + 1)})
        )
    long = TemplateValue(public=b"x" * (MAX_RENDERED_BYTES // 2 + 1))
    with pytest.raises(TemplateError, match="the text grows beyond"):
        written("{{ raw .Secrets.a }}{{ raw .Secrets.a }}", long)


def test_references() -> None:
    """A template tells which secrets it reads, now or before, and not the reserved ones."""
    text = b"""{{ hex .Secrets.a }}{{ .Previous.Secrets.b.Private | hex }}{{ pem .MarbleRun.RootCA.Cert }}
    {{ "c" | index .Secrets | base64 }}{{ (index .Previous.Secrets `d-e`).Size }}{{/* .Secrets.x */}}"""

    template = parse_template(text, target=Target.FILE)

    assert template.references() == {"a", "b", "c", "d-e"}
    assert Reading(path=Path(root=Root.PREVIOUS, name="b", kind=Kind.PRIVATE)) in template.readings()


@pytest.mark.parametrize(
    ("text", "only"),
    [
        ("{{ raw .Secrets.a.Private }}", ""),
        ("{{ .Secrets.a.Private }}", ""),
        ("{{ len .Secrets.a.Private }}", "len"),
        ("{{ index .Secrets.a.Private 2 }}", "index 2"),
        ("{{ .Secrets.a.Private | hex | len }}", "len hex"),
        ("{{ index (base64 .Secrets.a.Private) 3 }}", "index 3 base64"),
    ],
)
def test_readings(text: str, only: str) -> None:
    """Who gets a length or a byte of a secret has not read it all."""
    readings = parse_template(text.encode(), target=Target.FILE).readings()

    assert readings == {Reading(path=Path(root=Root.SECRETS, name="a", kind=Kind.PRIVATE), only=only)}


def manifest_with(**parameters: Any) -> Any:
    secrets = {
        "key": {"Type": "symmetric-key", "Size": 128},
        "cert": {"Type": "cert-rsa", "Size": 2048},
        "mine": {"Type": "plain", "UserDefined": True},
        "hand": {"Type": "symmetric-key", "Size": 128, "UserDefined": True},
    }
    document = {
        "Packages": {"p": {}},
        "Marbles": {"m": {"Package": "p", "Parameters": parameters}},
        "Secrets": secrets,
    }
    return parse(json.dumps(document).encode(), strictness=Strictness.STRICT)


@pytest.mark.parametrize(
    "text",
    [
        "{{ hex .Secrets.key }}",
        "{{ pem .Secrets.cert.Cert }}{{ pem .Secrets.cert.Private }}",
        "{{ pem .Secrets.hand.Cert }}",
        "{{ base64 .Previous.Secrets.key }}",
        "{{ pem .MarbleRun.RootCA.Cert }}{{ pem .MarbleRun.MarbleCert.Private }}",
        "{{ pem .MarbleRun.MarbleCert.Public }}{{ hex .MarbleRun.CoordinatorRoot.Cert }}",
        "{{ hex .MarbleRun.CoordinatorIntermediate.Cert }}",
        "{{ .Secrets.key.Size }} {{ .Secrets.cert.ValidFor }} {{ .MarbleRun.RootCA.Shared }}",
        "{{ index .Secrets.key.Private 15 }}",
    ],
)
def test_dry_run_accepts(text: str) -> None:
    """What a marble can be given passes, in files and in the environment."""
    dry_run(manifest_with(Files={"/f": text}, Env={"E": text, "S": "{{ string .Secrets.mine }}"}))


@pytest.mark.parametrize(
    "text",
    [
        "{{ hex .Secrets.kye }}",
        "{{ pem .Secrets.key }}",
        "{{ pem .Secrets.key.Cert }}",
        "{{ pem .MarbleRun.RootCA.Private }}",
        "{{ pem .MarbleRun.RootCA.Public }}",
        "{{ hex .MarbleRun.CoordinatorRoot }}",
        "{{ pem .MarbleRun.CoordinatorIntermediate.Private }}",
        "{{ raw .Secrets.key }}",
        "{{ string .Secrets.key }}",
        "{{ string .Secrets.mine.Public }}",
        "{{ (index .Secrets `missing`).Size }}",
        "{{ index .Secrets.key.Private 16 }}",
        "a\0b",
    ],
)
def test_dry_run_refuses(text: str) -> None:
    """What a marble could not be given is refused when the manifest is set, at its place."""
    with pytest.raises(ManifestError) as caught:
        dry_run(manifest_with(Env={"E": text}))

    (issue,) = caught.value.issues
    assert issue.path == "Marbles.m.Parameters.Env.E"
    assert issue.message.startswith(
        ("in Marble m: env variable E: ", "in Marble m: env variable: E: content")
    )
    assert issue.line == 1


def test_dry_run_hints_and_collects() -> None:
    """All templates are told at once; a wrong name is answered with the nearest."""
    with pytest.raises(ManifestError) as caught:
        dry_run(
            manifest_with(
                Files={"/f": "{{ hex .Secrets.kay }}", "/g": "{{ hexx .Secrets.key }}"}, Env={"E": "{{ x"}
            )
        )

    first, third, second = caught.value.issues
    assert first.hint == "did you mean 'key'?"
    assert third.hint == "did you mean 'hex'?"
    assert first.message == "in Marble m: file /f: secret does not exist: kay"
    assert "unclosed action" in second.message


def test_dry_run_with_uploads() -> None:
    """What a user uploads is tried out in the place of the dummy; the definition stays the manifest's."""
    manifest = manifest_with(Env={"E": "{{ string .Secrets.mine }} {{ .Secrets.mine.UserDefined }}"})

    dry_run(manifest, values={"mine": TemplateValue(type="plain", public=b"word")})
    for value, words in ((b"", "empty value"), (b"a\0", "contains null bytes")):
        with pytest.raises(ManifestError, match=words):
            dry_run(manifest, values={"mine": TemplateValue(type="plain", public=value)})


def test_definition_is_written() -> None:
    """Fields of a definition are written as Go prints them; a certificate without a duration has 365 days."""
    definition = Secret(type="cert-rsa", size=2048, shared=True)
    value = TemplateValue(type="cert-rsa", definition=definition)
    text = "{{ .Secrets.c.Type }} {{ .Secrets.c.Size }} {{ .Secrets.c.Shared }} {{ .Secrets.c.UserDefined }} "

    assert written(text + "{{ .Secrets.c.ValidFor }}", value) == b"cert-rsa 2048 true false 365"


def test_no_templates() -> None:
    """With NoTemplates braces mean nothing; a NUL in the environment is refused all the same."""
    dry_run(manifest_with(Files={"/f": {"Data": "{{ x", "NoTemplates": True}}))
    with pytest.raises(ManifestError, match="content contains null bytes"):
        dry_run(manifest_with(Env={"E": {"Data": "AA==", "Encoding": "base64", "NoTemplates": True}}))


def test_marble_templates() -> None:
    """A marble's templates are found without its other texts."""
    raw = {"Data": "{{ hex .Secrets.cert }}", "NoTemplates": True}
    manifest = manifest_with(Files={"/f": "{{ raw .Secrets.key }}", "/g": raw}, Env={"E": "x"})

    templates = marble_templates(manifest.marbles["m"])

    assert [template.references() for template in templates] == [{"key"}, frozenset()]


def documented() -> list[tuple[str, str]]:
    """Read the examples of the documentation: a template, ``=>``, and its result or its refusal."""
    page = (FilePath(__file__).resolve().parents[4] / "docs/templates.md").read_text()
    lines = [line.split("=>") for block in page.split("```")[1::2] for line in block.strip().split("\n")]
    return [(left.rstrip(), right.strip()) for left, right in lines]


@pytest.mark.parametrize(("text", "result"), documented())
def test_documented_examples(text: str, result: str) -> None:
    """What the documentation promises is so."""
    definition = {"Type": "symmetric-key", "Size": 24}
    document = {
        "Packages": {"p": {}},
        "Marbles": {"m": {"Package": "p", "Parameters": {"Files": {"f": text}}}},
        "Secrets": {"key": definition, "my-key": definition},
    }
    manifest = parse(json.dumps(document).encode(), strictness=Strictness.STRICT)
    value = replace(KEY, definition=manifest.secrets["key"])
    try:
        dry_run(manifest)
        told = written(text, value).decode()
    except ManifestError as error:
        told = error.issues[0].message

    assert told == result or ("in Marble m: file f: " in told and result in told)


def test_values_are_not_shown() -> None:
    """A value that is logged shows nothing."""
    assert "pass" not in repr(PLAIN)
