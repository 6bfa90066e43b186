"""The rules across fields: MarbleRun's, in its words (marblerun-core 1.9), and those of GitOps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from marbleops.manifest.errors import IssueCode, ManifestError
from marbleops.manifest.parse import Strictness, load, parse

Document = dict[str, Any]


def told(document: Document) -> dict[str, str]:
    """Return what the check says, by path."""
    raw = json.dumps(document).encode()
    parse(raw, strictness=Strictness.MARBLERUN)
    try:
        load(raw, strictness=Strictness.MARBLERUN)
    except ManifestError as error:
        issues = error.issues
    else:
        return {}
    assert {issue.code for issue in issues} == {IssueCode.INVALID}
    return {issue.path: issue.message for issue in issues}


def test_plain_and_signed_are_accepted(plain: Document, signed: Document) -> None:
    """The manifests the other tests start from break no rule."""
    assert told(plain) == {}
    assert told(signed) == {}


def test_nothing_allowed() -> None:
    """There is something to run, and somewhere for it to run."""
    assert told({}) == {"Packages": "no allowed packages defined", "Marbles": "no allowed marbles defined"}


def test_all_violations_at_once(plain: Document) -> None:
    """Every broken rule is told, not only the first."""
    plain["Marbles"]["api"] = {"Package": "backnd", "TLS": ["web"]}
    plain["Config"] = {"SealMode": "uniquekey", "FeatureGates": ["signquoteendpoint", "Nope"]}

    assert told(plain) == {
        "Marbles.api.Package": "manifest does not contain marble package backnd",
        "Marbles.api.TLS[0]": "manifest misses TLS entry for web",
        "Config.SealMode": "unknown seal mode: uniquekey",
        "Config.FeatureGates[1]": "unknown feature gate: Nope",
    }


@pytest.mark.parametrize("field", ["SignerID", "ProductID", "SecurityVersion"])
def test_package_pins(plain: Document, field: str) -> None:
    """Without UniqueID all three are needed; Debug and packages nobody uses are not judged."""
    del plain["Packages"]["backend"][field]
    expected = {f"Packages.backend.{field}": f"manifest misses value for {field} in package backend"}

    assert told(plain) == expected
    plain["Packages"]["backend"]["Debug"] = True
    assert told(plain) == {}
    plain["Packages"] |= {"unused": {}, "backend": {"UniqueID": "00"}}
    assert told(plain) == {}


def test_empty_signer_is_missing_and_product_zero_is_not(plain: Document) -> None:
    """An empty text pins nothing, zero does."""
    plain["Packages"]["backend"] |= {"SignerID": "", "ProductID": 0}

    assert list(told(plain)) == ["Packages.backend.SignerID"]


@pytest.mark.parametrize("kept", ["SignerID", "ProductID", "SecurityVersion"])
def test_unique_id_stands_alone(plain: Document, kept: str) -> None:
    """UniqueID beside any of the three is refused, except with Debug."""
    package = plain["Packages"]["backend"]
    plain["Packages"]["backend"] = {"UniqueID": "00", kept: package[kept]}
    words = "manifest specifies both UniqueID *and* SignerID/ProductID/SecurityVersion in package backend"

    assert told(plain) == {"Packages.backend.UniqueID": words}
    plain["Packages"]["backend"]["Debug"] = True
    assert told(plain) == {}


def test_tls(plain: Document) -> None:
    """Each TLS entry names what its direction needs."""
    plain["Secrets"] = {"web": {"Type": "cert-rsa", "Size": 2048}}
    plain["TLS"] = {
        "t": {
            "Incoming": [
                {},
                {"Port": "1", "Cert": "wbe", "DisableClientAuth": True},
                {"Port": "1", "Cert": "web"},
                {"Port": "1", "DisableClientAuth": True},
                {"Port": "1", "Cert": "web", "DisableClientAuth": True},
            ],
            "Outgoing": [{}, {"Port": "1", "Addr": "a"}],
        },
    }

    assert told(plain) == {
        "TLS.t.Incoming[0].Port": "manifest misses Port in TLS.Incoming.t",
        "TLS.t.Incoming[1].Cert": "TLS.Incoming.t references undefined secret wbe",
        "TLS.t.Incoming[2].Cert": "TLS.Incoming.t defines Cert but does not disable client authentication",
        "TLS.t.Incoming[3].DisableClientAuth": "TLS.Incoming.t disables client authentication",
        "TLS.t.Outgoing[0].Addr": "manifest misses Addr in TLS.Outgoing.t",
        "TLS.t.Outgoing[0].Port": "manifest misses Port in TLS.Outgoing.t",
    }


def test_users(plain: Document) -> None:
    """Every user has a certificate of its own, and roles that exist."""
    plain["Users"] = {
        "a": {"Certificate": "PEM"},
        "b": {"Certificate": "PEM", "Roles": ["admn"]},
        "c": {},
    }
    plain["Roles"] = {"admin": {"ResourceType": "Manifest", "Actions": ["updateMANIFEST"]}}

    assert told(plain) == {
        "Users.b.Certificate": "manifest contains the same certificate for users a and b",
        "Users.b.Roles[0]": "role admn of user b is not defined",
        "Users.c.Certificate": "manifest misses certificate for user c",
    }


def test_roles(plain: Document) -> None:
    """A role grants actions of its resource type, on resources that exist."""
    plain["Roles"] = {
        "r1": {
            "ResourceType": "Packages",
            "ResourceNames": ["backend", "x"],
            "Actions": ["UpdateSecurityVersion"],
        },
        "r2": {"ResourceType": "Packages", "Actions": ["ReadSecret"]},
        "r3": {"ResourceType": "Manifest", "ResourceNames": ["backend"], "Actions": ["UpdateManifest"]},
        "r4": {"ResourceType": "manifest"},
        "r5": {},
        "r6": {"ResourceType": "Secrets"},
    }

    assert told(plain) == {
        "Roles.r1.ResourceNames[1]": "role r1 names x, which is not in Packages",
        "Roles.r2.Actions[0]": "unknown action: readsecret for type Packages in role: r2",
        "Roles.r3.ResourceNames": "ResourceNames must be empty for type Manifest in role: r3",
        "Roles.r4.ResourceType": "unrecognized resource type: manifest for role: r4",
        "Roles.r5.ResourceType": "unrecognized resource type:  for role: r5",
    }


@pytest.mark.parametrize(
    ("action", "secret", "ok"),
    [
        ("WriteSecret", {"UserDefined": True}, True),
        ("WriteSecret", {"Shared": True}, False),
        ("ReadSecret", {"Shared": True}, True),
        ("ReadSecret", {"UserDefined": True}, True),
        ("ReadSecret", {}, False),
    ],
)
def test_rights_on_secrets(plain: Document, action: str, secret: Document, *, ok: bool) -> None:
    """What is generated cannot be written, and what is one marble's own cannot be read."""
    plain["Secrets"] = {"s": {"Type": "symmetric-key", "Size": 8, **secret}}
    plain["Roles"] = {"r": {"ResourceType": "Secrets", "ResourceNames": ["s"], "Actions": [action]}}

    assert list(told(plain)) == ([] if ok else ["Roles.r.ResourceNames[0]"])


def test_secrets(plain: Document) -> None:
    """Types are known, and a certificate's end is said once."""
    unset = "0001-01-01T00:00:00Z"
    plain["Secrets"] = {
        "a": {"Type": "cert-RSA"},
        "b": {"Type": "cert-rsa", "ValidFor": 7, "Cert": {"NotAfter": "2030-01-01T00:00:00Z"}},
        "c": {"Type": "cert-rsa", "ValidFor": 7, "Cert": {"NotAfter": unset}},
        "d": {"Type": "plain"},
    }

    assert told(plain) == {
        "Secrets.a.Type": "unknown type: cert-RSA for secret: a",
        "Secrets.b.ValidFor": "secret b sets both ValidFor and Cert.NotAfter",
    }


@pytest.mark.parametrize(("threshold", "ok"), [(0, True), (1, True), (2, True), (3, False)])
def test_update_threshold(plain: Document, threshold: int, *, ok: bool) -> None:
    """At least as many people as the threshold says can update; one with two such roles is one person."""
    role = {"ResourceType": "Manifest", "Actions": ["UpdateManifest"]}
    plain["Roles"] = {"r": role, "s": role, "t": {"ResourceType": "Manifest"}}
    plain["Users"] = {
        name: {"Certificate": name, "Roles": roles}
        for name, roles in (("a", ["r", "s"]), ("b", ["s"]), ("c", ["t"]))
    }
    plain["Config"] = {"UpdateThreshold": threshold}
    words = "not enough users with manifest update permissions (2) to meet the threshold of 3"

    assert told(plain) == ({} if ok else {"Config.UpdateThreshold": words})


@pytest.mark.parametrize(
    ("keys", "threshold", "ok"), [(0, 0, True), (2, 2, True), (3, 0, True), (1, 2, False), (2, 1, False)]
)
def test_recovery_threshold(plain: Document, keys: int, threshold: int, *, ok: bool) -> None:
    """A recovery threshold is met by the keys, and never one."""
    plain["RecoveryKeys"] = {f"k{n}": "PEM" for n in range(keys)}
    plain["Config"] = {"RecoveryThreshold": threshold}

    assert list(told(plain)) == ([] if ok else ["Config.RecoveryThreshold"])


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (("Users", "al ice"), {}, 'Users["al ice"]'),
        (("Users", "Alice"), {}, "Users.Alice"),
        (("Roles", "a@b"), {"ResourceType": "Manifest"}, "Roles.a@b"),
        (("Roles", "x" * 65), {"ResourceType": "Manifest"}, f"Roles.{'x' * 65}"),
        (("Packages", "Backend"), {}, "Packages.Backend"),
        (("Packages", "-x"), {}, "Packages.-x"),
        (("Packages", "backend", "SecurityVersion"), 65_536, "Packages.backend.SecurityVersion"),
        (("GitOps", "Path"), "a/.git/b", "GitOps.Path"),
        (("GitOps", "Path"), "a/.GIT/b", "GitOps.Path"),
        (("GitOps", "Path"), "..", "GitOps.Path"),
        (("GitOps", "Path"), "./a", "GitOps.Path"),
        (("GitOps", "Quorum"), {"updatr": 1}, "GitOps.Quorum.updatr"),
        (("Config",), {}, "Config.UpdateThreshold"),
        (("Config", "UpdateThreshold"), 0, "Config.UpdateThreshold"),
        (("Config", "SealMode"), "Disabled", "Config.SealMode"),
        (("Users", "bob", "SigningKeys"), [], "Users.bob.SigningKeys"),
    ],
)
def test_gitops_rules(signed: Document, path: tuple[str, ...], value: Any, place: str) -> None:
    """Each rule of a manifest under approvals is told at its field."""
    target = signed
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value

    assert list(told(signed)) == [place]


@pytest.mark.parametrize(
    ("keys", "threshold", "needed", "ok"),
    [(0, 0, 2, True), (2, 0, 2, True), (3, 2, 2, True), (1, 0, 2, False), (3, 2, 3, False)],
)
def test_recovery_is_no_smaller_quorum(
    signed: Document, keys: int, threshold: int, needed: int, *, ok: bool
) -> None:
    """With recovery keys, as many holders as approvers are needed."""
    signed["Users"]["carol"] = {"Roles": ["updater"], "SigningKeys": ["ssh-ed25519 CCCC carol"]}
    signed["RecoveryKeys"] = {f"k{n}": "PEM" for n in range(keys)}
    signed["Config"] = {"UpdateThreshold": needed, "RecoveryThreshold": threshold}

    assert list(told(signed)) == ([] if ok else ["Config.RecoveryThreshold"])


def test_hostile_names_are_escaped_in_messages(plain: Document) -> None:
    """A name with control characters cannot write lines of its own into a log."""
    plain["Marbles"]["api"]["Package"] = "x\n2026 all is well" + "y" * 500

    (message,) = told(plain).values()

    assert "\n" not in message
    assert len(message) < 200


def test_hints_do_not_cost_more_than_refusing() -> None:
    """Thousands of misspelled names among thousands of right ones are refused at once, without suggestions.

    A stranger's manifest is checked before any signature; with suggestions this one took minutes.
    """
    made = {
        "Packages": {f"p{number}{'y' * 40}": {"Debug": True} for number in range(600)},
        "Marbles": {f"m{number}": {"Package": "y" * 40 + str(number)} for number in range(300)},
    }
    with pytest.raises(ManifestError) as raised:
        load(json.dumps(made).encode(), strictness=Strictness.MARBLERUN)
    assert all(issue.hint is None for issue in raised.value.issues)
    few = made | {"Packages": {"package": {"Debug": True}}, "Marbles": {"m": {"Package": "packege"}}}
    with pytest.raises(ManifestError, match="did you mean 'package'"):
        load(json.dumps(few).encode(), strictness=Strictness.MARBLERUN)


@pytest.mark.parametrize(
    ("field", "value"),
    [("SignerID", "ab" * 31), ("SignerID", "zz" * 32), ("ProductID", 65_536), ("SecurityVersion", 65_536)],
)
def test_identities_that_no_quote_can_show(signed: Document, field: str, value: object) -> None:
    """Floors and history keep identities for ever, so with GitOps they have the form of a quote's."""
    signed["Packages"]["backend"][field] = value
    assert f"Packages.backend.{field}" in told(signed)


@pytest.mark.parametrize("name", ["100%d", "{0}", "%(x)s"])
def test_a_name_is_no_format(plain: Document, name: str) -> None:
    """A name that looks like a directive of a format is told as it is."""
    plain["Secrets"] = {name: {"Type": "symmetric-key", "Size": 128}}
    plain["Roles"] = {"w": {"ResourceType": "Secrets", "ResourceNames": [name], "Actions": ["WriteSecret"]}}
    words = f"role w grants WriteSecret on secret {name}, which is not user-defined"
    assert told(plain)["Roles.w.ResourceNames[0]"] == words
