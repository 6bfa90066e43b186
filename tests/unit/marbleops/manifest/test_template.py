"""Templates: one form, byte-exact results, everything else refused before a marble starts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from marbleops.manifest.errors import ManifestError
from marbleops.manifest.parse import Strictness, parse
from marbleops.manifest.template import (
    Kind,
    Path,
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
    value = TemplateValue(kind=Kind.CERTIFICATE, cert=b"c" * 100)

    lines = written("{{ pem .MarbleRun.RootCA.Cert }}", value).split(b"\n")

    assert lines[0] == b"-----BEGIN CERTIFICATE-----"
    assert [len(line) for line in lines[1:-2]] == [64, 64, 8]


def test_string() -> None:
    """String is for plain secrets in the environment."""
    assert written("<{{ string .Secrets.p }}>", PLAIN, Target.ENV) == b"<pass word>"


@pytest.mark.parametrize(
    ("text", "value", "target", "words"),
    [
        ("{{ pem .Secrets.a }}", KEY, Target.FILE, "invalid secret type for pem encoding"),
        ("{{ hex .Secrets.a.Cert }}", KEY, Target.FILE, "tried to parse secret with empty value"),
        ("{{ string .Secrets.a }}", KEY, Target.ENV, "only secrets of type plain are allowed"),
        ("{{ string .Secrets.a.Public }}", PLAIN, Target.ENV, "only secrets of type plain are allowed"),
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
        ("{{ hex .Secrets.a", "unclosed action"),
        ("{{ hex }}", "is not {{ FUNC .PATH }}"),
        ("{{ hex.Secrets.a }}", "is not {{ FUNC .PATH }}"),
        ("{{ .Secrets.a }}", "is not {{ FUNC .PATH }}"),
        ("{{ .Secrets.a | hex }}", "is not {{ FUNC .PATH }}"),
        ('{{ hex (index .Secrets "a") }}', "is not {{ FUNC .PATH }}"),
        ("{{ hex .Secrets.my-secret }}", "is not {{ FUNC .PATH }}"),
        ("{{ hex .Secrets.1a }}", "is not {{ FUNC .PATH }}"),
        ("{{ hex .Secrets.a .Secrets.b }}", "is not {{ FUNC .PATH }}"),
        ("{{-hex .Secrets.a }}", "is not {{ FUNC .PATH }}"),
        ("{{/* c */}}", "is not {{ FUNC .PATH }}"),
        ("{{ if .Secrets.a }}{{ end }}", 'function "if" not defined'),
        ("{{ string .Secrets.a }}", 'function "string" not defined for a file'),
        ("{{ HEX .Secrets.a }}", 'function "HEX" not defined'),
        ("{{ hex .Secrets }}", "the path names no secret"),
        ("{{ hex .secrets.a }}", "is not a path"),
        ("{{ hex .Previous.a }}", "is not a path"),
        ("{{ hex .Previous.Secrets }}", "the path names no secret"),
        ("{{ hex .Secrets.a.Size }}", "is not a part of a secret"),
        ("{{ hex .Secrets.a.Cert.Raw }}", "is not a part of a secret"),
        ("{{ hex .MarbleRun.Root }}", "is not a reserved secret"),
    ],
)
def test_refused_templates(text: str, words: str) -> None:
    """Whatever is not the one form is refused with its reason."""
    with pytest.raises(TemplateError) as caught:
        parse_template(text.encode(), target=Target.FILE)

    assert words in caught.value.message


def test_refusals_have_a_place() -> None:
    """The place is that of the action."""
    with pytest.raises(TemplateError) as caught:
        parse_template(b"one\n  {{ hex .Secrets.a }}\n\n two {{ nope }}", target=Target.ENV)

    assert (caught.value.line, caught.value.column) == (4, 6)


def test_action_that_is_not_text() -> None:
    """An action is UTF-8."""
    with pytest.raises(TemplateError, match="UTF-8"):
        parse_template(b"{{ hex .Secrets.\xff }}", target=Target.FILE)


def test_references() -> None:
    """A template tells which secrets it reads, now or before, and not the reserved ones."""
    text = b"{{ hex .Secrets.a }}{{ hex .Previous.Secrets.b.Private }}{{ pem .MarbleRun.RootCA.Cert }}"

    template = parse_template(text, target=Target.FILE)

    assert template.references() == {"a", "b"}
    assert template.actions[1].path == Path(root=Root.PREVIOUS, name="b", kind=Kind.PRIVATE)


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
        "a\0b",
    ],
)
def test_dry_run_refuses(text: str) -> None:
    """What a marble could not be given is refused when the manifest is set, at its place."""
    with pytest.raises(ManifestError) as caught:
        dry_run(manifest_with(Env={"E": text}))

    (issue,) = caught.value.issues
    assert issue.path == "Marbles.m.Parameters.Env.E"
    assert issue.message.startswith("in Marble m: env variable E: ")
    assert issue.line == 1


def test_dry_run_hints_and_collects() -> None:
    """All templates are told at once; a wrong name is answered with the nearest."""
    with pytest.raises(ManifestError) as caught:
        dry_run(manifest_with(Files={"/f": "{{ hex .Secrets.kay }}"}, Env={"E": "{{ x"}))

    first, second = caught.value.issues
    assert first.hint == "did you mean 'key'?"
    assert first.message == "in Marble m: file /f: secret does not exist: kay"
    assert "unclosed action" in second.message


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


def test_values_are_not_shown() -> None:
    """A value that is logged shows nothing."""
    assert "pass" not in repr(PLAIN)
