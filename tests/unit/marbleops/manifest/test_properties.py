"""Properties: whatever comes in, the answers stay in bounds and agree with each other."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from marbleops.manifest.diff import EditKind, diff
from marbleops.manifest.errors import ManifestError
from marbleops.manifest.lint import lint
from marbleops.manifest.parse import Strictness, load
from marbleops.manifest.position import ScanError, line_column, position_of, scan
from marbleops.manifest.schema import MANIFEST_SCHEMA, load_schema
from marbleops.manifest.template import (
    Target,
    TemplateError,
    TemplateValue,
    dry_run,
    parse_template,
    render,
)

_SCHEMA = load_schema(MANIFEST_SCHEMA)
_NAMES = sorted(
    {name for part in (_SCHEMA, *_SCHEMA["$defs"].values()) for name in part.get("properties", {})}
    | {"gitops", "signingkeys", "PACKAGES", "x"}
)
_PIECES = (
    *(
        b"{{",
        b"}}",
        b"{{- ",
        b" -}}",
        b" ",
        b"-",
        b"\n",
        b"|",
        b"(",
        b")",
        b"/*",
        b"*/",
        b"\xff",
        b"0x",
        b"1_",
    ),
    *(b"hex ", b"len ", b"index ", b".Secrets", b".a", b".Cert", b".MarbleRun", b'"a"', b"`", b"\\", b"if"),
)
_MODEST = settings(max_examples=20, deadline=None)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
)
names = st.sampled_from(_NAMES) | st.text(max_size=4)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(names, documents, max_size=5)
strictness = st.sampled_from(Strictness)


def refusal(raw: bytes, level: Strictness) -> ManifestError | None:
    """Return why a manifest is refused, or ``None``; anything else that is raised escapes."""
    try:
        dry_run(load(raw, strictness=level))
    except ManifestError as error:
        return error
    return None


def survives(raw: bytes, level: Strictness) -> None:
    """Parse; a refusal has issues with places, an accepted manifest its bytes and advice."""
    error = refusal(raw, level)
    if error is None:
        manifest = load(raw, strictness=level)
        assert manifest.raw == raw
        lint(manifest)
        return
    assert error.issues
    assert all(issue.line is None or (issue.line >= 1 <= (issue.column or 0)) for issue in error.issues)
    assert all(issue.message.isprintable() for issue in error.issues)


@_MODEST
@given(st.binary(max_size=60), strictness)
def test_any_bytes(raw: bytes, level: Strictness) -> None:
    """Bytes never raise anything but ManifestError."""
    survives(raw, level)


@_MODEST
@given(objects, strictness)
def test_any_document(document: Any, level: Strictness) -> None:
    """JSON of the right names and the wrong content never raises anything but ManifestError."""
    survives(json.dumps(document).encode(), level)


@_MODEST
@given(documents, st.booleans())
def test_scanner_agrees_with_the_parser(document: Any, indented: bool) -> None:
    """At each path's place stands exactly the value of that path."""
    text = json.dumps(document, indent=1 if indented else None, ensure_ascii=False)
    raw = text.encode("utf-8", "surrogatepass")
    starts = {line_column(text, offset): offset for offset in range(len(text) + 1)}

    def walk(value: Any, path: tuple[str | int, ...]) -> None:
        place = position_of(raw, path)
        assert place is not None
        found, _ = json.JSONDecoder().raw_decode(text, starts[place])
        assert found == value
        steps = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for step, inner in steps:
            walk(inner, (*path, step))

    walk(json.loads(text), ())


@_MODEST
@given(st.text(alphabet='{}[]",:\\u0019.eE+-trufalsn \n\t\ufeff', max_size=14))
def test_scanner_accepts_what_the_parser_accepts(text: str) -> None:
    """Both take exactly the same texts for JSON."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        json.loads(text, parse_constant=refuse)
        accepted = True
    except ValueError:
        accepted = False
    try:
        scan(text)
        scanned = True
    except ScanError:
        scanned = False

    assert scanned == accepted


@_MODEST
@given(objects)
def test_nothing_differs_from_itself(document: dict[str, Any]) -> None:
    """A document does not differ from its copy, whatever the order of members."""
    reordered = dict(reversed(list(copy.deepcopy(document).items())))

    assert diff(document, document) == ()
    assert diff(document, reordered) == ()


@_MODEST
@given(objects, objects)
def test_diff_is_complete(old: dict[str, Any], new: dict[str, Any]) -> None:
    """No edits mean equal documents; the edits applied to the old one give the new one."""
    old.pop("$schema", None)
    new.pop("$schema", None)
    edits = diff(old, new)

    assert (edits == ()) == (json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True))
    assert list(edits) == sorted(edits, key=lambda e: [(isinstance(s, str), s) for s in e.path])
    patched = copy.deepcopy(old)
    for edit in reversed(edits):  # from the end, so that indexes stay right
        target: Any = patched
        for step in edit.path[:-1]:
            target = target[step]
        if edit.kind is EditKind.REMOVE:
            del target[edit.path[-1]]
        elif isinstance(target, list) and edit.kind is EditKind.ADD:
            target.insert(len(old_list(old, edit.path[:-1])), edit.new)
        else:
            target[edit.path[-1]] = edit.new
    assert json.dumps(patched, sort_keys=True) == json.dumps(new, sort_keys=True)


def old_list(document: Any, path: tuple[str | int, ...]) -> list[Any]:
    """Return the list at *path* as it was, whose end is where additions go in reverse order."""
    for step in path:
        document = document[step]
    assert isinstance(document, list)
    return document


@_MODEST
@given(objects.filter(bool), st.randoms(), strictness)
def test_duplicates_are_always_refused(document: dict[str, Any], random: Any, level: Strictness) -> None:
    """Whatever name is repeated, the manifest is refused."""
    name = json.dumps(random.choice(sorted(document)))
    text = f"{json.dumps(document)[:-1]}, {name}: {{}}}}"

    error = refusal(text.encode(), level)

    assert error is not None
    messages = [issue.message for issue in error.issues]
    assert any("twice" in message for message in messages)


@_MODEST
@given(
    st.lists(st.sampled_from(_PIECES), max_size=9) | st.lists(st.binary(max_size=3), max_size=9),
    st.sampled_from(Target),
)
def test_any_template(pieces: list[bytes], target: Target) -> None:
    """A template parses or is refused with a place inside it; one without braces is written as it is."""
    text = b"".join(pieces)
    try:
        template = parse_template(text, target=target)
    except TemplateError as caught:
        error = caught
    else:
        assert all(reading.path.name for reading in template.readings())
        if b"{{" not in text:
            assert render(template, lambda _: TemplateValue()) == text
        return
    assert b"{{" in text
    assert 1 <= error.line <= text.count(b"\n") + 1
