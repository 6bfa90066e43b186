"""Cases of `verify-evidence`, which asks whether a signed object or statement is to be believed at all.

Input: ``keys`` (lines of public keys), ``requireUserPresence`` (default false), and either ``object`` (base64 of
a raw commit or tag), optionally with ``statement`` (it must approve ``digest`` in the name of ``user``) or with
``path``, ``content`` and ``trees`` (its tree must hold that content there), or ``signature`` (an armor),
``namespace`` and ``statement`` (the approval text it must sign). Every row of gitops.md 2.3 is here.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from conformance import gitsmith as smith

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Case = dict[str, Any]

_MANIFEST = '{"Packages":{}}\n'
_DIGEST = "sha256:" + hashlib.sha256(_MANIFEST.encode()).hexdigest()
_OTHER_DIGEST = "sha256:" + hashlib.sha256(b"other").hexdigest()
_PATH = "envs/prod/manifest.json"
_ROOT, _TREES = smith.make_path(_PATH, _MANIFEST.encode())
_PARENT = smith.object_id("commit", b"parent")
_ALICE = smith.key("alice")
_MALLORY = smith.key("mallory")
_ROWS = "gitops.md 2.3"
_PARSING = "approvals.md section 2, Parsing"
_SIGNATURES = "approvals.md section 2, Signatures"
_EVIDENCE = "approvals.md section 2, Evidence"
_TREE_VOTE = "approvals.md section 2, The tree vote"
_LINE = f"Approve-Manifest: {_DIGEST} by alice"
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

CASES: list[Case] = []


def _case(
    case_id: str,
    why: str,
    spec: str,
    question: Mapping[str, Any],
    reason: str | None = None,
    *,
    payload: bytes | None = None,
) -> None:
    expected: dict[str, Any] = {"verdict": "reject", "reason": reason}
    if reason is None:
        blob = base64.b64decode(question["keys"][0].split()[1])
        signer = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
        expected = {"verdict": "accept", "signer": f"SHA256:{signer}"}
    if payload is not None:
        expected["payloadDigest"] = "sha256:" + hashlib.sha256(payload).hexdigest()
    CASES.append(
        {
            "id": case_id,
            "why": why,
            "spec": spec,
            "command": "verify-evidence",
            "input": dict(question),
            "expected": expected,
        }
    )


def _object(raw: bytes, *keys: smith.Key, **more: Any) -> Case:
    lines = [key.public_line() for key in keys or (_ALICE,)]
    return {"object": base64.b64encode(raw).decode(), "keys": lines, **more}


def _commit(
    message: str = "Raise backend\n",
    key: smith.Key | None = _ALICE,
    *,
    tree: str = _ROOT,
    headers: Sequence[str] = (),
) -> bytes:
    return smith.make_commit(tree, [_PARENT], "alice", message, key, headers=headers)


def _tag(message: str = "Approve\n", key: smith.Key | None = _ALICE) -> bytes:
    return smith.make_tag(_PARENT, "approve/shop/2/alice", "alice", message, key)


def _with_armor(armor: str, *, message: str = "Raise backend\n") -> bytes:
    return smith.add_commit_signature(_commit(message, None), armor)


def _armor(**fields: Any) -> str:
    """Armor alice's signature on the plain commit with some SSHSIG fields replaced."""
    payload = _commit(key=None)
    return smith.wrap(
        smith.join_sshsig(
            fields.pop("public_key", _ALICE.blob),
            fields.pop("signature", _ALICE.sign_raw(payload)),
            fields.pop("namespace", smith.GIT),
            **fields,
        )
    )


def _pgp_armor(*, kind: int = 0x00, digest: int = 8, count: int = 1, when: int = 1_764_000_000) -> str:
    """Write the armor of v4 OpenPGP signature packets (RFC 4880, 5.2.3) with a placeholder signature."""
    hashed = b"\x05\x02" + when.to_bytes(4, "big")
    body = bytes([4, kind, 22, digest, 0, len(hashed)]) + hashed + b"\0\0" + b"\xab\xcd"
    body += (b"\x01\0" + b"\x80" + bytes(31)) * 2
    packet = (b"\xc2" + bytes([len(body)]) + body) * count
    text = base64.b64encode(packet).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join(("-----BEGIN PGP SIGNATURE-----", "", *lines, "-----END PGP SIGNATURE-----", ""))


def _forms() -> None:
    _case(
        "commit-good",
        "A plain signed commit by a listed key.",
        _ROWS,
        _object(_commit()),
        payload=_commit(key=None),
    )
    _case("tag-good", "A signed tag by a listed key.", _ROWS, _object(_tag()), payload=_tag(key=None))
    for kind in smith.KINDS:
        key = smith.key("alice", kind)
        _case(
            f"key-{kind}",
            f"Keys of the kind {kind} are supported.",
            _SIGNATURES,
            _object(_commit(key=key), key),
        )
    for name in ("rsa-sha2-256", "rsa-sha2-512"):
        key = smith.key("alice", "rsa", rsa_algorithm=name)
        _case(f"signature-{name}", f"RSA keys sign with {name}.", _SIGNATURES, _object(_commit(key=key), key))
    payload = _commit(key=None)
    raw = smith.add_commit_signature(payload, _ALICE.sign(payload, hash_algorithm="sha256"))
    _case("hash-sha256", "SSHSIG over SHA-256 of the message is allowed.", _SIGNATURES, _object(raw))
    raw = _commit(headers=["encoding UTF-8"])
    _case("encoding-utf8", "An encoding header that says UTF-8 changes nothing.", _PARSING, _object(raw))
    jgit = smith.make_commit(_ROOT, [_PARENT], "alice", "Übung\n", headers=["encoding UTF-8"])
    signed = smith.add_commit_signature(jgit, _ALICE.sign(jgit))
    start, end = signed.index(b"gpgsig "), signed.index(b"\n\n") + 1
    header = signed[start:end]
    moved = signed[:start] + signed[end:]
    moved = moved.replace(b"encoding UTF-8\n", header + b"encoding UTF-8\n", 1)
    _case(
        "gpgsig-before-encoding",
        "JGit puts gpgsig before encoding; the payload is the same.",
        "gitops.md 2.1",
        _object(moved),
        payload=jgit,
    )
    tag = smith.make_tag(_PARENT, "v1", "bob", "Signed\n", smith.key("bob")).decode().removesuffix("\n")
    folded = "mergetag " + tag.replace("\n", "\n ")
    _case(
        "mergetag-covered",
        "A mergetag is part of the signed payload; it is allowed.",
        "gitops.md 2.1",
        _object(_commit(headers=[folded])),
    )
    _case(
        "change-id-covered",
        "Headers nobody knows are covered by the signature.",
        "gitops.md 2.1",
        _object(_commit(headers=["change-id kmnxqrp"])),
    )


def _git_rows() -> None:
    good = _commit()
    start, end = good.index(b"gpgsig "), good.index(b"\n\n") + 1
    header = good[start:end]
    _case(
        "untrusted-key",
        "The key that signed is not listed.",
        _ROWS,
        _object(_commit(key=_MALLORY)),
        "unknown-key",
    )
    payload = _commit(key=None)
    raw = smith.add_commit_signature(payload, _ALICE.sign(payload, "file"))
    _case(
        "wrong-namespace",
        "A signature made for files is none for Git.",
        _ROWS,
        _object(raw),
        "wrong-namespace",
    )
    _case(
        "altered-message",
        "The message was altered after signing.",
        _ROWS,
        _object(good.replace(b"Raise", b"Lower")),
        "bad-signature",
    )
    evil = good[:end] + b"gpgsig junk\n" + good[end:]
    _case(
        "two-gpgsig-good-first",
        "git takes the first gpgsig and hides the second, go-git took the last.",
        _ROWS,
        _object(evil),
        "malformed-object",
    )
    evil = good[:end] + b"gpgsig-sha256 junk\n" + good[end:]
    _case(
        "gpgsig-sha256-junk",
        "git drops it from the payload: unsigned bytes, a second commit id.",
        _ROWS,
        _object(evil),
        "malformed-object",
    )
    evil = good[:end] + b"gpgsigEVIL approved-by: everyone\n" + good[end:]
    _case(
        "gpgsig-evil-header",
        "git drops every header that starts with gpgsig: unsigned text in a verified commit.",
        _ROWS,
        _object(evil),
        "malformed-object",
    )
    armor = _ALICE.sign(payload)
    _case(
        "junk-after-end",
        "Text after the END line is not covered by any signature.",
        _ROWS,
        _object(_with_armor(armor + "junk\n")),
        "malformed-signature",
    )
    _case(
        "junk-before-begin",
        "Text before the BEGIN line is not covered by any signature.",
        _ROWS,
        _object(_with_armor("junk\n" + armor)),
        "malformed-signature",
    )
    evil = good.replace(b"tree ", f"tree {_PARENT}\ntree ".encode(), 1)
    _case(
        "two-trees",
        "Two tree headers: readers disagree about which counts.",
        _ROWS,
        _object(evil),
        "malformed-object",
    )
    bare = good[:start] + good[end:]
    evil = bare.replace(b"author ", header + b"author ", 1)
    _case(
        "gpgsig-before-author",
        "A signature header among the core headers.",
        _ROWS,
        _object(evil),
        "malformed-object",
    )
    key = smith.key("alice", "ecdsa-256")
    _case(
        "ecdsa-negated-s",
        "A third party can negate s: the signature stays good and the commit id changes, so ids prove nothing.",
        _ROWS,
        _object(_with_armor(_negate_s(key, payload)), key),
        payload=payload,
    )
    _case(
        "two-armors-in-header",
        "Two armors in one header: readers disagree about which counts.",
        _ROWS,
        _object(_with_armor(armor + armor)),
        "malformed-signature",
    )
    _case(
        "tag-text-after-armor",
        "Text after a tag's armor is not signed.",
        _ROWS,
        _object(_tag() + b"approved by everyone\n"),
        "malformed-object",
    )
    nested = _tag("See\n" + _MALLORY.sign(b"x"))
    _case(
        "tag-nested-armor",
        "Two armors in a tag: git takes the last, others the first.",
        _ROWS,
        _object(nested),
        "malformed-object",
    )
    _case(
        "tag-behind-other-ref",
        "The ref is not part of the evidence; a tag says its own name.",
        _ROWS,
        _object(_tag(_LINE + "\n"), statement={"digest": _DIGEST, "user": "alice"}),
    )
    evil = bare.replace(b"Raise", b"Evil ", 1)
    evil = smith.add_commit_signature(evil, armor)
    _case(
        "replaced-commit",
        "What refs/replace puts in place of a signed commit is judged by its own bytes.",
        _ROWS,
        _object(evil),
        "bad-signature",
    )
    for kind in ("sk-ed25519", "sk-ecdsa"):
        key = smith.key("alice", kind, flags=0)
        _case(
            f"{kind}-without-presence",
            "ssh-keygen says Good although nobody touched the key.",
            _ROWS,
            _object(_commit(key=key), key),
            "user-presence-missing",
        )


def _pgp_rows() -> None:
    rows = {
        "openpgp-plain": ("An OpenPGP signature has no check in these rules yet.", _pgp_armor()),
        "openpgp-two-signers": ("One OpenPGP armor with two signatures.", _pgp_armor(count=2)),
        "openpgp-two-armors": ("Two OpenPGP armors in one header.", _pgp_armor() + _pgp_armor()),
        "openpgp-text-mode": (
            "An OpenPGP text signature also fits other line endings.",
            _pgp_armor(kind=0x01),
        ),
        "openpgp-sha1": ("An OpenPGP signature over SHA-1.", _pgp_armor(digest=2)),
        "openpgp-key-expired": (
            "An OpenPGP signature older than its key's expiry.",
            _pgp_armor(when=1_500_000_000),
        ),
        "openpgp-backdated": (
            "A backdated OpenPGP signature by an expired key.",
            _pgp_armor(when=1_400_000_000),
        ),
        "openpgp-key-revoked": ("An OpenPGP signature by a revoked key.", _pgp_armor(when=1_600_000_000)),
    }
    for case_id, (why, armor) in rows.items():
        full = f"{why} Until OpenPGP is supported every such signature answers this, and never counts."
        _case(case_id, full, _ROWS, _object(_with_armor(armor)), "unsupported-key-type")
    pem = "-----BEGIN SIGNED MESSAGE-----\nMIIB\n-----END SIGNED MESSAGE-----\n"
    _case(
        "x509",
        "X.509 and gitsign signatures have no check in these rules.",
        _SIGNATURES,
        _object(_with_armor(pem)),
        "unsupported-key-type",
    )


def _objects() -> None:
    def refuse(case_id: str, why: str, raw: bytes, reason: str = "malformed-object") -> None:
        _case(case_id, why, _PARSING, _object(raw), reason)

    good = _commit()
    refuse("neither-commit-nor-tag", "A tree or blob carries no signature and is no evidence.", b"blob\n")
    refuse(
        "unsigned-commit",
        "A commit without a signature says nothing by anybody.",
        _commit(key=None),
        "malformed-signature",
    )
    refuse(
        "unsigned-tag",
        "A tag without a signature says nothing by anybody.",
        _tag(key=None),
        "malformed-signature",
    )
    refuse("nul-in-message", "Readers in C stop at a NUL byte.", _commit("Raise\0 lower\n"))
    refuse(
        "cr-in-message", "A terminal overwrites the line before a carriage return.", _commit("evil\rgood\n")
    )
    refuse(
        "encoding-other",
        "Under another encoding the signed bytes read differently.",
        _commit(headers=["encoding UTF-7"]),
    )
    refuse(
        "encoding-twice",
        "Two encodings: readers disagree about which counts.",
        _commit(headers=["encoding UTF-8", "encoding UTF-8"]),
    )
    latin = _commit("caf\N{LATIN SMALL LETTER E WITH ACUTE}\n").replace("é".encode(), b"\xe9")
    refuse("message-not-utf8", "A message that is not UTF-8 reads differently everywhere.", latin)
    refuse("no-author", "Core headers are required and ordered.", good.replace(b"author ", b"writer ", 1))
    refuse(
        "second-author",
        "Core headers stand once, in their place.",
        _commit(headers=["author Eve <eve@example.org> 1 +0000"]),
    )
    refuse("late-parent", "Parents stand directly behind the tree.", _commit(headers=[f"parent {_PARENT}"]))
    refuse(
        "sha256-ids",
        "Object ids of SHA-256 repositories are not supported by these rules.",
        _commit(tree="a" * 64),
    )
    refuse("no-blank-line", "The message begins behind a blank line.", good.partition(b"\n\n")[0] + b"\n")
    refuse("object-too-large", "A commit or tag has at most 64 KiB.", _commit("x" * 65536), "too-large")
    refuse(
        "tag-gpgsig-header",
        "A tag is signed at its end; a signature header hides text.",
        _tag().replace(b"\n\n", b"\ngpgsig junk\n\n", 1),
    )
    refuse(
        "tag-type-unknown",
        "A tag points to one of the four kinds of objects.",
        _tag().replace(b"type commit", b"type secret", 1),
    )


def _armors() -> None:
    def refuse(case_id: str, why: str, armor: str, reason: str = "malformed-signature") -> None:
        _case(case_id, why, _SIGNATURES, _object(_with_armor(armor)), reason)

    good = _ALICE.sign(_commit(key=None))
    refuse(
        "armor-blank-line",
        "A blank line inside an armor is one of many spellings.",
        good.replace("\n", "\n\n", 1),
    )
    body = good.split("\n")[1]
    refuse("armor-not-base64", "Only base64 stands in an armor.", good.replace(body, body[:-1] + "!"))
    refuse("armor-loose-base64", "Unused bits of the last digit must be zero.", _loosen(good))
    refuse("sshsig-version-2", "Only version 1 of SSHSIG is defined.", _armor(version=2))
    refuse(
        "sshsig-reserved-used",
        "ssh-keygen verifies without the reserved field: unsigned bytes.",
        _armor(reserved=b"x"),
    )
    refuse("sshsig-unknown-hash", "Only SHA-256 and SHA-512 are allowed.", _armor(hash_algorithm="sha1"))
    refuse("sshsig-no-namespace", "A namespace is required.", _armor(namespace=""))
    payload = _commit(key=None)
    trailing = smith.wrap(_ALICE.sign_blob(payload) + b"\0")
    refuse("sshsig-trailing-bytes", "Nothing follows the last field.", trailing)
    refuse(
        "signature-short",
        "An Ed25519 signature has 64 bytes.",
        _armor(signature=smith.string(b"ssh-ed25519") + smith.string(bytes(63))),
    )
    refuse(
        "signature-other-type",
        "The signature's type is the key's.",
        _armor(signature=smith.string(b"ssh-rsa") + smith.string(bytes(64))),
    )
    certificate = smith.string(b"ssh-ed25519-cert-v01@openssh.com") + smith.string(bytes(32))
    refuse(
        "certificate",
        "Certificates need a CA and a clock; the manifest lists keys.",
        _armor(public_key=certificate),
        "unsupported-key-type",
    )
    key = smith.key("alice", "sk-ecdsa")
    web = smith.join_sshsig(
        key.blob, smith.string(b"webauthn-sk-ecdsa-sha2-nistp256@openssh.com") + smith.string(b"x")
    )
    _case(
        "webauthn",
        "WebAuthn signatures wrap the message in JSON; no rule for that yet.",
        _SIGNATURES,
        _object(_with_armor(smith.wrap(web)), key),
        "unsupported-key-type",
    )
    rsa = smith.key("alice", "rsa")
    old = smith.join_sshsig(rsa.blob, smith.string(b"ssh-rsa") + smith.string(bytes(256)))
    _case(
        "rsa-sha1",
        "RSA over SHA-1 is forgeable by collision.",
        _SIGNATURES,
        _object(_with_armor(smith.wrap(old)), rsa),
        "malformed-signature",
    )
    _case(
        "presence-required",
        "Where the manifest requires user presence, other keys cannot give it.",
        _SIGNATURES,
        _object(_commit(), requireUserPresence=True),
        "user-presence-missing",
    )
    touch = smith.key("alice", "sk-ed25519")
    _case(
        "presence-given",
        "A touched security key satisfies RequireUserPresence.",
        _SIGNATURES,
        _object(_commit(key=touch), touch, requireUserPresence=True),
    )


def _keys() -> None:
    def refuse(case_id: str, why: str, line: str, reason: str = "manifest-invalid") -> None:
        question = {"object": base64.b64encode(_commit()).decode(), "keys": [line]}
        _case(case_id, why, "approvals.md section 1, key identity", question, reason)

    small = smith.string(b"ssh-ed25519") + smith.string((1).to_bytes(32, "little"))
    refuse(
        "key-small-order",
        "A key of small order verifies signatures that nobody made.",
        _line("ssh-ed25519", small),
    )
    spelled = smith.string(b"ssh-ed25519") + smith.string((2**255 - 16).to_bytes(32, "little"))
    refuse(
        "key-second-spelling",
        "One point must not have two spellings: it would be two people.",
        _line("ssh-ed25519", spelled),
    )
    weak = smith.string(b"ssh-rsa") + smith.mpint(65537) + smith.mpint(2**1023 + 1)
    refuse("key-rsa-1024", "RSA keys have 2048 to 8192 bits.", _line("ssh-rsa", weak))
    refuse(
        "key-trailing-bytes",
        "Nothing follows a key: a second spelling would be a second person.",
        _line("ssh-ed25519", _ALICE.blob + b"\0"),
    )
    refuse(
        "key-certificate-line",
        "Certificates are not supported as keys.",
        _line("ssh-ed25519-cert-v01@openssh.com", _ALICE.blob),
        "unsupported-key-type",
    )
    refuse(
        "key-cert-authority",
        "An SSH CA would speak for people whom the manifest does not list.",
        f"cert-authority {_ALICE.public_line()}",
        "unsupported-key-type",
    )
    pgp = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\n-----END PGP PUBLIC KEY BLOCK-----\n"
    refuse("key-openpgp", "OpenPGP keys are not supported yet.", pgp, "unsupported-key-type")


def _statements() -> None:
    wanted = {"digest": _DIGEST, "user": "alice"}

    def say(case_id: str, why: str, message: str, reason: str | None = None) -> None:
        _case(case_id, why, _EVIDENCE, _object(_commit(message), statement=wanted), reason)

    say("approval-in-commit", "The line in the last paragraph, byte for byte.", f"Raise\n\n{_LINE}\n")
    say(
        "approval-beside-trailers",
        "Other trailers may stand beside the line.",
        f"Raise\n\nCo-authored-by: B <b@x>\n{_LINE}\n",
    )
    say(
        "approval-blank-lines-after",
        "git leaves blank lines at the end of some messages.",
        f"Raise\n\n{_LINE}\n\n\n",
    )
    say("approval-absent", "No line at all: not a digest vote.", "Raise\n", "trailer-missing")
    say(
        "approval-twice",
        "Squashed messages carry several lines; none counts.",
        f"Raise\n\n{_LINE}\n{_LINE}\n",
        "trailer-ambiguous",
    )
    say(
        "approval-quoted-before",
        "A second line anywhere, in any case, makes it ambiguous.",
        f"approve-manifest: x\n\n{_LINE}\n",
        "trailer-ambiguous",
    )
    say(
        "approval-not-last",
        "What stands before the last paragraph is easily overlooked.",
        f"Raise\n\n{_LINE}\n\nThanks\n",
        "trailer-missing",
    )
    say(
        "approval-lower-case",
        "The line is exact, its first word too.",
        f"Raise\n\n{_LINE.replace('Approve', 'approve')}\n",
        "trailer-missing",
    )
    say(
        "approval-trailing-space",
        "The line is exact, its end too.",
        f"Raise\n\n{_LINE} \n",
        "trailer-missing",
    )
    say(
        "approval-upper-hex",
        "A digest has one spelling.",
        f"Raise\n\nApprove-Manifest: {_DIGEST.upper()} by alice\n",
        "trailer-missing",
    )
    say(
        "approval-other-digest",
        "It approves another manifest.",
        f"Raise\n\n{_LINE.replace(_DIGEST, _OTHER_DIGEST)}\n",
        "trailer-wrong-digest",
    )
    say(
        "approval-other-user",
        "A rebase signs other people's lines anew.",
        f"Raise\n\n{_LINE.replace('alice', 'bob')}\n",
        "trailer-wrong-signer",
    )
    say(
        "withdrawal",
        "A withdrawal has its own call.",
        f"Stop\n\nWithdraw-Manifest: {_DIGEST} lineage shop version 2 by alice\n",
        "unsupported-statement",
    )
    say(
        "revocation",
        "A revocation has its own call.",
        f"Lost\n\nRevoke-Key: {_ALICE.fingerprint} lineage shop by alice\n",
        "unsupported-statement",
    )

    said = {"lineage": "shop", "version": 2, "digest": _DIGEST, "user": "alice"}
    text = f"marbleops approval v1\nlineage: shop\nversion: 2\nmanifest: {_DIGEST}\nuser: alice\n".encode()

    def detached(case_id: str, why: str, armor: str, reason: str | None = None, **other: Any) -> None:
        question = {"signature": armor, "keys": [_ALICE.public_line()], "namespace": smith.STATEMENT}
        _case(case_id, why, _EVIDENCE, {**question, "statement": {**said, **other}}, reason)

    good = _ALICE.sign(text, smith.STATEMENT)
    detached("detached-good", "A detached signature over exactly the approval statement.", good)
    detached(
        "detached-git-namespace",
        "A signature made for Git is no detached approval.",
        _ALICE.sign(text),
        "wrong-namespace",
    )
    detached(
        "detached-other-version",
        "The statement names its version; another one is another text.",
        good,
        "bad-signature",
        version=3,
    )
    detached(
        "detached-other-lineage",
        "The statement names its lineage; another one is another text.",
        good,
        "bad-signature",
        lineage="blog",
    )
    detached(
        "detached-stranger",
        "Detached by a key that is not listed.",
        _MALLORY.sign(text, smith.STATEMENT),
        "unknown-key",
    )
    detached("detached-too-large", "An armor has at most 16 KiB.", "x" * 16385, "too-large")


def _paths() -> None:
    def at(
        case_id: str,
        why: str,
        tree: str,
        trees: Sequence[bytes],
        reason: str | None = None,
        *,
        content: str = _MANIFEST,
    ) -> None:
        encoded = [base64.b64encode(raw).decode() for raw in trees]
        question = _object(_commit(tree=tree), path=_PATH, trees=encoded, content=content)
        _case(case_id, why, _TREE_VOTE, question, reason)

    def mode(mode: str) -> tuple[str, list[bytes]]:
        leaf = smith.make_tree([(mode, "manifest.json", smith.blob_id(_MANIFEST.encode()))])
        return _above(leaf)

    at("path-good", "The signed tree leads to exactly the submitted bytes.", _ROOT, _TREES)
    at(
        "path-content-differs",
        "The signed tree holds other bytes at the path.",
        _ROOT,
        _TREES,
        "content-mismatch",
        content="{}\n",
    )
    at(
        "path-tree-not-sent",
        "A tree on the way is missing from the evidence.",
        _ROOT,
        _TREES[:-1],
        "path-not-in-tree",
    )
    root, trees = _above(smith.make_tree([("100644", "other.json", smith.blob_id(b""))]))
    at("path-absent", "The signed tree has nothing at the path.", root, trees, "path-not-in-tree")
    for name, bits in (
        ("symlink", "120000"),
        ("executable", "100755"),
        ("submodule", "160000"),
        ("folder", "40000"),
    ):
        root, trees = mode(bits)
        at(f"path-{name}", f"A {name} at the path is not a plain file.", root, trees, "wrong-mode")
    blob = bytes.fromhex(smith.blob_id(_MANIFEST.encode()))
    entry = b"100644 manifest.json\0" + blob
    for name, raw in {
        "duplicate": entry + entry,
        "unsorted": entry + b"100644 a\0" + blob,
        "dot-git": b"40000 .git\0" + blob + entry,
        "dot-dot": b"40000 ..\0" + blob + entry,
        "name-not-utf8": entry + b"100644 \xff\0" + blob,
        "padded-mode": b"0100644 manifest.json\0" + blob,
        "cut": entry[:-1],
    }.items():
        root, trees = _above(raw)
        at(
            f"tree-{name}",
            "Trees are parsed strictly: readers of this one disagree.",
            root,
            trees,
            "malformed-object",
        )


def _above(leaf: bytes) -> tuple[str, list[bytes]]:
    prod = smith.make_tree([("40000", "prod", smith.object_id("tree", leaf))])
    root = smith.make_tree([("40000", "envs", smith.object_id("tree", prod))])
    return smith.object_id("tree", root), [root, prod, leaf]


def _line(algorithm: str, blob: bytes) -> str:
    return f"{algorithm} {base64.b64encode(blob).decode()}"


def _negate_s(key: smith.Key, payload: bytes) -> str:
    raw = key.sign_raw(payload)
    at = 4 + len(key.algorithm) + 4
    size = int.from_bytes(raw[at : at + 4], "big")
    r, s = raw[at + 4 : at + 4 + size], raw[at + 8 + size :]
    negated = smith.mpint(_P256_ORDER - int.from_bytes(s, "big"))
    pair = smith.string(r) + negated
    return smith.wrap(smith.join_sshsig(key.blob, smith.string(key.algorithm.encode()) + smith.string(pair)))


def _loosen(armor: str) -> str:
    """Set an unused bit of the last base64 digit."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    head, _, tail = armor.rpartition("=\n")
    pad = "==" if head.endswith("=") else "="
    head = head.removesuffix("=")
    return f"{head[:-1]}{digits[digits.index(head[-1]) + 1]}{pad}\n{tail}"


_forms()
_git_rows()
_pgp_rows()
_objects()
_armors()
_keys()
_statements()
_paths()
