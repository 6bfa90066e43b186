"""Which class a change is of and what it weakens: approvals.md section 3."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

import marbleops
from conformance import gitsmith, scenario
from conformance.scenario import OTHER_SIGNER, PRODUCT, SIGNER, Document
from marbleops.approval.decision import ChangeClass
from marbleops.approval.policy import read_policy
from marbleops.approval.ratchet import Change, classify, move_of, row_of, weakening_words
from marbleops.approval.ratchet_table import ROWS, Move, Row
from marbleops.manifest.parse import Strictness, load

Edit = Callable[[Document], object]


def policy_of(document: Document) -> Any:
    return policy_of_bytes(scenario.raw(document))


@lru_cache(maxsize=64)
def policy_of_bytes(raw: bytes) -> Any:
    """Read a policy once: most tests start from the same manifest."""
    return read_policy(load(raw, strictness=Strictness.STRICT))


def change(edit: Edit, *, before: Edit | None = None, attested: int = 0) -> Change:
    """Classify what *edit* does to the base manifest, which *before* prepares."""
    document = scenario.base()
    if before is not None:
        before(document)
    stage = scenario.Stage(document=document)
    new = stage.next()
    edit(new)
    return classify(policy_of(stage.document), policy_of(new), {("backend", SIGNER, PRODUCT): attested})


def put(*path: str, value: Any) -> Edit:
    """Make an edit that sets the member at *path*."""

    def edit(document: Document) -> None:
        for step in path[:-1]:
            document = document.setdefault(step, {})
        document[path[-1]] = value

    return edit


def drop(*path: str) -> Edit:
    """Make an edit that removes the member at *path*."""

    def edit(document: Document) -> None:
        for step in path[:-1]:
            document = document[step]
        del document[path[-1]]

    return edit


def both(*edits: Edit) -> Edit:
    """Make one edit of several."""

    def edit(document: Document) -> None:
        for each in edits:
            each(document)

    return edit


PACKAGE = {"SignerID": SIGNER, "ProductID": PRODUCT, "SecurityVersion": 5}
UNIQUE = {"UniqueID": "c3" * 32}
TAG = {"Incoming": [{"Port": "8080"}]}
OPEN_TAG = {"Incoming": [{"Port": "8080", "Cert": "web", "DisableClientAuth": True}]}
WEB = put("Secrets", "web", value={"Type": "cert-ecdsa", "Size": 256, "Shared": True, "ValidFor": 7})
RECOVERY = both(
    put("RecoveryKeys", value={"r1": "key 1", "r2": "key 2", "r3": "key 3"}),
    put("Config", "RecoveryThreshold", value=2),
)
TAGGED = both(WEB, put("TLS", "web", value=TAG), put("Marbles", "frontend", "TLS", value=["web"]))

DIALS = both(
    put("TLS", "out", value={"Outgoing": [{"Addr": "db", "Port": "5432"}]}),
    put("Marbles", "frontend", "TLS", value=["out"]),
)
READS_PUBLIC_PART = both(
    WEB, put("Marbles", "frontend", "Parameters", value={"Files": {"/pub": "{{ raw .Secrets.web }}"}})
)

WEAKENING: dict[str, tuple[Edit, Edit | None]] = {
    "debug": (put("Packages", "backend", "Debug", value=True), None),
    "tcb-wider": (
        put("Packages", "backend", "AcceptedTCBStatuses", value=["SWHardeningNeeded", "OutOfDate"]),
        None,
    ),
    "tcb-default-returns": (
        drop("Packages", "backend", "AcceptedTCBStatuses"),
        put("Packages", "backend", "AcceptedTCBStatuses", value=["UpToDate"]),
    ),
    "advisories-wider": (
        put("Packages", "backend", "AcceptedAdvisories", value=["INTEL-SA-1", "INTEL-SA-2"]),
        put("Packages", "backend", "AcceptedAdvisories", value=["INTEL-SA-1"]),
    ),
    "advisories-all": (
        drop("Packages", "backend", "AcceptedAdvisories"),
        put("Packages", "backend", "AcceptedAdvisories", value=["INTEL-SA-1"]),
    ),
    "another-signer": (put("Packages", "backend", "SignerID", value=OTHER_SIGNER), None),
    "another-product": (put("Packages", "backend", "ProductID", value=99), None),
    "unique-replaces-svn": (put("Packages", "backend", value=UNIQUE), None),
    "unique-replaces-svn-by-effect": (
        both(put("Packages", "pinned", value=UNIQUE), put("Marbles", "backend", "Package", value="pinned")),
        None,
    ),
    "unique-dropped": (put("Packages", "x", value=PACKAGE), put("Packages", "x", value=UNIQUE)),
    "lower-svn-by-effect": (
        put("Marbles", "backend", "Package", value="older"),
        put("Packages", "older", value=PACKAGE | {"SecurityVersion": 4}),
    ),
    "debug-by-effect": (
        both(
            put("Packages", "loose", value=PACKAGE | {"Debug": True}),
            put("Marbles", "backend", "Package", value="loose"),
        ),
        None,
    ),
    "new-package-debug": (put("Packages", "new", value=PACKAGE | {"Debug": True}), None),
    "new-package-without-svn": (
        put("Packages", "new", value={"SignerID": OTHER_SIGNER, "ProductID": 1, "Debug": True}),
        None,
    ),
    "new-package-tcb": (put("Packages", "new", value=PACKAGE | {"AcceptedTCBStatuses": ["OutOfDate"]}), None),
    "new-package-advisories": (
        put("Packages", "new", value=PACKAGE | {"AcceptedAdvisories": ["INTEL-SA-1"]}),
        None,
    ),
    "new-marble-on-debug-package": (
        put("Marbles", "second", value={"Package": "loose"}),
        put("Packages", "loose", value=PACKAGE | {"Debug": True}),
    ),
    "new-marble-unbound": (
        put("Marbles", "new", value={"Package": "backend", "DisableSecretBinding": True}),
        None,
    ),
    "unbound": (put("Marbles", "backend", "DisableSecretBinding", value=True), None),
    "activations-raised": (put("Marbles", "frontend", "MaxActivations", value=3), None),
    "activations-unlimited": (put("Marbles", "frontend", "MaxActivations", value=0), None),
    "activations-removed": (drop("Marbles", "frontend", "MaxActivations"), None),
    "reads-existing-secret": (
        put("Marbles", "frontend", "Parameters", value={"Env": {"K": "{{ hex .Secrets.db }}"}}),
        None,
    ),
    "reads-previous-secret": (
        put("Marbles", "frontend", "Parameters", value={"Files": {"/k": "{{ raw .Previous.Secrets.db }}"}}),
        None,
    ),
    "new-marble-reads-existing-secret": (
        put(
            "Marbles",
            "new",
            value={"Package": "backend", "Parameters": {"Env": {"K": "{{ hex .Secrets.db }}"}}},
        ),
        None,
    ),
    "reads-by-index-and-pipeline": (
        put("Marbles", "frontend", "Parameters", value={"Env": {"K": '{{ "db" | index .Secrets | hex }}'}}),
        None,
    ),
    "reads-one-byte": (
        put("Marbles", "frontend", "Parameters", value={"Env": {"K": "{{ index .Secrets.db.Private 0 }}"}}),
        None,
    ),
    "reads-all-beside-the-length": (
        put("Marbles", "frontend", "Parameters", value={"Env": {"K": "{{ .Secrets.db.Private }}"}}),
        put("Marbles", "frontend", "Parameters", value={"Env": {"K": "{{ len .Secrets.db.Private }}"}}),
    ),
    "template-switched-on": (
        put("Marbles", "frontend", "Parameters", "Env", "K", value={"Data": "{{ hex .Secrets.db }}"}),
        put(
            "Marbles",
            "frontend",
            "Parameters",
            "Env",
            "K",
            value={"Data": "{{ hex .Secrets.db }}", "NoTemplates": True},
        ),
    ),
    "client-auth-off": (put("TLS", "web", value=OPEN_TAG), TAGGED),
    "client-auth-off-by-new-tag": (
        both(put("TLS", "open", value=OPEN_TAG), put("Marbles", "backend", "TLS", value=["open"])),
        WEB,
    ),
    "client-auth-off-by-tagging": (
        put("Marbles", "backend", "TLS", value=["open"]),
        both(WEB, put("TLS", "open", value=OPEN_TAG), put("Marbles", "frontend", "TLS", value=["open"])),
    ),
    "tag-taken-off-a-marble": (drop("Marbles", "frontend", "TLS"), TAGGED),
    "tag-exchanged": (
        both(
            put("TLS", "other", value={"Incoming": [{"Port": "9"}]}),
            put("Marbles", "frontend", "TLS", value=["other"]),
        ),
        TAGGED,
    ),
    "tag-gone-everywhere": (both(drop("TLS"), drop("Marbles", "frontend", "TLS")), TAGGED),
    "dialled-in-the-clear": (drop("Marbles", "frontend", "TLS"), DIALS),
    "private-part-beside-the-public": (
        put("Marbles", "frontend", "Parameters", "Files", "/key", value="{{ pem .Secrets.web.Private }}"),
        READS_PUBLIC_PART,
    ),
    "private-part-of-an-upload": (
        put("Marbles", "frontend", "Parameters", "Files", "/key", value="{{ hex .Secrets.upload.Private }}"),
        put("Marbles", "frontend", "Parameters", value={"Files": {"/a": "{{ hex .Secrets.upload }}"}}),
    ),
    "incoming-entry-gone": (put("TLS", "web", "Incoming", value=[]), TAGGED),
    "infrastructure": (put("Infrastructures", "Azure", value={"QESVN": 2}), None),
    "shared-on": (put("Secrets", "upload", "Shared", value=True), None),
    "shared-off": (put("Secrets", "db", "Shared", value=False), None),
    "user-defined-on": (put("Secrets", "db", "UserDefined", value=True), None),
    "smaller-key": (put("Secrets", "other", "Size", value=64), None),
    "another-type": (put("Secrets", "other", "Type", value="plain"), None),
    "longer-certificate": (put("Secrets", "web", "ValidFor", value=8), WEB),
    "certificate-template": (put("Secrets", "web", "Cert", value={"IsCA": True}), WEB),
    "threshold-lower": (put("Config", "UpdateThreshold", value=1), None),
    "seal-mode": (
        put("Config", "SealMode", value="ProductKey"),
        put("Config", "SealMode", value="UniqueKey"),
    ),
    "seal-mode-by-default": (drop("Config", "SealMode"), put("Config", "SealMode", value="UniqueKey")),
    "feature-gate": (put("Config", "FeatureGates", value=["SignQuoteEndpoint"]), None),
    "rotation-off": (drop("Config", "RotateRootSecret"), put("Config", "RotateRootSecret", value=True)),
    "recovery-introduced": (RECOVERY, None),
    "recovery-threshold-lower": (
        put("Config", "RecoveryThreshold", value=2),
        both(RECOVERY, put("Config", "RecoveryThreshold", value=3)),
    ),
    "recovery-of-all-with-fewer": (
        drop("RecoveryKeys", "r3"),
        both(RECOVERY, put("Config", "RecoveryThreshold", value=0)),
    ),
    "recovery-key-replaced": (put("RecoveryKeys", "r3", value="another"), RECOVERY),
    "binding": (put("GitOps", "Binding", value="tree"), None),
    "path": (put("GitOps", "Path", value="elsewhere.json"), None),
    "public-evidence": (put("GitOps", "PublicEvidence", value=True), None),
    "package-threshold-lower": (
        put("GitOps", "PackageThreshold", value=1),
        put("GitOps", "PackageThreshold", value=2),
    ),
    "quorum-dropped": (drop("GitOps", "Quorum"), put("GitOps", "Quorum", value={"updater": 1})),
    "quorum-lower": (
        put("GitOps", "Quorum", "updater", value=1),
        put("GitOps", "Quorum", value={"updater": 2}),
    ),
    "weaken-threshold-lower": (put("GitOps", "WeakenThreshold", value=2), None),
    "presence-dropped": (
        drop("GitOps", "RequireUserPresence"),
        both(
            put("GitOps", "RequireUserPresence", value=True),
            *(
                put(
                    "Users",
                    name,
                    value=scenario.user(name, "updater", keys=(gitsmith.key(name, "sk-ed25519"),)),
                )
                for name in ("alice", "bob", "carol")
            ),
        ),
    ),
    "new-reader": (
        both(
            put(
                "Roles",
                "reader",
                value={"ResourceType": "Secrets", "ResourceNames": ["db"], "Actions": ["ReadSecret"]},
            ),
            put("Users", "dave", "Roles", value=["release", "reader"]),
        ),
        None,
    ),
    "wider-role": (put("Roles", "release", "ResourceNames", value=["backend", "frontend"]), None),
    "quorum-seat": (
        put("Users", "bob", "Roles", value=["updater", "security"]),
        both(
            put("Users", "alice", "Roles", value=["updater", "security"]),
            put("GitOps", "Quorum", value={"security": 1}),
        ),
    ),
    "reader-certificate": (
        put("Users", "dave", "Certificate", value="another"),
        both(
            put(
                "Roles",
                "reader",
                value={"ResourceType": "Secrets", "ResourceNames": ["db"], "Actions": ["ReadSecret"]},
            ),
            put("Users", "dave", "Roles", value=["release", "reader"]),
        ),
    ),
    "declared-decrease": (
        both(
            put("Packages", "backend", "SecurityVersion", value=4),
            put("GitOps", "AllowSecurityVersionDecrease", value=["backend"]),
        ),
        None,
    ),
}

FULL: dict[str, tuple[Edit, Edit | None]] = {
    "reformat": (lambda _: None, None),
    "env": (put("Marbles", "backend", "Parameters", "Env", "MODE", value="fast"), None),
    "argv": (put("Marbles", "backend", "Parameters", "Argv", value=["a", "b"]), None),
    "file": (put("Marbles", "backend", "Parameters", "Files", value={"/etc/a": "b"}), None),
    "reads-the-same-secret-elsewhere": (
        put("Marbles", "backend", "Parameters", "Files", value={"/k": "{{ raw .Secrets.db }}"}),
        None,
    ),
    "public-part-beside-the-private": (
        put("Marbles", "frontend", "Parameters", "Files", "/pub", value="{{ pem .Secrets.web.Cert }}"),
        both(
            WEB,
            put(
                "Marbles", "frontend", "Parameters", value={"Files": {"/k": "{{ pem .Secrets.web.Private }}"}}
            ),
        ),
    ),
    "another-spelling-of-a-key": (
        put("Marbles", "backend", "Parameters", "Files", value={"/k": "{{ raw .Secrets.db.Private }}"}),
        None,
    ),
    "less-of-a-key-it-reads": (
        put("Marbles", "backend", "Parameters", "Files", value={"/k": "{{ len .Secrets.db.Private }}"}),
        None,
    ),
    "what-the-manifest-says-of-a-key": (
        put("Marbles", "frontend", "Parameters", value={"Env": {"K": "{{ .Secrets.db.Size }}"}}),
        None,
    ),
    "tag-renamed": (
        both(
            drop("TLS", "web"),
            put("TLS", "renamed", value=TAG),
            put("Marbles", "frontend", "TLS", value=["renamed"]),
        ),
        TAGGED,
    ),
    "tag-of-nobody-removed": (drop("TLS", "idle"), put("TLS", "idle", value=TAG)),
    "schema-reference": (put("$schema", value="x"), None),
    "reads-a-new-secret": (
        both(
            put("Secrets", "fresh", value={"Type": "symmetric-key", "Size": 128, "Shared": True}),
            put("Marbles", "frontend", "Parameters", value={"Env": {"K": "{{ hex .Secrets.fresh }}"}}),
        ),
        None,
    ),
    "new-marble-and-package": (
        both(
            put("Packages", "new", value={"SignerID": OTHER_SIGNER, "ProductID": 1, "SecurityVersion": 1}),
            put("Marbles", "new", value={"Package": "new"}),
        ),
        None,
    ),
    "new-unique-package": (put("Packages", "new", value=UNIQUE), None),
    "renamed-package": (
        both(
            put("Packages", "back", value=PACKAGE),
            put("Marbles", "backend", "Package", value="back"),
        ),
        None,
    ),
    "unique-to-unique": (
        put("Packages", "backend", "UniqueID", value="d4" * 32),
        both(put("Packages", "backend", value=UNIQUE)),
    ),
    "marble-removed": (drop("Marbles", "frontend"), None),
    "secret-removed": (drop("Secrets", "other"), None),
    "tcb-narrower": (put("Packages", "backend", "AcceptedTCBStatuses", value=["UpToDate"]), None),
    "advisories-narrower": (put("Packages", "backend", "AcceptedAdvisories", value=["INTEL-SA-1"]), None),
    "default-written-down": (put("Packages", "backend", "Debug", value=False), None),
    "activations-lower": (put("Marbles", "frontend", "MaxActivations", value=1), None),
    "activations-limited": (put("Marbles", "backend", "MaxActivations", value=9), None),
    "larger-key": (put("Secrets", "other", "Size", value=256), None),
    "new-tag": (TAGGED, None),
    "svn-first-written": (
        put("Packages", "loose", "SecurityVersion", value=1),
        put("Packages", "loose", value={"SignerID": OTHER_SIGNER, "ProductID": 1, "Debug": True}),
    ),
    "bump-and-more": (
        both(
            put("Packages", "backend", "SecurityVersion", value=6),
            put("Marbles", "backend", "Parameters", "Argv", value=["x"]),
        ),
        None,
    ),
}

POLICY: dict[str, tuple[Edit, Edit | None]] = {
    "package-threshold-higher": (put("GitOps", "PackageThreshold", value=2), None),
    "quorum-added": (put("GitOps", "Quorum", value={"updater": 1}), None),
    "threshold-higher": (put("Config", "UpdateThreshold", value=3), None),
    "presence": (
        put("GitOps", "Binding", value="digest"),
        put("GitOps", "Binding", value="tree"),
    ),
    "rotation-on": (put("Config", "RotateRootSecret", value=True), None),
    "seal-mode-stronger": (put("Config", "SealMode", value="UniqueKey"), None),
    "right-to-bump-taken": (put("Users", "dave", "Roles", value=[]), None),
    "key-of-nobody-taken": (put("Users", "dave", "SigningKeys", value=[]), None),
    "bumper-removed": (drop("Users", "dave"), None),
    "certificate-of-an-approver": (put("Users", "alice", "Certificate", value="renewed"), None),
    "role-nobody-has": (put("Roles", "empty", value={"ResourceType": "Manifest", "Actions": []}), None),
    "user-without-rights": (put("Users", "erin", value=scenario.user("erin")), None),
    "recovery-dropped": (both(drop("RecoveryKeys"), drop("Config", "RecoveryThreshold")), RECOVERY),
    "default-binding-written-down": (put("GitOps", "Binding", value="digest"), None),
}


@pytest.mark.parametrize("name", WEAKENING)
def test_weakens(name: str) -> None:
    """Each of these needs the weakening quorum and is explained in words with a place."""
    edit, before = WEAKENING[name]
    found = change(edit, before=before)
    assert found.change_class is ChangeClass.WEAKENING
    assert all(": " in words for words in weakening_words(found.weakenings))


@pytest.mark.parametrize("name", FULL)
def test_full(name: str) -> None:
    """Each of these is class full and weakens nothing."""
    edit, before = FULL[name]
    found = change(edit, before=before)
    assert (found.change_class, found.weakenings) == (ChangeClass.FULL, ())


@pytest.mark.parametrize("name", POLICY)
def test_policy(name: str) -> None:
    """Each of these touches the rules and weakens nothing."""
    edit, before = POLICY[name]
    found = change(edit, before=before)
    assert (found.change_class, found.weakenings) == (ChangeClass.POLICY, ())


def test_package_bump_within_what_was_attested() -> None:
    """Only a raise, and only so far as an activation has shown."""
    bump = put("Packages", "backend", "SecurityVersion", value=7)
    found = change(bump, attested=7)
    assert (found.change_class, found.raised) == (ChangeClass.PACKAGE_BUMP, ("backend",))
    found = change(bump, attested=6)
    assert (found.change_class, found.raised, found.beyond) == (ChangeClass.FULL, (), ("backend",))


def test_nothing_hides_beside_a_package_bump() -> None:
    """One releaser slips nothing in, not even text that means nothing."""
    bump = put("Packages", "backend", "SecurityVersion", value=7)
    found = change(both(bump, put("$schema", value="anything")), attested=7)
    assert found.change_class is ChangeClass.FULL


def test_a_permission_to_decrease_lapses_silently() -> None:
    """The next manifest drops it without a class of its own: a bump stays a bump."""
    found = change(
        both(
            put("Packages", "backend", "SecurityVersion", value=6),
            drop("GitOps", "AllowSecurityVersionDecrease"),
        ),
        before=put("GitOps", "AllowSecurityVersionDecrease", value=["backend"]),
        attested=6,
    )
    assert found.change_class is ChangeClass.PACKAGE_BUMP


def test_the_same_package_in_a_new_order_or_case_is_the_same() -> None:
    """SignerID in capitals is an edit, but no other signer."""
    found = change(put("Packages", "backend", "SignerID", value=SIGNER.upper()))
    assert found.change_class is ChangeClass.FULL


def schema_fields() -> Iterator[str]:
    path = Path(marbleops.__file__).parent / "schemas" / "manifest.v1.schema.json"
    schema = json.loads(path.read_text())
    yield from _fields(schema, schema, ())


def _fields(schema: Document, root: Document, path: tuple[str, ...]) -> Iterator[str]:
    """Walk to the leaves: members become names, names that people choose become ``*``."""
    while "$ref" in schema:
        target: Any = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        schema = target
    inner = [(name, each) for name, each in schema.get("properties", {}).items()]
    inner += [("*", each) for each in schema.get("patternProperties", {}).values()]
    if isinstance(schema.get("additionalProperties"), dict):
        inner.append(("*", schema["additionalProperties"]))
    for branch in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        yield from _fields(branch, root, path)
    for name, each in inner:
        yield from _fields(each, root, (*path, name))
    if not inner:
        yield ".".join(path)


def test_every_field_of_the_schema_is_classified() -> None:
    """A new field must be put into the table before it can be used."""
    fields = sorted(set(schema_fields()))
    assert len(fields) > 60
    assert [field for field in fields if row_of(tuple(field.split("."))) is None] == []


def test_every_row_stands_for_a_field_of_the_schema() -> None:
    """The table names nothing that does not exist."""
    fields = {tuple(field.split(".")) for field in schema_fields()}
    prefixes = {field[:length] for field in fields for length in range(1, len(field) + 1)}
    assert [row.path for row in ROWS if tuple(row.path.split(".")) not in prefixes] == []


def test_an_unknown_field_weakens() -> None:
    """What no row knows counts as weakening."""
    old, new = policy_of(scenario.base()), policy_of(scenario.base())
    document = copy.deepcopy(dict(new.manifest.document))
    document["Surprise"] = {"Deep": 1}
    changed = replace(new, manifest=replace(new.manifest, document=document))
    found = classify(old, changed, {})
    assert weakening_words(found.weakenings) == ("Surprise.Deep: is not classified by these rules",)


@pytest.mark.parametrize(
    ("row", "old", "new", "move"),
    [
        (Row(path="x", absent=0), None, 0, None),
        (Row(path="x", absent=0, zero_is_unlimited=True), 5, None, Move.RAISED),
        (Row(path="x", absent=False), None, True, Move.SWITCHED_ON),
        (Row(path="x", absent=()), ["a"], ["b"], Move.WIDENED),
        (Row(path="x", absent=()), ["a", "b"], ["b"], Move.NARROWED),
        (Row(path="x", ranks=("a", "b")), "a", "b", Move.RAISED),
        (Row(path="x", ranks=("a", "b")), "a", "c", Move.CHANGED),
        (Row(path="x"), None, "a", Move.ADDED),
        (Row(path="x"), "a", None, Move.REMOVED),
        (Row(path="x"), 1, True, Move.RAISED),
    ],
)
def test_moves(row: Row, old: Any, new: Any, move: Move | None) -> None:
    """Defaults, infinities, ranks and sets are understood before anything is judged."""
    if row.path == "x" and new is True and old == 1:
        assert move_of(row, old, new) is not None
        return
    assert move_of(row, old, new) is move
