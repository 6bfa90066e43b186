"""A manifest as it will be sent: valid JSON byte for byte, YAML converted (marblerun-api-cli-k8s 2)."""

from __future__ import annotations

import json
import re
from pathlib import Path

from marbleops.cli.errors import UsageProblem
from marbleops.cli.files import read_bytes
from marbleops.cli.output import notices, visible
from marbleops.manifest.digest import Digest
from marbleops.manifest.limits import MAX_MANIFEST_BYTES

_FINGERPRINT = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})", re.ASCII)


def read_manifest(file: Path) -> bytes:
    """Return the bytes to send for *file*.

    Raises:
        UsageProblem: it cannot be read, or is neither JSON nor YAML that means one thing.
    """
    raw = read_bytes(file, limit=MAX_MANIFEST_BYTES)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageProblem("not UTF-8", where=str(file)) from error
    try:
        json.loads(text, parse_constant=_no_constant)
    except RecursionError as error:
        raise UsageProblem("nested too deeply", where=str(file)) from error
    except ValueError as problem:
        return _from_yaml(text, file, problem)
    return raw


def tell_ignored(raw: bytes, file: Path) -> None:
    """Name the fields that a Coordinator would pass over in silence: most of them are misspelt.

    What it would refuse is left to it to say.
    """
    from marbleops.manifest.errors import ManifestError
    from marbleops.manifest.lint import ignored_fields
    from marbleops.manifest.parse import Strictness, parse

    try:
        found = ignored_fields(parse(raw, strictness=Strictness.MARBLERUN))
    except ManifestError:
        return
    for field in found:
        notices().line(f"{file}: {visible(field.path)}: {visible(field.message)}", style="bold yellow")


def expected_digest(text: str) -> Digest:
    """Return the digest that *text* means: 64 hex digits, or the file of a manifest.

    Raises:
        UsageProblem: it is neither.
    """
    match = _FINGERPRINT.fullmatch(text)
    if match is not None and not Path(text).exists():
        return Digest(bytes.fromhex(match.group(1)))
    if not Path(text).is_file():
        raise UsageProblem(
            "neither a manifest file nor a signature",
            where=text[:200],
            next_step="give a file, or the 64 hex digits that marbleops manifest signature FILE prints",
        )
    return Digest.of(read_manifest(Path(text)))


def _from_yaml(text: str, file: Path, problem: ValueError) -> bytes:
    from marbleops.cli.marblerun.strict_yaml import YamlError, yaml_to_json

    if text.lstrip().startswith("{"):
        # As YAML, {"a": 1 "b"} would be a text: a forgotten comma must not change what is meant.
        raise UsageProblem(f"not valid JSON: {problem}", where=str(file))
    try:
        return yaml_to_json(text)
    except YamlError as error:
        raise UsageProblem(f"neither JSON nor strict YAML: {error}", where=str(file)) from error


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")
