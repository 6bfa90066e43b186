"""Who may do what: users by certificate, roles, permissions, and what is asked in which order (core 5.8, 5.9, 11)."""

from __future__ import annotations

from conformance.wire.cases_secrets import out
from conformance.wire.writing import (
    TEXT,
    UNAUTHORIZED,
    V2,
    Case,
    Json,
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
    write_secrets,
    writer,
)

SECRETS = {
    "a": {"Type": "plain", "UserDefined": True},
    "b": {"Type": "plain", "UserDefined": True},
    "s": {"Type": "symmetric-key", "Size": 128, "Shared": True},
}
TEAM = owned(
    Secrets=SECRETS,
    Users={
        "admin": user("admin", "updater"),
        "alice": user("alice", "reads a", "writes b"),
        "bob": user("bob", "raises"),
        "carol": user("carol"),
        "late": user("expired", "reads a"),
    },
    Roles={
        "reads a": reader("a") | {"Actions": ["rEaDsEcReT"]},
        "writes b": writer("b"),
        "raises": raiser("app"),
    },
)
A = {"a": out("plain", 0, UserDefined=True)}
READ_REFUSED = "user {} is not allowed to read one or more secrets of: ["


def _team(name: str, why: str, *steps: Json) -> Case:
    return case(f"users-{name}", why, "core 1.6, 5.8, 5.9", update(TEAM), *steps, needs="deployed")


def _read_refused(names: str, who: str) -> Json:
    return rest("GET", f"{V2}/secrets?{names}", error(500, contains(READ_REFUSED.format(who))), who=who)


QUERIES = (
    ("none", "", "invalid query: endpoint requires at least one query parameter"),
    ("other", "?x=a", "invalid query: endpoint requires at least one query parameter"),
    ("empty", "?s=", "malformed query string: empty query parameter"),
    ("one-empty", "?s=a&s=", "malformed query string: empty query parameter"),
)

CASES: list[Case] = [
    _team("reads", "A role's actions are compared without case.", read_secrets(["a"], A, who="alice")),
    _team("reads-v1", "Version 1 gives the map itself.", rest("GET", "/secrets?s=a", ok(A), who="alice")),
    _team(
        "expired-certificate",
        "Only the bytes of the certificate count, not its dates.",
        read_secrets(["a"], A, who="expired"),
    ),
    _team(
        "roles-are-united",
        "Rights of several roles add up.",
        read_secrets(["a", "b"], A | {"b": A["a"]}, who="alice"),
    ),
    _team(
        "reads-twice-the-same", "A name given twice is one secret.", read_secrets(["a", "a"], A, who="alice")
    ),
    _team(
        "reads-not-all",
        "One secret without permission, and none is given.",
        _read_refused("s=a&s=s", "alice"),
    ),
    _team("reads-nothing", "A user without roles reads nothing.", _read_refused("s=a", "carol")),
    _team(
        "reads-unknown",
        "A secret that does not exist is not permitted either.",
        rest("GET", f"{V2}/secrets?s=none", error(500, TEXT), who="alice"),
    ),
    _team(
        "reads-not-all-v1",
        "Version 1 answers 400 for the same.",
        rest("GET", "/secrets?s=a&s=s", error(400, contains(READ_REFUSED.format("alice"))), who="alice"),
    ),
    *(
        _team(
            f"query-{name}",
            "The names stand in the query, at least one, none of them empty.",
            rest("GET", f"{V2}/secrets{query}", fail(400, words), who="alice"),
            rest("GET", f"/secrets{query}", error(400, contains(words.rsplit(": ", 1)[1])), who="alice"),
        )
        for name, query, words in QUERIES
    ),
    _team(
        "writes-not-permitted",
        "To read is not to write.",
        write_secrets(
            {"a": {"Key": "YQ=="}}, error(500, "user alice is not allowed to update secret: a"), who="alice"
        ),
        rest(
            "POST",
            "/secrets",
            error(400, "user alice is not allowed to update secret: a"),
            who="alice",
            body=json({"a": {"Key": "YQ=="}}),
        ),
        write_secrets({"a": {"Key": "YQ=="}, "b": {"Key": "YQ=="}}, error(500, TEXT), who="alice"),
        read_secrets(["a", "b"], {"a": opened(Public=None), "b": opened(Public=None)}, who="alice"),
    ),
    _team("writes", "A role allows it.", write_secrets({"b": {"Key": "YQ=="}}, who="alice")),
    _team(
        "stranger",
        "A certificate that is none of a user: 401, error in version 1 and fail in version 2, before the body is read.",
        rest("GET", f"{V2}/secrets?s=a", fail(401, UNAUTHORIZED), who="stranger"),
        rest("GET", "/secrets?s=a", error(401, UNAUTHORIZED), who="stranger"),
        rest("POST", f"{V2}/update", fail(401, UNAUTHORIZED), who="stranger", body=text("{")),
        rest("POST", "/update", error(401, UNAUTHORIZED), who="stranger", body=text("{")),
        rest("POST", f"{V2}/secrets", fail(401, UNAUTHORIZED), body=text("{")),
        rest("POST", f"{V2}/update-cancel", fail(401, UNAUTHORIZED)),
        rest("POST", "/update-cancel", error(401, UNAUTHORIZED)),
    ),
    _team(
        "bodies-after-authentication",
        "Who is known is told about the body.",
        rest("POST", f"{V2}/update", fail(400, "EOF"), who="carol"),
        rest("POST", f"{V2}/update", fail(400, "unexpected EOF"), who="carol", body=text("{")),
        rest("POST", f"{V2}/secrets", fail(400, "unexpected EOF"), who="carol", body=text("{")),
        rest("POST", f"{V2}/update-manifest", fail(400, "unexpected EOF"), who="carol", body=text("{")),
    ),
    _team(
        "full-update-not-permitted",
        "Only UpdateManifest replaces the manifest.",
        rest(
            "POST",
            f"{V2}/update",
            error(500, "user bob is not allowed to update the complete manifest"),
            who="bob",
            body=wrapped(manifest()),
        ),
        rest(
            "POST",
            "/update",
            error(400, "user bob is not allowed to update the complete manifest"),
            who="bob",
            body=text({"$json": manifest()}),
        ),
    ),
    _team(
        "package-update-not-permitted",
        "UpdateManifest is no right to raise a version, and neither is no right at all.",
        rest(
            "POST",
            f"{V2}/update",
            error(500, contains("user admin is not allowed to update one or more packages of [")),
            who="admin",
            body=wrapped({"Packages": {"app": {"SecurityVersion": 9}}}),
        ),
        rest(
            "POST",
            f"{V2}/update",
            error(500, contains("user carol is not allowed to update one or more packages of [")),
            who="carol",
            body=wrapped({"Packages": {"app": {"SecurityVersion": 9}}}),
        ),
    ),
    _team(
        "permission-before-package",
        "A package that does not exist is not permitted.",
        rest(
            "POST",
            f"{V2}/update",
            error(500, TEXT),
            who="bob",
            body=wrapped({"Packages": {"none": {"SecurityVersion": 9}}}),
        ),
    ),
    _team(
        "cancel-not-permitted-before-pending",
        "Whether one may cancel is asked before whether there is something to cancel.",
        rest("POST", f"{V2}/update-cancel", error(500, contains("user bob is not allowed to ")), who="bob"),
        rest("POST", f"{V2}/update-cancel", error(404, "no update in progress"), who="admin"),
        rest("POST", "/update-cancel", error(404, "no update in progress"), who="admin"),
    ),
    _team(
        "acknowledge-nothing",
        "Without a pending update there is nothing to acknowledge.",
        rest(
            "POST",
            f"{V2}/update-manifest",
            error(404, "no update in progress"),
            who="admin",
            body=wrapped(manifest()),
        ),
        rest("POST", "/update-manifest", error(404, "no update in progress"), who="admin", body=text("{}")),
    ),
    case(
        "users-removed-by-an-update",
        "A user whom the manifest no longer names is a stranger.",
        "core 6.4",
        update(TEAM),
        update(owned()),
        rest("GET", f"{V2}/secrets?s=a", fail(401, UNAUTHORIZED), who="alice"),
        needs="deployed",
    ),
    case(
        "users-secrets-removed-by-an-update",
        "A secret that the manifest no longer names is gone.",
        "core 6.4, 14.10",
        update(TEAM),
        write_secrets({"b": {"Key": "YQ=="}}, who="alice"),
        update(owned(Users={"alice": user("alice")})),
        rest("GET", f"{V2}/secrets?s=b", error(500, TEXT), who="alice"),
        update(TEAM),
        read_secrets(["b"], {"b": A["a"]}, who="alice"),
        needs="deployed",
    ),
]
