"""Updates that several users decide: pending, acknowledged, cancelled (core 6.5)."""

from __future__ import annotations

from conformance.wire.writing import (
    APPLIED,
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
    log_ends,
    manifest,
    ok,
    opened,
    owned,
    ref,
    rest,
    text,
    update,
    user,
    wrapped,
)

IN_PROGRESS = (
    "update already in progress. Acknowledge the update to apply it, or cancel it to start a new one"
)
NONE = "no update in progress"
ALL = "All users have acknowledged the update manifest. Update successfully applied"
ONE = "1 user still needs to acknowledge the update manifest"
TWO = "2 users still need to acknowledge the update manifest"
WHO = ".\nThe following users have not yet accepted: "


def team(*names: str, **sections: Json) -> Json:
    """Write a manifest that these users may update."""
    return owned(Users={name: user(name, "updater") for name in names}, **sections)


THREE = team("admin", "alice", "bob")
NEXT = team("admin", "alice", "bob", Marbles={"next": {"Package": "app"}})
WAITS = ok({"missingAcknowledgments": 2, "missingUsers": {"$one-of": [["alice", "bob"], ["bob", "alice"]]}})


def acknowledge(document: Json, who: str, expect: Json) -> Json:
    """Acknowledge through version 2."""
    return rest("POST", f"{V2}/update-manifest", expect, who=who, body=wrapped(document))


def answer(message: Json, users: Json, count: int) -> Json:
    """Expect this answer to an acknowledgement."""
    return ok({"message": message, "missingUsers": users, "missingAcknowledgments": count})


def cancel(expect: Json = None, who: str = "admin") -> Json:
    """Cancel the pending update."""
    return rest(
        "POST",
        f"{V2}/update-cancel",
        ok({"message": "Update successfully cancelled"}) if expect is None else expect,
        who=who,
    )


def back() -> list[Json]:
    """Return to a manifest that admin alone may update."""
    return [
        update(owned(), WAITS),
        acknowledge(owned(), "alice", {"status": 200}),
        acknowledge(owned(), "bob", {"status": 200}),
    ]


def _three(name: str, why: str, *steps: Json) -> Case:
    return case(f"multi-{name}", why, "core 6.5, 6.6", update(THREE), *steps, *back(), needs="deployed")


STARTED = '{"time":"<time>","update":"Complete Manifest update initiated by user. Waiting for acknowledgments to apply the update","user":"admin","missingAcknowledgments":2,"missingUsers":["alice","bob"],"manifestFingerprint":"<sha256>"}'
FIRST = '{"time":"<time>","update":"Complete Manifest update acknowledged by user","user":"alice","missingAcknowledgments":1,"missingUsers":["bob"],"manifestFingerprint":"<sha256>"}'
LAST = '{"time":"<time>","update":"Complete Manifest update acknowledged by user","user":"bob","missingAcknowledgments":0,"missingUsers":[],"manifestFingerprint":"<sha256>"}'
DONE = '{"time":"<time>","update":"Complete Manifest updated","manifestFingerprint":"<sha256>"}'
CANCELLED = '{"time":"<time>","update":"Complete Manifest update cancelled by user","user":"alice","manifestFingerprint":"<sha256>"}'
PENDING = {"manifest": {"$base64-of-json": NEXT}, "message": TEXT, "missingUsers": ["alice", "bob"]}

CASES: list[Case] = [
    _three(
        "three-acknowledge",
        "Whoever starts an update has acknowledged it; the last acknowledgement applies it.",
        update(NEXT, WAITS),
        rest("GET", f"{V2}/manifest", ok(opened(manifest={"$base64-of-json": THREE}))),
        acknowledge(NEXT, "alice", answer(ONE + WHO + "bob", ["bob"], 1)),
        acknowledge(NEXT, "bob", answer(contains(ALL), {"$one-of": [None, []]}, 0)),
        rest("GET", f"{V2}/manifest", ok(opened(manifest={"$base64-of-json": NEXT}))),
        rest("GET", f"{V2}/update-manifest", error(404, NONE)),
        log_ends(STARTED, FIRST, LAST, DONE),
    ),
    _three(
        "three-acknowledge-v1",
        "Version 1 answers with the sentence alone, whose first word clients read.",
        rest("POST", "/update", ok(None), who="admin", body=text({"$json": NEXT})),
        rest("POST", "/update-manifest", ok(ONE), who="alice", body=text({"$json": NEXT})),
        rest("POST", "/update-manifest", ok(ALL), who="bob", body=text({"$json": NEXT})),
        rest("GET", "/manifest", ok(opened(Manifest={"$base64-of-json": NEXT}))),
    ),
    _three(
        "acknowledge-twice",
        "To acknowledge again is harmless and does not count.",
        update(NEXT, WAITS),
        acknowledge(NEXT, "admin", answer(TWO + WHO + "alice, bob", ["alice", "bob"], 2)),
        rest("POST", "/update-manifest", ok(TWO), who="admin", body=text({"$json": NEXT})),
        acknowledge(NEXT, "alice", answer(ONE + WHO + "bob", ["bob"], 1)),
        acknowledge(NEXT, "alice", answer(ONE + WHO + "bob", ["bob"], 1)),
        cancel(),
    ),
    _three(
        "pending-is-public",
        "Anyone may read the pending manifest, in both versions in the same form.",
        update(NEXT, WAITS),
        rest("GET", f"{V2}/update-manifest", ok(PENDING | {"message": capture("message")})),
        rest("GET", "/update-manifest", ok(PENDING | {"message": ref("message")})),
        cancel(),
        rest("GET", "/update-manifest", error(404, NONE)),
    ),
    _three(
        "other-bytes",
        "An acknowledgement names the very bytes that are pending.",
        update(NEXT, WAITS),
        acknowledge(THREE, "alice", error(500, "provided manifest does not match the pending manifest")),
        rest(
            "POST",
            "/update-manifest",
            error(500, "provided manifest does not match the pending manifest"),
            who="alice",
            body=text({"$join": [{"$json": NEXT}, "\n"]}),
        ),
        rest("GET", f"{V2}/update-manifest", ok(PENDING)),
        cancel(),
    ),
    _three(
        "no-second-update",
        "While one update is pending no other one is started, whatever kind it is of.",
        update(NEXT, WAITS),
        update(THREE, error(500, IN_PROGRESS)),
        rest("POST", "/update", error(400, IN_PROGRESS), who="admin", body=text({"$json": THREE})),
        update({"Packages": {"app": {"SecurityVersion": 2}}}, error(500, IN_PROGRESS), who="bob"),
        update({}, error(500, IN_PROGRESS)),
        cancel(),
    ),
    _three(
        "cancel",
        "Anyone who may update the manifest may cancel, also who has not started it.",
        update(NEXT, WAITS),
        acknowledge(NEXT, "alice", {"status": 200}),
        cancel(who="alice"),
        cancel(error(404, NONE), "bob"),
        log_ends(CANCELLED),
        rest("GET", f"{V2}/manifest", ok(opened(manifest={"$base64-of-json": THREE}))),
        acknowledge(NEXT, "alice", error(404, NONE)),
    ),
    _three(
        "cancel-v1",
        "Version 1 answers a sentence.",
        update(NEXT, WAITS),
        rest("POST", "/update-cancel", ok("Update successfully cancelled"), who="bob"),
        rest("POST", "/update-cancel", error(404, NONE), who="bob"),
    ),
    _three(
        "strangers",
        "Who is no user neither acknowledges nor cancels.",
        update(NEXT, WAITS),
        acknowledge(NEXT, "stranger", fail(401, UNAUTHORIZED)),
        acknowledge(NEXT, "carol", fail(401, UNAUTHORIZED)),
        rest("POST", "/update-manifest", error(401, UNAUTHORIZED), body=text({"$json": NEXT})),
        cancel(fail(401, UNAUTHORIZED), "stranger"),
        cancel(),
    ),
    _three(
        "started-by-another",
        "Who starts does not matter.",
        update(
            NEXT,
            ok(
                {
                    "missingAcknowledgments": 2,
                    "missingUsers": {"$one-of": [["admin", "alice"], ["alice", "admin"]]},
                }
            ),
            who="bob",
        ),
        acknowledge(NEXT, "admin", {"status": 200}),
        acknowledge(NEXT, "alice", answer(contains(ALL), {"$one-of": [None, []]}, 0)),
    ),
    _three(
        "refused-manifest-is-not-pending",
        "A manifest is checked before it waits for anybody.",
        update(manifest(Config={"SealMode": "Foo"}), error(500, contains("unknown seal mode: Foo"))),
        rest("GET", f"{V2}/update-manifest", error(404, NONE)),
    ),
    _three(
        "package-update-is-another-right",
        "A package update is a right of its own: to update the manifest does not include it.",
        update(
            {"Packages": {"app": {"SecurityVersion": 2}}},
            error(500, contains("user alice is not allowed to update one or more packages of [app]")),
            who="alice",
        ),
    ),
    case(
        "multi-user-who-may-not-acknowledge",
        "A user without UpdateManifest is told so before the bytes are compared.",
        "core 6.5",
        update(owned(Users={"alice": user("alice", "updater"), "carol": user("carol")})),
        update(owned(), ok({"missingAcknowledgments": 1, "missingUsers": ["alice"]})),
        acknowledge(
            manifest(), "carol", error(500, "user carol is not allowed to acknowledge manifest updates")
        ),
        cancel(error(500, contains("user carol is not allowed to ")), "carol"),
        acknowledge(owned(), "alice", answer(contains(ALL), {"$one-of": [None, []]}, 0)),
        needs="deployed",
    ),
    case(
        "multi-threshold-of-the-current-manifest",
        "The threshold in force counts, not the one of the new manifest; a missing user may be one of several.",
        "core 6.2, 6.5, 14.10 threshold manifest update",
        update(team("admin", "alice", "bob", Config={"UpdateThreshold": 1})),
        update(team("admin", "alice", "bob", Config={"UpdateThreshold": 2})),
        update(
            NEXT,
            ok(
                {
                    "missingAcknowledgments": 1,
                    "missingUsers": {"$one-of": [["alice", "bob"], ["bob", "alice"]]},
                }
            ),
        ),
        acknowledge(NEXT, "bob", answer(contains(ALL), {"$one-of": [None, [], ["alice"]]}, 0)),
        *back(),
        needs="deployed",
    ),
    case(
        "multi-new-users-do-not-count-yet",
        "The users in force decide: whom the update adds has no say in it.",
        "core 6.2, 14.10 chained manifest updates",
        update(team("admin", "alice")),
        update(THREE, ok({"missingAcknowledgments": 1, "missingUsers": ["alice"]})),
        acknowledge(THREE, "bob", fail(401, UNAUTHORIZED)),
        acknowledge(THREE, "alice", {"status": 200}),
        *back(),
        needs="deployed",
    ),
    case(
        "multi-pending-survives-a-restart",
        "A pending update is part of the state.",
        "core 6.5",
        update(THREE),
        update(NEXT, WAITS),
        acknowledge(NEXT, "alice", {"status": 200}),
        {"do": "restart"},
        rest("GET", f"{V2}/update-manifest", ok(PENDING | {"missingUsers": ["bob"]})),
        acknowledge(NEXT, "bob", answer(contains(ALL), {"$one-of": [None, []]}, 0)),
        rest("GET", f"{V2}/manifest", ok(opened(manifest={"$base64-of-json": NEXT}))),
        needs="deployed",
        spends=True,
    ),
    case(
        "multi-failed-apply-is-not-pending",
        "A manifest whose templates fail is never left pending; the next update can follow at once.",
        "core 6.4, A22",
        update(owned()),
        update(
            owned(
                Marbles={"m": {"Package": "app", "Parameters": {"Files": {"/f": "{{ hex .Secrets.no }}"}}}}
            ),
            error(500, TEXT),
        ),
        update(owned(), ok(APPLIED)),
        needs="deployed",
        differs="D7",
    ),
]
