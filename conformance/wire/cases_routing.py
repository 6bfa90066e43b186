"""Paths and methods: everything unknown is 405 with an empty error, never 404 (core 11, api 1.2)."""

from __future__ import annotations

from conformance.wire.writing import Case, case, error, rest

EMPTY = '{"status":"error","data":null}\n'
NOTHING = error(405) | {"text": EMPTY}
UNKNOWN = (
    "/",
    "/manifest/",
    "/Manifest",
    "/api",
    "/api/v2",
    "/api/v2/",
    "/api/v2/status/",
    "/api/v2/STATUS",
    "/api/v1/status",
    "/api/v3/status",
    "/api/v2/recover/",
    "/api/v2/recover/public-key/",
    "/recover/public-key",
    "/sign-quote",
    "/monotonic-counter",
    "/metrics",
    "/events",
    "/favicon",
    "/api/v2/secrets/name",
)
WRONG_METHOD = (
    ("POST", "/status"),
    ("POST", "/api/v2/status"),
    ("POST", "/quote"),
    ("POST", "/api/v2/quote"),
    ("GET", "/recover"),
    ("GET", "/api/v2/recover"),
    ("POST", "/api/v2/recover/public-key"),
    ("GET", "/update-cancel"),
    ("GET", "/api/v2/update-cancel"),
    ("GET", "/api/v2/sign-quote"),
    ("GET", "/api/v2/monotonic-counter"),
    ("PUT", "/quote"),
    ("PUT", "/api/v2/manifest"),
    ("DELETE", "/manifest"),
    ("DELETE", "/api/v2/secrets"),
    ("PATCH", "/api/v2/update"),
    ("OPTIONS", "/api/v2/status"),
    ("PUT", "/nowhere"),
)
GONE = (
    "Recovering the Coordinator using the /recover API endpoint has been disabled. "
    "Use the /api/v2/recover endpoint instead."
)


def _named(*parts: str) -> str:
    """Make an id of a method and a path."""
    name = "-".join(parts).replace("/", "-").replace("S-T", "s-t")
    return "-".join(filter(None, name.split("-")))


def _slug(method: str, path: str) -> str:
    upper = "-upper" if any(c.isupper() for c in path) else ""
    slash = "-slash" if path.endswith("/") else ""
    return _named("routing", method.lower(), path.lower()) + upper + slash


CASES: list[Case] = [
    *(
        case(
            _slug("get", path),
            f"{path} is unknown; clients fall back from version 2 to 1 on 405 alone.",
            "core 11, api 1.2",
            rest("GET", path, NOTHING),
        )
        for path in UNKNOWN
    ),
    *(
        case(
            _slug(method, path),
            f"{path} is not called with {method}.",
            "core 11, api 1.2",
            rest(method, path, NOTHING),
        )
        for method, path in WRONG_METHOD
    ),
    case(
        "routing-head-has-no-body",
        "HEAD is no GET: 405, and a HEAD answer has no body.",
        "core 11",
        rest("HEAD", "/api/v2/status", {"status": 405, "text": ""}),
    ),
    case(
        "routing-query-does-not-matter",
        "The query is no part of the path.",
        "core 11",
        rest("GET", "/api/v2/nowhere?s=a", NOTHING),
    ),
    case(
        "routing-recover-v1-is-gone",
        "Version 1 of recover is switched off, whatever is sent.",
        "core 11, api 1.6",
        rest("POST", "/recover", error(410, GONE), body={"text": "x"}),
        rest("POST", "/recover", error(410, GONE)),
    ),
]
