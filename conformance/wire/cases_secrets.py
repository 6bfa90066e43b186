"""Secrets: what is generated, derived, read and uploaded (core 5)."""

from __future__ import annotations

from conformance.wire.writing import (
    ANYTHING,
    TEXT,
    V2,
    Case,
    Json,
    activate,
    activated,
    capture,
    case,
    contains,
    error,
    fail,
    json,
    log_ends,
    ok,
    opened,
    owned,
    read_secrets,
    reader,
    ref,
    rest,
    text,
    update,
    user,
    write_secrets,
    writer,
)

OTHER_UUID = "02030400-0000-4000-8000-0000000000ac"
INTERMEDIATE = "CN=MarbleRun Coordinator - Intermediate CA"
DEFAULTS = {
    "subject": "CN=localhost",
    "issuer": INTERMEDIATE,
    "signature": "ecdsa-with-SHA384 sha384",
    "days": 365,
    "usage": ["digital_signature", "key_cert_sign"],
    "purposes": ["serverAuth", "clientAuth"],
    "ca": False,
    "dns": ["localhost"],
    "ips": ["127.0.0.1", "::1"],
}


def out(kind: str, size: int, **members: Json) -> Json:
    """Write a secret as it is read (core 13.7)."""
    secret: dict[str, Json] = {
        "Type": kind,
        "Size": size,
        "Shared": False,
        "UserDefined": False,
        "Cert": None,
        "ValidFor": 0,
        "Private": None,
        "Public": None,
    }
    return secret | members


def _readable(name: str, secret: Json, **more: Json) -> Json:
    users = {"admin": user("admin", "updater", "reader")}
    return owned(Secrets={name: secret}, Users=users, Roles={"reader": reader(name)}, **more)


def _writable(**secrets: Json) -> Json:
    users = {"admin": user("admin", "updater", "writer")}
    return owned(Secrets=secrets, Users=users, Roles={"writer": writer(*secrets)})


def _generated(name: str, why: str, secret: dict[str, Json], expect: Json) -> Case:
    return case(
        f"secret-{name}",
        why,
        "core 5.3, 5.4",
        update(_readable("s", secret | {"Shared": True})),
        read_secrets(["s"], {"s": expect}),
        needs="deployed",
    )


def _certificate(
    kind: str, size: int, key: str, cert: dict[str, Json] | None = None, **described: Json
) -> Case:
    members: dict[str, Json] = {"Type": kind, "Size": size} | ({} if cert is None else {"Cert": cert})
    valid_for = described.pop("ValidFor", None)
    stored = described.pop("stored", 365)
    if valid_for is not None:
        members["ValidFor"] = valid_for
    expect = out(
        kind,
        size,
        Shared=True,
        Cert={"$certificate-der": {"$open": DEFAULTS | {"key": key} | described}},
        ValidFor=valid_for or stored,
        Private={"$any": "base64"},
        Public={"$any": "base64"},
    )
    suffix = (
        "" if cert is None and valid_for is None else "-" + "-".join(sorted(cert or {"valid-for": 1})).lower()
    )
    return _generated(
        f"{kind}-{size}{suffix}",
        "The certificate has what the template says, and the defaults.",
        members,
        expect,
    )


CERTIFICATES = [
    _certificate("cert-rsa", 2048, "rsa2048"),
    _certificate("cert-ecdsa", 224, "secp224r1"),
    _certificate("cert-ecdsa", 256, "secp256r1"),
    _certificate("cert-ecdsa", 384, "secp384r1"),
    _certificate("cert-ecdsa", 521, "secp521r1"),
    _certificate("cert-ed25519", 0, "ed25519"),
    _certificate("cert-ecdsa", 256, "secp256r1", ValidFor=7, days=7),
    _certificate(
        "cert-ecdsa",
        256,
        "secp256r1",
        {"Subject": {"CommonName": "db", "Organization": ["Acme"], "Country": ["DE"]}},
        subject="CN=db,O=Acme,C=DE",
    ),
    _certificate(
        "cert-ecdsa",
        256,
        "secp256r1",
        {"DNSNames": ["a.example", "b.example"]},
        subject="CN=MarbleRun Generated Certificate",
        dns=["a.example", "b.example"],
    ),
    _certificate(
        "cert-ecdsa",
        256,
        "secp256r1",
        {"dnsnames": ["one.example"], "IPAddresses": ["10.0.0.1"]},
        subject="CN=one.example",
        dns=["one.example"],
        ips=["10.0.0.1"],
    ),
    _certificate(
        "cert-ecdsa",
        256,
        "secp256r1",
        {"DNSNames": [], "IPAddresses": []},
        subject="CN=MarbleRun Generated Certificate",
        dns=[],
        ips=[],
    )
    | {"id": "secret-cert-ecdsa-256-no-names"},
    _certificate("cert-ecdsa", 256, "secp256r1", {"IsCA": True}, ca=True),
    _certificate(
        "cert-ecdsa", 256, "secp256r1", {"KeyUsage": 5}, usage=["digital_signature", "key_encipherment"]
    ),
    _certificate("cert-ecdsa", 256, "secp256r1", {"ExtKeyUsage": [1]}, purposes=["serverAuth"]),
    _certificate(
        "cert-ecdsa",
        256,
        "secp256r1",
        {"ExtKeyUsage": [2, 3], "EmailAddresses": ["a@example.org"]},
        purposes=["clientAuth", "codeSigning"],
        emails=["a@example.org"],
    ),
    _certificate(
        "cert-ecdsa",
        256,
        "secp256r1",
        {"URIs": [{"Scheme": "https", "Host": "a", "Path": "/x"}]},
        uris=["https://a/x"],
    ),
    _certificate(
        "cert-ecdsa", 256, "secp256r1", {"SignatureAlgorithm": 10}, signature="ecdsa-with-SHA256 sha256"
    ),
]

SYMMETRIC = [
    _generated(
        f"symmetric-{size}",
        "A shared key has Size bits; Private and Public are both the key.",
        {"Type": "symmetric-key", "Size": size},
        out(
            "symmetric-key",
            size,
            Shared=True,
            Private=capture("key", {"$bytes": size // 8}),
            Public=ref("key"),
        ),
    )
    for size in (8, 128, 256, 4096)
]

DERIVED = {
    "Packages": {"app": {"UniqueID": "11" * 32}},
    "Marbles": {
        name: {
            "Package": "app",
            "DisableSecretBinding": unbound,
            "Parameters": {
                "Env": {
                    "K": "{{ hex .Secrets.k }}",
                    "SHORT": "{{ hex .Secrets.short }}",
                    "S": "{{ hex .Secrets.shared }}",
                }
            },
        }
        for name, unbound in (("bound", False), ("other", False), ("loose", True), ("loose2", True))
    },
    "Secrets": {
        "k": {"Type": "symmetric-key", "Size": 520},
        "short": {"Type": "symmetric-key", "Size": 8},
        "shared": {"Type": "symmetric-key", "Size": 128, "Shared": True},
    },
}


def _key(marble: str, pattern: Json, **more: str) -> Json:
    return activate(activated(Env={"K": pattern}), marble=marble, **more)


DERIVATION = [
    case(
        "derive-same-uuid-same-key",
        "The key of a marble depends on its UUID and type, and on nothing that changes between activations.",
        "core 5.3, 13.1, 14.2 TestMarbleSecretDerivation",
        update(owned(**DERIVED)),
        _key("bound", capture("k", {"$any": "hex"})),
        _key("bound", ref("k")),
        _key("bound", ref("k"), uuid="{02030400-0000-4000-8000-0000000000AB}"),
        _key("bound", {"$differs": "k"}, uuid=OTHER_UUID),
        needs="deployed",
    ),
    case(
        "derive-binding",
        "Another type has another key for the same UUID; without binding types share it.",
        "core 4.4, 5.3",
        update(owned(**DERIVED)),
        _key("bound", capture("bound")),
        _key("other", {"$differs": "bound"}),
        _key("loose", {"$all": [{"$differs": "bound"}, capture("loose")]}),
        _key("loose2", ref("loose")),
        _key("loose2", {"$differs": "loose"}, uuid=OTHER_UUID),
        needs="deployed",
    ),
    case(
        "derive-shared-is-shared",
        "A shared key is the same for every marble.",
        "core 5.3, 14.2 TestActivate",
        update(owned(**DERIVED)),
        activate(activated(Env={"S": capture("s", {"$any": "hex"})}), marble="bound"),
        activate(activated(Env={"S": ref("s")}), marble="loose", uuid=OTHER_UUID),
        needs="deployed",
    ),
    case(
        "derive-survives-an-update",
        "An update without rotation keeps the root secret, and so every derived key.",
        "core 6.4",
        update(owned(**DERIVED)),
        _key("bound", capture("k")),
        update(owned(**DERIVED, Config={"UpdateThreshold": 1})),
        _key("bound", ref("k")),
        needs="deployed",
    ),
    case(
        "derive-removed-and-added-again",
        "A private key that was removed and comes back is another one here; MarbleRun derives the old one again.",
        "core 5.3, 6.4",
        update(owned(**DERIVED)),
        _key("bound", capture("k")),
        update(owned()),
        update(owned(**DERIVED)),
        _key("bound", {"$differs": "k"}) | {"marblerun": activated(Env={"K": ref("k")})},
        needs="deployed",
        differs="D31",
    ),
    case(
        "derive-private-certificates-are-new-each-time",
        "A private certificate is made anew at every activation, under the marble root.",
        "core 5.5, 14.2 TestActivate",
        update(
            owned(
                Marbles={
                    "m": {
                        "Package": "app",
                        "Parameters": {
                            "Env": {"C": "{{ pem .Secrets.c.Cert }}", "P": "{{ pem .Secrets.c.Private }}"}
                        },
                    }
                },
                Secrets={"c": {"Type": "cert-ecdsa", "Size": 256, "ValidFor": 7}},
            )
        ),
        activate(
            activated(
                Env={
                    "C": capture("c", {"$certificates": [{"$open": DEFAULTS | {"days": 7}}]}),
                    "P": capture("p"),
                    "MARBLE_PREDEFINED_ROOT_CA": capture("root"),
                }
            )
        ),
        {"do": "issued", "certificate": ref("c"), "issuer": ref("root")},
        {"do": "key-pair", "certificate": ref("c"), "key": ref("p")},
        activate(activated(Env={"C": {"$differs": "c"}})),
        needs="deployed",
    ),
]

UP = {"Type": "symmetric-key", "Size": 128, "UserDefined": True}
KEY = {"$base64": "0123456789abcdef"}
CERT = {"Type": "cert-ecdsa", "Size": 256, "UserDefined": True}
PLAIN = {"Type": "plain", "UserDefined": True}
UPLOAD_REFUSED: tuple[tuple[str, Json, Json], ...] = (
    ("empty-map", {}, "no new secrets defined"),
    ("unknown", {"none": {"Key": KEY}}, TEXT),
    ("wrong-size", {"k": {"Key": {"$base64": "0123"}}}, "declared size and actual size don't match: k"),
    ("no-key", {"k": {}}, "declared size and actual size don't match: k"),
    ("key-with-cert", {"k": {"Key": KEY, "Cert": {"$certificate-der-of": "alice"}}}, TEXT),
    ("key-with-private", {"k": {"Key": KEY, "Private": "AAEC"}}, TEXT),
    ("cert-with-key", {"c": {"Key": KEY, "Cert": {"$certificate-der-of": "alice"}}}, TEXT),
    ("cert-missing", {"c": {"Private": "AAEC"}}, "unsupported public key type: <nil>"),
    ("plain-with-private", {"p": {"Key": "YQ==", "Private": "YQ=="}}, TEXT),
    (
        "one-of-two-wrong",
        {"p": {"Key": "YQ=="}, "k": {"Key": "YQ=="}},
        "declared size and actual size don't match: k",
    ),
)


def _uploadable() -> Json:
    return _writable(k=UP, c=CERT, p=PLAIN)


UPLOADS = [
    *(
        case(
            f"upload-refused-{name}",
            "Nothing is stored.",
            "core 5.7",
            update(_uploadable()),
            write_secrets(given, error(500, words if isinstance(words, dict) else contains(words))),
            read_secrets(
                ["k", "p"],
                {"k": out("symmetric-key", 128, UserDefined=True), "p": out("plain", 0, UserDefined=True)},
            ),
            needs="deployed",
        )
        for name, given, words in UPLOAD_REFUSED
    ),
    case(
        "upload-not-user-defined",
        "Only what the manifest declares as user-defined can be written, even by who may write something else.",
        "core 5.7",
        update(
            owned(
                Secrets={"k": UP, "s": {"Type": "symmetric-key", "Size": 128, "Shared": True}},
                Users={"admin": user("admin", "updater", "writer")},
                Roles={"writer": writer("k")},
            )
        ),
        write_secrets({"s": {"Key": KEY}}, error(500, contains("secret s is not writeable"))),
        rest(
            "POST",
            "/secrets",
            error(400, contains("secret s is not writeable")),
            who="admin",
            body=json({"s": {"Key": KEY}}),
        ),
        needs="deployed",
    ),
    case(
        "upload-symmetric",
        "Private and Public are the key that was uploaded; the log says who and what, not the value.",
        "core 5.7, 6.6",
        update(_uploadable()),
        read_secrets(["k"], {"k": out("symmetric-key", 128, UserDefined=True)}),
        write_secrets({"k": {"Key": KEY}}),
        read_secrets(["k"], {"k": out("symmetric-key", 128, UserDefined=True, Private=KEY, Public=KEY)}),
        log_ends(
            '{"time":"<time>","update":"Secret set","user":"admin","secret":"k","type":"symmetric-key"}'
        ),
        needs="deployed",
    ),
    case(
        "upload-again",
        "The last upload counts.",
        "core 5.7, 14.10 secret lifecycle",
        update(_uploadable()),
        write_secrets({"k": {"Key": KEY}}),
        write_secrets({"k": {"Key": {"$base64": "fedcba9876543210"}}}),
        write_secrets({"k": {"Key": "AAEC"}}, error(500, TEXT)),
        read_secrets(
            ["k"],
            {
                "k": out(
                    "symmetric-key",
                    128,
                    UserDefined=True,
                    Private={"$base64": "fedcba9876543210"},
                    Public={"$base64": "fedcba9876543210"},
                )
            },
        ),
        needs="deployed",
    ),
    case(
        "upload-plain",
        "A plain secret may be anything, and empty.",
        "core 5.7",
        update(_uploadable()),
        write_secrets({"p": {"Key": "AP8="}}),
        read_secrets(["p"], {"p": out("plain", 0, UserDefined=True, Private="AP8=", Public="AP8=")}),
        write_secrets({"p": {"Key": ""}}),
        needs="deployed",
    ),
    case(
        "upload-certificate",
        "Public is that of the certificate; Private is taken as it is.",
        "core 5.7",
        update(_uploadable()),
        write_secrets({"c": {"Cert": {"$certificate-der-of": "alice"}, "Private": {"$key-der-of": "alice"}}}),
        read_secrets(
            ["c"],
            {
                "c": out(
                    "cert-ecdsa",
                    256,
                    UserDefined=True,
                    Cert={"$certificate-der-of": "alice"},
                    Private={"$key-der-of": "alice"},
                    Public=capture("public", {"$any": "base64"}),
                )
            },
        ),
        needs="deployed",
    ),
    case(
        "upload-certificate-without-private",
        "The private key may be missing.",
        "core 5.7",
        update(_uploadable()),
        write_secrets({"c": {"Cert": {"$certificate-der-of": "bob"}}}),
        read_secrets(["c"], {"c": opened(Cert={"$certificate-der-of": "bob"}, Private=ANYTHING)}),
        needs="deployed",
    ),
    case(
        "upload-v1",
        "Version 1 takes and gives the map itself; null is the answer to an upload.",
        "core 11",
        update(_uploadable()),
        rest("POST", "/secrets", ok(None), who="admin", body=json({"p": {"Key": "YWI="}})),
        rest(
            "GET",
            "/secrets?s=p",
            ok({"p": out("plain", 0, UserDefined=True, Private="YWI=", Public="YWI=")}),
            who="admin",
        ),
        rest("POST", "/secrets", error(400, TEXT), who="admin", body=text('{"p":{"Key":"YWI="}} x')),
        rest("POST", "/secrets", error(400, TEXT), who="admin", body=text("{")),
        needs="deployed",
    ),
    case(
        "upload-leniency",
        "Members are found in any case, bytes may be numbers, and what follows the value is ignored in version 2.",
        "core 0.1",
        update(_uploadable()),
        rest(
            "POST",
            f"{V2}/secrets",
            ok(None),
            who="admin",
            body=text('{"SECRETS":{"p":{"key":[97,98],"other":1}},"x":2} trailing'),
        ),
        read_secrets(["p"], {"p": opened(Public="YWI=")}),
        rest("POST", f"{V2}/secrets", fail(400, TEXT), who="admin", body=text('{"secrets":[]}')),
        rest("POST", f"{V2}/secrets", fail(400, "EOF"), who="admin"),
        needs="deployed",
    ),
    case(
        "upload-string-template-refuses-nul",
        "A value that a variable could not hold is refused when it is uploaded.",
        "core 5.7, 14.3 TestWriteSecrets_Legacy",
        update(
            _writable(p=PLAIN)
            | {"Marbles": {"m": {"Package": "app", "Parameters": {"Env": {"E": "{{ string .Secrets.p }}"}}}}}
        ),
        write_secrets({"p": {"Key": "YQBi"}}, error(500, TEXT)),
        write_secrets({"p": {"Key": ""}}, error(500, TEXT)),
        write_secrets({"p": {"Key": "YWI="}}),
        activate(activated(Env={"E": "ab"})),
        needs="deployed",
    ),
    case(
        "upload-two-in-one-call",
        "Each secret has its own line in the log.",
        "core 6.6, A23",
        update(_uploadable()),
        write_secrets({"p": {"Key": "YQ=="}, "k": {"Key": KEY}}),
        rest(
            "GET",
            f"{V2}/update",
            ok(
                {
                    "updateLog": {
                        "$last": [
                            {
                                "$text": '{"time":"<time>","update":"Secret set","user":"admin","secret":"<any>","type":"<any>"}'
                            }
                        ]
                        * 2
                    }
                }
            ),
        ),
        needs="deployed",
    ),
    case(
        "upload-survives-an-update",
        "An update that keeps the definition keeps the value; one that changes it does not.",
        "core 6.4, 14.10",
        update(_uploadable()),
        write_secrets({"k": {"Key": KEY}}),
        update(_uploadable() | {"Config": {"UpdateThreshold": 1}}),
        read_secrets(["k"], {"k": opened(Public=KEY)}),
        update(_writable(k=UP | {"Size": 256}, c=CERT, p=PLAIN)),
        read_secrets(["k"], {"k": out("symmetric-key", 256, UserDefined=True)}),
        needs="deployed",
    ),
]

CASES: list[Case] = [*SYMMETRIC, *CERTIFICATES, *DERIVATION, *UPLOADS]
