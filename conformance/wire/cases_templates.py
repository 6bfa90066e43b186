"""What templates become at activation, with secrets whose values a manifest presets (core 5.6, 13.10)."""

from __future__ import annotations

from conformance.wire.writing import (
    UUID,
    Case,
    Json,
    activate,
    activated,
    case,
    contains,
    error,
    owned,
    refused,
    starts,
    update,
)

SYM = {"Type": "symmetric-key", "Size": 24, "UserDefined": True, "Private": "AAEC", "Public": "AAEC"}
OTHER = {"Type": "symmetric-key", "Size": 16, "UserDefined": True, "Private": "/v8=", "Public": "/v8="}
PLAIN = {"Type": "plain", "UserDefined": True, "Private": "aGVsbG8=", "Public": "aGVsbG8="}
SECRETS = {"sym": SYM, "my-key": OTHER, "greeting": PLAIN}
PEM_PRIVATE = "-----BEGIN PRIVATE KEY-----\nAAEC\n-----END PRIVATE KEY-----\n"
PEM_PUBLIC = "-----BEGIN PUBLIC KEY-----\nAAEC\n-----END PUBLIC KEY-----\n"

BOTH = (
    ("bare-number", "{{ .Secrets.sym.Size }}", "24"),
    ("bare-bytes", "{{ .Secrets.sym.Private }}", "[0 1 2]"),
    ("hex", "{{ hex .Secrets.sym }}", "000102"),
    ("hex-tight", "{{hex .Secrets.sym}}", "000102"),
    ("hex-private", "{{ hex .Secrets.sym.Private }}", "000102"),
    ("hex-public", "{{ hex .Secrets.sym.Public }}", "000102"),
    ("base64", "{{ base64 .Secrets.sym }}", "AAEC"),
    ("base64-padded", '{{ base64 (index .Secrets "my-key") }}', "/v8="),
    ("pem-private", "{{ pem .Secrets.sym.Private }}", PEM_PRIVATE),
    ("pem-public", "{{ pem .Secrets.sym.Public }}", PEM_PUBLIC),
    ("spaces", "{{  hex   .Secrets.sym  }}", "000102"),
    ("text-around", "a={{ hex .Secrets.sym }};\n", "a=000102;\n"),
    ("twice", "{{ hex .Secrets.sym }}{{ base64 .Secrets.sym }}", "000102AAEC"),
    ("trim-left", 'a {{- " b" }}', "a b"),
    ("trim-both", " {{- hex .Secrets.sym -}} x", "000102x"),
    ("trim-newlines", "a\n\n{{- hex .Secrets.sym -}}\n\t b", "a000102b"),
    ("comment", "{{/* nothing */}}x", "x"),
    ("comment-trimmed", "a {{- /* nothing */ -}} b", "ab"),
    ("pipe", "{{ .Secrets.sym | hex }}", "000102"),
    ("parentheses", "{{ hex (.Secrets.sym.Private) }}", "000102"),
    ("index", '{{ hex (index .Secrets "my-key") }}', "feff"),
    ("index-pipe", '{{ index .Secrets "my-key" | hex }}', "feff"),
    ("previous", "{{ hex .Previous.Secrets.sym }}", "000102"),
    ("plain-hex", "{{ hex .Secrets.greeting }}", "68656c6c6f"),
    ("text-literal", '{{ "a<b" }}', "a<b"),
    ("raw-literal", '{{ `a"b` }}', 'a"b'),
    ("lone-closing", "a }} b", "a }} b"),
    ("braces-apart", "{ { x } }", "{ { x } }"),
    ("no-action", "just text", "just text"),
    ("empty", "", ""),
)
FILES: tuple[tuple[str, Json, str], ...] = (
    ("len", "{{ raw .Secrets.sym | len }}", "3"),
    ("raw", "{{ raw .Secrets.greeting }}", "hello"),
    ("raw-binary", '{{ raw (index .Secrets "my-key") }}', "hex:feff"),
    ("raw-private", "{{ raw .Secrets.greeting.Private }}", "hello"),
    ("encoded-data", {"Data": "e3sgaGV4IC5TZWNyZXRzLnN5bSB9fQ==", "Encoding": "base64"}, "000102"),
    ("encoded-hex", {"Data": "6162", "Encoding": "hex"}, "ab"),
    ("binary-data", {"Data": "fffe", "Encoding": "hex", "NoTemplates": True}, "hex:fffe"),
    ("no-templates", {"Data": "{{ nonsense", "NoTemplates": True}, "{{ nonsense"),
    ("empty-object", {}, ""),
)
ENV = (
    ("string", "{{ string .Secrets.greeting }}", "hello"),
    ("string-pipe", "{{ .Secrets.greeting | string }} you", "hello you"),
    ("no-templates", {"Data": "{{ x }}", "NoTemplates": True}, "{{ x }}"),
    ("encoded", {"Data": "YmFy", "Encoding": "Base64"}, "bar"),
)
EXOTIC = (
    ("bare-missing", "{{ .Secrets.missing }}", "<no value>"),
    ("if", "{{ if .Secrets.sym.UserDefined }}yes{{ else }}no{{ end }}", "yes"),
    ("variable", "{{ $k := .Secrets.sym }}{{ hex $k }}", "000102"),
    ("with", "{{ with .Secrets.sym }}{{ hex .Private }}{{ end }}", "000102"),
    ("range", "{{ range $n, $s := .Secrets }}{{ $n }} {{ end }}", "greeting my-key sym "),
    ("print", '{{ print "a" 1 }}', "a1"),
    ("printf", '{{ printf "%s-%d" "a" 1 }}', "a-1"),
)


def _document(**parameters: Json) -> Json:
    return owned(Marbles={"tpl": {"Package": "app", "Parameters": parameters}}, Secrets=SECRETS)


def _renders(where: str, name: str, template: Json, result: str) -> Case:
    entry = "/f" if where == "Files" else "E"
    return case(
        f"template-{where.lower()}-{name}",
        f"This becomes {result!r}.",
        "core 5.6",
        update(_document(**{where: {entry: template}})),
        activate(activated(**{where: {entry: result}}), marble="tpl"),
        needs="deployed",
    )


def _beyond(name: str, template: str, result: str) -> Case:
    """Go renders this; we refuse it when the manifest is set, with its place."""
    refusal = error(500, contains("in Marble tpl: file /f: "))
    step = update(_document(Files={"/f": template}), refusal)
    step["marblerun"] = {"status": 200}
    answer = activate(
        refused("PERMISSION_DENIED", "marble verification failed: unknown marble type requested"),
        marble=f"x-{name}",
    )
    return case(
        f"template-beyond-{name}",
        f"Go's template language makes {result!r} of this; ours is the part that manifests use.",
        "core 5.6, 16 point 8",
        step,
        answer,
        needs="deployed",
        differs="D3",
    )


CASES: list[Case] = [
    *(
        _renders(where, name, template, result)
        for where in ("Files", "Env")
        for name, template, result in BOTH
    ),
    *(_renders("Files", name, template, result) for name, template, result in FILES),
    *(_renders("Env", name, template, result) for name, template, result in ENV),
    *(_beyond(name, template, result) for name, template, result in EXOTIC),
    case(
        "template-argv-is-no-template",
        "Arguments are never rendered.",
        "core 1.4",
        update(_document(Argv=["a", "{{ hex .Secrets.sym }}", ""])),
        activate(activated(Argv=["a", "{{ hex .Secrets.sym }}", ""]), marble="tpl"),
        needs="deployed",
    ),
    case(
        "template-reserved-certificates",
        "The reserved secrets are those of this activation.",
        "core 5.6",
        update(
            _document(
                Files={
                    "/root": "{{ pem .MarbleRun.RootCA.Cert }}",
                    "/leaf": "{{ pem .MarbleRun.MarbleCert.Cert }}",
                    "/key": "{{ pem .MarbleRun.MarbleCert.Private }}",
                    "/public": "{{ pem .MarbleRun.MarbleCert.Public }}",
                    "/coordinator": "{{ pem .MarbleRun.CoordinatorRoot.Cert }}",
                    "/intermediate": "{{ pem .MarbleRun.CoordinatorIntermediate.Cert }}",
                }
            )
        ),
        activate(
            {
                "$all": [
                    activated(
                        Env={
                            "MARBLE_PREDEFINED_ROOT_CA": {"$capture": "root"},
                            "MARBLE_PREDEFINED_MARBLE_CERTIFICATE_CHAIN": {"$capture": "chain"},
                            "MARBLE_PREDEFINED_PRIVATE_KEY": {"$capture": "key"},
                            "MARBLE_PREDEFINED_COORDINATOR_ROOT_CA": {"$capture": "coordinator"},
                        }
                    ),
                    activated(
                        Files={
                            "/root": {"$ref": "root"},
                            "/leaf": {"$pem": [{"$ref": "chain"}, 0]},
                            "/key": {"$ref": "key"},
                            "/coordinator": {"$ref": "coordinator"},
                            "/intermediate": {"$pem": [{"$ref": "chain"}, 1]},
                            "/public": {"$starts": "-----BEGIN PUBLIC KEY-----\n"},
                        }
                    ),
                ]
            },
            marble="tpl",
        ),
        needs="deployed",
    ),
    case(
        "template-predefined-names-are-overwritten",
        "What the Coordinator sets wins over a manifest's variable of the same name.",
        "core 4.5",
        update(_document(Env={"MARBLE_PREDEFINED_ROOT_CA": "mine", "OTHER": "mine"})),
        activate(
            activated(
                Env={
                    "MARBLE_PREDEFINED_ROOT_CA": {"$starts": "-----BEGIN CERTIFICATE-----\n"},
                    "OTHER": "mine",
                }
            ),
            marble="tpl",
            uuid=UUID,
        ),
        needs="deployed",
    ),
    case(
        "template-preset-private-alone",
        "The value of an uploaded secret may stand in the manifest; a whole secret means its Public.",
        "core 1.7, 5.6, A26",
        update(
            owned(
                Marbles={
                    "tpl": {"Package": "app", "Parameters": {"Files": {"/f": "{{ hex .Secrets.k.Private }}"}}}
                },
                Secrets={
                    "k": {
                        "Type": "symmetric-key",
                        "Size": 24,
                        "UserDefined": True,
                        "Private": [0, 1, 2],
                        "Public": [9],
                    }
                },
            )
        ),
        activate(activated(Files={"/f": "000102"}), marble="tpl"),
        needs="deployed",
    ),
    case(
        "template-unset-secret-fails-the-activation",
        "A user-defined secret without a value: the manifest is fine, the marble waits for it.",
        "core 4.4 step 9, 14.9 TestSettingSecrets",
        update(
            owned(
                Marbles={"tpl": {"Package": "app", "Parameters": {"Env": {"E": "{{ hex .Secrets.unset }}"}}}},
                Secrets={"unset": {"Type": "symmetric-key", "Size": 24, "UserDefined": True}},
            )
        ),
        activate(
            refused(
                "INTERNAL", starts('customizing marble parameters: parsing secrets for env variable "E": ')
            ),
            marble="tpl",
        ),
        needs="deployed",
    ),
]
