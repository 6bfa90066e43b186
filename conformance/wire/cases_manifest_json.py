"""How a manifest is read: Go's rules for every kind of field, and what is no manifest at all (core 0.1, 1.2-1.8)."""

from __future__ import annotations

import base64

from conformance.wire.writing import Case, case, contains, error, refused_set, rest, starts, status_is

NO_MARBLES = contains("no allowed marbles defined")
"""The package was read; what is refused is that no marble uses it."""
NO_PACKAGES = contains("no allowed packages defined")
UNREADABLE = starts("unmarshaling manifest: ")


def _package(members: str) -> str:
    return '{"Packages":{"a":{' + members + "}}}"


def _marble(members: str) -> str:
    """Write a marble of a package that is missing: whoever tells that has read the marble."""
    return '{"Packages":{"a":{}},"Marbles":{"m":{"Package":"b",' + members + "}}}"


def _env(entry: str) -> str:
    return _marble('"Parameters":{"Env":{"E":' + entry + "}}")


def _secret(members: str) -> str:
    return _package("")[:-1] + ',"Secrets":{"s":{"Type":"cert-rsa",' + members + "}}}"


NO_PACKAGE = contains("manifest does not contain marble package b")
READ = (
    ("lower-case", '{"packages":{"a":{"uniqueid":"00"}}}', NO_MARBLES),
    ("upper-case", '{"PACKAGES":{"a":{"UNIQUEID":"00","DEBUG":false}}}', NO_MARBLES),
    ("unknown-members", '{"Extra":[1],"Packages":{"a":{"Extra":{}}}}', NO_MARBLES),
    ("empty-object", "{}", NO_PACKAGES),
    ("null-manifest", "null", NO_PACKAGES),
    (
        "null-sections",
        '{"Packages":null,"Marbles":null,"Config":null,"Secrets":null,"TLS":null}',
        NO_PACKAGES,
    ),
    ("null-package", '{"Packages":{"a":null}}', NO_MARBLES),
    (
        "null-members",
        _package('"Debug":null,"UniqueID":null,"ProductID":null,"SecurityVersion":null'),
        NO_MARBLES,
    ),
    ("white-space-around", " \n{}\t\r\n", NO_PACKAGES),
    ("largest-product", _package('"ProductID":18446744073709551615'), NO_MARBLES),
    ("largest-version", _package('"SecurityVersion":18446744073709551615'), NO_MARBLES),
    ("tcb-lists", _package('"AcceptedTCBStatuses":["Anything"],"AcceptedAdvisories":[]'), NO_MARBLES),
    ("identity-is-not-judged", _package('"UniqueID":"TO BE FILLED IN"'), NO_MARBLES),
    (
        "infrastructure-numbers",
        '{"Infrastructures":{"i":{"CPUSVN":[0,255],"QESVN":65535,"PCESVN":1,"RootCA":[3,3,3]}}}',
        NO_PACKAGES,
    ),
    ("infrastructure-base64", '{"Infrastructures":{"i":{"CPUSVN":"AAEC","RootCA":null}}}', NO_PACKAGES),
    ("env-text", _env('"x"'), NO_PACKAGE),
    ("env-empty-object", _env("{}"), NO_PACKAGE),
    ("env-base64", _env('{"Data":"YmFy","Encoding":"base64"}'), NO_PACKAGE),
    ("env-base64-upper", _env('{"Data":"YmFy","Encoding":"BASE64"}'), NO_PACKAGE),
    ("env-base64-newline", _env('{"Data":"Ym\\nFy","Encoding":"base64"}'), NO_PACKAGE),
    ("env-hex", _env('{"Data":"0aFF","Encoding":"Hex"}'), NO_PACKAGE),
    ("env-lower-case-members", _env('{"data":"x","encoding":"string","notemplates":true}'), NO_PACKAGE),
    ("null-parameters", _marble('"Parameters":null,"TLS":null,"MaxActivations":null'), NO_PACKAGE),
    ("cert-null", _secret('"Cert":null'), NO_MARBLES),
    ("cert-invalid-base64-is-no-certificate", _secret('"Cert":"!"'), NO_MARBLES),
    (
        "cert-template",
        _secret('"Cert":{"subject":{"commonname":"x"},"DNSNames":["a"],"IsCA":true}'),
        NO_MARBLES,
    ),
    (
        "cert-template-uris",
        _secret('"Cert":{"URIs":[{"Scheme":"https","Host":"a","Path":"/x"}],"IPAddresses":["::1"]}'),
        NO_MARBLES,
    ),
    (
        "go-writes-nulls",
        (
            '{"Packages":null,"Infrastructures":null,"Marbles":{"m":{"Package":"p","MaxActivations":0,"Parameters":{"Files":null,'
            '"Env":{"A":{"Data":"x\\u003cy","Encoding":"string","NoTemplates":false}},"Argv":null},"TLS":null,'
            '"DisableSecretBinding":false}},"Users":null,"Secrets":null,"RecoveryKeys":null,"Roles":null,"TLS":null,"Config":'
            '{"SealMode":"","FeatureGates":null,"UpdateThreshold":0,"RecoveryThreshold":0,"RotateRootSecret":false}}'
        ),
        NO_PACKAGES,
    ),
)
UNREAD = (
    ("empty-body", ""),
    ("cut-off", '{"Packages":'),
    ("text-after", "{} x"),
    ("second-value", "{}{}"),
    ("byte-order-mark", "\ufeff{}"),
    ("a-list", "[]"),
    ("a-text", '"{}"'),
    ("a-number", "1"),
    ("yaml", "Packages:\n  a: {}\n"),
    ("comment", "{} // x"),
    ("packages-a-list", '{"Packages":[]}'),
    ("package-a-text", '{"Packages":{"a":"x"}}'),
    ("product-negative", _package('"ProductID":-1')),
    ("product-with-point", _package('"ProductID":1.0')),
    ("product-with-exponent", _package('"ProductID":1e2')),
    ("product-a-text", _package('"ProductID":"1"')),
    ("product-too-large", _package('"ProductID":18446744073709551616')),
    ("version-with-point", _package('"SecurityVersion":2.0')),
    ("version-negative", _package('"SecurityVersion":-8')),
    ("debug-a-text", _package('"Debug":"true"')),
    ("debug-a-number", _package('"Debug":1')),
    ("identity-a-number", _package('"UniqueID":5')),
    ("tcb-statuses-a-text", _package('"AcceptedTCBStatuses":"UpToDate"')),
    ("qesvn-too-large", '{"Infrastructures":{"i":{"QESVN":65536}}}'),
    ("cpusvn-too-large", '{"Infrastructures":{"i":{"CPUSVN":[256]}}}'),
    ("cpusvn-bad-base64", '{"Infrastructures":{"i":{"CPUSVN":"!"}}}'),
    ("port-a-number", '{"TLS":{"t":{"Outgoing":[{"Addr":"a","Port":80}]}}}'),
    ("max-activations-negative", _marble('"MaxActivations":-1')),
    ("argv-a-text", _marble('"Parameters":{"Argv":"x"}')),
    ("marble-tls-a-text", _marble('"TLS":"t"')),
    ("env-null", _env("null")),
    ("env-number", _env("5")),
    ("env-boolean", _env("true")),
    ("env-list", _env("[]")),
    ("env-base64-no-padding", _env('{"Data":"YQ","Encoding":"base64"}')),
    ("env-base64-url-alphabet", _env('{"Data":"_-==","Encoding":"base64"}')),
    ("env-hex-odd", _env('{"Data":"abc","Encoding":"hex"}')),
    ("env-hex-no-hex", _env('{"Data":"zz","Encoding":"hex"}')),
    ("user-certificate-a-list", '{"Users":{"u":{"Certificate":[]}}}'),
    ("role-names-a-text", '{"Roles":{"r":{"ResourceNames":"a"}}}'),
    ("role-actions-a-text", '{"Roles":{"r":{"Actions":"ReadSecret"}}}'),
    ("secret-size-a-text", _secret('"Size":"128"')),
    ("secret-size-negative", _secret('"Size":-1')),
    ("secret-shared-a-text", _secret('"Shared":"yes"')),
    ("cert-a-list", _secret('"Cert":[]')),
    ("cert-empty-text", _secret('"Cert":""')),
    ("cert-uri-a-text", _secret('"Cert":{"URIs":["https://a"]}')),
    ("threshold-a-text", '{"Config":{"UpdateThreshold":"1"}}'),
    ("gates-a-text", '{"Config":{"FeatureGates":"SignQuoteEndpoint"}}'),
    ("recovery-key-a-list", '{"RecoveryKeys":{"k":[]}}'),
)

MALFORMED = (
    ("cert-bad-time", _secret('"Cert":{"NotAfter":"2030-13-01T00:00:00Z"}')),
    ("cert-bad-address", _secret('"Cert":{"IPAddresses":["localhost"]}')),
    ("cert-no-certificate", _secret('"Cert":"AAEC"')),
)

CASES: list[Case] = [
    *(
        case(
            f"manifest-reads-{name}",
            "This is read; it is refused for something else.",
            "core 0.1, 1",
            *refused_set(body, message),
        )
        for name, body, message in READ
    ),
    *(
        case(
            f"manifest-unreadable-{name}",
            "This is no manifest.",
            "core 0.1, 1",
            *refused_set(body, UNREADABLE),
        )
        for name, body in UNREAD
    ),
    case(
        "manifest-unreadable-unknown-encoding",
        "The encoding is named as it was written.",
        "core 1.4",
        *refused_set(_env('{"Data":"x","Encoding":"Rot13"}'), contains("unknown encoding type: Rot13")),
    ),
    case(
        "manifest-invalid-utf8-is-read",
        "Bytes that are no UTF-8 become U+FFFD.",
        "core 0.1",
        rest(
            "POST",
            "/manifest",
            error(400, NO_MARBLES),
            body={"base64": base64.b64encode(b'{"Packages":{"\xff":{}}}').decode()},
        ),
        status_is(2),
    ),
    *(
        case(
            f"manifest-malformed-{name}",
            "A template that is none: refused, by us with all other problems of the manifest and their places.",
            "core 1.7",
            *refused_set(body, contains("Secrets.s.Cert"), marblerun=UNREADABLE),
            differs="D13",
        )
        for name, body in MALFORMED
    ),
    case(
        "manifest-duplicate-members",
        "A manifest that says something twice is refused: readers would differ about what it says.",
        "core 0.1",
        *refused_set('{"Packages":{"a":{}},"Packages":{"b":{}}}', UNREADABLE, marblerun=NO_MARBLES),
        differs="D1",
    ),
]
