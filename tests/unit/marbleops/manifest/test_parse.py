"""Parsing: two levels of strictness, one way to say what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from marbleops.manifest.diff import diff
from marbleops.manifest.digest import Digest
from marbleops.manifest.errors import Issue, IssueCode, ManifestError
from marbleops.manifest.limits import MAX_ISSUES, MAX_MANIFEST_BYTES
from marbleops.manifest.parse import Strictness, load, parse

Document = dict[str, Any]


def refused(raw: bytes | str | Document, strictness: Strictness = Strictness.STRICT) -> tuple[Issue, ...]:
    """Return the issues of a manifest that must be refused."""
    if isinstance(raw, dict):
        raw = json.dumps(raw)
    with pytest.raises(ManifestError) as caught:
        parse(raw.encode() if isinstance(raw, str) else raw, strictness=strictness)
    return caught.value.issues


def accepted(document: Document, strictness: Strictness = Strictness.MARBLERUN) -> Any:
    return parse(json.dumps(document).encode(), strictness=strictness)


def test_values_and_bytes(plain: Document) -> None:
    """The model holds the values, the digest is that of the very bytes."""
    raw = json.dumps(plain, indent=3).encode()

    manifest = parse(raw, strictness=Strictness.STRICT)

    package = manifest.packages["backend"]
    assert (package.signer_id, package.product_id, package.security_version) == ("ab" * 32, 15, 8)
    assert manifest.raw == raw
    assert manifest.digest == Digest.of(raw)
    assert manifest.document == plain
    assert manifest.config.update_threshold is None


def test_typo_names_place_and_nearest_name() -> None:
    """A typo is told with path, line, column, what was expected and the nearest name."""
    raw = '{\n  "Packages": {"p": {"UniqueID": "00",\n    "SecurityVerison": 2}},\n  "Marbles": {}\n}'

    (issue,) = refused(raw)

    assert (issue.code, issue.path) == (IssueCode.MALFORMED, "Packages.p.SecurityVerison")
    assert (issue.line, issue.column) == (3, 5)
    assert issue.hint == "did you mean 'SecurityVersion'?"
    assert issue.expected is not None
    assert "SecurityVersion" in issue.expected
    assert str(issue).startswith("3:5 Packages.p.SecurityVerison: unknown name 'SecurityVerison'")


def test_all_issues_at_once_in_order() -> None:
    """Everything that is wrong is told, in the order of the text."""
    raw = '{"Packages":{"p":{"Debug":"yes"}},\n"Marbles":{"m":{"Package":7,"Oops":1}},\n"TLS":[]}'

    issues = refused(raw)

    assert [(i.line, i.path) for i in issues] == [
        (1, "Packages.p.Debug"),
        (2, "Marbles.m.Package"),
        (2, "Marbles.m.Oops"),
        (3, "TLS"),
    ]
    assert issues[0].message == "expected true or false, got a string"


def test_messages_never_repeat_values(plain: Document) -> None:
    """A value in the wrong place may be a secret; only its kind is told."""
    plain["Marbles"]["api"]["Parameters"] = {"Env": {"KEY": ["hunter2"]}}

    (issue,) = refused(plain)

    assert "hunter2" not in str(issue)
    assert issue.message == "expected a string or an object, got a list"


@pytest.mark.parametrize("strictness", Strictness)
@pytest.mark.parametrize(
    ("raw", "column", "words"),
    [
        (b"", 1, "expected a JSON value"),
        (b'{"a":1,}', 8, "expected a name in double quotes"),
        (b'{"a" 1}', 6, "expected ':' after the name"),
        (b'{"a":1 "b":2}', 8, "expected ',' or '}'"),
        (b"[1,]", 4, "expected a JSON value"),
        (b"{} {}", 4, "something follows the JSON value"),
        (b'{"a":NaN}', 6, "expected a JSON value"),
        (b'{"a":-Infinity}', 6, "expected a JSON value"),
        (b"\xef\xbb\xbf{}", 1, "a byte order mark is not JSON"),
        (b'{"a":"\n"}', 6, "expected a JSON value"),
        (b"{}}", 3, "nothing is open that this could close"),
        (b"'a'", 1, "expected a JSON value"),
        (b"\xff\xfe{\0}\0", 1, "expected a JSON value"),
    ],
)
def test_not_json(raw: bytes, column: int, words: str, strictness: Strictness) -> None:
    """What is not JSON is refused with the column and the reason."""
    (issue,) = refused(raw, strictness)

    assert (issue.code, issue.line, issue.column) == (IssueCode.MALFORMED, 1, column)
    assert issue.message == f"not JSON: {words}"


@pytest.mark.parametrize("strictness", Strictness)
@pytest.mark.parametrize(
    "raw",
    [
        b" " * (MAX_MANIFEST_BYTES + 1),
        b"[" * 100_000,
        b'{"a":' * 1000,
        b"[" + b"0," * 70_000 + b"0]",
    ],
    ids=["bytes", "lists", "objects", "values"],
)
def test_bounds(raw: bytes, strictness: Strictness) -> None:
    """Size, nesting and number of values are bounded before anything recurses."""
    (issue,) = refused(raw, strictness)

    assert issue.code is IssueCode.TOO_LARGE


def test_number_of_issues_is_bounded() -> None:
    """Thousands of issues are told as the first ones and a count."""
    issues = refused({"Packages": {}, "Marbles": {}, **{f"x{n}": 0 for n in range(500)}})

    assert len(issues) == MAX_ISSUES + 1
    assert issues[-1].message == f"and {500 - MAX_ISSUES} more issues"


@pytest.mark.parametrize("strictness", Strictness)
@pytest.mark.parametrize(
    "raw",
    [
        '{"Packages":{},"Packages":{}}',
        '{"Packages":{"p":{},"p":{}}}',
        '{"Ignored":{"a":[{"b":1,"b":1}]}}',
        '{"Secrets":{"s":{"Cert":{"Subject":{"CommonName":"a","CommonName":"b"}}}}}',
        '{"a\\u0062":1,"ab":2}',
    ],
)
def test_duplicate_names(raw: str, strictness: Strictness) -> None:
    """A name that stands twice is refused in both levels, however deep, however escaped."""
    issues = refused(raw, strictness)

    assert any("stands twice" in issue.message for issue in issues)


def test_duplicate_is_placed_at_the_second_name() -> None:
    """The place is that of the repeated name."""
    issues = refused('{"Packages":{},\n  "Packages":{}}', Strictness.MARBLERUN)

    assert [(i.path, i.line, i.column) for i in issues] == [("Packages", 2, 3)]


@pytest.mark.parametrize("pair", [("Packages", "packages"), ("TLS", "tl\u017f"), ("Ignored", "ignored")])
def test_names_that_differ_by_case(plain: Document, pair: tuple[str, str]) -> None:
    """Two field names that Go would take for one are refused, also with its two special letters."""
    issues = refused({pair[0]: {}, pair[1]: {}}, Strictness.MARBLERUN)

    assert issues[-1].message.endswith("differ only by case")


def test_loose_names(plain: Document) -> None:
    """MarbleRun's level takes names in any case, ignores unknown ones, and folds the document."""
    text = json.dumps({**plain, "Ignored": {"x": 1.5}}).replace("SignerID", "sIGNERid")

    manifest = parse(text.lower().encode(), strictness=Strictness.MARBLERUN)

    assert manifest.packages["backend"].signer_id == "ab" * 32
    assert list(manifest.document) == ["Packages", "Marbles"]
    assert manifest.document["Packages"]["backend"]["SignerID"] == "ab" * 32


def test_names_people_choose_keep_their_case(plain: Document) -> None:
    """Keys of maps are case-sensitive."""
    plain["Packages"]["BACKEND"] = {"Debug": True}

    assert set(accepted(plain).packages) == {"backend", "BACKEND"}


def test_null_is_the_zero_value_for_marblerun() -> None:
    """A manifest that Go has written, with null for everything empty, is accepted loosely."""
    document = {
        "Packages": {"p": {"UniqueID": "00", "ProductID": None, "AcceptedTCBStatuses": None}, "q": None},
        "Infrastructures": None,
        "Marbles": {
            "m": {"Package": "p", "Parameters": {"Files": None, "Argv": [None, "x"]}, "TLS": None},
        },
        "Users": None,
        "RecoveryKeys": {"eve": None},
        "Config": {"FeatureGates": None, "UpdateThreshold": 0},
    }

    manifest = accepted(document)

    assert manifest.packages["p"].product_id is None
    assert manifest.packages["q"].unique_id is None
    assert manifest.marbles["m"].parameters.argv == ("", "x")
    assert manifest.recovery_keys == {"eve": ""}
    assert [issue.path for issue in refused(document)][:2] == [
        "Packages.p.ProductID",
        "Packages.p.AcceptedTCBStatuses",
    ]


def test_null_document_is_empty_for_marblerun() -> None:
    """Go decodes null to nothing; the check then misses the packages."""
    assert parse(b"null", strictness=Strictness.MARBLERUN).packages == {}
    with pytest.raises(ManifestError, match="no allowed packages defined"):
        load(b"null", strictness=Strictness.MARBLERUN)


@pytest.mark.parametrize("strictness", Strictness)
@pytest.mark.parametrize(
    "literal", ["128.0", "1e2", "-0", "-8", '"128"', "true", "18446744073709551616", "9" * 5000, "1e999"]
)
def test_numbers(plain: Document, literal: str, strictness: Strictness) -> None:
    """Only unsigned integer literals of 64 bits are numbers."""
    plain["Marbles"]["api"]["MaxActivations"] = 4711
    raw = json.dumps(plain).replace("4711", literal)

    (issue,) = refused(raw, strictness)

    assert issue.path == "Marbles.api.MaxActivations"


def test_largest_number(plain: Document) -> None:
    """The largest 64-bit number is accepted."""
    plain["Marbles"]["api"]["MaxActivations"] = 2**64 - 1

    assert accepted(plain, Strictness.STRICT).marbles["api"].max_activations == 2**64 - 1


def test_text_that_is_not_text(plain: Document) -> None:
    """Foreign bytes and lone surrogates are U+FFFD loosely, and refused strictly."""
    plain["Marbles"]["api"]["Parameters"] = {"Argv": ["\ud800", "MARK"]}
    raw = json.dumps(plain).encode().replace(b"MARK", b"a\xe2\x82b")

    argv = parse(raw, strictness=Strictness.MARBLERUN).marbles["api"].parameters.argv
    issues = refused(raw)

    assert argv == ("\ufffd", "a\ufffd\ufffdb")
    assert {issue.message for issue in issues} == {"the bytes are not UTF-8", "a lone surrogate is not text"}


@pytest.mark.parametrize(
    ("entry", "content"),
    [
        ("x", b"x"),
        ({}, b""),
        ({"Data": "YmFy"}, b"YmFy"),
        ({"Data": "YmFy", "Encoding": ""}, b"YmFy"),
        ({"Data": "YmFy", "Encoding": "Base64"}, b"bar"),
        ({"Data": "Ym\r\nFy", "Encoding": "base64"}, b"bar"),
        ({"Data": "00Ff", "Encoding": "HEX"}, b"\x00\xff"),
        ({"Data": "", "Encoding": "hex"}, b""),
    ],
)
@pytest.mark.parametrize("strictness", Strictness)
def test_files(plain: Document, entry: Any, content: bytes, strictness: Strictness) -> None:
    """A file is a string or an object with one of three encodings, in any case."""
    plain["Marbles"]["api"]["Parameters"] = {"Files": {"/f": entry}}

    assert accepted(plain, strictness).marbles["api"].parameters.files["/f"].data == content


@pytest.mark.parametrize(
    ("entry", "path", "words"),
    [
        ({"Data": "YmF", "Encoding": "base64"}, ".Data", "the content is not base64"),
        ({"Data": "-_==", "Encoding": "base64"}, ".Data", "the content is not base64"),
        ({"Data": "Ym Fy", "Encoding": "base64"}, ".Data", "the content is not base64"),
        ({"Data": "abc", "Encoding": "hex"}, ".Data", "the content is not hexadecimal"),
        ({"Data": "a b ", "Encoding": "hex"}, ".Data", "the content is not hexadecimal"),
        ({"Encoding": "base46"}, ".Encoding", "unknown encoding type: base46"),
        (None, "", "expected a string or an object, got null"),
        (7, "", "expected a string or an object, got an integer"),
        ([], "", "expected a string or an object, got a list"),
    ],
)
@pytest.mark.parametrize("strictness", Strictness)
def test_refused_files(plain: Document, entry: Any, path: str, words: str, strictness: Strictness) -> None:
    """What does not decode is refused where it stands."""
    plain["Marbles"]["api"]["Parameters"] = {"Env": {"F": entry}}

    (issue,) = refused(plain, strictness)

    assert (issue.path, issue.message) == (f"Marbles.api.Parameters.Env.F{path}", words)


def test_bytes(plain: Document) -> None:
    """Byte fields are base64 or a list of numbers."""
    plain["Infrastructures"] = {"azure": {"CPUSVN": [0, 1, 255], "RootCA": "YmFy", "QESVN": 3}}
    plain["Secrets"] = {"s": {"Type": "plain", "UserDefined": True, "Private": "YmFy", "Public": [1]}}

    manifest = accepted(plain, Strictness.STRICT)

    assert manifest.infrastructures["azure"] == {"CPUSVN": b"\x00\x01\xff", "RootCA": b"bar", "QESVN": 3}
    assert (manifest.secrets["s"].private, manifest.secrets["s"].public) == (b"bar", b"\x01")
    assert "bar" not in repr(manifest.secrets)
    plain["Infrastructures"]["azure"]["CPUSVN"] = [256]
    assert refused(plain, Strictness.MARBLERUN)[0].path == "Infrastructures.azure.CPUSVN[0]"


@pytest.mark.parametrize("cert", ["", [], 7])
def test_refused_certificate_templates(plain: Document, cert: Any) -> None:
    """A certificate template is an object or the base64 of a certificate."""
    plain["Secrets"] = {"s": {"Type": "cert-rsa", "Cert": cert}}

    assert refused(plain, Strictness.MARBLERUN)[0].path == "Secrets.s.Cert"


@pytest.mark.parametrize(
    "member",
    [
        {"gitops": {}},
        {"GITOPS": None},
        {"gitop\u017f": {}},
        {"users": {"a": {"signingkeys": []}}},
        {"Users": {"a": {"SigningKeys": [], "Certificate": "PEM", "Nickname": "a"}}},
    ],
)
def test_gitops_makes_it_strict(plain: Document, member: Document) -> None:
    """A GitOps section or signing keys, in whatever case, cannot be read loosely."""
    issues = refused({**plain, **member}, Strictness.MARBLERUN)

    assert any(issue.message.startswith("unknown name") for issue in issues)


def test_gitops_section(signed: Document) -> None:
    """The section's values and defaults reach the model."""
    signed["GitOps"] |= {"Version": 2, "Previous": f"sha256:{'0' * 64}", "Quorum": {"updater": 1}}

    gitops = accepted(signed).gitops

    assert gitops is not None
    assert (gitops.lineage, gitops.version, gitops.binding) == ("shop-prod", 2, "digest")
    assert gitops.previous == Digest(bytes(32))
    assert gitops.quorum == {"updater": 1}
    assert (gitops.package_threshold, gitops.weaken_threshold) == (1, 0)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("Version", 0, IssueCode.INVALID),
        ("Version", 2**53, IssueCode.INVALID),
        ("Version", "1", IssueCode.MALFORMED),
        ("Previous", "sha256:" + "A" * 64, IssueCode.INVALID),
        ("Previous", "sha256:" + "a" * 64 + "\n", IssueCode.INVALID),
        ("Deployment", "0" * 64, IssueCode.INVALID),
        ("Binding", "digset", IssueCode.INVALID),
        ("PackageThreshold", 0, IssueCode.INVALID),
        ("Quorum", {"updater": 0}, IssueCode.INVALID),
        ("AllowSecurityVersionDecrease", ["a", "a"], IssueCode.INVALID),
        ("Lineage", "x\n", IssueCode.INVALID),
        ("Path", "a//b", IssueCode.INVALID),
        ("Pathh", "a", IssueCode.MALFORMED),
    ],
)
def test_refused_gitops_fields(signed: Document, field: str, value: Any, code: IssueCode) -> None:
    """Shape is malformed, a value out of its range is invalid; each at its field."""
    signed["GitOps"][field] = value

    issues = refused(signed)

    assert {issue.code for issue in issues} == {code}
    assert issues[0].path.startswith(f"GitOps.{field}")


def test_missing_fields_say_what_is_expected(signed: Document) -> None:
    """A missing field is told with its type."""
    del signed["GitOps"]["Lineage"]

    (issue,) = refused(signed)

    assert (issue.path, issue.message, issue.expected) == (
        "GitOps.Lineage",
        "'Lineage' is missing",
        "a string",
    )


def test_enum_hint(signed: Document) -> None:
    """A wrong word is answered with the nearest right one."""
    signed["Config"]["SealMode"] = "UniqeKey"

    (issue,) = refused(signed)

    assert issue.hint == "did you mean 'UniqueKey'?"


def test_schema_reference_is_neutral(plain: Document) -> None:
    """A repository can name the schema for its editor; nothing else changes."""
    with_schema = accepted({"$schema": "../schemas/manifest.v1.schema.json", **plain}, Strictness.STRICT)

    assert with_schema.packages == accepted(plain, Strictness.STRICT).packages
    assert diff(with_schema.document, plain) == ()


def test_secret_as_go_writes_it(plain: Document) -> None:
    """A secret in the form Go writes has no values and no template."""
    plain["Secrets"] = {
        "s": {"Type": "symmetric-key", "Size": 128, "Cert": None, "Private": None, "Public": None},
    }

    secret = accepted(plain).secrets["s"]

    assert (secret.cert, secret.private, secret.public) == (None, None, None)
