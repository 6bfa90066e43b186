"""Invariant: whatever the bytes, a template is written or refused with TemplateError, within its bounds.

What it reads is known before: rendering asks for no secret that ``references`` did not name, and text without
braces is written as it is. With atheris where installed, or ``python -m fuzz.fuzz_template --runs 20000``.
"""

from __future__ import annotations

from fuzz.mutate import run
from marbleops.manifest.limits import MAX_RENDERED_BYTES
from marbleops.manifest.model import Secret
from marbleops.manifest.template import (
    Path,
    Root,
    Target,
    TemplateError,
    TemplateValue,
    parse_template,
    render,
)

SEEDS = [
    b"a=1\nkey: {{ hex .Secrets.k }}\n{{- /* c }} */ -}}\n{{ pem .MarbleRun.MarbleCert.Cert }}",
    b'{{ (index .Secrets "my-secret").Private | base64 }} {{ .Previous.Secrets.k.Public | raw | len }}',
    b"{{ .Secrets.k.Private }} {{ index .Secrets.k.Public 2 }} {{ len (hex .Secrets.k) }}",
    b'{{- "a}}b\\x41\\101\\u00e9\\U0001F600\\"" -}} {{ `raw\r\n` }} {{ 0x_1F }} {{ -3 }} {{ true }}',
    b"{{ string .Secrets.k }}{{ .Secrets.k.Type }}{{ .Secrets.k.Size }}{{ .Secrets.k.ValidFor }}",
    b"{{ if .Secrets.k }}{{ $x := 1 }}{{ end }}{{ range . }}{{ 'a' }}",
    b"{{ ((((.Secrets)).k)) | hex }}{{ index .Previous.Secrets `k` | pem }}",
]
VALUE = TemplateValue(
    type="plain",
    cert=b"c" * 70,
    public=b"\x00\x01\x02",
    private=b"s",
    definition=Secret(type="plain", size=24),
)


def check_place(refused: TemplateError, raw: bytes) -> None:
    assert b"{{" in raw
    assert 1 <= refused.line <= raw.count(b"\n") + 1


def one_input(raw: bytes) -> None:
    for target in Target:
        try:
            template = parse_template(raw, target=target)
        except TemplateError as refused:
            check_place(refused, raw)
            continue
        named = template.references()

        def resolve(path: Path, named: frozenset[str] = named) -> TemplateValue:
            assert path.root is Root.MARBLERUN or path.name in named, "a secret nobody was told of"
            return VALUE

        try:
            written = render(template, resolve)
        except TemplateError:
            continue
        assert len(written) <= MAX_RENDERED_BYTES
        assert b"{{" in raw or written == raw


if __name__ == "__main__":
    run(one_input, SEEDS)
