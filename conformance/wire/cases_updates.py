"""Package updates and full updates: what is checked, what rotates, what stays, what is logged (core 1.11, 6)."""

from __future__ import annotations

import zlib

from conformance.wire.cases_secrets import out
from conformance.wire.writing import (
    ANYTHING,
    APPLIED,
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
    error,
    log_ends,
    manifest,
    ok,
    opened,
    owned,
    raiser,
    read_secrets,
    reader,
    ref,
    refused,
    rest,
    starts,
    text,
    update,
    user,
    wrapped,
    write_secrets,
    writer,
)

SIGNER = "33" * 32


def _versioned(name: str, version: int | None = 3, *, debug: bool = False, **sections: Json) -> Json:
    """Write a manifest in which admin may also raise the version of package *name*."""
    package: dict[str, Json] = {
        "SignerID": SIGNER,
        "ProductID": zlib.crc32(name.encode()) % 65536,
    }
    package |= {} if version is None else {"SecurityVersion": version}
    package |= {"Debug": True} if debug else {}
    users = {"admin": user("admin", "updater", "raises", "reads")}
    secrets = {
        "sym": {"Type": "symmetric-key", "Size": 128, "Shared": True},
        "cert": {"Type": "cert-ecdsa", "Size": 256, "Shared": True, "ValidFor": 7},
    }
    base = {
        "Packages": {name: package, "other": {"UniqueID": "44" * 32}},
        "Marbles": {"m": {"Package": name}},
        "Secrets": secrets,
        "Users": users,
        "Roles": {"raises": raiser(name, "other"), "reads": reader("sym", "cert")},
    }
    return owned(**(base | sections))


def _raise(name: str, expect: Json = None, **package: Json) -> Json:
    return update({"Packages": {name: package}}, expect)


REFUSED: tuple[tuple[str, Json, Json], ...] = (
    ("debug", {"Debug": True, "SecurityVersion": 5}, contains("update manifest contains unupdatable values")),
    (
        "unique-id",
        {"UniqueID": "55" * 32, "SecurityVersion": 5},
        contains("update manifest contains unupdatable values"),
    ),
    (
        "signer-id",
        {"SignerID": SIGNER, "SecurityVersion": 5},
        contains("update manifest contains unupdatable values"),
    ),
    (
        "product-id",
        {"ProductID": 0, "SecurityVersion": 5},
        contains("update manifest contains unupdatable values"),
    ),
    ("no-version", {}, contains("update manifest does not specify a SecurityVersion to update")),
    ("downgrade", {"SecurityVersion": 2}, contains("downgrade SecurityVersion")),
)


def _line(name: str, version: int) -> str:
    package = f'"user":"admin","package":"{name}","new version":{version}'
    return '{"time":"<time>","update":"SecurityVersion increased",' + package + "}"


PACKAGE_UPDATES = [
    *(
        case(
            f"package-update-refused-{name}",
            "A package update raises SecurityVersion and nothing else.",
            "core 1.11, 6.3, 14.3",
            update(_versioned("p-refused")),
            _raise("p-refused", error(500, words), **package),
            rest(
                "POST",
                "/update",
                error(400, words),
                who="admin",
                body=text({"$json": {"Packages": {"p-refused": package}}}),
            ),
            needs="deployed",
        )
        for name, package, words in REFUSED
    ),
    case(
        "package-update-nothing",
        "An empty manifest is a package update without packages.",
        "core 1.11",
        update(_versioned("p-nothing")),
        update({}, error(500, TEXT)),
        update({"Packages": {}}, error(500, TEXT)),
        update({"Config": {"SealMode": "ProductKey"}}, error(500, TEXT)),
        needs="deployed",
    ),
    case(
        "package-update",
        "The log gets a line; manifest, fingerprint and signature stay as they are.",
        "core 6.3, 6.6, 13.8",
        update(_versioned("p-raised")),
        rest("GET", f"{V2}/manifest", ok(capture("manifest"))),
        _raise("p-raised", SecurityVersion=5),
        rest("GET", f"{V2}/manifest", ok(ref("manifest"))),
        log_ends(_line("p-raised", 5)),
        _raise("p-raised", error(500, contains("downgrade SecurityVersion")), SecurityVersion=4),
        _raise("p-raised", SecurityVersion=5),
        _raise("p-raised", SecurityVersion=7),
        log_ends(_line("p-raised", 5), _line("p-raised", 7)),
        needs="deployed",
    ),
    case(
        "package-update-v1",
        "Version 1 answers null.",
        "core 11",
        update(_versioned("p-v1")),
        rest(
            "POST", "/update", ok(None), who="admin", body=text('{"packages":{"p-v1":{"securityversion":4}}}')
        ),
        log_ends(_line("p-v1", 4)),
        needs="deployed",
    ),
    case(
        "package-update-ignores-config",
        "Packages and Config alone are a package update, whose Config is ignored.",
        "core 1.11",
        update(_versioned("p-config")),
        update(
            {
                "Packages": {"p-config": {"SecurityVersion": 4}},
                "Config": {"UpdateThreshold": 99, "SealMode": "Nonsense"},
            }
        ),
        log_ends(_line("p-config", 4)),
        needs="deployed",
    ),
    case(
        "package-update-empty-sections",
        "Sections that are there and empty do not make a full update.",
        "core 1.11",
        update(_versioned("p-empty")),
        update(
            {"Packages": {"p-empty": {"SecurityVersion": 4}}, "Marbles": {}, "Users": None, "Secrets": {}}
        ),
        log_ends(_line("p-empty", 4)),
        needs="deployed",
    ),
    case(
        "package-update-ignores-tcb-lists",
        "AcceptedTCBStatuses and AcceptedAdvisories of an update are silently ignored.",
        "core 1.11",
        update(_versioned("p-tcb")),
        _raise("p-tcb", SecurityVersion=4, AcceptedTCBStatuses=["Revoked"], AcceptedAdvisories=["X"]),
        log_ends(_line("p-tcb", 4)),
        needs="deployed",
    ),
    case(
        "package-update-debug-package",
        "A debug package without SecurityVersion gets one.",
        "core 1.11, 14.3 TestUpdateDebugMarble_Legacy",
        update(_versioned("p-debug", None, debug=True)),
        _raise("p-debug", SecurityVersion=5),
        _raise("p-debug", error(500, contains("downgrade SecurityVersion")), SecurityVersion=4),
        needs="deployed",
    ),
    case(
        "package-update-two",
        "Each package has its line.",
        "core 6.3, A23",
        update(
            _versioned("p-two-a")
            | {
                "Packages": {
                    "p-two-a": {"SignerID": SIGNER, "ProductID": 71, "SecurityVersion": 1},
                    "p-two-b": {"SignerID": SIGNER, "ProductID": 72, "SecurityVersion": 1},
                },
                "Roles": {
                    "updater": {"ResourceType": "Manifest", "Actions": ["UpdateManifest"]},
                    "raises": raiser("p-two-a", "p-two-b"),
                    "reads": reader("sym", "cert"),
                },
            }
        ),
        update({"Packages": {"p-two-b": {"SecurityVersion": 2}, "p-two-a": {"SecurityVersion": 3}}}),
        rest(
            "GET",
            f"{V2}/update",
            ok(
                {
                    "updateLog": {
                        "$one-of": [
                            {"$last": [{"$text": _line("p-two-a", 3)}, {"$text": _line("p-two-b", 2)}]},
                            {"$last": [{"$text": _line("p-two-b", 2)}, {"$text": _line("p-two-a", 3)}]},
                        ]
                    }
                }
            ),
        ),
        needs="deployed",
    ),
    case(
        "package-update-rotates-the-intermediate",
        "The intermediate and shared certificates are new; root, symmetric keys and their lifetime stay.",
        "core 6.3, 14.3 TestUpdateManifest_Legacy",
        update(_versioned("p-rotate")),
        rest("GET", f"{V2}/quote", ok(opened(cert=capture("chain")))),
        read_secrets(
            ["sym", "cert"],
            {
                "cert": opened(Cert=capture("cert"), Private=capture("key")),
                "sym": capture("sym"),
            },
        ),
        _raise("p-rotate", SecurityVersion=4),
        rest("GET", f"{V2}/quote", ok(opened(cert=capture("new chain", {"$differs": "chain"})))),
        {"do": "compare", "value": {"$pem": [ref("new chain"), 1]}, "expect": {"$pem": [ref("chain"), 1]}},
        {
            "do": "issued",
            "certificate": {"$pem": [ref("new chain"), 0]},
            "issuer": {"$pem": [ref("chain"), 1]},
        },
        read_secrets(
            ["sym", "cert"],
            {
                "cert": opened(
                    Cert=capture(
                        "new cert", {"$all": [{"$differs": "cert"}, {"$certificate-der": opened(days=7)}]}
                    ),
                    Private=capture("new key", {"$differs": "key"}),
                ),
                "sym": ref("sym"),
            },
        ),
        {"do": "issued", "certificate": ref("new cert"), "issuer": {"$pem": [ref("new chain"), 0]}},
        {"do": "key-pair", "certificate": ref("new cert"), "key": ref("new key")},
        needs="deployed",
    ),
]

FULL = '{"time":"<time>","update":"Complete Manifest update initiated by user. No further acknowledgements required","user":"admin","manifestFingerprint":"<sha256>"}'
DONE = '{"time":"<time>","update":"Complete Manifest updated","manifestFingerprint":"<sha256>"}'
FULL_REFUSED = (
    ("check", manifest(Config={"SealMode": "Foo"}), starts("invalid manifest: ")),
    ("check-users", manifest(Users={"a": user("alice", "none")}), TEXT),
    (
        "user-pem",
        manifest(Users={"a": {"Certificate": "x", "Roles": []}}),
        contains("received invalid certificate for user a"),
    ),
    (
        "secret-size",
        manifest(Secrets={"s": {"Type": "symmetric-key", "Size": 7}}),
        contains("invalid secret size: s"),
    ),
    (
        "template",
        manifest(Marbles={"m": {"Package": "app", "Parameters": {"Files": {"/f": "{{ hex .Secrets.no }}"}}}}),
        contains("in Marble m: file /f: "),
    ),
    ("recovery-key", manifest(RecoveryKeys={"k": "x"}), TEXT),
)
DERIVED = {
    "k": {"Type": "symmetric-key", "Size": 128},
    "s": {"Type": "symmetric-key", "Size": 128, "Shared": True},
}
SHOWS = {
    "Package": "app",
    "Parameters": {
        "Env": {
            "K": "{{ hex .Secrets.k }}",
            "PK": "{{ hex .Previous.Secrets.k }}",
            "S": "{{ hex .Secrets.s }}",
            "PS": "{{ hex .Previous.Secrets.s }}",
        }
    },
}
ROTATING = owned(Marbles={"show": SHOWS}, Secrets=DERIVED, Config={"RotateRootSecret": True})
KEEPING = owned(Marbles={"show": SHOWS}, Secrets=DERIVED)


def _shows(**env: Json) -> Json:
    return activate(activated(Env=env), marble="show", uuid=UUID)


def _reading(secrets: dict[str, Json], **sections: Json) -> Json:
    return owned(
        Secrets=secrets,
        Users={"admin": user("admin", "updater", "reads")},
        Roles={"reads": reader(*secrets)},
        **sections,
    )


CERT = {"Type": "cert-ecdsa", "Size": 256, "Shared": True, "ValidFor": 7}
FULL_UPDATES = [
    *(
        case(
            f"full-update-refused-{name}",
            "A manifest that could not be set is no update; the old one stays in force and nothing is pending.",
            "core 6.2, 6.4",
            update(owned()),
            rest("GET", f"{V2}/manifest", ok(capture("manifest"))),
            update(document, error(500, words)),
            rest("GET", f"{V2}/manifest", ok(ref("manifest"))),
            needs="deployed",
        )
        for name, document, words in FULL_REFUSED
    ),
    case(
        "full-update-unreadable",
        "Bytes that are no manifest.",
        "core 6.2",
        update(owned()),
        rest("POST", f"{V2}/update", error(500, TEXT), who="admin", body={"json": {"manifest": "e30" + "A"}}),
        rest("POST", "/update", error(400, TEXT), who="admin", body=text("{} x")),
        rest("POST", "/update", error(400, TEXT), who="admin"),
        needs="deployed",
    ),
    case(
        "full-update",
        "A sole owner's update is applied at once, and the log has two lines; bytes are kept as they came.",
        "core 6.2, 6.6, 14.3 TestUpdateManifest",
        rest("POST", "/update", ok(None), who="admin", body=text({"$join": [{"$json": owned()}, "\n \n"]})),
        rest(
            "GET",
            f"{V2}/manifest",
            ok(
                {
                    "manifestSignatureRootECDSA": capture("signature"),
                    "manifestFingerprint": capture("fingerprint"),
                    "manifest": {"$base64": {"$join": [{"$json": owned()}, "\n \n"]}},
                }
            ),
        ),
        {"do": "sha256", "text": {"$join": [{"$json": owned()}, "\n \n"]}, "expect": ref("fingerprint")},
        rest("GET", f"{V2}/quote", ok(opened(cert=capture("chain")))),
        {
            "do": "signature",
            "certificate": {"$pem": [ref("chain"), 1]},
            "signature": ref("signature"),
            "text": {"$join": [{"$json": owned()}, "\n \n"]},
        },
        log_ends(FULL, DONE),
        rest("GET", f"{V2}/update-manifest", error(404, "no update in progress")),
        needs="deployed",
    ),
    case(
        "full-update-log-v1",
        "Version 1 gives the log as one text.",
        "core 6.6, 11",
        update(owned()),
        rest(
            "GET",
            "/update",
            ok(
                {
                    "$all": [
                        starts('{"time":"'),
                        contains('"update":"Initial manifest set"}\n{"time":"'),
                        contains('"update":"Complete Manifest updated","manifestFingerprint":"'),
                    ]
                }
            ),
        ),
        needs="deployed",
    ),
    case(
        "full-update-rotates",
        "A new intermediate under the same root; symmetric keys stay, certificates are new.",
        "core 6.4, 14.3",
        update(_reading({"sym": DERIVED["s"], "cert": CERT})),
        rest("GET", f"{V2}/quote", ok(opened(cert=capture("chain")))),
        read_secrets(["cert", "sym"], {"cert": opened(Cert=capture("cert")), "sym": capture("sym")}),
        update(_reading({"sym": DERIVED["s"], "cert": CERT})),
        rest("GET", f"{V2}/quote", ok(opened(cert=capture("new chain", {"$differs": "chain"})))),
        {"do": "compare", "value": {"$pem": [ref("new chain"), 1]}, "expect": {"$pem": [ref("chain"), 1]}},
        read_secrets(
            ["cert", "sym"],
            {"cert": opened(Cert=capture("new cert", {"$differs": "cert"})), "sym": ref("sym")},
        ),
        {"do": "issued", "certificate": ref("new cert"), "issuer": {"$pem": [ref("new chain"), 0]}},
        needs="deployed",
    ),
    case(
        "full-update-changed-definition",
        "A changed definition is another secret; a removed one is gone.",
        "core 1.7, 6.4",
        update(_reading({"a": DERIVED["s"], "b": DERIVED["s"]})),
        read_secrets(["a", "b"], {"a": capture("a"), "b": capture("b")}),
        update(_reading({"a": DERIVED["s"] | {"Size": 256}, "b": DERIVED["s"]})),
        read_secrets(
            ["a", "b"],
            {
                "a": out("symmetric-key", 256, Shared=True, Private={"$bytes": 32}, Public={"$bytes": 32}),
                "b": ref("b"),
            },
        ),
        update(_reading({"b": DERIVED["s"]})),
        rest("GET", f"{V2}/secrets?s=a", error(500, TEXT), who="admin"),
        read_secrets(["b"], {"b": ref("b")}),
        needs="deployed",
    ),
    case(
        "full-update-previous-certificate",
        "The certificate before the update is the previous one.",
        "core 6.4",
        update(
            _reading(
                {"cert": CERT},
                Marbles={
                    "show": {
                        "Package": "app",
                        "Parameters": {
                            "Env": {
                                "C": "{{ pem .Secrets.cert.Cert }}",
                                "P": "{{ pem .Previous.Secrets.cert.Cert }}",
                            }
                        },
                    }
                },
            )
        ),
        activate(activated(Env={"C": capture("first")}), marble="show"),
        update(
            _reading(
                {"cert": CERT},
                Marbles={
                    "show": {
                        "Package": "app",
                        "Parameters": {
                            "Env": {
                                "C": "{{ pem .Secrets.cert.Cert }}",
                                "P": "{{ pem .Previous.Secrets.cert.Cert }}",
                            }
                        },
                    }
                },
            )
        ),
        activate(activated(Env={"C": {"$differs": "first"}, "P": ref("first")}), marble="show"),
        needs="deployed",
    ),
    case(
        "full-update-previous-certificate-without-lifetime",
        "A certificate without ValidFor has 365 days; that is the same definition, so the old one becomes the previous one.",
        "core 6.4, A4",
        *(
            step
            for name in ("first", "second")
            for step in (
                update(
                    _reading(
                        {"cert": {"Type": "cert-ecdsa", "Size": 256, "Shared": True}},
                        Marbles={
                            "show": {
                                "Package": "app",
                                "Parameters": {
                                    "Env": {
                                        "C": "{{ pem .Secrets.cert.Cert }}",
                                        "P": "{{ pem .Previous.Secrets.cert.Cert }}",
                                    }
                                },
                            }
                        },
                    )
                ),
                activate(
                    activated(Env={"C": capture("first")})
                    if name == "first"
                    else activated(Env={"C": {"$differs": "first"}, "P": ref("first")}),
                    marble="show",
                    marblerun=None
                    if name == "first"
                    else activated(Env={"C": capture("second"), "P": {"$differs": "first"}}),
                ),
            )
        ),
        needs="deployed",
        differs="D4",
    ),
    case(
        "rotate-root-secret",
        "With RotateRootSecret every derived and shared key is new, and the old one is the previous one.",
        "core 6.4, 14.9 TestRootSecretRotation",
        update(owned()),
        update(KEEPING),
        _shows(K=capture("k"), PK=ref("k"), S=capture("s"), PS=ref("s")),
        update(ROTATING),
        _shows(
            K=capture("k2", {"$differs": "k"}), PK=ref("k"), S=capture("s2", {"$differs": "s"}), PS=ref("s")
        ),
        update(KEEPING),
        _shows(K=ref("k2"), PK=ref("k"), S=ref("s2"), PS=ref("s")),
        update(ROTATING),
        _shows(K={"$differs": "k2"}, PK=ref("k2"), S={"$differs": "s2"}, PS=ref("s2")),
        needs="deployed",
    ),
    case(
        "rotate-keeps-uploaded-secrets",
        "What a user has uploaded does not rotate.",
        "core 6.4, 14.3 TestUpdateSecrets",
        update(
            owned(
                Secrets={"p": {"Type": "plain", "UserDefined": True}},
                Users={"admin": user("admin", "updater", "writes")},
                Roles={"writes": writer("p")},
            )
        ),
        write_secrets({"p": {"Key": "YQ=="}}),
        update(
            owned(
                Secrets={"p": {"Type": "plain", "UserDefined": True}},
                Users={"admin": user("admin", "updater", "writes")},
                Roles={"writes": writer("p")},
                Config={"RotateRootSecret": True},
            )
        ),
        read_secrets(["p"], {"p": opened(Public="YQ==")}),
        needs="deployed",
    ),
    case(
        "full-update-removes-a-marble",
        "A marble type that the manifest no longer names is not activated.",
        "core 6.4, 14.9",
        update(owned(Marbles={"old": {"Package": "app"}})),
        activate(activated(), marble="old"),
        update(owned(Marbles={"new": {"Package": "app"}})),
        activate(
            refused("PERMISSION_DENIED", "marble verification failed: unknown marble type requested"),
            marble="old",
        ),
        activate(activated(), marble="new"),
        needs="deployed",
    ),
    case(
        "full-update-may-not-lower-a-version",
        "A full update that lowers SecurityVersion would let an old build back in.",
        "core 6.4, A6",
        update(_versioned("p-floor", 5)),
        update(_versioned("p-floor", 4), error(500, TEXT)) | {"marblerun": ok(APPLIED)},
        rest("GET", f"{V2}/update", ok({"updateLog": {"$last": [ANYTHING]}})),
        needs="deployed",
        differs="D5",
    ),
    case(
        "full-update-may-not-undo-a-package-update",
        "A version that a package update has raised is a floor as well.",
        "core 6.4, A6",
        update(_versioned("p-undo", 3)),
        _raise("p-undo", SecurityVersion=6),
        update(_versioned("p-undo", 3), error(500, TEXT)) | {"marblerun": ok(APPLIED)},
        update(_versioned("p-undo", 6)),
        needs="deployed",
        differs="D5",
    ),
    case(
        "full-update-to-disabled-sealing",
        "To Disabled or from it is no update: a state on disk would be left behind.",
        "core 6.4, A7",
        update(owned()),
        update(owned(Config={"SealMode": "Disabled"}), error(500, TEXT)) | {"marblerun": ok(APPLIED)},
        rest("GET", f"{V2}/update-manifest", error(404, "no update in progress")),
        needs="deployed",
        differs="D6",
        spends=True,
    ),
    case(
        "full-update-with-gitops",
        "A deployment that was not signed does not become a signed one by a REST call.",
        "approvals 3",
        update(owned()),
        rest(
            "POST",
            f"{V2}/update",
            {"status": {"$one-of": [409, 500]}},
            who="admin",
            body=wrapped(owned(GitOps={"Version": 1})),
        ),
        needs="deployed",
        only="marbleops",
    ),
]
CASES: list[Case] = [*PACKAGE_UPDATES, *FULL_UPDATES]
