"""The quote, its nonce, the certificates, and TLS on both ports (core 3, 4.2, 10.2, 11; api 1.1)."""

from __future__ import annotations

from conformance.wire.cases_activation import AUTHORITY, INTERMEDIATE, ROOT
from conformance.wire.writing import (
    ANYTHING,
    V2,
    Case,
    Json,
    capture,
    case,
    error,
    fail,
    ok,
    opened,
    ref,
    rest,
    starts,
    status_is,
    text,
)

CHAIN = {
    "$certificates": [
        opened(**AUTHORITY, subject=INTERMEDIATE, issuer=ROOT),
        opened(**AUTHORITY, subject=ROOT, issuer=ROOT),
    ]
}
NONCES = (
    ("plain", "YWJj", "YWJj"),
    ("url-alphabet", "-_8=", "+/8="),
    ("escaped", "YQ%3D%3D", "YQ=="),
    ("long", "YWFh" * 64, "YWFh" * 64),
)
BAD_NONCES = (
    ("no-padding", "YQ"),
    ("standard-alphabet", "%2B/8="),
    ("plus-is-a-space", "+w=="),
    ("no-base64", "%00"),
    ("one-character", "A"),
)


def _quoted(pattern: Json, query: str = "") -> Json:
    """Expect a quote from us, and null from MarbleRun's simulation."""
    return rest(
        "GET",
        f"{V2}/quote{query}",
        ok({"cert": capture("chain"), "quote": pattern, "state": capture("state")}),
        marblerun=ok({"cert": capture("chain"), "quote": None}),
    )


def _tls(port: str, expect: Json, **more: Json) -> Json:
    return {"do": "tls", "port": port, **more, "expect": expect}


CASES: list[Case] = [
    case(
        "quote-chain",
        "Intermediate and root in one text; the root signs both.",
        "core 3, 11",
        rest("GET", f"{V2}/quote", ok(opened(cert=capture("chain", CHAIN), quote=ANYTHING))),
        {"do": "issued", "certificate": {"$pem": [ref("chain"), 0]}, "issuer": {"$pem": [ref("chain"), 1]}},
        {"do": "issued", "certificate": {"$pem": [ref("chain"), 1]}, "issuer": {"$pem": [ref("chain"), 1]}},
        rest("GET", "/quote", ok({"Cert": ref("chain"), "Quote": ANYTHING})),
    ),
    case(
        "quote-in-simulation",
        "Our simulated platform makes quotes, so there is one; MarbleRun's simulation answers null.",
        "core 10.1, 10.5",
        _quoted(capture("quote", {"$any": "base64"})),
        {
            "do": "report-data",
            "quote": ref("quote"),
            "root": {"$pem": [ref("chain"), 1]},
            "state": ref("state"),
            "only": "marbleops",
        },
        _quoted(ref("quote")),
        differs="D9",
    ),
    *(
        case(
            f"quote-nonce-{name}",
            "The nonce is hashed behind the root certificate, and the quote is made for this call.",
            "core 3, 10.2, 11",
            _quoted(capture("quote"), f"?nonce={query}"),
            {
                "do": "report-data",
                "quote": ref("quote"),
                "root": {"$pem": [ref("chain"), 1]},
                "state": ref("state"),
                "nonce": nonce,
                "only": "marbleops",
            },
            differs="D9",
        )
        for name, query, nonce in NONCES
    ),
    case(
        "quote-names-the-manifest",
        "The quote says where the Coordinator stands and what it enforces; MarbleRun's says only whose key it is.",
        "docs/adr/0008",
        rest("GET", f"{V2}/manifest", ok(opened(manifestFingerprint=capture("fingerprint")))),
        rest(
            "GET",
            f"{V2}/quote",
            ok(opened(state={"code": 3, "manifestFingerprint": ref("fingerprint")})),
            marblerun=ok(opened(quote=None)),
        ),
        needs="deployed",
        differs="D35",
    ),
    case(
        "quote-nonce-empty",
        "An empty nonce is fine.",
        "core 11",
        rest("GET", f"{V2}/quote?nonce=", ok(opened(cert=CHAIN))),
    ),
    *(
        case(
            f"quote-nonce-refused-{name}",
            "The nonce is padded base64 of the URL alphabet.",
            "core 11, api 1.6",
            rest("GET", f"{V2}/quote?nonce={query}", fail(400, starts("invalid query: bad nonce format: "))),
        )
        for name, query in BAD_NONCES
    ),
    case(
        "quote-v1-ignores-the-nonce",
        "Version 1 knows no nonce.",
        "api 1.6",
        rest("GET", "/quote?nonce=A", ok({"Cert": CHAIN, "Quote": ANYTHING})),
    ),
    case(
        "tls-rest-shows-the-root",
        "The REST port presents the root alone, asks for a client certificate and names no authorities.",
        "core 3, 11, 16",
        rest("GET", f"{V2}/quote", ok(opened(cert=capture("chain")))),
        _tls(
            "rest",
            {
                "done": True,
                "version": "TLSv1.3",
                "alpn": "",
                "acceptableCAs": 0,
                "chain": {"$pem": [ref("chain"), 1]},
            },
        ),
    ),
    case(
        "tls-rest-1-2",
        "TLS 1.2 is offered, older versions are not.",
        "api 1.1",
        _tls("rest", opened(done=True, version="TLSv1.2"), version="1.2"),
        _tls("rest", {"done": False}, version="1.1"),
    ),
    case(
        "tls-rest-http-1-1",
        "A client that asks for http/1.1 gets it.",
        "core 11",
        _tls("rest", opened(done=True, alpn="http/1.1"), alpn=["http/1.1"]),
    ),
    case(
        "tls-rest-h2",
        "MarbleRun also speaks h2 on the REST port; we speak http/1.1 there, which every client can.",
        "core 11",
        _tls("rest", opened(done=True, alpn="http/1.1"), alpn=["h2", "http/1.1"])
        | {"marblerun": opened(done=True, alpn="h2")},
        differs="D10",
    ),
    case(
        "tls-rest-any-client-certificate",
        "A self-signed or expired client certificate does not hurt a call that needs none.",
        "core 11, api 1.1",
        rest("GET", f"{V2}/status", ok(opened(code=2)), who="stranger"),
        rest("GET", f"{V2}/status", ok(opened(code=2)), who="expired"),
    ),
    case(
        "tls-marble-needs-a-certificate",
        "The marble port needs a client certificate, whoever signed it: without one the handshake fails.",
        "core 4.2",
        _tls("marble", {"done": False}, alpn=["h2"]),
    ),
    case(
        "status-in-deployment",
        "State 3 in both versions.",
        "core 2, 11",
        status_is(3),
        rest(
            "GET",
            "/status",
            ok({"StatusCode": 3, "StatusMessage": starts("Coordinator is running correctly")}),
        ),
        needs="deployed",
    ),
    case(
        "not-in-recovery",
        "A Coordinator that runs takes no recovery secrets and hands out no ephemeral key.",
        "core 2, 7.3",
        rest("GET", f"{V2}/recover/public-key", error(500, "server is not in expected state")),
        rest(
            "POST",
            f"{V2}/recover",
            error(500, "server is not in expected state"),
            body=text('{"recoverySecret":"AAAAAAAAAAAAAAAAAAAAAA==","recoverySecretSignature":"AA=="}'),
        ),
        needs="deployed",
    ),
    case(
        "simulated-certificates-say-so",
        "Every certificate of a simulated platform names it, so that nobody takes it for a real one.",
        "core 3",
        rest(
            "GET",
            f"{V2}/quote",
            ok(opened(cert={"$certificates": [opened(marked=True), opened(marked=True)]})),
            marblerun=ok(opened(cert={"$certificates": [opened(marked=False), opened(marked=False)]})),
        ),
        differs="D12",
    ),
]
