"""Templates that are refused when a manifest is set (core 1.10, 5.6)."""

from __future__ import annotations

from conformance.wire.writing import Case, Json, case, contains, manifest, refused_set

SECRETS = {
    "sym": {"Type": "symmetric-key", "Size": 128, "Shared": True},
    "my-key": {"Type": "symmetric-key", "Size": 128, "Shared": True},
    "text": {"Type": "plain", "UserDefined": True},
    "cert": {"Type": "cert-ecdsa", "Size": 256, "Shared": True},
}
IN_BOTH = (
    ("unclosed", "{{ hex .Secrets.sym"),
    ("empty-action", "{{}}"),
    ("unknown-function", "{{ foo .Secrets.sym }}"),
    ("missing-secret", "{{ hex .Secrets.none }}"),
    ("unknown-field", "{{ hex .Secrets.sym.Foo }}"),
    ("unknown-root", "{{ hex .Foo.sym }}"),
    ("dash-in-dot-notation", "{{ hex .Secrets.my-key }}"),
    ("pem-of-a-whole-secret", "{{ pem .Secrets.sym }}"),
    ("hex-of-a-number", "{{ hex .Secrets.sym.Size }}"),
    ("base64-of-nothing", "{{ base64 }}"),
    ("hex-of-two", "{{ hex .Secrets.sym .Secrets.text }}"),
    ("root-ca-has-no-private", "{{ pem .MarbleRun.RootCA.Private }}"),
    ("root-ca-has-no-public", "{{ pem .MarbleRun.RootCA.Public }}"),
    ("coordinator-root-has-no-private", "{{ pem .MarbleRun.CoordinatorRoot.Private }}"),
    ("coordinator-root-has-no-public", "{{ pem .MarbleRun.CoordinatorRoot.Public }}"),
    ("intermediate-has-no-private", "{{ pem .MarbleRun.CoordinatorIntermediate.Private }}"),
    ("intermediate-has-no-public", "{{ pem .MarbleRun.CoordinatorIntermediate.Public }}"),
    ("cert-of-a-key", "{{ pem .Secrets.sym.Cert }}"),
    ("missing-previous", "{{ hex .Previous.Secrets.none }}"),
    ("end-without-if", "{{ end }}"),
)
IN_ENV = (
    ("raw", "{{ raw .Secrets.sym }}", "in Marble m: env variable E: "),
    ("string-of-a-key", "{{ string .Secrets.sym }}", "only secrets of type plain are allowed"),
    (
        "nul",
        {"Data": "YQBi", "Encoding": "base64"},
        "in Marble m: env variable: E: content contains null bytes",
    ),
    (
        "nul-without-templates",
        {"Data": "AA==", "Encoding": "base64", "NoTemplates": True},
        "in Marble m: env variable: E: content contains null bytes",
    ),
)


def _marble(**parameters: Json) -> Json:
    return manifest(Marbles={"m": {"Package": "app", "Parameters": parameters}}, Secrets=SECRETS)


CASES: list[Case] = [
    *(
        case(
            f"dry-run-{where}-{name}",
            f"{template} cannot be rendered.",
            "core 1.10, 5.6",
            *refused_set(
                _marble(**{section: {entry: template}}), contains(f"in Marble m: {words} {entry}: ")
            ),
        )
        for name, template in IN_BOTH
        for where, section, entry, words in (
            ("file", "Files", "/f", "file"),
            ("env", "Env", "E", "env variable"),
        )
    ),
    *(
        case(
            f"dry-run-env-{name}",
            "A variable holds no NUL and takes less functions than a file.",
            "core 1.10, 5.6",
            *refused_set(_marble(Env={"E": value}), contains(words)),
        )
        for name, value, words in IN_ENV
    ),
    case(
        "dry-run-file-string",
        "Only variables have the function string.",
        "core 5.6",
        *refused_set(_marble(Files={"/f": "{{ string .Secrets.text }}"}), contains("in Marble m: file /f: ")),
    ),
    case(
        "dry-run-prefix",
        "The whole error begins with what was being done.",
        "core 6.1",
        *refused_set(
            _marble(Files={"/f": "{{"}),
            {
                "$all": [
                    {"$starts": "running manifest template dry run: "},
                    contains("in Marble m: file /f: "),
                ]
            },
        ),
    ),
]
