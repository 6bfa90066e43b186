"""The words in which the case modules are written: steps, expectations, manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Case = dict[str, Any]
Step = dict[str, Any]
Json = Any

V2 = "/api/v2"
UUID = "02030400-0000-4000-8000-0000000000ab"
PACKAGE = {"UniqueID": "11" * 32}
WRONG_STATE = "server is not in expected state"
UNAUTHORIZED = "unauthorized user: client certificate did not match any MarbleRun users"
ANYTHING = {"$any": "anything"}
TEXT = {"$any": "text"}
STATUS_TEXTS = {
    1: (
        "Coordinator is in recovery mode. Either upload a key to unseal the saved state, or set a new manifest. "
        "For more information on how to proceed, consult the documentation."
    ),
    2: "Coordinator is ready to accept a manifest.",
    3: "Coordinator is running correctly and ready to accept marbles.",
}


def case(
    name: str,
    why: str,
    spec: str,
    *steps: Step,
    needs: str = "empty",
    spends: bool = False,
    differs: str | None = None,
    only: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Case:
    """Write one case."""
    made: Case = {"id": name, "why": why, "spec": spec, "needs": needs}
    made |= {"spends": True} if spends else {}
    made |= {"differs": differs} if differs else {}
    made |= {"only": only} if only else {}
    made |= {"environ": dict(environ)} if environ else {}
    return made | {"steps": list(steps)}


def ok(data: Json) -> Json:
    """Expect a success with *data*."""
    return {
        "status": 200,
        "headers": {"content-type": "application/json"},
        "json": {"status": "success", "data": data},
    }


def error(status: int, message: Json = None) -> Json:
    """Expect an error: JSON that calls itself text (core 11)."""
    body = {"status": "error", "data": None} | ({} if message is None else {"message": message})
    headers = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
    return {"status": status, "headers": headers, "json": body}


def fail(status: int, message: Json, data: Json = None) -> Json:
    """Expect a fail, which version 2 alone has."""
    return {
        "status": status,
        "headers": {"content-type": "application/json"},
        "json": {"status": "fail", "data": data, "message": message},
    }


def contains(text: Json) -> Json:
    """Expect a text with *text* in it."""
    return {"$contains": text}


def starts(text: str) -> Json:
    """Expect a text that begins with *text*."""
    return {"$starts": text}


def opened(**members: Json) -> Json:
    """Expect an object that has these members and perhaps more."""
    return {"$open": members}


def ref(name: str) -> Json:
    """Stand for what was captured as *name*."""
    return {"$ref": name}


def capture(name: str, pattern: Json = None) -> Json:
    """Capture the value, which fits *pattern*."""
    return {"$capture": name if pattern is None else [name, pattern]}


def rest(
    method: str, path: str, expect: Json, *, who: Json = None, body: Json = None, marblerun: Json = None
) -> Step:
    """Send one request to the REST port."""
    step: Step = {"do": "rest", "method": method, "path": path}
    step |= {"as": who} if who is not None else {}
    step |= {"body": body} if body is not None else {}
    step |= {"expect": expect}
    return step | ({"marblerun": marblerun} if marblerun is not None else {})


def text(content: Json) -> Json:
    """Send *content* as it is."""
    return {"text": content}


def json(document: Json) -> Json:
    """Send *document* as compact JSON."""
    return {"json": document}


def wrapped(manifest: Json) -> Json:
    """Send a manifest as version 2 takes it."""
    return json({"manifest": {"$base64-of-json": manifest}})


def status_is(code: int) -> Step:
    """Ask for the status."""
    data = opened(code=code, message=STATUS_TEXTS[code])
    exact = {"code": code, "message": STATUS_TEXTS[code]}
    return rest("GET", f"{V2}/status", ok(data), marblerun=ok(exact))


def manifest(**sections: Json) -> Json:
    """Write a small valid manifest: one package, one marble without parameters; sections replace."""
    return {"Packages": {"app": PACKAGE}, "Marbles": {"m": {"Package": "app"}}} | sections


def owned(**sections: Json) -> Json:
    """Write a manifest that ``admin`` may update."""
    roles = {"updater": {"ResourceType": "Manifest", "Actions": ["UpdateManifest"]}}
    users = {"admin": user("admin", "updater")}
    made = manifest(**sections)
    return made | {"Users": users | made.get("Users", {}), "Roles": roles | made.get("Roles", {})}


def user(name: str, *roles: str) -> Json:
    """Write a user of a manifest."""
    return {"Certificate": {"$certificate-of": name}, "Roles": list(roles)}


def reader(*names: str) -> Json:
    """Write a role that reads secrets."""
    return {"ResourceType": "Secrets", "ResourceNames": list(names), "Actions": ["ReadSecret"]}


def writer(*names: str) -> Json:
    """Write a role that reads and writes secrets."""
    return {"ResourceType": "Secrets", "ResourceNames": list(names), "Actions": ["ReadSecret", "WriteSecret"]}


def raiser(*names: str) -> Json:
    """Write a role that raises the SecurityVersion of packages."""
    return {"ResourceType": "Packages", "ResourceNames": list(names), "Actions": ["UpdateSecurityVersion"]}


APPLIED = {"missingAcknowledgments": 0, "missingUsers": None}


def set_manifest(document: Json, secrets: Json = None) -> Step:
    """Set the first manifest."""
    answer = ok({"RecoverySecrets": {} if secrets is None else secrets})
    return rest("POST", f"{V2}/manifest", answer, body=wrapped(document))


def update(document: Json, expect: Json = None, *, who: str = "admin") -> Step:
    """Update the manifest; by default it is applied at once."""
    return rest(
        "POST", f"{V2}/update", ok(APPLIED) if expect is None else expect, who=who, body=wrapped(document)
    )


def refused_set(document: Json, message: Json, *, marblerun: Json = None) -> list[Step]:
    """Fail to set a manifest through version 1; the Coordinator still waits for one."""
    body = text(document if isinstance(document, str) else {"$json": document})
    theirs = None if marblerun is None else error(400, marblerun)
    return [rest("POST", "/manifest", error(400, message), body=body, marblerun=theirs), status_is(2)]


def activate(
    expect: Json,
    *,
    marble: str = "m",
    uuid: str = UUID,
    marblerun: Json = None,
    **more: Json,
) -> Step:
    """Activate a marble, by default without a quote."""
    step: Step = {"do": "activate", "marble": marble, "uuid": uuid, **more, "expect": expect}
    return step | ({"marblerun": marblerun} if marblerun is not None else {})


def activated(**members: Json) -> Json:
    """Expect an activation that gives at least these Files, Env or Argv."""
    return opened(
        code="OK", **{name: {"$open": m} if isinstance(m, dict) else m for name, m in members.items()}
    )


def refused(code: str, message: Json) -> Json:
    """Expect a gRPC status."""
    return {"code": code, "message": message}


def read_secrets(names: list[str], data: Json, *, who: str = "admin") -> Step:
    """Read secrets."""
    query = "&".join(f"s={name}" for name in names)
    return rest("GET", f"{V2}/secrets?{query}", ok({"secrets": data}), who=who)


def write_secrets(secrets: Json, expect: Json = None, *, who: str = "admin") -> Step:
    """Write secrets."""
    return rest(
        "POST",
        f"{V2}/secrets",
        ok(None) if expect is None else expect,
        who=who,
        body=json({"secrets": secrets}),
    )


def log_ends(*lines: str) -> Step:
    """Read the update log; its last lines are *lines*, in which ``<time>`` stands for any time."""
    return rest("GET", f"{V2}/update", ok({"updateLog": {"$last": [{"$text": line} for line in lines]}}))


STATES: dict[str, list[Step]] = {"empty": [], "deployed": [set_manifest(owned())]}
"""How each state that cases need is reached on a fresh Coordinator."""
