"""Marbles: admission, UUIDs, budgets, certificates and TTLS (core 3, 4)."""

from __future__ import annotations

from conformance.wire.writing import (
    TEXT,
    UUID,
    V2,
    Case,
    Json,
    activate,
    activated,
    capture,
    case,
    contains,
    manifest,
    ok,
    opened,
    owned,
    ref,
    refused,
    rest,
    starts,
    update,
)

NIL = "00000000-0000-0000-0000-000000000000"
UNKNOWN = "marble verification failed: unknown marble type requested"
ROOT = "CN=MarbleRun Coordinator"
INTERMEDIATE = "CN=MarbleRun Coordinator - Intermediate CA"
AUTHORITY = {
    "key": "secp384r1",
    "signature": "ecdsa-with-SHA384 sha384",
    "days": "forever",
    "usage": ["digital_signature", "key_cert_sign"],
    "purposes": ["serverAuth", "clientAuth"],
    "ca": True,
    "dns": ["localhost"],
    "ips": ["127.0.0.1", "::1"],
    "critical": ["2.5.29.15", "2.5.29.19"],
}
LEAF = {
    "subject": f"CN={UUID}",
    "issuer": INTERMEDIATE,
    "key": "secp384r1",
    "signature": "ecdsa-with-SHA384 sha384",
    "days": "forever",
    "usage": ["digital_signature", "key_agreement"],
    "purposes": ["serverAuth", "clientAuth"],
    "ca": False,
    "dns": ["localhost"],
    "ips": ["127.0.0.1", "::1"],
    "emails": [],
    "uris": [],
    "critical": ["2.5.29.15", "2.5.29.19"],
    "extensions": ["2.5.29.15", "2.5.29.37", "2.5.29.19", "2.5.29.35", "2.5.29.17", "1.3.9903.2.1"],
    "marbleType": "m",
}
PREDEFINED = {
    "MARBLE_PREDEFINED_ROOT_CA": capture(
        "marble root",
        {"$certificates": [opened(**AUTHORITY, subject=INTERMEDIATE, issuer=INTERMEDIATE)]},
    ),
    "MARBLE_PREDEFINED_MARBLE_CERTIFICATE_CHAIN": capture(
        "chain",
        {"$certificates": [opened(**LEAF), opened(**AUTHORITY, subject=INTERMEDIATE, issuer=ROOT)]},
    ),
    "MARBLE_PREDEFINED_PRIVATE_KEY": capture("key", starts("-----BEGIN PRIVATE KEY-----\n")),
    "MARBLE_PREDEFINED_COORDINATOR_ROOT_CA": capture(
        "root", {"$certificates": [opened(**AUTHORITY, subject=ROOT, issuer=ROOT)]}
    ),
}
UUIDS = (
    ("canonical", UUID),
    ("upper-case", UUID.upper()),
    ("urn", f"urn:uuid:{UUID}"),
    ("urn-upper-case", f"URN:UUID:{UUID.upper()}"),
    ("braces", "{" + UUID + "}"),
    ("parentheses", f"({UUID})"),
    ("any-two-characters", f"x{UUID}y"),
    ("no-dashes", UUID.replace("-", "")),
)
BAD_UUIDS = (
    ("empty", ""),
    ("text", "marble"),
    ("too-short", UUID[:-1]),
    ("too-long", UUID + "0"),
    ("no-hex", "g" + UUID[1:]),
    ("dashes-elsewhere", UUID.replace("-", "_")),
    ("urn-of-another-kind", f"urn:oid::{UUID}"),
    ("white-space", f" {UUID}"),
)


def _counted(name: str, budget: int) -> Json:
    return owned(Marbles={name: {"Package": "app", "MaxActivations": budget}})


def _used_up(name: str, budget: int) -> Json:
    words = f'marble verification failed: reached max activations count ({budget}) for marble type "{name}"'
    return activate(refused("PERMISSION_DENIED", words), marble=name)


def _tls(**tags: Json) -> Json:
    return owned(
        Marbles={"m": {"Package": "app", "TLS": list(tags)}},
        TLS=tags,
        Secrets={"own": {"Type": "cert-ecdsa", "Size": 256, "Shared": True}},
    )


PAIR = {"cacrt": ref("marble root"), "clicrt": {"$pem": [ref("chain"), 0]}, "clikey": ref("key")}


def _ttls(incoming: Json, outgoing: Json) -> Json:
    both = {"$json-text": {"tls": {"Incoming": incoming, "Outgoing": outgoing}}}
    seen = {
        "MARBLE_PREDEFINED_ROOT_CA": capture("marble root"),
        "MARBLE_PREDEFINED_MARBLE_CERTIFICATE_CHAIN": capture("chain"),
        "MARBLE_PREDEFINED_PRIVATE_KEY": capture("key"),
    }
    return activate({"$all": [activated(Env=seen), activated(Env={"MARBLE_TTLS_CONFIG": both})]})


CASES: list[Case] = [
    *(
        case(
            f"activate-uuid-{name}",
            "All of these are the same UUID, and so the same certificate name and the same keys.",
            "core 4.4",
            update(owned()),
            activate(
                activated(
                    Env={
                        "MARBLE_PREDEFINED_MARBLE_CERTIFICATE_CHAIN": {
                            "$certificates": [opened(subject=f"CN={UUID}"), opened()]
                        }
                    }
                ),
                uuid=text,
            ),
            needs="deployed",
        )
        for name, text in UUIDS
    ),
    *(
        case(
            f"activate-uuid-refused-{name}",
            "This is no UUID.",
            "core 4.4 step 5",
            update(owned()),
            activate(refused("INVALID_ARGUMENT", starts("invalid UUID: ")), uuid=text),
            needs="deployed",
        )
        for name, text in BAD_UUIDS
    ),
    case(
        "activate-uuid-nil",
        "With the nil UUID every marble would get the same private secrets, so it is refused.",
        "core A1",
        update(owned()),
        activate(refused("INVALID_ARGUMENT", starts("invalid UUID: ")), uuid=NIL, marblerun=activated()),
        needs="deployed",
        differs="D8",
    ),
    case(
        "activate-gives-what-the-manifest-says",
        "Files, variables and arguments, four predefined variables, and no TTLS configuration without tags.",
        "core 4.1, 4.5, 14.2 TestActivate",
        update(
            owned(
                Marbles={
                    "m": {
                        "Package": "app",
                        "Parameters": {
                            "Files": {"/a/b": "x", "rel": {"Data": "AP8=", "Encoding": "base64"}},
                            "Env": {"A": "1", "EMPTY": ""},
                            "Argv": ["prog", "-v", "ü"],
                        },
                    }
                }
            )
        ),
        activate(
            {
                "code": "OK",
                "Files": {"/a/b": "x", "rel": "hex:00ff"},
                "Env": {
                    "$all": [
                        opened(A="1", EMPTY="", **PREDEFINED),
                        {"$without": ["MARBLE_TTLS_CONFIG"]},
                    ]
                },
                "Argv": ["prog", "-v", "ü"],
                "server": TEXT,
            }
        ),
        {"do": "issued", "certificate": {"$pem": [ref("chain"), 0]}, "issuer": ref("marble root")},
        {"do": "issued", "certificate": {"$pem": [ref("chain"), 0]}, "issuer": {"$pem": [ref("chain"), 1]}},
        {"do": "issued", "certificate": {"$pem": [ref("chain"), 1]}, "issuer": ref("root")},
        {"do": "issued", "certificate": ref("marble root"), "issuer": ref("marble root")},
        {"do": "key-pair", "certificate": {"$pem": [ref("chain"), 0]}, "key": ref("key")},
        rest("GET", f"{V2}/quote", ok(opened(cert={"$join": [{"$pem": [ref("chain"), 1]}, ref("root")]}))),
        needs="deployed",
    ),
    case(
        "activate-server-shows-the-marble-root",
        "The marble port presents the marble root, which is the marbles' trust anchor.",
        "core 3, 4.2",
        update(owned()),
        activate(activated(Env={"MARBLE_PREDEFINED_ROOT_CA": capture("root")})),
        activate(opened(server=ref("root"))),
        needs="deployed",
    ),
    case(
        "activate-without-parameters",
        "A marble needs no parameters.",
        "core 14.2 TestActivateWithMissingParameters",
        update(owned(Marbles={"bare": {"Package": "app"}})),
        activate(opened(code="OK", Files={}, Argv=[]), marble="bare"),
        needs="deployed",
    ),
    case(
        "activate-unknown-type",
        "A type that the manifest does not name; types are case-sensitive.",
        "core 4.4 step 4a",
        update(owned()),
        activate(refused("PERMISSION_DENIED", UNKNOWN), marble="none"),
        activate(refused("PERMISSION_DENIED", UNKNOWN), marble="M"),
        activate(refused("PERMISSION_DENIED", UNKNOWN), marble=""),
        needs="deployed",
    ),
    case(
        "activate-type-before-uuid-and-request",
        "What the marble is comes before how its request is written.",
        "core 4.4",
        update(owned()),
        activate(refused("PERMISSION_DENIED", UNKNOWN), marble="none", uuid="x", csr="AAEC"),
        activate(refused("INVALID_ARGUMENT", starts("invalid UUID: ")), uuid="x", csr="AAEC"),
        activate(
            refused("INTERNAL", starts("generating marble authentication secrets: parsing CSR: ")), csr="AAEC"
        ),
        activate(
            refused("INTERNAL", starts("generating marble authentication secrets: parsing CSR: ")), csr=""
        ),
        needs="deployed",
    ),
    case(
        "activate-names-of-the-request",
        "DNS names and addresses are those of the signing request.",
        "core 3",
        update(owned()),
        activate(
            activated(
                Env={
                    "MARBLE_PREDEFINED_MARBLE_CERTIFICATE_CHAIN": {
                        "$certificates": [
                            opened(dns=["a.example", "*.b.example"], ips=["127.0.0.1", "::1", "10.1.2.3"]),
                            opened(),
                        ]
                    }
                }
            ),
            dns=["a.example", "*.b.example", "10.1.2.3"],
        ),
        needs="deployed",
    ),
    case(
        "activate-key-is-the-coordinators",
        "The leaf has a fresh key of the Coordinator's, another one each time.",
        "core 3",
        update(owned()),
        activate(activated(Env={"MARBLE_PREDEFINED_PRIVATE_KEY": capture("first")})),
        activate(activated(Env={"MARBLE_PREDEFINED_PRIVATE_KEY": {"$differs": "first"}})),
        needs="deployed",
    ),
    case(
        "activate-type-in-the-certificate",
        "The extension holds the raw bytes of the type, whatever they are.",
        "core 3",
        update(owned(Marbles={"back-end ü": {"Package": "app"}})),
        activate(
            activated(
                Env={
                    "MARBLE_PREDEFINED_MARBLE_CERTIFICATE_CHAIN": {
                        "$certificates": [opened(marbleType="back-end ü"), opened()]
                    }
                }
            ),
            marble="back-end ü",
        ),
        needs="deployed",
    ),
    case(
        "activate-budget",
        "MaxActivations counts per type, also for the same UUID.",
        "core 4.4 steps 4d and 10, 14.2",
        update(_counted("two", 2)),
        activate(activated(), marble="two"),
        activate(activated(), marble="two"),
        _used_up("two", 2),
        _used_up("two", 2),
        needs="deployed",
    ),
    case(
        "activate-budget-is-not-spent-by-refusals",
        "A request that fails later does not count.",
        "core 4.4",
        update(_counted("careful", 1)),
        activate(refused("INVALID_ARGUMENT", TEXT), marble="careful", uuid="x"),
        activate(refused("INTERNAL", TEXT), marble="careful", csr="AAEC"),
        activate(activated(), marble="careful"),
        _used_up("careful", 1),
        needs="deployed",
    ),
    case(
        "activate-budget-survives-updates",
        "No update gives an activation back, not even one that removes the type for a while.",
        "core 4.4, A12",
        update(_counted("kept", 1)),
        activate(activated(), marble="kept"),
        update(_counted("kept", 1)),
        _used_up("kept", 1),
        update(owned()),
        update(_counted("kept", 1)),
        _used_up("kept", 1),
        update(_counted("kept", 2)),
        activate(activated(), marble="kept"),
        _used_up("kept", 2),
        needs="deployed",
    ),
    case(
        "activate-budget-survives-a-restart",
        "A count is durable before the marble gets its secrets.",
        "core 4.4 step 10",
        update(_counted("durable", 1)),
        activate(activated(), marble="durable"),
        {"do": "restart"},
        _used_up("durable", 1),
        needs="deployed",
        spends=True,
    ),
    case(
        "activate-budget-zero-is-unlimited",
        "Zero is no budget.",
        "core 1.4",
        update(_counted("free", 0)),
        *[activate(activated(), marble="free")] * 3,
        needs="deployed",
    ),
    case(
        "ttls-outgoing",
        "An outgoing entry has the marble root, the leaf alone and its key.",
        "core 4.6",
        update(
            _tls(
                web={"Outgoing": [{"Addr": "db.example", "Port": "3306"}, {"Addr": "10.0.0.1", "Port": "1"}]}
            )
        ),
        _ttls({}, {"10.0.0.1:1": PAIR, "db.example:3306": PAIR}),
        needs="deployed",
    ),
    case(
        "ttls-incoming",
        "An incoming entry also tells whether clients need a certificate.",
        "core 4.6",
        update(_tls(web={"Incoming": [{"Port": "2000"}]})),
        _ttls({"*:2000": {"$open": {**PAIR, "clientAuth": True}}}, {}),
        activate(
            activated(
                Env={
                    "MARBLE_TTLS_CONFIG": starts(
                        '{"tls":{"Incoming":{"*:2000":{"cacrt":"-----BEGIN CERTIFICATE-----'
                    )
                }
            )
        ),
        needs="deployed",
    ),
    case(
        "ttls-incoming-own-certificate",
        "With Cert the entry has that secret's certificate and key, and asks for no client certificate.",
        "core 4.6",
        update(_tls(web={"Incoming": [{"Port": "443", "Cert": "own", "DisableClientAuth": True}]})),
        _ttls(
            {
                "*:443": {
                    "$open": {
                        "cacrt": ref("marble root"),
                        "clicrt": {"$differs": "chain"},
                        "clientAuth": False,
                    }
                }
            },
            {},
        ),
        needs="deployed",
    ),
    case(
        "ttls-tags-merge",
        "Several tags make one configuration.",
        "core 4.6",
        update(
            _tls(
                a={"Incoming": [{"Port": "1"}], "Outgoing": [{"Addr": "x", "Port": "9"}]},
                b={"Incoming": [{"Port": "2"}, {"Port": "1", "Cert": "own", "DisableClientAuth": True}]},
            )
        ),
        _ttls(
            {"*:1": {"$open": {"clientAuth": False}}, "*:2": {"$open": {"clientAuth": True}}},
            {"x:9": PAIR},
        ),
        needs="deployed",
    ),
    case(
        "activate-package-is-judged-by-the-quote",
        "With a quote the package's properties count: product, version, debug and signer each have their words.",
        "core 1.2, 4.4 step 4c, 10.3",
        update(
            owned(
                Packages={"real": {"SignerID": "66" * 32, "ProductID": 7, "SecurityVersion": 2}},
                Marbles={"m": {"Package": "real"}},
            )
        ),
        activate(
            activated(),
            enclave={"unique": "01" * 32, "signer": "66" * 32, "product": 7, "version": 2, "debug": False},
        ),
        activate(
            activated(),
            enclave={"unique": "02" * 32, "signer": "66" * 32, "product": 7, "version": 3, "debug": False},
        ),
        *(
            activate(
                refused("PERMISSION_DENIED", starts("marble verification failed: invalid quote: ")),
                enclave={"unique": "01" * 32, "signer": "66" * 32, "product": 7, "version": 2, "debug": False}
                | other,
            )
            for other in ({"product": 8}, {"version": 1}, {"debug": True}, {"signer": "67" * 32})
        ),
        needs="deployed",
        only="marbleops",
    ),
    case(
        "activate-raised-version-refuses-old-builds",
        "After a package update the old build is refused, also after a restart.",
        "core 14.2 TestSecurityLevelUpdate",
        update(
            owned(
                Packages={"real": {"SignerID": "68" * 32, "ProductID": 7, "SecurityVersion": 2}},
                Marbles={"m": {"Package": "real"}},
                Users={
                    "admin": {"Certificate": {"$certificate-of": "admin"}, "Roles": ["updater", "raiser"]}
                },
                Roles={
                    "raiser": {
                        "ResourceType": "Packages",
                        "ResourceNames": ["real"],
                        "Actions": ["UpdateSecurityVersion"],
                    }
                },
            )
        ),
        activate(
            activated(),
            enclave={"unique": "01" * 32, "signer": "68" * 32, "product": 7, "version": 2, "debug": False},
        ),
        update({"Packages": {"real": {"SecurityVersion": 3}}}),
        *(
            step
            for again in ([], [{"do": "restart"}])
            for step in (
                *again,
                activate(
                    refused("PERMISSION_DENIED", contains("SecurityVersion")),
                    enclave={
                        "unique": "01" * 32,
                        "signer": "68" * 32,
                        "product": 7,
                        "version": 2,
                        "debug": False,
                    },
                ),
                activate(
                    activated(),
                    enclave={
                        "unique": "01" * 32,
                        "signer": "68" * 32,
                        "product": 7,
                        "version": 3,
                        "debug": False,
                    },
                ),
            )
        ),
        needs="deployed",
        only="marbleops",
        spends=True,
    ),
    case(
        "activate-garbage-quote",
        "Bytes that are no quote are refused; MarbleRun's simulation looks at no quote at all.",
        "core 10.5",
        update(owned()),
        activate(
            refused("PERMISSION_DENIED", starts("marble verification failed: invalid quote: ")),
            quote="AAEC",
            marblerun=activated(),
        ),
        needs="deployed",
        differs="D9",
    ),
    case(
        "activate-empty-quote-without-the-switch",
        "Without EDG_COORDINATOR_INSECURE_EMPTY_QUOTE=1 a marble without a quote is refused.",
        "core 10.5",
        activate(refused("PERMISSION_DENIED", starts("marble verification failed: invalid quote: "))),
        needs="deployed",
        differs="D9",
        only="marbleops",
        environ={"EDG_COORDINATOR_INSECURE_EMPTY_QUOTE": "0"},
    ),
    case(
        "activate-infrastructures-do-not-matter",
        "Infrastructures are read, and their contents enforced by nobody.",
        "core 1.3, A13",
        update(
            manifest(Infrastructures={"i": {"CPUSVN": [1] * 16, "RootCA": [3]}})
            | {"Users": owned()["Users"], "Roles": owned()["Roles"]}
        ),
        activate(activated()),
        needs="deployed",
    ),
]
