"""What Go's ``text/template`` knows and we refuse: the construct's name, and what to write instead.

A template decides who reads which secret. Without conditions, loops and variables it can be judged by reading
it once, and the approval of a manifest can say exactly what a marble is given (approvals.md section 3).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from marbleops.manifest.position import shown
from marbleops.manifest.template.model import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

FUNCTIONS: Final[Mapping[Target, tuple[str, ...]]] = MappingProxyType(
    {Target.FILE: ("raw", "hex", "base64", "pem"), Target.ENV: ("hex", "base64", "pem", "string")}
)
"""The functions of secrets, by where the text goes (marblerun-core 5.6)."""

BUILT_INS: Final = ("index", "len")

_CONDITION: Final = "there are no conditions: write one text for each kind of marble"
_LOOP: Final = "there are no loops: name every secret"
_NESTED: Final = "there are no nested templates: write the text where it is used"
_VALUE: Final = "write the text itself, and {{ }} only around a secret"
_ESCAPE: Final = "there is no escaping for other languages: write the secret with hex or base64"

_INSTEAD: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("if", "else", "end"), _CONDITION),
        **dict.fromkeys(("and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge"), _CONDITION),
        **dict.fromkeys(("range", "break", "continue"), _LOOP),
        **dict.fromkeys(("define", "template", "block"), _NESTED),
        **dict.fromkeys(("print", "printf", "println"), _VALUE),
        **dict.fromkeys(("html", "js", "urlquery"), _ESCAPE),
        "with": "the dot is not moved: write the whole path, .Secrets.NAME",
        "nil": "nil is no value: write a secret or a constant",
        "call": "there are no functions to call but those of secrets",
        "slice": "parts of a value are not cut out: index gives one byte",
    }
)
_SIGNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "'": "a character constant is not supported: write a text in double quotes or its number",
        "=": "there are no assignments: write the path where it is used",
        ":=": "there are no variables: write the path where it is used",
        "/": "a comment begins right behind the braces: {{/* ... */}}",
        ",": "arguments are parted by blanks, without a comma",
    }
)


def why_not_word(word: str, target: Target) -> str:
    """Say why a word is no function here, and what to write instead."""
    if word in _INSTEAD:
        return f"'{word}' is not supported: {_INSTEAD[word]}"
    place = "a file" if target is Target.FILE else "an environment variable"
    return f'function "{shown(word)}" not defined for {place}: it has {", ".join(known_words(target))}'


def known_words(target: Target) -> tuple[str, ...]:
    """List the functions that a text going to *target* has."""
    return (*FUNCTIONS[target], *BUILT_INS)


def why_not_sign(text: str) -> str:
    """Say why a sign has no place in an action."""
    if text.startswith("$"):
        return f"the variable {shown(text)} is not supported: write the path, .Secrets.NAME"
    return _SIGNS.get(text, f"unexpected {shown(text)!r}")
