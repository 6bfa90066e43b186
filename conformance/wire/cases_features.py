"""Monotonic counters and sign-quote behind their feature gates (core 9)."""

from __future__ import annotations

from conformance.wire.writing import (
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
    ok,
    opened,
    owned,
    ref,
    rest,
    starts,
    text,
    update,
)

COUNTING = owned(
    Config={"FeatureGates": ["mOnOtOnIcCoUnTeR"]}, Marbles={"m": {"Package": "app"}, "n": {"Package": "app"}}
)
SIGNING = owned(Config={"FeatureGates": ["SignQuoteEndpoint"]})
UNAUTHORIZED = "unauthorized marble: client certificate did not match any Marble"
LARGEST = 18446744073709551615


def _marble(name: str = "m", uuid: str = "02030400-0000-4000-8000-0000000000ab") -> Json:
    """Activate, and keep the credentials under the type's name."""
    env = {
        "MARBLE_PREDEFINED_MARBLE_CERTIFICATE_CHAIN": capture(f"{name} chain"),
        "MARBLE_PREDEFINED_PRIVATE_KEY": capture(f"{name} key"),
    }
    return activate(activated(Env=env), marble=name, uuid=uuid)


def _as(name: str = "m") -> Json:
    return {"certificates": ref(f"{name} chain"), "key": ref(f"{name} key")}


def _count(name: str, value: int, previous: int, marble: str = "m") -> Json:
    return rest(
        "POST",
        f"{V2}/monotonic-counter",
        ok({"value": previous}),
        who=_as(marble),
        body=json({"name": name, "value": value}),
    )


BAD_BODIES = (
    ("empty", "", "EOF"),
    ("list", "[]", TEXT),
    ("negative", '{"name":"c","value":-1}', TEXT),
    ("point", '{"name":"c","value":1.0}', TEXT),
    ("text", '{"name":"c","value":"1"}', TEXT),
    ("too-large", '{"name":"c","value":18446744073709551616}', TEXT),
    ("name-a-number", '{"name":1,"value":1}', TEXT),
)
QUOTES = (
    ("empty", {"sgxQuote": ""}),
    ("garbage", {"sgxQuote": "AAEC"}),
    (
        "raw-header-only",
        {
            "sgxQuote": {
                "$base64": "\u0003\u0000\u0002\u0000\u0000\u0000\u0000\u0000\u0001\u0000\u0001\u0000"
                + "\u0000" * 60
            }
        },
    ),
    ("header-only", {"sgxQuote": "AQAAAAIAAAACAAAAAAAAAKq7"}),
    ("null", {"sgxQuote": None}),
)

CASES: list[Case] = [
    case(
        "counter-returns-the-old-value",
        "A counter is the largest value given so far; the answer is the value before.",
        "core 9, 14.3 TestSetMonotonicCounter",
        update(COUNTING),
        _marble(),
        _count("old", 2, 0),
        _count("old", 3, 2),
        _count("old", 3, 3),
        _count("old", 1, 3),
        _count("old", LARGEST, 3),
        _count("old", 0, LARGEST),
        needs="deployed",
    ),
    case(
        "counter-belongs-to-type-uuid-and-name",
        "Another name, another UUID and another type each have a counter of their own.",
        "core 9",
        update(COUNTING),
        _marble(),
        _count("own", 5, 0),
        _count("own2", 1, 0),
        _marble("n"),
        _count("own", 1, 0, "n"),
        _marble("m", "02030400-0000-4000-8000-0000000000ac"),
        _count("own", 1, 0),
        _marble(),
        _count("own", 6, 5),
        needs="deployed",
    ),
    case(
        "counter-survives-an-update-the-certificate-does-not",
        "After an update the old leaf no longer verifies; the counter is still there.",
        "core 9, api 1.4",
        update(COUNTING),
        _marble(),
        _count("kept", 4, 0),
        update(COUNTING),
        rest(
            "POST",
            f"{V2}/monotonic-counter",
            fail(401, starts("unauthorized marble: ")),
            who=_as(),
            body=json({"name": "kept", "value": 9}),
        ),
        _marble(),
        _count("kept", 5, 4),
        needs="deployed",
    ),
    case(
        "counter-survives-a-restart",
        "What was answered is durable.",
        "core 9",
        update(COUNTING),
        _marble(),
        _count("durable", 7, 0),
        {"do": "restart"},
        _count("durable", 8, 7),
        needs="deployed",
        spends=True,
    ),
    case(
        "counter-name-may-be-empty",
        "Missing members are zero values.",
        "core 0.1, 9",
        update(COUNTING),
        _marble(),
        rest(
            "POST", f"{V2}/monotonic-counter", ok({"value": {"$any": "number"}}), who=_as(), body=text("{}")
        ),
        rest(
            "POST",
            f"{V2}/monotonic-counter",
            ok({"value": {"$any": "number"}}),
            who=_as(),
            body=text('{"NAME":"x","VALUE":1} x'),
        ),
        needs="deployed",
    ),
    *(
        case(
            f"counter-bad-body-{name}",
            "The body is read after the marble is known.",
            "core 0.1, 11",
            update(COUNTING),
            _marble(),
            rest("POST", f"{V2}/monotonic-counter", fail(400, words), who=_as(), body=text(body)),
            needs="deployed",
        )
        for name, body, words in BAD_BODIES
    ),
    case(
        "counter-unauthorized",
        "Without a certificate, and with one that no marble root has signed.",
        "core 9, api 1.4",
        update(COUNTING),
        rest("POST", f"{V2}/monotonic-counter", fail(401, UNAUTHORIZED), body=text("{")),
        rest(
            "POST",
            f"{V2}/monotonic-counter",
            fail(401, starts("unauthorized marble: ")),
            who="admin",
            body=text("{"),
        ),
        needs="deployed",
    ),
    case(
        "counter-feature-off",
        "The feature is asked for before the marble.",
        "core 9, 11",
        update(owned()),
        _marble(),
        rest(
            "POST",
            f"{V2}/monotonic-counter",
            error(403, "MonotonicCounter feature is not enabled in the manifest"),
            who=_as(),
            body=text("{"),
        ),
        needs="deployed",
    ),
    case(
        "counter-no-user-call",
        "A marble is no user.",
        "core 5.9",
        update(COUNTING),
        _marble(),
        rest("GET", f"{V2}/secrets?s=a", fail(401, starts("unauthorized user: ")), who=_as()),
        needs="deployed",
    ),
    case(
        "sign-quote-feature-off",
        "Another feature does not open this one.",
        "core 9",
        update(COUNTING),
        rest(
            "POST",
            f"{V2}/sign-quote",
            error(403, "SignQuoteEndpoint feature is not enabled in the manifest"),
            body=json({"sgxQuote": "AAEC"}),
        ),
        needs="deployed",
    ),
    case(
        "sign-quote-bad-json",
        "What is wrong with the body stands in data and in message.",
        "core 13.9, api 1.6",
        update(SIGNING),
        *(
            rest(
                "POST",
                f"{V2}/sign-quote",
                fail(400, starts("bad request: "), {"sgxQuote": "failed to parse JSON data"}),
                body=text(body),
            )
            for body in ("", "{", "[]", '{"sgxQuote":"A"}', '{"sgxQuote":5}')
        ),
        needs="deployed",
    ),
    *(
        case(
            f"sign-quote-refused-{name}",
            "What is no quote is not signed, and says why in data.",
            "core 9, api 1.6",
            update(SIGNING),
            rest(
                "POST",
                f"{V2}/sign-quote",
                fail(400, "quote verification failed", {"sgxQuote": starts("quote verification failed: ")}),
                body=json(body),
            ),
            needs="deployed",
        )
        for name, body in QUOTES
    ),
    case(
        "sign-quote",
        "The Coordinator's own quote verifies; the root signs the base64 text as sent and the status.",
        "core 9",
        update(SIGNING),
        rest(
            "GET",
            f"{V2}/quote",
            ok(opened(cert=capture("chain"), quote=capture("quote", {"$any": "base64"}))),
        ),
        rest(
            "POST",
            f"{V2}/sign-quote",
            ok(
                {
                    "tcbStatus": capture("status", {"$any": "text"}),
                    "verificationSignature": capture("signature"),
                }
            ),
            body=json({"sgxQuote": ref("quote")}),
        ),
        {
            "do": "signature",
            "certificate": {"$pem": [ref("chain"), 1]},
            "signature": ref("signature"),
            "text": {"$join": [ref("quote"), ref("status")]},
        },
        needs="deployed",
        only="marbleops",
    ),
    case(
        "features-are-looked-up-on-each-call",
        "An update opens and closes a feature at once; gates are compared without case.",
        "core 9",
        update(owned(Config={"FeatureGates": ["signquoteendpoint"]})),
        rest("POST", f"{V2}/sign-quote", fail(400, TEXT, {"$any": "anything"}), body=text("{}")),
        update(owned()),
        rest("POST", f"{V2}/sign-quote", error(403, contains("SignQuoteEndpoint")), body=text("{}")),
        needs="deployed",
    ),
]
