"""Cases of the command ``decide``: may this manifest replace what is enforced, with this evidence.

The input is everything the decision depends on; ``enforced`` is null in a fresh Coordinator. ``reasons`` are
those against the manifest and those of single pieces together; ``approvers`` are the people whose vote
counted. What is expected is written down here by hand, never computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance import gitsmith, scenario
from conformance.scenario import PRODUCT, SIGNER, Document, Stage
from marbleops.approval.evidence import DetachedPiece, ObjectPiece, encode_evidence
from marbleops.approval.floors import attested_to_json, floors_to_json
from marbleops.approval.statement import approval_line
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from marbleops.approval.evidence import Piece

    Edit = Callable[[Document], object]

Case = dict[str, Any]

_GENESIS = "approvals.md section 3: Genesis"
_ABOUT_ITSELF = "approvals.md section 1: What the manifest says about itself"
_EVIDENCE = "approvals.md section 2: Evidence"
_TREE_VOTE = "approvals.md section 2: The tree vote"
_CLASSES = "approvals.md section 3: which approvals a change needs"
_RATCHET = "approvals.md section 3: The ratchet"
_ELECTORATE = "approvals.md section 3: Electorate"
_FLOORS = "approvals.md section 3: SecurityVersion never decreases"
_CALL = "approvals.md section 4: The call"

_EVERYBODY = ("alice", "bob", "carol", "dave")
_STAGE = scenario.stage()
_ATTESTED = Stage(document=_STAGE.document, attested={("backend", SIGNER, PRODUCT): 7})
_BOTH_ATTESTED = Stage(
    document=_STAGE.document,
    attested={("backend", SIGNER, PRODUCT): 7, ("frontend", SIGNER, PRODUCT + 1): 4},
)
_SPARE = Stage(
    document=_STAGE.document
    | {
        "Packages": _STAGE.document["Packages"]
        | {"spare": {"SignerID": scenario.OTHER_SIGNER, "ProductID": 1, "Debug": True}}
    },
    attested={("spare", scenario.OTHER_SIGNER, 1): 9},
)
_TREE = scenario.stage(Binding="tree")


def _case(
    name: str,
    why: str,
    spec: str,
    *,
    stage: Stage | None,
    manifest: bytes,
    evidence: Sequence[Piece] | list[Any],
    outcome: str = "refused",
    change: str | None,
    reasons: Sequence[str] = (),
    approvers: Sequence[str] = (),
) -> Case:
    wire = [piece if isinstance(piece, dict) else encode_evidence([piece])[0] for piece in evidence]
    return {
        "id": name,
        "why": why,
        "spec": spec,
        "command": "decide",
        "input": {"enforced": _enforced(stage), "manifest": manifest.decode(), "evidence": wire},
        "expected": {
            "outcome": outcome,
            "class": change,
            "reasons": sorted(reasons),
            "approvers": sorted(approvers),
        },
    }


def _enforced(stage: Stage | None) -> dict[str, Any] | None:
    if stage is None:
        return None
    state = stage.enforced
    return {
        "manifest": stage.raw.decode(),
        "deployment": str(state.deployment),
        "floors": floors_to_json(state.floors),
        "attested": attested_to_json(state.attested),
        "revoked": sorted(state.revoked),
    }


def _after(stage: Stage, *edits: Edit) -> bytes:
    document = stage.next()
    for edit in edits:
        edit(document)
    return scenario.raw(document)


def _first(*edits: Edit) -> bytes:
    document = scenario.base()
    for edit in edits:
        edit(document)
    return scenario.raw(document)


def _votes(manifest: bytes, *names: str) -> list[Piece]:
    return [scenario.approve(manifest, name) for name in names]


def _full(document: Document) -> None:
    document["Marbles"]["backend"]["Parameters"]["Env"]["MODE"] = "fast"


def _bump(document: Document) -> None:
    document["Packages"]["backend"]["SecurityVersion"] = 7


def _debug(document: Document) -> None:
    document["Packages"]["backend"]["Debug"] = True


def _gitops(member: str, value: object) -> Edit:
    return lambda document: document["GitOps"].update({member: value})


def _genesis_cases() -> Iterator[Case]:
    raw = _first()
    whole = scenario.genesis_evidence(raw, ("alice", "bob"), _EVERYBODY)

    def case(name: str, why: str, manifest: bytes, evidence: Sequence[Piece], **expected: Any) -> Case:
        return _case(name, why, _GENESIS, stage=None, manifest=manifest, evidence=evidence, **expected)

    yield case(
        "genesis-applied",
        "Every listed key is proven and UpdateThreshold approvers name the digest.",
        raw,
        whole,
        outcome="would-apply",
        change="genesis",
        approvers=("alice", "bob"),
    )
    yield case(
        "genesis-key-unproven",
        "A mistyped key would lock its owner out, so every listed key is proven.",
        raw,
        scenario.genesis_evidence(raw, ("alice", "bob"), ("alice", "bob", "carol")),
        change="genesis",
        reasons=["new-key-unproven"],
        approvers=("alice", "bob"),
    )
    yield case(
        "genesis-threshold",
        "The candidate's own threshold decides where nothing is enforced.",
        raw,
        scenario.genesis_evidence(raw, ("alice",), _EVERYBODY),
        change="genesis",
        reasons=["threshold-not-met"],
        approvers=("alice",),
    )
    yield case(
        "genesis-without-section",
        "This call sets no manifest without a GitOps section.",
        _first(_without_gitops),
        [],
        change=None,
        reasons=["gitops-not-enabled"],
    )
    later = _first(_gitops("Version", 2), _gitops("Deployment", "sha256:" + "0" * 64))
    yield case(
        "genesis-of-a-later-version",
        "A later manifest replayed into a fresh Coordinator is not a first one.",
        later,
        _votes(later, "alice", "bob"),
        change="genesis",
        reasons=["version-not-next", "deployment-mismatch", "not-evaluated"],
    )


def _without_gitops(document: Document) -> None:
    del document["GitOps"]
    for user in document["Users"].values():
        del user["SigningKeys"]


def _standing_cases() -> Iterator[Case]:
    rows: tuple[tuple[str, str, Edit, list[str]], ...] = (
        ("lineage", "A manifest of another environment is not the next one here.", _gitops("Lineage", "shop-test"),
         ["lineage-mismatch"]),
        ("version-skipped", "The next Version is exactly the enforced one plus one.", _gitops("Version", 3),
         ["version-not-next"]),
        ("version-replayed", "A version that was enforced is used up.", _gitops("Version", 1), ["version-not-next"]),
        ("previous", "Previous names the enforced bytes; parallel changes conflict.",
         _gitops("Previous", "sha256:" + "0" * 64), ["previous-mismatch"]),
        ("deployment", "People sign the deployment id that clients pin.",
         _gitops("Deployment", "sha256:" + "0" * 64), ["deployment-mismatch"]),
        ("deployment-missing", "From Version 2 on Deployment is required.",
         lambda document: document["GitOps"].pop("Deployment"), ["deployment-mismatch"]),
        ("unsatisfiable", "A policy that its own users cannot meet would be stuck.", _gitops("WeakenThreshold", 4),
         ["policy-unsatisfiable"]),
        ("unsupported-key", "Certificates need rules that do not exist yet.",
         lambda document: document["Users"]["dave"].update(SigningKeys=["ssh-ed25519-cert-v01@openssh.com AAAA"]),
         ["unsupported-key-type"]),
        ("shared-key", "The same key under two users would be one person counted twice.",
         lambda document: document["Users"]["dave"].update(SigningKeys=[gitsmith.key("bob").public_line("x")]),
         ["manifest-invalid"]),
        ("svn-lowered", "An older build must not get secrets again.",
         lambda document: document["Packages"]["backend"].update(SecurityVersion=4), ["security-version-decreases"]),
        ("svn-lowered-under-a-new-name", "The pair of SignerID and ProductID remembers.",
         lambda document: document["Packages"].update(
             renamed={"SignerID": SIGNER.upper(), "ProductID": PRODUCT, "SecurityVersion": 4}),
         ["security-version-decreases"]),
        ("decrease-declared-needlessly", "The list holds exactly the packages that decrease.",
         _gitops("AllowSecurityVersionDecrease", ["backend"]), ["security-version-decreases"]),
    )  # fmt: skip
    known = {"unsatisfiable": None, "unsupported-key": None, "shared-key": None}
    classes = {
        "svn-lowered": "weakening",
        "decrease-declared-needlessly": "weakening",
        "lineage": "weakening",
    }
    for name, why, edit, reasons in rows:
        manifest = _after(_STAGE, _full, edit)
        spec = _FLOORS if name.startswith(("svn", "decrease")) else _ABOUT_ITSELF
        yield _case(
            f"standing-{name}",
            why,
            spec,
            stage=_STAGE,
            manifest=manifest,
            evidence=_votes(manifest, "alice", "bob", "carol"),
            change=known[name] if name in known else classes.get(name, "full"),
            reasons=[*reasons, "not-evaluated"],
        )


def _shape_cases() -> Iterator[Case]:
    typo = _after(_STAGE, lambda document: document.update(Pakages={}))
    broken = _after(_STAGE, lambda document: document["Marbles"]["backend"].update(Package="nothing"))
    dropped = _after(_STAGE, _without_gitops)
    shapes = (
        ("typo", "An unknown field is a mistake, not a wish.", typo, None, "manifest-malformed"),
        ("unknown-package", "A marble runs a package that exists.", broken, None, "manifest-invalid"),
        ("section-dropped", "Nobody leaves GitOps by an update.", dropped, None, "lineage-mismatch"),
    )
    for name, why, manifest, change, reason in shapes:
        yield _case(
            f"shape-{name}",
            why,
            _CALL,
            stage=_STAGE,
            manifest=manifest,
            evidence=[],
            change=change,
            reasons=[reason],
        )
    writer = {"ResourceType": "Secrets", "ResourceNames": ["%d {0}"], "Actions": ["WriteSecret"]}
    rows = (
        ("signer-no-digest", "An identity that no quote can show would stand in the history for ever.",
         _after(_STAGE, lambda document: document["Packages"]["backend"].update(SignerID="a1" * 33))),
        ("product-of-more-bits", "ISVPRODID has 16 bits.",
         _after(_STAGE, lambda document: document["Packages"]["frontend"].update(ProductID=65_536))),
        ("name-like-a-format", "A secret's name is never part of a format.",
         _after(_STAGE, lambda document: (
             document["Secrets"].update({"%d {0}": {"Type": "symmetric-key", "Size": 128}}),
             document["Roles"].update(writer=writer)))),
    )  # fmt: skip
    for name, why, manifest in rows:
        yield _case(
            f"shape-{name}",
            why,
            _ABOUT_ITSELF,
            stage=_STAGE,
            manifest=manifest,
            evidence=[],
            change=None,
            reasons=["manifest-invalid"],
        )
    for member in ("signature", "user"):
        piece = {"signature": "x", "user": "bob"} | {member: chr(0xD800)}
        yield _case(
            f"shape-surrogate-{member}",
            "A lone surrogate is no text; a call that holds one does not decode.",
            _CALL,
            stage=_STAGE,
            manifest=_after(_STAGE, _full),
            evidence=[piece],
            change=None,
            reasons=["malformed-object"],
        )
    yield _case(
        "shape-unchanged",
        "The enforced bytes again change nothing, whatever evidence comes along.",
        _CALL,
        stage=_STAGE,
        manifest=_STAGE.raw,
        evidence=[ObjectPiece(object=b"junk")],
        outcome="unchanged",
        change=None,
        reasons=["not-evaluated"],
    )
    yield _case(
        "shape-too-many-pieces",
        "A request carries at most 64 pieces, whatever is in them.",
        _EVIDENCE,
        stage=_STAGE,
        manifest=_after(_STAGE, _full),
        evidence=[ObjectPiece(object=b"x")] * 65,
        change=None,
        reasons=["too-large"],
    )
    yield _case(
        "shape-evidence-not-canonical",
        "Evidence in another base64 than the canonical one has two spellings.",
        _CALL,
        stage=_STAGE,
        manifest=_after(_STAGE, _full),
        evidence=[{"object": "YR=="}],
        change=None,
        reasons=["malformed-object"],
    )


def _class_cases() -> Iterator[Case]:
    full, bump, weak = _after(_STAGE, _full), _after(_ATTESTED, _bump), _after(_STAGE, _debug)
    policy = _after(_STAGE, _gitops("PackageThreshold", 2))
    same = _after(_STAGE)
    rows: tuple[tuple[str, str, Stage, bytes, tuple[str, ...], str, str, list[str]], ...] = (
        ("full-one-of-two", "One approver is not two.", _STAGE, full, ("alice",), "refused", "full",
         ["threshold-not-met"]),
        ("full-two", "UpdateThreshold different approvers.", _STAGE, full, ("alice", "bob"), "would-apply", "full", []),
        ("full-nobody", "No evidence, no change.", _STAGE, full, (), "refused", "full", ["threshold-not-met"]),
        ("full-reformat", "Even a manifest that means the same is class full.", _STAGE, same, ("alice", "bob"),
         "would-apply", "full", []),
        ("full-by-a-bumper", "A right to bump is no right to change.", _STAGE, full, ("alice", "dave"), "refused", "full",
         ["threshold-not-met", "not-permitted"]),
        ("bump", "One releaser raises what an activation has shown.", _ATTESTED, bump, ("dave",), "would-apply",
         "package-bump", []),
        ("bump-by-approvers", "Whatever class full needs is enough for a bump.", _ATTESTED, bump, ("alice", "bob"),
         "would-apply", "package-bump", []),
        ("bump-by-one-approver", "One approver is neither a releaser nor two approvers.", _ATTESTED, bump, ("alice",),
         "refused", "package-bump", ["threshold-not-met"]),
        ("bump-and-schema", "One releaser slips nothing in, not even text that means nothing.", _ATTESTED,
         _after(_ATTESTED, _bump, lambda document: document.update({"$schema": "x"})), ("dave",), "refused", "full",
         ["threshold-not-met", "not-permitted"]),
        ("bump-and-a-second-edit", "A bump with anything else is class full.", _ATTESTED,
         _after(_ATTESTED, _bump, _full), ("dave",), "refused", "full", ["threshold-not-met", "not-permitted"]),
        ("bump-of-an-unpinned-package", "A package without a SecurityVersion is pinned first, by class full.", _SPARE,
         _after(_SPARE, lambda document: document["Packages"]["spare"].update(SecurityVersion=1)), ("dave",),
         "refused", "full", ["threshold-not-met", "not-permitted"]),
        ("bump-of-another-package", "A right to bump one package is none to bump another.", _BOTH_ATTESTED,
         _after(_BOTH_ATTESTED, lambda document: document["Packages"]["frontend"].update(SecurityVersion=4)), ("dave",),
         "refused", "package-bump", ["threshold-not-met", "not-permitted"]),
        ("bump-of-two-by-one", "Every raised package has its releasers.", _BOTH_ATTESTED,
         _after(_BOTH_ATTESTED, _bump, lambda document: document["Packages"]["frontend"].update(SecurityVersion=4)),
         ("dave",), "refused", "package-bump", ["threshold-not-met"]),
        ("bump-beyond-attested", "One key must not brick production by a version that does not run.", _STAGE,
         _after(_STAGE, _bump), ("dave",), "refused", "full",
         ["threshold-not-met", "beyond-attested", "not-permitted"]),
        ("policy-two", "A change of policy that weakens nothing needs what class full needs.", _STAGE, policy,
         ("alice", "bob"), "would-apply", "policy", []),
        ("weakening-two-of-three", "Weakening asks for one more than usual.", _STAGE, weak, ("alice", "bob"), "refused",
         "weakening", ["weakening-not-approved"]),
        ("weakening-three", "The weakening quorum, max(min(T+1, N), N/2+1), is met.", _STAGE, weak,
         ("alice", "bob", "carol"), "would-apply", "weakening", []),
    )  # fmt: skip
    for name, why, stage, manifest, names, outcome, change, reasons in rows:
        permitted = [voter for voter in names if not ("not-permitted" in reasons and voter == "dave")]
        yield _case(
            name,
            why,
            _CLASSES,
            stage=stage,
            manifest=manifest,
            evidence=_votes(manifest, *names),
            outcome=outcome,
            change=change,
            reasons=reasons,
            approvers=permitted,
        )
    yield from _ratchet_cases()
    yield from _quorum_cases()


def _ratchet_cases() -> Iterator[Case]:
    rows: tuple[tuple[str, str, Edit], ...] = (
        ("reads-secret", "A marble that newly reads an existing secret gets power over it.",
         lambda document: document["Marbles"]["frontend"].update(
             Parameters={"Env": {"K": "{{ hex .Secrets.db }}"}})),
        ("reads-by-index", "A secret is read by whatever spelling, and a byte of it is read as well.",
         lambda document: document["Marbles"]["frontend"].update(
             Parameters={"Env": {"K": "{{ (index (.Secrets) `db`).Private | hex | len }}"}})),
        ("threshold", "A lower threshold is decided by the higher one, and more.",
         lambda document: document["Config"].update(UpdateThreshold=1)),
        ("renamed-package", "A weaker package under a new name is compared by effect.",
         lambda document: (
             document["Packages"].update(
                 b2={"SignerID": SIGNER, "ProductID": PRODUCT, "SecurityVersion": 5, "Debug": True}),
             document["Marbles"]["backend"].update(Package="b2"))),
        ("activation-limit", "Zero means unlimited, which is more than two.",
         lambda document: document["Marbles"]["frontend"].update(MaxActivations=0)),
        ("declared-decrease", "The one way down needs the weakening quorum.",
         lambda document: (
             document["Packages"]["backend"].update(SecurityVersion=4),
             document["GitOps"].update(AllowSecurityVersionDecrease=["backend"]))),
    )  # fmt: skip
    for name, why, edit in rows:
        manifest = _after(_STAGE, edit)
        yield _weak_case(name, why, _STAGE, manifest)
    tagged = scenario.base()
    tagged["Secrets"]["web"] = {"Type": "cert-ecdsa", "Size": 256, "Shared": True, "ValidFor": 7}
    tagged["TLS"] = {"web": {"Incoming": [{"Port": "8080"}]}}
    tagged["Marbles"]["frontend"] |= {
        "TLS": ["web"],
        "Parameters": {"Files": {"/pub": "{{ raw .Secrets.web }}"}},
    }
    stage = Stage(document=tagged)
    files = ("Marbles", "frontend", "Parameters", "Files")
    more: tuple[tuple[str, str, Edit], ...] = (
        ("tag-taken-off", "A port that is no longer wrapped admits everybody.",
         lambda document: document["Marbles"]["frontend"].pop("TLS")),
        ("private-part", "Who reads a certificate's public key does not yet have its private key.",
         lambda document: _put(document, *files, "/key", value="{{ pem .Secrets.web.Private }}")),
        ("private-part-beside-a-new-marble", "A new marble reads nothing that exists, in no spelling.",
         lambda document: _put(document, "Marbles", "new", value={
             "Package": "frontend", "Parameters": {"Env": {"K": "{{ hex .Previous.Secrets.db.Public }}"}}})),
        ("tree-in-one-step", "Who lowers the binding is judged by the higher one.",
         lambda document: _put(document, "GitOps", "Binding", value="tree")),
        ("threshold-and-use", "Lowering WeakenThreshold and using it in one step asks the old one.",
         _weaken_and_use),
    )  # fmt: skip
    for name, why, edit in more:
        yield _weak_case(name, why, stage, _after(stage, edit))


def _weaken_and_use(document: Document) -> None:
    document["GitOps"]["WeakenThreshold"] = 2
    _debug(document)


def _put(document: Document, *path: str, value: object) -> None:
    for step in path[:-1]:
        document = document[step]
    document[path[-1]] = value


def _weak_case(name: str, why: str, stage: Stage, manifest: bytes) -> Case:
    return _case(
        f"ratchet-{name}",
        why,
        _RATCHET,
        stage=stage,
        manifest=manifest,
        evidence=_votes(manifest, "alice", "bob"),
        change="weakening",
        reasons=["weakening-not-approved"],
        approvers=("alice", "bob"),
    )


def _quorum_cases() -> Iterator[Case]:
    document = scenario.base()
    document["Roles"]["audit"] = {"ResourceType": "Manifest", "Actions": []}
    document["Users"]["alice"]["Roles"] += ["security", "audit"]
    document["Users"]["bob"]["Roles"] += ["audit"]
    document["GitOps"]["Quorum"] = {"security": 1, "audit": 1}
    stage = Stage(document=document)
    manifest = _after(stage, _full)
    yield _case(
        "quorum-one-person-two-chairs",
        "Alice holds both roles and still sits once.",
        _CLASSES,
        stage=stage,
        manifest=manifest,
        evidence=_votes(manifest, "alice", "carol"),
        change="full",
        reasons=["quorum-not-met"],
        approvers=("alice", "carol"),
    )
    yield _case(
        "quorum-seated",
        "Moving alice to the other chair seats both.",
        _CLASSES,
        stage=stage,
        manifest=manifest,
        evidence=_votes(manifest, "alice", "bob"),
        outcome="would-apply",
        change="full",
        approvers=("alice", "bob"),
    )


def _electorate_cases() -> Iterator[Case]:
    new = gitsmith.key("carol-2")

    def rekey(document: Document) -> None:
        document["Users"]["carol"]["SigningKeys"] = [new.public_line()]

    rekeyed, more = _after(_STAGE, rekey), _after(_STAGE, rekey, _full)
    gone = _after(_STAGE, lambda document: document["Users"].pop("carol"))
    proof = scenario.prove("carol", key=new)
    five = scenario.base()
    five["Users"] = {
        name: scenario.user(name, "updater") for name in ("alice", "bob", "carol", "dan", "erin")
    }
    team = Stage(document=five)
    coup = _after(team, lambda document: [document["Users"].pop(name) for name in ("carol", "dan", "erin")])
    two: tuple[str, ...] = ("alice", "bob")
    rows: tuple[tuple[str, str, Stage, bytes, list[Piece], str, list[str]], ...] = (
        ("replacement", "All others replace one lost key although W would need it.", _STAGE, rekeyed,
         [*_votes(rekeyed, *two), proof], "would-apply", []),
        ("replacement-unproven", "The new key is shown to be held.", _STAGE, rekeyed, _votes(rekeyed, *two), "refused",
         ["new-key-unproven"]),
        ("replacement-and-more", "A replacement changes nothing else.", _STAGE, more, [*_votes(more, *two), proof],
         "refused", ["weakening-not-approved"]),
        ("removal-by-all-others", "Removing one person is a replacement by nobody.", _STAGE, gone, _votes(gone, *two),
         "would-apply", []),
        ("coup", "Two of five cannot vote the other three out.", team, coup, _votes(coup, *two), "refused",
         ["weakening-not-approved"]),
    )  # fmt: skip
    for name, why, stage, manifest, evidence, outcome, reasons in rows:
        yield _case(
            f"electorate-{name}",
            why,
            _ELECTORATE,
            stage=stage,
            manifest=manifest,
            evidence=evidence,
            outcome=outcome,
            change="weakening",
            reasons=reasons,
            approvers=two,
        )
    revoked = Stage(
        document={
            **_STAGE.document,
            "Users": {n: u for n, u in _STAGE.document["Users"].items() if n != "carol"},
        },
        revoked=frozenset({gitsmith.key("carol").fingerprint}),
    )
    back = _after(revoked, lambda document: document["Users"].update(carol=scenario.user("carol", "updater")))
    yield _case(
        "electorate-revoked-key-added",
        "A revocation is final for that key material in this deployment.",
        _EVIDENCE,
        stage=revoked,
        manifest=back,
        evidence=_votes(back, *two),
        change="weakening",
        reasons=["key-revoked", "not-evaluated"],
    )


def _piece_cases() -> Iterator[Case]:
    raw = _after(_STAGE, _full)
    line = approval_line(Digest.of(raw), "bob")
    key = gitsmith.key("bob")
    good = scenario.approve(raw, "bob")
    rows: tuple[tuple[str, str, Piece, str], ...] = (
        ("junk", "Junk is refused and harms nobody else's vote.", ObjectPiece(object=b"junk"), "malformed-object"),
        ("unsigned", "A tag without a signature is nobody's.",
         ObjectPiece(object=gitsmith.make_tag("1" * 40, "t", "bob", f"x\n\n{line}\n")), "malformed-signature"),
        ("openpgp", "OpenPGP comes with a later issue.", DetachedPiece(
            signature="-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n", user="bob"),
         "unsupported-key-type"),
        ("stranger", "Only keys that the enforced manifest lists.", scenario.approve(raw, "mallory"), "unknown-key"),
        ("altered", "The signature is over exactly these bytes.",
         ObjectPiece(object=good.object.replace(b"approve\n", b"Approve\n", 1)), "bad-signature"),
        ("namespace", "A signature made for Git is no detached statement.",
         DetachedPiece(signature=key.sign(b"x", "git"), user="bob"), "wrong-namespace"),
        ("withdrawal", "A withdrawal has its own call, later.", scenario.tag(
            f"x\n\nWithdraw-Manifest: {Digest.of(raw)} lineage shop-prod version 2 by bob\n", key),
         "unsupported-statement"),
        ("no-line", "A signed tag that says nothing approves nothing.", scenario.tag("fine\n", key), "trailer-missing"),
        ("two-lines", "Squashed messages carry other people's lines.",
         scenario.tag(f"x\n\n{approval_line(Digest.of(raw), 'carol')}\n{line}\n", key), "trailer-ambiguous"),
        ("folded-line", "An indented line is no statement, and a tag without one approves nothing.",
         scenario.tag(f"x\n\n {line}\n", key), "trailer-missing"),
        ("tab-after", "Byte for byte right, also at the end of the line.",
         scenario.tag(f"x\n\n{line}\t\n", key), "trailer-missing"),
        ("no-break-space", "A look-alike of the space is another byte.",
         scenario.tag(f"x\n\n{line.replace(' by', chr(0xA0) + 'by')}\n", key), "trailer-missing"),
        ("look-alike-word", "A Cyrillic letter makes another word.",
         scenario.tag(f"x\n\n{line.replace('A', chr(0x410), 1)}\n", key), "trailer-missing"),
        ("carriage-return", "A carriage return can overwrite what a terminal shows.",
         scenario.tag(f"x\n\n{line}\r\n", key), "malformed-object"),
        ("quoted-reply", "Somebody's line in a quotation is not the last paragraph.",
         scenario.tag(f"x\n\n{line}\n\nas said above\n", key), "trailer-missing"),
        ("in-the-tag-name", "A tag's name is no message.",
         ObjectPiece(object=gitsmith.make_tag("1" * 40, line, "bob", "x\n", key)), "trailer-missing"),
        ("key-proof-in-force", "A proof is never a vote.", scenario.prove("bob"), "duplicate-user"),
        ("user-claimed", "A claim beside a signature changes nothing.",
         DetachedPiece(signature=scenario.approve_detached(raw, "bob", version=2).signature, user="carol"),
         "trailer-wrong-signer"),
        ("wrong-signer", "The line names the user whose key signed.",
         scenario.tag(f"x\n\n{approval_line(Digest.of(raw), 'carol')}\n", key), "trailer-wrong-signer"),
        ("wrong-digest", "The line names this manifest.", scenario.approve(b"{}", "bob"), "trailer-wrong-digest"),
        ("replayed-version", "A detached statement names the version.",
         scenario.approve_detached(raw, "bob", version=1), "bad-signature"),
        ("duplicate", "One person is one vote.", scenario.approve_commit(raw, "alice"), "duplicate-user"),
        ("tree-vote-under-digest", "The default binding admits no tree vote.",
         scenario.tree_vote(raw, "bob", parents=(_STAGE.raw,)), "binding-not-allowed"),
    )  # fmt: skip
    for name, why, piece, reason in rows:
        yield _case(
            f"piece-{name}",
            why,
            _EVIDENCE,
            stage=_STAGE,
            manifest=raw,
            evidence=[scenario.approve(raw, "alice"), piece],
            change="full",
            reasons=["threshold-not-met", reason],
            approvers=("alice",),
        )
    yield _case(
        "piece-all-three-kinds",
        "A tag, a commit and a detached statement are three people's votes.",
        _EVIDENCE,
        stage=_STAGE,
        manifest=raw,
        evidence=[
            scenario.approve(raw, "alice"),
            scenario.approve_commit(raw, "bob"),
            scenario.approve_detached(raw, "carol", version=2),
        ],
        outcome="would-apply",
        change="full",
        approvers=("alice", "bob", "carol"),
    )
    revoked = Stage(document=_STAGE.document, revoked=frozenset({key.fingerprint}))
    yield _case(
        "piece-revoked-key",
        "A revoked key counts nowhere although the manifest goes on listing it.",
        _EVIDENCE,
        stage=revoked,
        manifest=raw,
        evidence=_votes(raw, "alice", "bob"),
        change="full",
        reasons=["key-revoked", "threshold-not-met"],
        approvers=("alice",),
    )
    yield _presence_case()


def _presence_case() -> Case:
    document = scenario.base()
    document["GitOps"]["RequireUserPresence"] = True
    for name in ("alice", "bob", "carol"):
        document["Users"][name] = scenario.user(name, "updater", keys=(gitsmith.key(name, "sk-ed25519"),))
    stage = Stage(document=document)
    raw = _after(stage, _full)
    untouched = gitsmith.key("bob", "sk-ed25519", flags=0)
    return _case(
        "piece-user-presence",
        "A security key that nobody touched shows that malware was there, not a person.",
        _EVIDENCE,
        stage=stage,
        manifest=raw,
        evidence=[
            scenario.approve(raw, "alice", key=gitsmith.key("alice", "sk-ed25519")),
            scenario.approve(raw, "bob", key=untouched),
        ],
        change="full",
        reasons=["user-presence-missing", "threshold-not-met"],
        approvers=("alice",),
    )


def _tree_vote_cases() -> Iterator[Case]:
    raw, old = _after(_TREE, _full), _TREE.raw
    vote = scenario.tree_vote(raw, "alice", parents=(old,))
    bob = scenario.approve(raw, "bob")
    yield _case(
        "tree-vote-counts",
        "The author's plain signed commit is a vote where its own diff is the change.",
        _TREE_VOTE,
        stage=_TREE,
        manifest=raw,
        evidence=[vote, bob],
        outcome="would-apply",
        change="full",
        approvers=("alice", "bob"),
    )
    leaf = gitsmith.make_tree([("120000", "manifest.json", gitsmith.blob_id(raw))])
    prod = gitsmith.make_tree([("40000", "prod", gitsmith.object_id("tree", leaf))])
    root = gitsmith.make_tree([("40000", "envs", gitsmith.object_id("tree", prod))])
    linked = gitsmith.make_commit(gitsmith.object_id("tree", root), (), "alice", "x\n", gitsmith.key("alice"))
    rows: tuple[tuple[str, str, ObjectPiece, str], ...] = (
        ("other-content", "The tree holds the submitted bytes at the path.",
         scenario.tree_vote(b"{}", "alice", parents=(old,)), "content-mismatch"),
        ("other-path", "Only the path of the enforced manifest counts.",
         scenario.tree_vote(raw, "alice", parents=(old,), path="manifest.json"), "path-not-in-tree"),
        ("symlink", "A link at the path is another file.", ObjectPiece(object=linked, trees=(root, prod, leaf)),
         "wrong-mode"),
        ("planted", "Unrelated work on top of a planted manifest is no vote.",
         scenario.tree_vote(raw, "alice", parents=(raw,)), "not-introduced"),
        ("merge-of-a-planted", "Every parent holds the enforced manifest, also the second.",
         scenario.tree_vote(raw, "alice", parents=(old, raw)), "not-introduced"),
        ("parentless", "A root commit introduces everything and nothing.",
         scenario.tree_vote(raw, "alice", parents=()), "not-introduced"),
        ("rebased", "Somebody else's work, signed again by a rebase, is no vote.",
         scenario.tree_vote(raw, "alice", parents=(old,), committer="bob"), "author-differs"),
        ("with-a-foreign-line", "A commit that names somebody's approval is judged as that.",
         scenario.tree_vote(raw, "alice", parents=(old,), message=f"x\n\n{approval_line(Digest.of(raw), 'carol')}\n"),
         "trailer-wrong-signer"),
    )  # fmt: skip
    for name, why, piece, reason in rows:
        yield _case(
            f"tree-vote-{name}",
            why,
            _TREE_VOTE,
            stage=_TREE,
            manifest=raw,
            evidence=[piece, bob],
            change="full",
            reasons=[reason, "threshold-not-met"],
            approvers=("bob",),
        )
    seated = scenario.base()
    seated["GitOps"] |= {"Binding": "tree", "Quorum": {"security": 1}}
    seated["Users"]["carol"]["Roles"].append("security")
    stage = Stage(document=seated)
    manifest = _after(stage, _full)
    plain = [scenario.tree_vote(manifest, name, parents=(stage.raw,)) for name in ("alice", "carol")]
    yield _case(
        "tree-vote-the-one-that-helps",
        "Of several tree votes at most one counts, and it is the one that fills the quorum.",
        _TREE_VOTE,
        stage=stage,
        manifest=manifest,
        evidence=[*plain, scenario.approve(manifest, "bob")],
        outcome="would-apply",
        change="full",
        reasons=["tree-vote-used"],
        approvers=("bob", "carol"),
    )
    yield _case(
        "tree-vote-beside-ones-own-digest-vote",
        "Alice's tag counts, so that the one tree vote is left to bob.",
        _TREE_VOTE,
        stage=_TREE,
        manifest=raw,
        evidence=[vote, scenario.tree_vote(raw, "bob", parents=(old,)), scenario.approve(raw, "alice")],
        outcome="would-apply",
        change="full",
        reasons=["duplicate-user"],
        approvers=("alice", "bob"),
    )


CASES: tuple[Case, ...] = (
    *_genesis_cases(),
    *_standing_cases(),
    *_shape_cases(),
    *_class_cases(),
    *_electorate_cases(),
    *_piece_cases(),
    *_tree_vote_cases(),
)
