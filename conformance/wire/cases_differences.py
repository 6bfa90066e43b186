"""Where our Coordinator differs on purpose and no other group shows it; the rows are in docs/differences.md."""

from __future__ import annotations

from conformance.wire.writing import (
    TEXT,
    UNAUTHORIZED,
    V2,
    Case,
    Json,
    capture,
    case,
    contains,
    error,
    fail,
    json,
    manifest,
    ok,
    opened,
    owned,
    raiser,
    read_secrets,
    reader,
    rest,
    text,
    update,
    user,
    wrapped,
)

NAMES = "mesh.example,10.9.8.7"
SIGNER = {"SignerID": "77" * 32, "ProductID": 3, "SecurityVersion": 1}
RAISING = owned(
    Packages={"p": SIGNER},
    Marbles={"m": {"Package": "p"}},
    Users={"admin": user("admin", "updater", "raises", "reads")},
    Roles={"raises": raiser("p"), "reads": reader("cert")},
    Secrets={"cert": {"Type": "cert-ecdsa", "Size": 256, "Shared": True, "ValidFor": 7}},
)
RAISED = {"Packages": {"p": {"SecurityVersion": 2}}}


def _borrowed(first: str, second: str) -> Json:
    """Show the certificate of *first*, whose key one has, and then the public one of *second*."""
    return {
        "certificates": {"$join": [{"$certificate-of": first}, {"$certificate-of": second}]},
        "key": {"$key-of": first},
    }


def _intermediate(*ips: str) -> Json:
    return opened(
        cert={"$certificates": [opened(dns=["mesh.example"], ips=["127.0.0.1", "::1", *ips]), opened()]}
    )


CASES: list[Case] = [
    case(
        "only-the-proven-certificate-counts",
        "TLS proves the key of the first certificate; the others anyone may have read from the manifest.",
        "core 5.9",
        update(owned()),
        update(owned(), fail(401, UNAUTHORIZED))
        | {"as": _borrowed("stranger", "admin"), "marblerun": {"status": 200}},
        update(owned()) | {"as": _borrowed("admin", "stranger")},
        needs="deployed",
        differs="D14",
    ),
    case(
        "addresses-survive-a-package-update",
        "Addresses among EDG_COORDINATOR_DNS_NAMES stay in the intermediate's names.",
        "core 3, A2",
        update(RAISING),
        rest("GET", f"{V2}/quote", ok(_intermediate("10.9.8.7"))),
        update(RAISED),
        rest("GET", f"{V2}/quote", ok(_intermediate("10.9.8.7")), marblerun=ok(_intermediate())),
        needs="deployed",
        environ={"EDG_COORDINATOR_DNS_NAMES": NAMES},
        differs="D15",
    ),
    case(
        "shared-certificates-are-renewed",
        "A package update renews a shared certificate for its days from now on.",
        "core 5.4, 6.3, A3",
        update(RAISING),
        read_secrets(["cert"], {"cert": opened(Cert=capture("old", {"$certificate-der": opened(days=7)}))}),
        update(RAISED),
        read_secrets(
            ["cert"],
            {"cert": opened(Cert={"$all": [{"$differs": "old"}, {"$certificate-der": opened(days=7)}]})},
        ),
        needs="deployed",
        differs="D16",
    ),
    case(
        "quotes-tell-the-real-reason",
        "With infrastructures MarbleRun hides why a quote was refused.",
        "core 4.4 step 4c, A13",
        update(owned(Infrastructures={"i": {"QESVN": 1}})),
        {
            "do": "activate",
            "marble": "m",
            "uuid": "02030400-0000-4000-8000-0000000000ab",
            "enclave": {"unique": "01" * 32, "signer": "02" * 32, "product": 1, "version": 1, "debug": False},
            "expect": {
                "code": "PERMISSION_DENIED",
                "message": {"$all": [contains("invalid quote: "), contains("UniqueID")]},
            },
        },
        needs="deployed",
        only="marbleops",
        differs="D17",
    ),
    case(
        "log-order-is-by-name",
        "Users and lines come in sorted order, so that the same call has the same answer.",
        "core A23",
        update(owned(Users={name: user(name, "updater") for name in ("carol", "bob", "alice")})),
        update(owned(), ok({"missingAcknowledgments": 3, "missingUsers": ["alice", "bob", "carol"]}))
        | {"marblerun": ok(opened(missingAcknowledgments=3))},
        needs="deployed",
        spends=True,
        differs="D18",
    ),
    case(
        "status-tells-more",
        "Members after MarbleRun's two: platform, deployment, version, digest, warnings.",
        "core 11",
        rest(
            "GET",
            f"{V2}/status",
            ok(opened(code=2, platform="simulation", deployment=None, warnings=[TEXT, TEXT])),
            marblerun=ok({"code": 2, "message": TEXT}),
        ),
        differs="D19",
    ),
    *(
        case(
            f"too-large-{name}",
            "A body larger than anything useful is refused before it is read.",
            "core 11, api 1.1",
            rest(
                method, path, {"status": 413}, body=text({"$repeat": [" ", size]}), marblerun={"status": 400}
            ),
            differs="D20",
        )
        for name, method, path, size in (
            ("manifest-v2", "POST", f"{V2}/manifest", 2 * 1024 * 1024 + 1),
            ("manifest-v1", "POST", "/manifest", 2 * 1024 * 1024 + 1),
        )
    ),
    case(
        "azure-hsm-is-refused",
        "A feature that this Coordinator does not have is refused when it is asked for, not when it is missed.",
        "core 1.9, 8.4",
        rest(
            "POST",
            "/manifest",
            error(501, contains("AzureHSMSealing is not supported yet")),
            body=text({"$json": manifest(Config={"FeatureGates": ["AzureHSMSealing"]})}),
            marblerun=error(400, contains("EDG_MAA_URL")),
        ),
        differs="D21",
    ),
    case(
        "version-decrease-behind-its-switch",
        "With EDG_COORDINATOR_ALLOW_SECURITY_VERSION_DECREASE=1 a full update may lower a version, as in MarbleRun.",
        "core A6",
        update(owned(Packages={"p": SIGNER | {"SecurityVersion": 5}}, Marbles={"m": {"Package": "p"}})),
        update(owned(Packages={"p": SIGNER}, Marbles={"m": {"Package": "p"}})),
        needs="deployed",
        environ={"EDG_COORDINATOR_ALLOW_SECURITY_VERSION_DECREASE": "1"},
        only="marbleops",
        differs="D5",
    ),
    case(
        "gitops-calls-on-a-plain-deployment",
        "Calls that are ours answer on a plain deployment that nothing is signed there.",
        "approvals 3",
        rest("GET", f"{V2}/gitops/policy", {"status": 409}),
        needs="deployed",
        only="marbleops",
    ),
    case(
        "pending-v1-loses-no-recovery-secrets",
        "Version 1 answers null to an update; who changes recovery keys uses version 2, as the log tells.",
        "api 1.6",
        update(owned()),
        rest("POST", "/update", ok(None), who="admin", body=text({"$json": owned()})),
        rest("POST", f"{V2}/update", {"status": 200}, who="admin", body=wrapped(owned())),
        needs="deployed",
    ),
    case(
        "manifest-problems-all-at-once",
        "All problems of a manifest are told, each with its place, MarbleRun's words among them.",
        "core 1.9, A23",
        rest(
            "POST",
            f"{V2}/manifest",
            error(500, {"$all": [contains("unknown seal mode: X"), contains("unknown feature gate: Y")]}),
            body=json(
                {"manifest": {"$base64-of-json": manifest(Config={"SealMode": "X", "FeatureGates": ["Y"]})}}
            ),
            marblerun=error(500, {"$starts": "checking manifest: unknown "}),
        ),
        differs="D13",
    ),
]
