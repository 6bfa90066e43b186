"""Every call before a manifest is set: what is answered, and what is refused in which words."""

from __future__ import annotations

from conformance.wire.writing import (
    STATUS_TEXTS,
    TEXT,
    UNAUTHORIZED,
    V2,
    WRONG_STATE,
    Case,
    activate,
    capture,
    case,
    error,
    fail,
    json,
    manifest,
    ok,
    opened,
    ref,
    refused,
    rest,
    set_manifest,
    status_is,
    text,
    wrapped,
)

NO_UPDATE = "no update in progress"
NOT_SET = "requested value not set"


def _off(feature: str) -> str:
    return f"{feature} feature is not enabled in the manifest"


SIMPLE = (
    ("manifest-v2", "GET", f"{V2}/manifest", error(500, NOT_SET), "There is none to give."),
    (
        "manifest-v1",
        "GET",
        "/manifest",
        ok({"ManifestSignatureRootECDSA": None, "ManifestSignature": "", "Manifest": None}),
        "Version 1 never fails: three empty values.",
    ),
    ("log-v1", "GET", "/update", error(500, WRONG_STATE), "There is no log yet."),
    ("log-v2", "GET", f"{V2}/update", error(500, WRONG_STATE), "There is no log yet."),
    ("pending-v1", "GET", "/update-manifest", error(404, NO_UPDATE), "Every failure of this call is 404."),
    (
        "pending-v2",
        "GET",
        f"{V2}/update-manifest",
        error(404, NO_UPDATE),
        "Every failure of this call is 404.",
    ),
    (
        "public-key",
        "GET",
        f"{V2}/recover/public-key",
        error(500, WRONG_STATE),
        "Only a Coordinator in recovery has this key.",
    ),
)
NEEDS_USER = (
    ("GET", "/secrets?s=a", "read-secrets-v1"),
    ("GET", f"{V2}/secrets?s=a", "read-secrets-v2"),
    ("GET", f"{V2}/secrets", "read-secrets-v2-no-names"),
    ("POST", "/secrets", "write-secrets-v1"),
    ("POST", f"{V2}/secrets", "write-secrets-v2"),
    ("POST", "/update", "update-v1"),
    ("POST", f"{V2}/update", "update-v2"),
    ("POST", "/update-manifest", "acknowledge-v1"),
    ("POST", f"{V2}/update-manifest", "acknowledge-v2"),
    ("POST", "/update-cancel", "cancel-v1"),
    ("POST", f"{V2}/update-cancel", "cancel-v2"),
)
RECOVER = {"recoverySecret": {"$base64": "x" * 32}, "recoverySecretSignature": {"$base64": "y"}}

CASES: list[Case] = [
    *(
        case(f"empty-{name}", why, "core 2, 11", rest(method, path, expect))
        for name, method, path, expect, why in SIMPLE
    ),
    *(
        case(
            f"empty-unauthorized-{name}{suffix}",
            "Without a manifest there are no users: authentication fails before anything else is looked at.",
            "core 5.9, 11; api 1.4",
            rest(
                method,
                path,
                fail(401, UNAUTHORIZED) if V2 in path else error(401, UNAUTHORIZED),
                who=who,
                body=text("{") if method == "POST" else None,
            ),
        )
        for method, path, name in NEEDS_USER
        for suffix, who in (("", None), ("-stranger", "stranger"))
    ),
    case(
        "empty-status",
        "Both versions tell state 2, under other names.",
        "core 2, 11",
        status_is(2),
        rest(
            "GET",
            "/status",
            ok({"StatusCode": 2, "StatusMessage": STATUS_TEXTS[2]}),
        ),
    ),
    case(
        "empty-recover",
        "Only a Coordinator in recovery takes recovery secrets.",
        "core 2, 7.3",
        rest("POST", f"{V2}/recover", error(500, WRONG_STATE), body=json(RECOVER)),
    ),
    case(
        "empty-recover-bad-json",
        "The body is read before the state is looked at.",
        "core 7.3, 11",
        rest("POST", f"{V2}/recover", fail(400, TEXT), body=text("{")),
        rest("POST", f"{V2}/recover", fail(400, "EOF"), body=text("")),
    ),
    case(
        "empty-sign-quote",
        "No manifest opens no feature; this is told before the body is read.",
        "core 9, 11",
        rest("POST", f"{V2}/sign-quote", error(403, _off("SignQuoteEndpoint")), body=text("{")),
    ),
    case(
        "empty-counter",
        "No manifest opens no feature; this is told before the marble is authenticated.",
        "core 9, 11",
        rest("POST", f"{V2}/monotonic-counter", error(403, _off("MonotonicCounter")), body=text("{")),
    ),
    case(
        "empty-activate",
        "Marbles come after the manifest.",
        "core 4.4 step 1, 14.9 TestTest",
        activate(refused("FAILED_PRECONDITION", "cannot accept marbles in current state")),
    ),
    case(
        "empty-failed-set-can-be-repeated",
        "A manifest that was refused leaves nothing; a right one is then set; a second one is not.",
        "core 6.1, 14.3 TestSetManifest_Legacy",
        rest("POST", f"{V2}/manifest", error(500, TEXT), body=wrapped({})),
        rest("GET", f"{V2}/manifest", error(500, NOT_SET)),
        set_manifest(manifest()),
        status_is(3),
        rest("POST", f"{V2}/manifest", error(500, WRONG_STATE), body=wrapped(manifest())),
        rest("POST", "/manifest", error(400, WRONG_STATE), body=text({"$json": manifest()})),
        rest(
            "GET",
            f"{V2}/update",
            ok({"updateLog": [{"$text": '{"time":"<time>","update":"Initial manifest set"}'}]}),
        ),
        spends=True,
    ),
    case(
        "empty-set-v1-without-recovery-keys",
        "Version 1 answers null where there are no recovery secrets, version 2 an empty object.",
        "core 11",
        rest("POST", "/manifest", ok(None), body=text({"$json": manifest()})),
        rest(
            "GET",
            "/manifest",
            ok(
                {
                    "ManifestSignatureRootECDSA": capture("signature"),
                    "ManifestSignature": capture("fingerprint", {"$any": "sha256"}),
                    "Manifest": {"$base64-of-json": manifest()},
                }
            ),
        ),
        rest(
            "GET",
            f"{V2}/manifest",
            ok(
                {
                    "manifestSignatureRootECDSA": ref("signature"),
                    "manifestFingerprint": ref("fingerprint"),
                    "manifest": {"$base64-of-json": manifest()},
                }
            ),
        ),
        {"do": "sha256", "text": {"$json": manifest()}, "expect": ref("fingerprint")},
        rest("GET", "/quote", ok({"Cert": capture("chain"), "Quote": {"$any": "anything"}})),
        {
            "do": "signature",
            "certificate": {"$pem": [ref("chain"), 1]},
            "signature": ref("signature"),
            "text": {"$json": manifest()},
        },
        spends=True,
    ),
    case(
        "empty-restart-makes-a-new-root",
        "Before a manifest is set nothing is kept: the root certificate after a restart is another one.",
        "core 2, 14.2 TestUnsetRestart",
        rest("GET", f"{V2}/quote", ok(opened(cert=capture("before")))),
        {"do": "restart"},
        status_is(2),
        rest("GET", f"{V2}/quote", ok(opened(cert={"$differs": "before"}))),
        spends=True,
    ),
    case(
        "deployed-restart-keeps-the-state",
        "After a restart the certificates, the manifest and its signature are the same; a manifest is not set twice.",
        "core 14.2 TestSeal, 14.9 TestRestart",
        rest("GET", f"{V2}/quote", ok(opened(cert=capture("chain")))),
        rest("GET", f"{V2}/manifest", ok(capture("manifest"))),
        {"do": "restart"},
        status_is(3),
        rest("GET", f"{V2}/quote", ok(opened(cert=ref("chain")))),
        rest("GET", f"{V2}/manifest", ok(ref("manifest"))),
        rest("POST", f"{V2}/manifest", error(500, WRONG_STATE), body=wrapped(manifest())),
        needs="deployed",
        spends=True,
    ),
]
