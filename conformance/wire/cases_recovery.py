"""Recovery after the sealing key is lost: one key, all keys, some keys; encrypted upload; reset (core 7)."""

from __future__ import annotations

from conformance.wire.writing import (
    STATUS_TEXTS,
    TEXT,
    UNAUTHORIZED,
    V2,
    WRONG_STATE,
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
    manifest,
    ok,
    opened,
    owned,
    ref,
    refused,
    rest,
    set_manifest,
    status_is,
    update,
)

DONE = ok({"remaining": 0, "message": "Recovery successful."})
LOST = [{"do": "lose-key"}, status_is(1)]


def _keys(*names: str, **sections: Json) -> Json:
    """Write a manifest with these recovery keys."""
    return owned(RecoveryKeys={name: {"$recovery-key": name} for name in names}, **sections)


def _set(document: Json, *names: str, length: int = 32) -> list[Json]:
    """Set the manifest and decrypt the secrets that come back."""
    answer = {name: capture(f"{name} encrypted", {"$bytes": 256}) for name in names}
    return [set_manifest(document, answer), *(step for name in names for step in _opened(name, length))]


def _opened(name: str, length: int) -> list[Json]:
    return [
        {"do": "unwrap", "key": name, "secret": ref(f"{name} encrypted"), "name": name, "length": length},
        {"do": "sign", "key": name, "secret": ref(name), "name": f"{name} signature"},
    ]


def _recover(
    name: str, expect: Json, *, secret: Json = None, signature: Json = None, marblerun: Json = None
) -> Json:
    body = {
        "recoverySecret": ref(name) if secret is None else secret,
        "recoverySecretSignature": ref(f"{name} signature") if signature is None else signature,
    }
    return rest("POST", f"{V2}/recover", expect, body=json(body), marblerun=marblerun)


def _remaining(count: int) -> Json:
    words = f"Secret was processed successfully. Upload the next secret. Remaining secrets: {count}"
    return ok({"remaining": count, "message": words})


def _recovery(name: str, why: str, *steps: Json, differs: str | None = None) -> Case:
    return case(f"recovery-{name}", why, "core 7", *steps, spends=True, differs=differs)


ONE = _keys("first")
ALL = _keys("first", "second")
SOME = _keys("first", "second", "third", Config={"RecoveryThreshold": 2})
ROOT_BEFORE = rest("GET", f"{V2}/quote", ok(opened(cert=capture("chain"))))
ROOT_AFTER = rest("GET", f"{V2}/quote", ok(opened(cert=ref("chain"))))
EPHEMERAL = rest(
    "GET",
    f"{V2}/recover/public-key",
    ok({"algorithm": "RSA", "ephemeralPublicKey": capture("public", {"$any": "base64"})}),
)


def _wrapped(name: str) -> Json:
    return {"do": "wrap", "secret": ref(name), "public": ref("public"), "name": f"{name} wrapped"}


CASES: list[Case] = [
    _recovery(
        "single",
        "One key: its secret and signature bring everything back, the same root, and the next restart needs nobody.",
        *_set(ONE, "first"),
        ROOT_BEFORE,
        *LOST,
        _recover("first", DONE),
        status_is(3),
        ROOT_AFTER,
        rest("GET", f"{V2}/manifest", ok(opened(manifest={"$base64-of-json": ONE}))),
        activate(activated()),
        {"do": "restart"},
        status_is(3),
        rest(
            "POST",
            f"{V2}/recover",
            error(500, WRONG_STATE),
            body=json({"recoverySecret": ref("first"), "recoverySecretSignature": ref("first signature")}),
        ),
    ),
    _recovery(
        "what-works-meanwhile",
        "In recovery the Coordinator has a temporary root and knows neither users nor manifest.",
        *_set(ONE, "first"),
        ROOT_BEFORE,
        *LOST,
        rest("GET", "/status", ok({"StatusCode": 1, "StatusMessage": STATUS_TEXTS[1]})),
        rest("GET", f"{V2}/quote", ok(opened(cert={"$differs": "chain"}))),
        rest("GET", f"{V2}/manifest", error(500, "requested value not set")),
        rest("GET", f"{V2}/update", error(500, WRONG_STATE)),
        rest("GET", f"{V2}/secrets?s=a", fail(401, UNAUTHORIZED), who="admin"),
        activate(refused("FAILED_PRECONDITION", "cannot accept marbles in current state")),
        EPHEMERAL,
        rest("GET", f"{V2}/recover/public-key", ok(opened(ephemeralPublicKey=ref("public")))),
    ),
    _recovery(
        "single-wrong-secret",
        "A secret that opens nothing is refused and forgotten, and the right one then works.",
        *_set(ONE, "first"),
        *LOST,
        _recover("first", error(500, TEXT), secret={"$base64": "x" * 32}, marblerun=_remaining(1)),
        status_is(1),
        _recover("first", DONE, marblerun=error(500, TEXT)),
        _recover("first", error(500, WRONG_STATE), marblerun=DONE),
        status_is(3),
        differs="D11",
    ),
    _recovery(
        "single-wrong-signature",
        "The secret alone is not enough: it is signed by the recovery key of the manifest.",
        *_set(ONE, "first"),
        {"do": "sign", "key": "second", "secret": ref("first"), "name": "foreign"},
        *LOST,
        _recover("first", error(500, TEXT), signature=ref("foreign")),
        status_is(1),
        _recover("first", error(500, TEXT), signature=""),
        _recover("first", DONE),
    ),
    _recovery(
        "single-encrypted",
        "A secret may be encrypted for the ephemeral key; the signature is over the plain secret.",
        *_set(ONE, "first"),
        *LOST,
        EPHEMERAL,
        _wrapped("first"),
        _recover("first", DONE, secret=ref("first wrapped")),
        status_is(3),
    ),
    _recovery(
        "undecryptable",
        "Anything that is no plain secret by its length is taken as encrypted.",
        *_set(ONE, "first"),
        *LOST,
        _recover(
            "first", fail(400, contains("failed to decrypt recovery secret: ")), secret={"$base64": "x" * 31}
        ),
        _recover(
            "first", fail(400, contains("failed to decrypt recovery secret: ")), secret=ref("first encrypted")
        ),
        _recover("first", fail(400, contains("failed to decrypt recovery secret: ")), secret=""),
        rest("POST", f"{V2}/recover", fail(400, "EOF")),
        rest(
            "POST",
            f"{V2}/recover",
            fail(400, TEXT),
            body={"text": {"$join": ['{"recoverySecret":"', {"$repeat": ["A", 20480]}, '"}']}},
        ),
        status_is(1),
    ),
    _recovery(
        "all-keys",
        "Without a threshold every key is needed, in any order.",
        *_set(ALL, "first", "second"),
        ROOT_BEFORE,
        *LOST,
        _recover("second", _remaining(1)),
        status_is(1),
        _recover("first", DONE),
        status_is(3),
        ROOT_AFTER,
        {"do": "restart"},
        status_is(3),
    ),
    _recovery(
        "all-keys-used-or-unknown-secrets",
        "The same secret twice and an unknown one are refused and leave the progress as it was.",
        *_set(ALL, "first", "second"),
        *LOST,
        _recover("first", _remaining(1)),
        _recover("first", error(500, TEXT)),
        _recover("first", error(500, TEXT), secret={"$base64": "y" * 32}),
        _recover("second", DONE),
        status_is(3),
    ),
    _recovery(
        "all-keys-encrypted",
        "Encrypted uploads of several keys use one ephemeral key.",
        *_set(ALL, "first", "second"),
        *LOST,
        EPHEMERAL,
        _wrapped("first"),
        _wrapped("second"),
        _recover("first", _remaining(1), secret=ref("first wrapped")),
        _recover("second", DONE, secret=ref("second wrapped")),
    ),
    _recovery(
        "threshold-equal-to-keys",
        "A threshold of all keys is no threshold: the secrets have 32 bytes.",
        *_set(_keys("first", "second", Config={"RecoveryThreshold": 2}), "first", "second"),
        *LOST,
        _recover("first", _remaining(1)),
        _recover("second", DONE),
    ),
    _recovery(
        "some-keys",
        "Two of three: shares of 33 bytes, and the count of what remains is an upper bound.",
        *_set(SOME, "first", "second", "third", length=33),
        ROOT_BEFORE,
        *LOST,
        _recover("third", _remaining(2)),
        _recover("first", DONE),
        status_is(3),
        ROOT_AFTER,
    ),
    _recovery(
        "some-keys-used-or-unknown-shares",
        "A share counts once, an unknown one not at all.",
        *_set(SOME, "first", "second", "third", length=33),
        *LOST,
        _recover("third", _remaining(2)),
        _recover("third", error(500, TEXT)),
        _recover("third", error(500, TEXT), secret={"$base64": "z" * 33}),
        _recover("second", DONE),
    ),
    _recovery(
        "some-keys-encrypted",
        "Shares may be encrypted as well.",
        *_set(SOME, "first", "second", "third", length=33),
        *LOST,
        EPHEMERAL,
        _wrapped("first"),
        _wrapped("second"),
        _recover("first", _remaining(2), secret=ref("first wrapped")),
        _recover("second", DONE, secret=ref("second wrapped")),
        status_is(3),
    ),
    _recovery(
        "some-keys-wrong-signature",
        "Two shares signed by one key are one party: all secrets are needed again.",
        *_set(SOME, "first", "second", "third", length=33),
        {"do": "sign", "key": "first", "secret": ref("second"), "name": "foreign"},
        *LOST,
        _recover("first", _remaining(2)),
        _recover("second", error(500, TEXT), signature=ref("foreign")),
        status_is(1),
        _recover("first", _remaining(2)),
        _recover("second", DONE),
    ),
    _recovery(
        "no-keys",
        "Without recovery keys nothing leads back to the state.",
        set_manifest(owned()),
        *LOST,
        rest(
            "POST",
            f"{V2}/recover",
            {"status": {"$one-of": [200, 500]}},
            body=json({"recoverySecret": {"$base64": "x" * 32}, "recoverySecretSignature": ""}),
        ),
        status_is(1),
    ),
    _recovery(
        "reset",
        "In recovery a new manifest starts a new deployment with another root; it keeps working.",
        *_set(ONE, "first"),
        ROOT_BEFORE,
        *LOST,
        set_manifest(manifest()),
        status_is(3),
        rest("GET", f"{V2}/quote", ok(opened(cert={"$differs": "chain"}))),
        rest("GET", f"{V2}/manifest", ok(opened(manifest={"$base64-of-json": manifest()}))),
        activate(activated()),
        {"do": "restart"},
        status_is(3),
        rest("GET", f"{V2}/manifest", ok(opened(manifest={"$base64-of-json": manifest()}))),
    ),
    _recovery(
        "keys-changed-by-an-update",
        "An update that changes the keys returns new secrets; the old ones lead nowhere any more.",
        *_set(ONE, "first"),
        update(
            _keys("first", "second"),
            ok(
                {
                    "missingAcknowledgments": 0,
                    "missingUsers": None,
                    "recoverySecrets": {
                        "first": capture("first encrypted"),
                        "second": capture("second encrypted"),
                    },
                }
            ),
        ),
        *_opened("first", 32),
        *_opened("second", 32),
        {"do": "restart"},
        status_is(3),
        *LOST,
        _recover("first", _remaining(1)),
        _recover("second", DONE),
    ),
    _recovery(
        "keys-kept-by-an-update",
        "An update that keeps the keys returns none, and the old secrets still work; n is the same threshold as none.",
        *_set(ALL, "first", "second"),
        update(_keys("first", "second", Config={"RecoveryThreshold": 2}, Marbles={"x": {"Package": "app"}})),
        *LOST,
        _recover("first", _remaining(1)),
        _recover("second", DONE),
        rest("GET", f"{V2}/manifest", ok(opened(manifest={"$any": "base64"}))),
        activate(activated(), marble="x"),
    ),
    _recovery(
        "user-secrets-and-pending-updates-come-back",
        "Everything that was acknowledged before comes back.",
        *_set(
            owned(
                RecoveryKeys={"first": {"$recovery-key": "first"}},
                Secrets={"p": {"Type": "plain", "UserDefined": True}},
                Users={
                    "admin": {"Certificate": {"$certificate-of": "admin"}, "Roles": ["updater", "w"]},
                    "alice": {"Certificate": {"$certificate-of": "alice"}, "Roles": ["updater"]},
                },
                Roles={
                    "w": {
                        "ResourceType": "Secrets",
                        "ResourceNames": ["p"],
                        "Actions": ["ReadSecret", "WriteSecret"],
                    }
                },
            ),
            "first",
        ),
        rest("POST", f"{V2}/secrets", ok(None), who="admin", body=json({"secrets": {"p": {"Key": "YQ=="}}})),
        update(owned(), ok({"missingAcknowledgments": 1, "missingUsers": ["alice"]})),
        *LOST,
        _recover("first", DONE),
        rest("GET", f"{V2}/secrets?s=p", ok({"secrets": {"p": opened(Public="YQ==")}}), who="admin"),
        rest("GET", f"{V2}/update-manifest", ok(opened(missingUsers=["alice"]))),
    ),
    case(
        "seal-mode-disabled-keeps-nothing",
        "With SealMode Disabled nothing is written: a restart is a new Coordinator.",
        "core 8.2",
        set_manifest(owned(Config={"SealMode": "Disabled"})),
        status_is(3),
        {"do": "restart"},
        status_is(2),
        spends=True,
    ),
    *(
        case(
            f"seal-mode-{mode.lower()}",
            "The state survives a restart.",
            "core 8.2, 14.3 TestSetManifest",
            set_manifest(owned(Config={"SealMode": mode})),
            {"do": "restart"},
            status_is(3),
            spends=True,
        )
        for mode in ("ProductKey", "UniqueKey")
    ),
]
