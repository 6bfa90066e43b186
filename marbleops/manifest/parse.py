"""From bytes to a ``Manifest``, or to everything that is wrong with them.

Refuses what is not the manifest's shape; ``check`` refuses what contradicts itself. Ruled by decisions 6 and
7 of the architecture, marblerun-core 0.1 (Go's JSON rules, for ``Strictness.MARBLERUN``) and approvals.md
section 1 (for ``Strictness.STRICT``). The bytes are kept as they came; nothing is ever written back.
"""

from __future__ import annotations

import json
import math
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn

from marbleops.manifest.build import build
from marbleops.manifest.check import check
from marbleops.manifest.digest import Digest
from marbleops.manifest.errors import Issue, IssueCode, ManifestError
from marbleops.manifest.issues import Issues
from marbleops.manifest.limits import MAX_INTEGER_DIGITS, MAX_MANIFEST_BYTES
from marbleops.manifest.position import (
    JsonPath,
    OverBoundError,
    ScanError,
    check_bounds,
    decode_text,
    fold,
    line_column,
    scan,
    shown,
)
from marbleops.manifest.shape import check_shape, fold_names

if TYPE_CHECKING:
    from marbleops.manifest.model import Manifest


class Strictness(StrEnum):
    """How the manifest's JSON is read."""

    MARBLERUN = "marblerun"
    """As a MarbleRun Coordinator: names in any case, unknown fields ignored, ``null`` is the zero value."""
    STRICT = "strict"
    """Exact names, nothing unknown, plain integer literals. A manifest under GitOps is always read so."""


def load(raw: bytes, *, strictness: Strictness) -> Manifest:
    """Parse and check a manifest.

    Raises:
        ManifestError: the shape is wrong, or a rule across fields is broken.
    """
    manifest = parse(raw, strictness=strictness)
    check(manifest)
    return manifest


def parse(raw: bytes, *, strictness: Strictness) -> Manifest:
    """Parse a manifest's shape.

    One that names ``GitOps`` or a user's ``SigningKeys``, in any case, is read strictly whatever is asked.

    Raises:
        ManifestError: too large, not JSON, a name twice, an unknown name (strict), a wrong type or value.
    """
    if len(raw) > MAX_MANIFEST_BYTES:
        message = f"the manifest has {len(raw)} bytes, at most {MAX_MANIFEST_BYTES} are allowed"
        raise ManifestError((Issue(code=IssueCode.TOO_LARGE, path="", message=message),))
    text, foreign = decode_text(raw)
    document, repeated = _read_json(text)
    issues = Issues(text)
    strict = strictness is Strictness.STRICT or _is_gitops(document)
    if repeated:
        _tell_duplicates(issues)
    if strict and foreign is not None:
        issues.add_at(IssueCode.MALFORMED, (), "the bytes are not UTF-8", line_column(text, foreign))
    document = _clean(document, (), issues, strict=strict)
    if document is None and not strict:
        document = {}
    if not isinstance(document, dict):
        issues.malformed((), "a manifest is a JSON object", expected="an object")
        issues.raise_if_any()
    if not strict:
        document = fold_names(document, issues)
    check_shape(document, issues, strict=strict)
    issues.raise_if_any()
    manifest = build(document, raw=raw, digest=Digest.of(raw), issues=issues)
    issues.raise_if_any()
    return manifest


def _read_json(text: str) -> tuple[Any, bool]:
    """Read the text within the bounds; the flag says that some object holds a name twice."""
    repeated = False

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        made = dict(pairs)
        repeated = repeated or len(made) != len(pairs)
        return made

    try:
        check_bounds(text)
        document = json.loads(
            text,
            object_pairs_hook=members,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=float,
        )
    except ScanError as error:
        code = IssueCode.TOO_LARGE if isinstance(error, OverBoundError) else IssueCode.MALFORMED
        raise _not_json(code, error, text) from error
    except (_ConstantError, json.JSONDecodeError) as error:
        # Our own scanner explains: the same words for every version of Python.
        raise _not_json(IssueCode.MALFORMED, _first_fault(text), text) from error
    return document, repeated


class _ConstantError(Exception):
    """NaN or an infinity, which Python's parser takes and JSON does not know."""


def _refuse_constant(name: str) -> NoReturn:
    raise _ConstantError(name)


def _first_fault(text: str) -> ScanError:
    try:
        scan(text)
    except ScanError as error:
        return error
    return ScanError("not JSON", 0)


def _integer(literal: str) -> int | float:
    """Read an integer literal; one that fits no field becomes an infinity, and ``-0`` a float as for Go."""
    if len(literal) > MAX_INTEGER_DIGITS + 1:
        return math.inf
    return -0.0 if literal == "-0" else int(literal)


def _not_json(code: IssueCode, fault: ScanError, text: str) -> ManifestError:
    line, column = line_column(text, fault.offset)
    message = fault.message if code is IssueCode.TOO_LARGE else f"not JSON: {fault.message}"
    return ManifestError((Issue(code=code, path="", message=message, line=line, column=column),))


def _is_gitops(document: Any) -> bool:
    """Whether the manifest puts itself under the strict rules, in whatever case it says so."""
    if not isinstance(document, dict):
        return False
    if any(fold(name) == "gitops" for name in document):
        return True
    for name, users in document.items():
        if fold(name) == "users" and isinstance(users, dict):
            members = (user for user in users.values() if isinstance(user, dict))
            if any(fold(member) == "signingkeys" for user in members for member in user):
                return True
    return False


def _tell_duplicates(issues: Issues) -> None:
    positions = issues.positions()
    if positions is None or not positions.duplicates:
        issues.malformed((), "a name stands twice in one object")
        return
    for duplicate in positions.duplicates:
        name = shown(str(duplicate.path[-1]))
        place = positions.at(duplicate.offset)
        issues.add_at(IssueCode.MALFORMED, duplicate.path, f"the name '{name}' stands twice", place)


def _clean(value: Any, path: JsonPath, issues: Issues, *, strict: bool) -> Any:
    """Refuse or replace what JSON can say and a manifest cannot: odd numbers, lone surrogates."""
    if isinstance(value, dict):
        return {
            _clean_text(name, (*path, name), issues, strict=strict): _clean(
                member, (*path, name), issues, strict=strict
            )
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [_clean(item, (*path, index), issues, strict=strict) for index, item in enumerate(value)]
    if isinstance(value, str):
        return _clean_text(value, path, issues, strict=strict)
    if isinstance(value, float):
        if not math.isfinite(value):
            issues.malformed(path, "the number is out of range")
        elif strict:
            issues.malformed(path, "numbers are plain integer literals, without sign, fraction or exponent")
        return 0 if strict or not math.isfinite(value) else value
    return value


def _clean_text(text: str, path: JsonPath, issues: Issues, *, strict: bool) -> str:
    """Go reads a lone surrogate as U+FFFD (marblerun-core 0.1); strictly it is no text at all."""
    if text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    if strict:
        issues.malformed(path, "a lone surrogate is not text")
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
