"""The rules across a manifest's fields, with MarbleRun's words (core 1.9), and what is checked after them."""

from __future__ import annotations

from conformance.wire.writing import (
    PACKAGE,
    TEXT,
    Case,
    Json,
    case,
    contains,
    manifest,
    owned,
    raiser,
    reader,
    refused_set,
    starts,
    user,
    writer,
)

SIGNER = {"SignerID": "22" * 32, "ProductID": 1, "SecurityVersion": 1}
BOTH = "manifest specifies both UniqueID *and* SignerID/ProductID/SecurityVersion in package app"


def _with_package(**members: Json) -> Json:
    return manifest(Packages={"app": members})


def _without(member: str) -> Json:
    return _with_package(**{name: value for name, value in SIGNER.items() if name != member})


def _tls(**tag: Json) -> Json:
    return manifest(TLS={"web": tag}, Secrets={"own": {"Type": "cert-ecdsa", "Size": 256, "Shared": True}})


def _role(**role: Json) -> Json:
    secrets = {
        "uploaded": {"Type": "plain", "UserDefined": True},
        "shared": {"Type": "symmetric-key", "Size": 128, "Shared": True},
        "private": {"Type": "symmetric-key", "Size": 128},
    }
    return manifest(Roles={"r": role}, Secrets=secrets)


def _secret(**secret: Json) -> Json:
    return manifest(Secrets={"key": secret})


def _config(**config: Json) -> Json:
    return owned(Config=config)


CHECKED = (
    ("no-packages", {"Marbles": {"m": {"Package": "app"}}}, "no allowed packages defined"),
    ("empty-packages", manifest(Packages={}), "no allowed packages defined"),
    ("no-marbles", {"Packages": {"app": PACKAGE}}, "no allowed marbles defined"),
    ("empty-marbles", manifest(Marbles={}), "no allowed marbles defined"),
    (
        "unknown-package",
        manifest(Marbles={"m": {"Package": "b"}}),
        "manifest does not contain marble package b",
    ),
    (
        "package-names-are-case-sensitive",
        manifest(Marbles={"m": {"Package": "APP"}}),
        "manifest does not contain marble package APP",
    ),
    ("marble-without-package", manifest(Marbles={"m": {}}), "manifest does not contain marble package "),
    ("both-identities", _with_package(**PACKAGE, **SIGNER), BOTH),
    ("unique-and-signer", _with_package(**PACKAGE, SignerID="22" * 32), BOTH),
    ("unique-and-product", _with_package(**PACKAGE, ProductID=0), BOTH),
    ("unique-and-version", _with_package(**PACKAGE, SecurityVersion=1), BOTH),
    ("no-signer", _without("SignerID"), "manifest misses value for SignerID in package app"),
    ("no-product", _without("ProductID"), "manifest misses value for ProductID in package app"),
    ("no-version", _without("SecurityVersion"), "manifest misses value for SecurityVersion in package app"),
    ("no-identity", _with_package(), "manifest misses value for SignerID in package app"),
    (
        "unknown-tag",
        manifest(Marbles={"m": {"Package": "app", "TLS": ["web"]}}),
        "manifest misses TLS entry for web",
    ),
    ("incoming-no-port", _tls(Incoming=[{}]), "manifest misses Port in TLS.Incoming.web"),
    (
        "incoming-unknown-secret",
        _tls(Incoming=[{"Port": "1", "Cert": "none", "DisableClientAuth": True}]),
        "TLS.Incoming.web references undefined secret none",
    ),
    (
        "incoming-cert-with-client-auth",
        _tls(Incoming=[{"Port": "1", "Cert": "own"}]),
        "TLS.Incoming.web defines Cert but does not disable client authentication",
    ),
    (
        "incoming-no-cert-no-client-auth",
        _tls(Incoming=[{"Port": "1", "DisableClientAuth": True}]),
        "TLS.Incoming.web disables client authentication",
    ),
    ("outgoing-no-addr", _tls(Outgoing=[{"Port": "1"}]), "manifest misses Addr in TLS.Outgoing.web"),
    ("outgoing-no-port", _tls(Outgoing=[{"Addr": "a"}]), "manifest misses Port in TLS.Outgoing.web"),
    (
        "same-certificate",
        manifest(Users={"a": user("alice"), "b": user("alice")}),
        "manifest contains the same certificate for users ",
    ),
    (
        "action-of-another-type",
        _role(ResourceType="Secrets", ResourceNames=["shared"], Actions=["UpdateManifest"]),
        "for type Secrets in role: r",
    ),
    (
        "unknown-action",
        _role(ResourceType="Packages", ResourceNames=["app"], Actions=["erase"]),
        "unknown action: erase for type Packages in role: r",
    ),
    ("unknown-resource-type", _role(ResourceType="Marbles", Actions=[]), "unrecognized resource type: "),
    (
        "resource-type-is-case-sensitive",
        _role(ResourceType="secrets", Actions=[]),
        "unrecognized resource type: ",
    ),
    ("unknown-secret-type", _secret(Type="raw", Size=128), "unknown type: raw for secret: key"),
    ("secret-type-is-case-sensitive", _secret(Type="Plain"), "unknown type: Plain for secret: key"),
    ("secret-without-type", _secret(Size=128), "for secret: key"),
    (
        "threshold-above-users",
        _config(UpdateThreshold=2),
        "not enough users with manifest update permissions (1) to meet the threshold of 2",
    ),
    ("seal-mode", _config(SealMode="Foo"), "unknown seal mode: Foo"),
    ("seal-mode-is-case-sensitive", _config(SealMode="productkey"), "unknown seal mode: productkey"),
    ("feature-gate", _config(FeatureGates=["Unknown"]), "unknown feature gate: Unknown"),
    (
        "recovery-threshold-one",
        _config(RecoveryThreshold=1) | {"RecoveryKeys": {"a": {"$recovery-key": "first"}}},
        "invalid recovery threshold: if set, threshold must be at least 2",
    ),
)
OTHERWISE = (
    ("user-without-certificate", manifest(Users={"a": {"Roles": []}}), "A user needs a certificate."),
    ("unknown-role", manifest(Users={"a": user("alice", "none")}), "A role must be defined."),
    ("unknown-secret-in-role", manifest(Roles={"r": reader("none")}), "A role names secrets that exist."),
    ("unknown-package-in-role", manifest(Roles={"r": raiser("none")}), "A role names packages that exist."),
    (
        "write-to-generated",
        _role(ResourceType="Secrets", ResourceNames=["shared"], Actions=["WriteSecret"]),
        "Only uploaded secrets can be written.",
    ),
    (
        "read-private",
        _role(ResourceType="Secrets", ResourceNames=["private"], Actions=["readsecret"]),
        "No user reads what belongs to one marble.",
    ),
    (
        "manifest-role-with-names",
        _role(ResourceType="Manifest", ResourceNames=["app"], Actions=["UpdateManifest"]),
        "The manifest has no parts to be named.",
    ),
    (
        "recovery-threshold-above-keys",
        _config(RecoveryThreshold=2) | {"RecoveryKeys": {"a": {"$recovery-key": "first"}}},
        "Two of one cannot be.",
    ),
    (
        "cert-with-two-ends",
        _secret(Type="cert-rsa", Size=2048, ValidFor=7, Cert={"NotAfter": "2040-01-01T00:00:00Z"}),
        "A certificate ends once.",
    ),
)
BAD_PEM = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n"
LATER = (
    (
        "plain-not-uploaded",
        _secret(Type="plain", Shared=True),
        "secret key is invalid: unsupported secret of type plain",
    ),
    ("symmetric-no-size", _secret(Type="symmetric-key", Shared=True), "invalid secret size: key"),
    ("symmetric-odd-size", _secret(Type="symmetric-key", Shared=True, Size=129), "invalid secret size: key"),
    ("private-symmetric-odd-size", _secret(Type="symmetric-key", Size=12), "invalid secret size: key"),
    (
        "private-symmetric-too-large",
        _secret(Type="symmetric-key", Size=65288),
        "requested key length too large",
    ),
    (
        "ecdsa-512",
        _secret(Type="cert-ecdsa", Size=512, Shared=True),
        "invalid secret size for cert-ecdsa secret",
    ),
    ("ecdsa-no-size", _secret(Type="cert-ecdsa"), "invalid secret size for cert-ecdsa secret"),
    (
        "ed25519-with-size",
        _secret(Type="cert-ed25519", Size=256),
        "invalid secret size for cert-ed25519 secret",
    ),
    (
        "user-pem",
        manifest(Users={"a": {"Certificate": "no PEM", "Roles": []}}),
        "received invalid certificate for user a",
    ),
    (
        "user-der",
        manifest(Users={"a": {"Certificate": BAD_PEM, "Roles": []}}),
        "generating users from manifest: ",
    ),
    ("recovery-key-text", manifest(RecoveryKeys={"k": "no PEM"}), "generating recovery encryption key: "),
    (
        "recovery-key-is-a-certificate",
        manifest(RecoveryKeys={"k": {"$certificate-of": "alice"}}),
        "given PEM data is not a public key",
    ),
)
UNKNOWN_TYPE = "unsupported type of public key"
EC_KEY = (
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n"
    "6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n"
    "-----END PUBLIC KEY-----\n"
)

CASES: list[Case] = [
    *(
        case(
            f"check-{name}",
            "MarbleRun's rule, in its words.",
            "core 1.9",
            *refused_set(document, {"$all": [starts("checking manifest: "), contains(words)]}),
        )
        for name, document, words in CHECKED
    ),
    *(
        case(f"check-{name}", why, "core 1.9", *refused_set(document, TEXT))
        for name, document, why in OTHERWISE
    ),
    *(
        case(
            f"generate-{name}",
            "The check passes; making secrets, users or recovery keys of it does not.",
            "core 5.3, 6.1, 7.2",
            *refused_set(document, contains(words)),
        )
        for name, document, words in LATER
    ),
    case(
        "generate-recovery-key-of-a-curve",
        "Recovery keys are RSA keys.",
        "core 7.2",
        *refused_set(manifest(RecoveryKeys={"k": EC_KEY}), contains(UNKNOWN_TYPE)),
    ),
    case(
        "generate-small-rsa",
        "RSA secrets below 1024 bits are refused by Go.",
        "core 5.3",
        *refused_set(_secret(Type="cert-rsa", Size=512, Shared=True), TEXT),
    ),
    case(
        "generate-weak-recovery-key",
        "A recovery key of 1024 bits is refused here; MarbleRun's FIPS mode needs 2048 bits as well.",
        "core 7.1, api 1.1",
        *refused_set(
            manifest(RecoveryKeys={"k": {"$recovery-key": "weak"}}),
            contains("generating recovery encryption key: "),
        ),
        differs="D2",
    ),
    case(
        "check-uploaded-secret-role-is-fine",
        "Roles, users and rights that fit together pass; what is refused is the template.",
        "core 1.6, 1.9",
        *refused_set(
            owned(
                Marbles={"m": {"Package": "app", "Parameters": {"Env": {"E": "{{ nothing }}"}}}},
                Users={"alice": user("alice", "r")},
                Roles={"r": writer("up")},
                Secrets={"up": {"Type": "plain", "UserDefined": True}},
            ),
            contains("in Marble m: env variable E: "),
        ),
    ),
]
