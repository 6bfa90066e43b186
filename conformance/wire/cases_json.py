"""Go's way to read JSON, seen through calls that tell what they have read (core 0.1, api 1.3)."""

from __future__ import annotations

import base64

from conformance.wire.writing import TEXT, V2, Case, case, error, fail, json, rest, starts, text

READ = error(500, {"$contains": "no allowed packages defined"})
"""The manifest ``{}`` was read, and is refused for what it is."""
NOTHING_READ = error(500, starts("unmarshaling manifest: "))
BAD = fail(400, TEXT)

BODIES = (
    ("exact", '{"manifest":"e30="}', READ),
    ("upper-case-name", '{"MANIFEST":"e30="}', READ),
    ("mixed-case-name", '{"maniFest":"e30="}', READ),
    ("folded-name", '{"manife\u017ft":"e30="}', READ),
    ("unknown-members", '{"a":{"b":[1,2]},"manifest":"e30=","c":null}', READ),
    ("last-duplicate-wins", '{"manifest":"AAAA","manifest":"e30="}', READ),
    ("last-duplicate-wins-in-any-case", '{"manifest":"AAAA","MANIFEST":"e30="}', READ),
    ("text-after-the-value", '{"manifest":"e30="} and more', READ),
    ("second-value", '{"manifest":"e30="}{"manifest":"AAAA"}', READ),
    ("white-space-before", ' \r\n\t{"manifest":"e30="}', READ),
    ("numbers-for-bytes", '{"manifest":[123,125]}', READ),
    ("numbers-with-white-space", '{"manifest":[ 123 , 125 ]}', READ),
    ("line-breaks-in-base64", '{"manifest":"e3\\r\\n0=\\n"}', READ),
    ("escapes-in-base64", '{"manifest":"e30\\u003d"}', READ),
    ("trailing-bits-in-base64", '{"manifest":"e31="}', READ),
    ("lone-surrogate-elsewhere", '{"a":"\\ud800","manifest":"e30="}', READ),
    ("huge-number-elsewhere", '{"a":1e999,"manifest":"e30="}', READ),
    ("null-then-value", '{"manifest":null,"manifest":"e30="}', READ),
    ("value-then-null", '{"manifest":"e30=","manifest":null}', NOTHING_READ),
    ("no-member", "{}", NOTHING_READ),
    ("null-member", '{"manifest":null}', NOTHING_READ),
    ("null-body", "null", NOTHING_READ),
    ("empty-text", '{"manifest":""}', NOTHING_READ),
    ("empty-numbers", '{"manifest":[]}', NOTHING_READ),
    ("empty-body", "", fail(400, "EOF")),
    ("blank-body", " \n", fail(400, "EOF")),
    ("cut-off-body", '{"manifest":', fail(400, "unexpected EOF")),
    ("a-list", "[]", BAD),
    ("a-text", '"e30="', BAD),
    ("a-number", "5", BAD),
    ("a-boolean", "true", BAD),
    ("number-for-bytes", '{"manifest":5}', BAD),
    ("object-for-bytes", '{"manifest":{}}', BAD),
    ("boolean-for-bytes", '{"manifest":true}', BAD),
    ("no-padding", '{"manifest":"e30"}', BAD),
    ("url-alphabet", '{"manifest":"e_-="}', BAD),
    ("space-in-base64", '{"manifest":"e3 0="}', BAD),
    ("byte-too-large", '{"manifest":[256]}', BAD),
    ("byte-negative", '{"manifest":[-1]}', BAD),
    ("byte-with-point", '{"manifest":[1.0]}', BAD),
    ("byte-with-exponent", '{"manifest":[1e1]}', BAD),
    ("text-for-byte", '{"manifest":["a"]}', BAD),
    ("single-quotes", "{'manifest':'e30='}", BAD),
    ("comma-at-the-end", '{"manifest":"e30=",}', BAD),
    ("not-a-number", '{"a":NaN,"manifest":"e30="}', BAD),
    ("infinity", '{"a":Infinity,"manifest":"e30="}', BAD),
    ("leading-zero", '{"a":01,"manifest":"e30="}', BAD),
    ("comment", '{/**/"manifest":"e30="}', BAD),
    ("control-character-in-text", '{"manifest":"e3\n0="}', BAD),
    ("byte-order-mark", '\ufeff{"manifest":"e30="}', BAD),
)
MANIFEST = "/api/v2/manifest"

CASES: list[Case] = [
    *(
        case(
            f"json-v2-{name}",
            "Version 2 bodies are read as Go's streaming decoder reads them.",
            "core 0.1, api 1.3",
            rest("POST", MANIFEST, expect, body=text(body)),
        )
        for name, body, expect in BODIES
    ),
    case(
        "json-v2-invalid-utf8-elsewhere",
        "Bytes that are no UTF-8 become U+FFFD; they are no error.",
        "core 0.1",
        rest(
            "POST",
            MANIFEST,
            READ,
            body={"base64": base64.b64encode(b'{"a":"\xff\xfe","manifest":"e30="}').decode()},
        ),
    ),
    case(
        "json-request-content-type-is-ignored",
        "No call looks at the request's content type.",
        "core 11",
        rest("POST", MANIFEST, READ, body=json({"manifest": "e30="}))
        | {"headers": {"Content-Type": "text/xml"}},
        rest("POST", MANIFEST, READ, body=json({"manifest": "e30="}))
        | {"headers": {"Content-Type": "application/x-www-form-urlencoded"}},
    ),
    case(
        "json-recover-members",
        "Members of other calls are read in the same way: the state is looked at only after that.",
        "core 0.1, 7.3",
        rest(
            "POST",
            f"{V2}/recover",
            error(500, "server is not in expected state"),
            body=text('{"RECOVERYSECRET":[1,2],"recoverysecretsignature":"AA=="} x'),
        ),
        rest("POST", f"{V2}/recover", BAD, body=text('{"recoverySecret":"A"}')),
    ),
]
