"""Cases of the command ``parse-manifest``: which bytes are a manifest, and what is said about those that are not.

The input is a manifest's text and the strictness it is read with; the verdict is that of parsing, checking and the
dry run of the templates. ``path`` is where the first reported issue stands.
"""

from __future__ import annotations

import json
from typing import Any

Case = dict[str, Any]

STRICT = "strict"
MARBLERUN = "marblerun"

_CORE = "marblerun-core.md"
_APPROVALS = "approvals.md section 1"
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBiRqA0Jm0m8mG6mrqU4y0vJ3zYwQb1zq8w0a4p2o3Xk anna@example.org"


def all_cases() -> tuple[Case, ...]:
    """Return every case, in a fixed order."""
    return (
        *_json_cases(),
        *_name_cases(),
        *_number_cases(),
        *_marblerun_cases(),
        *_check_cases(),
        *_gitops_cases(),
        *_template_cases(),
        *_certificate_cases(),
    )


def plain_document() -> dict[str, Any]:
    """Return a small manifest that a MarbleRun Coordinator and both strictness levels accept."""
    return {
        "Packages": {"store": {"SignerID": "ab" * 32, "ProductID": 7, "SecurityVersion": 2}},
        "Marbles": {"store": {"Package": "store", "Parameters": {"Env": {"KEY": "{{ hex .Secrets.disk }}"}}}},
        "Secrets": {"disk": {"Type": "symmetric-key", "Size": 128}},
    }


def gitops_document() -> dict[str, Any]:
    """Return a manifest under signed approvals, as its first version."""
    return {
        **plain_document(),
        "Users": {
            "anna": {"Roles": ["maintainer"], "SigningKeys": [_KEY]},
            "ben": {
                "Roles": ["maintainer"],
                "SigningKeys": [_KEY.replace("anna", "ben").replace("BiR", "CiR")],
            },
        },
        "Roles": {"maintainer": {"ResourceType": "Manifest", "Actions": ["UpdateManifest"]}},
        "Config": {"UpdateThreshold": 2},
        "GitOps": {
            "Lineage": "store-prod",
            "Version": 1,
            "Path": "prod/manifest.json",
            "Quorum": {"maintainer": 1},
        },
    }


def _text(document: Any) -> str:
    return json.dumps(document, indent=2)


def _edited(document: dict[str, Any], path: tuple[str, ...], value: Any) -> str:
    """Write *document* with the member at *path* set to *value* (``...`` removes it)."""
    target = document
    for step in path[:-1]:
        target = target.setdefault(step, {})
    if value is ...:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return _text(document)


def _case(  # noqa: PLR0917 - a row of a table
    name: str, why: str, spec: str, manifest: str, strictness: str, expected: Case
) -> Case:
    return {
        "id": name,
        "why": why,
        "spec": spec,
        "command": "parse-manifest",
        "input": {"manifest": manifest, "strictness": strictness},
        "expected": expected,
    }


def _accept() -> Case:
    return {"verdict": "accept"}


def _reject(reason: str, path: str) -> Case:
    return {"verdict": "reject", "reason": reason, "path": path}


def _malformed(path: str) -> Case:
    return _reject("manifest-malformed", path)


def _invalid(path: str) -> Case:
    return _reject("manifest-invalid", path)


def _json_cases() -> tuple[Case, ...]:
    spec = f"{_CORE} 0.1"
    text = _text(plain_document())
    twice = text.replace('"ProductID": 7,', '"ProductID": 7, "ProductID": 8,')
    return (
        _case("plain-strict", "A small manifest is accepted strictly.", spec, text, STRICT, _accept()),
        _case("plain-marblerun", "The same is accepted loosely.", spec, text, MARBLERUN, _accept()),
        _case("empty", "No bytes are no JSON.", spec, "", STRICT, _malformed("")),
        _case("trailing", "Nothing may follow the value.", spec, text + "{}", MARBLERUN, _malformed("")),
        _case(
            "byte-order-mark",
            "A byte order mark is refused.",
            spec,
            "\ufeff" + text,
            MARBLERUN,
            _malformed(""),
        ),
        _case("not-an-object", "A list is no manifest.", spec, "[]", MARBLERUN, _malformed("")),
        _case(
            "nan",
            "Some parsers take NaN; it is not JSON.",
            "architecture.md 4.6",
            text.replace("128", "NaN"),
            STRICT,
            _malformed(""),
        ),
        _case(
            "too-deep",
            "Nesting is bounded, also in fields that are ignored.",
            "architecture.md 4.6",
            '{"x":' + "[" * 200 + "]" * 200 + "}",
            MARBLERUN,
            _reject("too-large", ""),
        ),
        _case(
            "duplicate-strict",
            "Two parsers could see two manifests.",
            _APPROVALS,
            twice,
            STRICT,
            _malformed("Packages.store.ProductID"),
        ),
        _case(
            "duplicate-marblerun",
            "Go takes the last one; we refuse in both levels.",
            "architecture.md 4.7",
            twice,
            MARBLERUN,
            _malformed("Packages.store.ProductID"),
        ),
        _case(
            "lone-surrogate-strict",
            "A lone surrogate is not text.",
            spec,
            text.replace('"store"', '"st\\ud800re"', 1),
            STRICT,
            _malformed('Packages["st\\ud800re"]'),
        ),
    )


def _name_cases() -> tuple[Case, ...]:
    lower = _text(plain_document()).replace("Packages", "packages").replace("SignerID", "signerid")
    typo = _edited(plain_document(), ("Packages", "store", "SecurityVerison"), 3)
    both = _text({**plain_document(), "packages": {}})
    level = "architecture.md 4.7"
    return (
        _case(
            "lower-case-strict",
            "Strictly, names are written exactly as in the schema.",
            level,
            lower,
            STRICT,
            _malformed("packages"),
        ),
        _case("lower-case-marblerun", "Names match in any case.", level, lower, MARBLERUN, _accept()),
        _case(
            "typo-strict",
            "An unknown name is refused.",
            level,
            typo,
            STRICT,
            _malformed("Packages.store.SecurityVerison"),
        ),
        _case("typo-marblerun", "An unknown name is ignored.", level, typo, MARBLERUN, _accept()),
        _case(
            "names-differ-by-case",
            "Go would merge the two; they are refused.",
            level,
            both,
            MARBLERUN,
            _malformed("packages"),
        ),
        _case(
            "map-keys-differ-by-case",
            "Names that people choose are case-sensitive.",
            f"{_CORE} 0.1",
            _edited(plain_document(), ("Secrets", "Disk"), {"Type": "symmetric-key", "Size": 128}),
            MARBLERUN,
            _accept(),
        ),
        _case(
            "schema-reference",
            "$schema is allowed at top level.",
            level,
            _text({"$schema": "./manifest.v1.schema.json", **plain_document()}),
            STRICT,
            _accept(),
        ),
    )


def _number_cases() -> tuple[Case, ...]:
    text = _text(plain_document())
    spec = f"{_CORE} 0.1"
    size = "Secrets.disk.Size"

    def with_size(literal: str) -> str:
        return text.replace("128", literal)

    return (
        _case(
            "fraction", "128.0 is no integer literal.", spec, with_size("128.0"), MARBLERUN, _malformed(size)
        ),
        _case(
            "exponent", "1e2 is no integer literal.", _APPROVALS, with_size("1e2"), STRICT, _malformed(size)
        ),
        _case("negative", "Numbers are unsigned.", spec, with_size("-8"), MARBLERUN, _invalid(size)),
        _case("minus-zero", "-0 is no unsigned literal.", spec, with_size("-0"), MARBLERUN, _malformed(size)),
        _case(
            "number-as-text", "A string is no number.", spec, with_size('"128"'), MARBLERUN, _malformed(size)
        ),
        _case(
            "true-as-number",
            "Some languages take true for 1; it is no number.",
            spec,
            with_size("true"),
            STRICT,
            _malformed(size),
        ),
        _case(
            "over-64-bits",
            "Numbers have 64 bits.",
            spec,
            with_size("18446744073709551616"),
            MARBLERUN,
            _invalid(size),
        ),
    )


def _marblerun_cases() -> tuple[Case, ...]:
    null = _edited(plain_document(), ("Config",), None)
    files = ("Marbles", "store", "Parameters", "Files", "a")
    place = "Marbles.store.Parameters.Files.a"
    spec = f"{_CORE} 1.4"
    odd = _edited(plain_document(), files, {"Data": "abc", "Encoding": "hex"})
    return (
        _case("null-marblerun", "null is the zero value.", f"{_CORE} 0.1", null, MARBLERUN, _accept()),
        _case(
            "null-strict",
            "Strictly, null stands for nothing: leave the field out.",
            _APPROVALS,
            null,
            STRICT,
            _malformed("Config"),
        ),
        _case(
            "null-file",
            "A file that is null is refused.",
            spec,
            _edited(plain_document(), files, None),
            MARBLERUN,
            _malformed(place),
        ),
        _case(
            "empty-file",
            "An object without members is an empty file.",
            spec,
            _edited(plain_document(), files, {}),
            MARBLERUN,
            _accept(),
        ),
        _case("odd-hex", "Hexadecimal comes in pairs.", spec, odd, MARBLERUN, _malformed(f"{place}.Data")),
        _case(
            "unknown-encoding",
            "Encodings are string, base64, hex.",
            spec,
            _edited(plain_document(), files, {"Encoding": "rot13"}),
            MARBLERUN,
            _malformed(f"{place}.Encoding"),
        ),
        _case(
            "bytes-as-numbers",
            "Bytes may be a list of numbers.",
            f"{_CORE} 0.1",
            _edited(plain_document(), ("Infrastructures", "cloud"), {"CPUSVN": [0, 1, 255]}),
            STRICT,
            _accept(),
        ),
    )


def _check_cases() -> tuple[Case, ...]:
    spec = f"{_CORE} 1.9"
    writer = {"ResourceType": "Secrets", "ResourceNames": ["disk"], "Actions": ["WriteSecret"]}
    return (
        _case(
            "no-packages",
            "Something must be allowed.",
            spec,
            '{"Marbles":{}}',
            MARBLERUN,
            _invalid("Packages"),
        ),
        _case(
            "unknown-package",
            "A marble names a package.",
            spec,
            _edited(plain_document(), ("Marbles", "store", "Package"), "shop"),
            STRICT,
            _invalid("Marbles.store.Package"),
        ),
        _case(
            "pinned-twice",
            "UniqueID stands alone.",
            spec,
            _edited(plain_document(), ("Packages", "store", "UniqueID"), "cd" * 32),
            STRICT,
            _invalid("Packages.store.UniqueID"),
        ),
        _case(
            "product-zero",
            "ProductID 0 is pinned.",
            spec,
            _edited(plain_document(), ("Packages", "store", "ProductID"), 0),
            STRICT,
            _accept(),
        ),
        _case(
            "no-security-version",
            "SignerID needs a SecurityVersion.",
            spec,
            _edited(plain_document(), ("Packages", "store", "SecurityVersion"), ...),
            STRICT,
            _invalid("Packages.store.SecurityVersion"),
        ),
        _case(
            "write-generated-secret",
            "Only what users upload can be written.",
            spec,
            _edited(plain_document(), ("Roles", "writer"), writer),
            STRICT,
            _invalid("Roles.writer.ResourceNames[0]"),
        ),
        _case(
            "threshold-of-nobody",
            "As many people as the threshold says can update.",
            spec,
            _edited(plain_document(), ("Config",), {"UpdateThreshold": 1}),
            STRICT,
            _invalid("Config.UpdateThreshold"),
        ),
        _case(
            "recovery-threshold-one",
            "One key alone may not recover by threshold.",
            spec,
            _text({**plain_document(), "RecoveryKeys": {"eva": "PEM"}, "Config": {"RecoveryThreshold": 1}}),
            MARBLERUN,
            _invalid("Config.RecoveryThreshold"),
        ),
    )


def _gitops_cases() -> tuple[Case, ...]:
    def edited(*path: str, value: Any) -> str:
        return _edited(gitops_document(), path, value)

    one_key = {**gitops_document(), "RecoveryKeys": {"eva": "PEM"}}
    spec = _APPROVALS
    rows: tuple[tuple[str, str, str, Case], ...] = (
        (
            "first",
            "A first version with two approvers and a quorum is accepted.",
            _text(gitops_document()),
            _accept(),
        ),
        ("null", "The name alone makes it strict.", '{"gitops": null}', _malformed("Marbles")),
        (
            "no-threshold",
            "The threshold is written.",
            edited("Config", value={}),
            _invalid("Config.UpdateThreshold"),
        ),
        (
            "zero",
            "Every change needs at least one person.",
            edited("Config", "UpdateThreshold", value=0),
            _invalid("Config.UpdateThreshold"),
        ),
        (
            "path-up",
            "No segment leads up.",
            edited("GitOps", "Path", value="a/../b"),
            _invalid("GitOps.Path"),
        ),
        (
            "path-git",
            "A path into .git is not in any tree.",
            edited("GitOps", "Path", value=".git/b"),
            _invalid("GitOps.Path"),
        ),
        (
            "path-absolute",
            "No path is absolute.",
            edited("GitOps", "Path", value="/b"),
            _invalid("GitOps.Path"),
        ),
        (
            "version-zero",
            "Versions begin at 1.",
            edited("GitOps", "Version", value=0),
            _invalid("GitOps.Version"),
        ),
        (
            "version-big",
            "A version fits a double exactly: at most 2^53-1.",
            edited("GitOps", "Version", value=2**53),
            _invalid("GitOps.Version"),
        ),
        (
            "version-text",
            "Versions are numbers.",
            edited("GitOps", "Version", value="1"),
            _malformed("GitOps.Version"),
        ),
        (
            "quorum-role",
            "A row of Quorum names an existing role.",
            edited("GitOps", "Quorum", value={"x": 1}),
            _invalid("GitOps.Quorum.x"),
        ),
        (
            "quorum-zero",
            "A row is at least 1.",
            edited("GitOps", "Quorum", value={"maintainer": 0}),
            _invalid("GitOps.Quorum.maintainer"),
        ),
        (
            "not-sealed",
            "Without sealed state there are no floors to keep.",
            edited("Config", "SealMode", value="Disabled"),
            _invalid("Config.SealMode"),
        ),
        (
            "svn-too-big",
            "SecurityVersion has 16 bits.",
            edited("Packages", "store", "SecurityVersion", value=65536),
            _invalid("Packages.store.SecurityVersion"),
        ),
        (
            "user-name",
            "Names have no spaces, so that they can stand in signed text.",
            edited("Users", "a b", value={}),
            _invalid('Users["a b"]'),
        ),
        (
            "names-by-case",
            "Names are unique ignoring case, so that nobody is mistaken.",
            edited("Users", "Anna", value={}),
            _invalid("Users.Anna"),
        ),
        (
            "lineage",
            "A lineage is a name.",
            edited("GitOps", "Lineage", value="-x"),
            _invalid("GitOps.Lineage"),
        ),
        (
            "recovery-too-few",
            "Recovery is no smaller quorum.",
            _text(one_key),
            _invalid("Config.RecoveryThreshold"),
        ),
        (
            "keyless",
            "A user with UpdateManifest and no key can never approve.",
            edited("Users", "ben", "SigningKeys", value=[]),
            _invalid("Users.ben.SigningKeys"),
        ),
        (
            "previous",
            "A digest is 64 lower-case hexadecimal digits.",
            edited("GitOps", "Previous", value="sha256:AB"),
            _invalid("GitOps.Previous"),
        ),
    )
    # MarbleRun's level is asked for throughout: the section makes the reading strict by itself.
    made = [
        _case(f"gitops-{name}", why, spec, text, MARBLERUN, expected) for name, why, text, expected in rows
    ]
    hidden = _edited(plain_document(), ("users", "anna"), {"Certificate": "PEM", "signingkeys": []})
    why = "SigningKeys in any case makes it strict."
    return (*made, _case("gitops-hidden-keys", why, spec, hidden, MARBLERUN, _malformed("users")))


def _template_cases() -> tuple[Case, ...]:
    env = ("Marbles", "store", "Parameters", "Env", "KEY")
    place = "Marbles.store.Parameters.Env.KEY"
    rows: tuple[tuple[str, str, str, Case], ...] = (
        ("missing-secret", "What is read must exist.", "{{ hex .Secrets.dsk }}", _invalid(place)),
        ("raw-in-env", "raw is for files only.", "{{ raw .Secrets.disk }}", _invalid(place)),
        ("pem-of-secret", "A whole secret has no PEM form.", "{{ pem .Secrets.disk }}", _invalid(place)),
        ("pipeline", "A value goes through a function.", "{{ .Secrets.disk | hex }}", _accept()),
        ("index", "Any name can be read with index.", '{{ hex (index .Secrets "disk") }}', _accept()),
        ("comment", "A comment writes nothing into the text.", "a{{- /* }} */ -}} b", _accept()),
        ("quoted-braces", "Braces in quotes end nothing.", '{{ "a}}b" }}', _accept()),
        ("built-ins", "len and index of a value.", "{{ hex .Secrets.disk | len }}", _accept()),
        ("printed", "A key is written as numbers.", "{{ .Secrets.disk.Private }}", _accept()),
        ("printed-whole", "A whole secret is never printed.", "{{ .Secrets.disk }}", _invalid(place)),
        ("no-value", "Nobody gets the words <no value>.", "{{ .Secrets.dsk }}", _invalid(place)),
        (
            "index-missing",
            "Nobody gets an empty secret.",
            '{{ (index .Secrets "dsk").Size }}',
            _invalid(place),
        ),
        ("computed", "What is read is constant.", "{{ index .Secrets .Secrets.disk.Type }}", _invalid(place)),
        (
            "condition",
            "There are no conditions: one text for one marble.",
            "{{ if true }}a{{ end }}",
            _invalid(place),
        ),
        (
            "loop",
            "There are no loops: every secret is named.",
            "{{ range .Secrets }}a{{ end }}",
            _invalid(place),
        ),
        ("variable", "There are no variables: a path says what it is.", "{{ $x := 1 }}", _invalid(place)),
        (
            "nested",
            "There are no templates inside of templates.",
            '{{ define "x" }}{{ end }}',
            _invalid(place),
        ),
        (
            "printf",
            "Nothing is formatted but by hex, base64 and pem.",
            '{{ printf "%x" .Secrets.disk }}',
            _invalid(place),
        ),
        ("unclosed", "An action that is never closed is refused.", "{{ hex .Secrets.disk ", _invalid(place)),
        (
            "root-private",
            "The root's key is nobody's.",
            "{{ pem .MarbleRun.RootCA.Private }}",
            _invalid(place),
        ),
        ("root-cert", "The root certificate is everybody's.", "{{ pem .MarbleRun.RootCA.Cert }}", _accept()),
        ("previous", "The previous secrets can be read.", "{{ hex .Previous.Secrets.disk }}", _accept()),
        ("trimmed", "Trim markers and blanks are fine.", "a {{- hex  .Secrets.disk -}} b", _accept()),
        ("nul", "A variable holds no NUL.", "a\0b", _invalid(place)),
    )
    return tuple(
        _case(
            f"template-{name}", why, f"{_CORE} 1.10", _edited(plain_document(), env, text), STRICT, expected
        )
        for name, why, text, expected in rows
    )


def _certificate_cases() -> tuple[Case, ...]:
    """List templates of certificates: read as Go's x509.Certificate, refused where Go could make none."""
    place = "Secrets.web.Cert"
    rows: tuple[tuple[str, str, Any, Case], ...] = (
        (
            "full",
            "Names in any case, a URI as an object, bytes as a list, fields of no meaning ignored.",
            {
                "subject": {"commonname": "web", "ExtraNames": [{"Type": [2, 5, 4, 42], "Value": "x"}]},
                "NotAfter": "2036-01-01T00:00:00.5+02:00",
                "URIs": [{"Scheme": "spiffe", "Host": "mesh", "Path": "/web"}],
                "IPAddresses": ["::ffff:10.0.0.1"],
                "SubjectKeyId": [1, 2],
                "Version": 3,
            },
            _accept(),
        ),
        ("text", "A text is the base64 of a certificate in DER.", "AAAA", _invalid(place)),
        ("no-base64", "MarbleRun would lose what is not base64.", "?", _invalid(place)),
        (
            "date",
            "A date is written as RFC 3339 says.",
            {"NotAfter": "2036-02-30"},
            _invalid(f"{place}.NotAfter"),
        ),
        (
            "address",
            "An address has no zone.",
            {"IPAddresses": ["fe80::1%e0"]},
            _invalid(f"{place}.IPAddresses[0]"),
        ),
        (
            "uri-text",
            "Go reads a URI as an object only.",
            {"URIs": ["https://a"]},
            _malformed(f"{place}.URIs[0]"),
        ),
        (
            "oid",
            "An identifier has two numbers at least.",
            {"PolicyIdentifiers": [[1]]},
            _invalid(f"{place}.PolicyIdentifiers[0]"),
        ),
        (
            "mask",
            "A network is contiguous, as Go insists.",
            {"PermittedIPRanges": [{"IP": "10.0.0.0", "Mask": "/wD/AA=="}]},
            _invalid(f"{place}.PermittedIPRanges[0].Mask"),
        ),
        (
            "rsa",
            "The signer has an ECDSA key and no other.",
            {"SignatureAlgorithm": 4},
            _invalid(f"{place}.SignatureAlgorithm"),
        ),
        (
            "path-len",
            "Only an authority has a path length.",
            {"MaxPathLen": 1},
            _invalid(f"{place}.MaxPathLen"),
        ),
        (
            "dns-text",
            "A DNS name in a certificate is ASCII.",
            {"DNSNames": ["bär"]},
            _invalid(f"{place}.DNSNames[0]"),
        ),
    )
    return tuple(
        _case(
            f"certificate-{name}",
            why,
            f"{_CORE} 1.7",
            _edited(plain_document(), ("Secrets", "web"), {"Type": "cert-ecdsa", "Size": 256, "Cert": cert}),
            MARBLERUN,
            expected,
        )
        for name, why, cert, expected in rows
    )


CASES: tuple[Case, ...] = all_cases()
