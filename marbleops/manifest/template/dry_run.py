"""Try every template out when a manifest is set, so that no marble meets its fault (marblerun-core 1.10)."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from marbleops.manifest.errors import IssueCode
from marbleops.manifest.issues import Issues
from marbleops.manifest.limits import MAX_MANIFEST_ACTIONS
from marbleops.manifest.model import Secret
from marbleops.manifest.position import JsonPath, decode_text, shown
from marbleops.manifest.template.evaluate import render
from marbleops.manifest.template.lexer import OPEN
from marbleops.manifest.template.model import (
    RESERVED,
    Kind,
    Path,
    Root,
    Target,
    Template,
    TemplateError,
    TemplateValue,
)
from marbleops.manifest.template.parse import parse_template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from marbleops.manifest.model import File, Manifest, Marble

_DUMMY: Final = b"\x41"
_MAX_DUMMY: Final = 8_160
"""What HKDF gives at most; a longer key is tried out with its first bytes."""


def dry_run(manifest: Manifest, *, values: Mapping[str, TemplateValue] | None = None) -> None:
    """Parse every template of *manifest* and render it with dummies, or with *values* where there are some.

    Raises:
        ManifestError: a template is refused, reads a secret that is not there or a part it does not have, or
            an environment variable holds a NUL byte.
    """
    issues = Issues(decode_text(manifest.raw)[0])
    _check_amount(manifest, issues)
    secrets = _secrets(manifest, values or {})
    for name, marble in manifest.marbles.items():
        marble_words = f"in Marble {shown(name)}"
        for path, words, entry, target in _entries(name, marble):
            if target is Target.ENV and b"\0" in entry.data:
                place = f"env variable: {shown(str(path[-1]))}"
                issues.invalid(path, f"{marble_words}: {place}: content contains null bytes")
            elif not entry.no_templates:
                try:
                    _try_out(parse_template(entry.data, target=target), secrets)
                except TemplateError as error:
                    wrong = error.mistaken
                    hint = None if wrong is None else issues.nearest(wrong.name, wrong.known)
                    issues.invalid(path, f"{marble_words}: {words}: {error}", hint=hint)
                except _UnknownSecretError as error:
                    message = f"{marble_words}: {words}: secret does not exist: {shown(error.name)}"
                    issues.invalid(path, message, hint=issues.nearest(error.name, manifest.secrets))
    issues.raise_if_any()


def marble_templates(marble: Marble) -> tuple[Template, ...]:
    """Parse every template of one marble, files first.

    Raises:
        TemplateError: one of them is refused (``dry_run`` has said so when the manifest was set).
    """
    return tuple(
        parse_template(entry.data, target=target)
        for _, _, entry, target in _entries("", marble)
        if not entry.no_templates
    )


def _check_amount(manifest: Manifest, issues: Issues) -> None:
    """Count the braces before anything is read: many small templates cost as much as a large one."""
    actions = sum(
        entry.data.count(OPEN)
        for marble in manifest.marbles.values()
        for _, _, entry, _ in _entries("", marble)
        if not entry.no_templates
    )
    if actions > MAX_MANIFEST_ACTIONS:
        message = f"the templates have {actions} actions together, at most {MAX_MANIFEST_ACTIONS} are allowed"
        issues.add(IssueCode.TOO_LARGE, ("Marbles",), message)
        issues.raise_if_any()


class _UnknownSecretError(Exception):
    """A template reads a secret that the manifest does not define."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _entries(name: str, marble: Marble) -> Iterator[tuple[JsonPath, str, File, Target]]:
    path = ("Marbles", name, "Parameters")
    for key, entry in marble.parameters.files.items():
        yield (*path, "Files", key), f"file {shown(key)}", entry, Target.FILE
    for key, entry in marble.parameters.env.items():
        yield (*path, "Env", key), f"env variable {shown(key)}", entry, Target.ENV


def _try_out(template: Template, secrets: Mapping[str, TemplateValue]) -> None:
    def value(path: Path) -> TemplateValue:
        if path.root is Root.MARBLERUN:
            return _RESERVED_VALUES[path.name]
        if path.name not in secrets:
            raise _UnknownSecretError(path.name)
        return secrets[path.name]

    render(template, value)


def _secrets(manifest: Manifest, values: Mapping[str, TemplateValue]) -> dict[str, TemplateValue]:
    return {
        name: replace(values[name], definition=definition) if name in values else _dummy(definition)
        for name, definition in manifest.secrets.items()
    }


def _dummy(secret: Secret) -> TemplateValue:
    """Stand in for a secret: a user-defined one has every part, a generated key its length."""
    if secret.user_defined or secret.type.startswith("cert-"):
        return TemplateValue(type=secret.type, cert=_DUMMY, public=_DUMMY, private=_DUMMY, definition=secret)
    key = _DUMMY * max(1, min(secret.size // 8, _MAX_DUMMY))
    return TemplateValue(type=secret.type, public=key, private=key, definition=secret)


def _reserved(parts: frozenset[Kind]) -> TemplateValue:
    return TemplateValue(
        cert=_DUMMY if Kind.CERTIFICATE in parts else b"",
        public=_DUMMY if Kind.PUBLIC in parts else b"",
        private=_DUMMY if Kind.PRIVATE in parts else b"",
        definition=Secret(type=""),
    )


_RESERVED_VALUES: Final[Mapping[str, TemplateValue]] = MappingProxyType(
    {name: _reserved(parts) for name, parts in RESERVED.items()}
)
