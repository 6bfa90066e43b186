"""YAML manifests as the JSON that MarbleRun's command line makes of them, byte for byte, or a refusal.

The fingerprint of a YAML manifest is that of the converted bytes, so two programs must read the same text
alike. Whatever two YAML versions read differently (``yes``, ``010``, ``1:20``, a date) is refused with its
line, and so is what JSON cannot say. Output is Go's: compact, names sorted, ``<``, ``>`` and ``&`` escaped.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

MAX_VALUES = 32_768
MAX_DEPTH = 24
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,19})", re.ASCII)
_MERGE = "tag:yaml.org,2002:merge"
_STRING = "tag:yaml.org,2002:str"
_NULLS, _FLAGS = frozenset({"", "~", "null"}), {"true": True, "false": False}
_AMBIGUOUS = re.compile(
    r"y|n|yes|no|on|off|true|false|null"  # YAML 1.1 has more spellings of these than 1.2
    r"|[-+]?[0-9][0-9_]*(:[0-9_]+)*(\.[0-9_]*)?(e[-+]?[0-9]+)?|[-+]?\.[0-9_]+(e[-+]?[0-9]+)?"  # numbers
    r"|[-+]?0[xob][0-9a-f_]+|[-+]?\.(inf|nan)"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([t ].*)?",  # dates
    re.ASCII | re.IGNORECASE,
)
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class YamlError(ValueError):
    """The text is not YAML that means one thing; the text says where and why."""


def yaml_to_json(text: str) -> bytes:
    """Convert one YAML document.

    Raises:
        YamlError: it is not YAML, holds several documents, names twice, or is ambiguous.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        words = " ".join(part for part in (error.context, error.problem) if part)
        tab = " (YAML indents with blanks, not with tabs)" if "'\\t'" in words else ""
        raise YamlError(f"{place}{words}{tab}") from error
    except yaml.YAMLError as error:
        raise YamlError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise YamlError("nested too deeply") from error
    if root is None:
        raise YamlError("the document is empty")
    if not isinstance(root, yaml.MappingNode):
        raise _problem(root, "a manifest is a mapping of names to values")
    value = _Reader().value(root, depth=0)
    written = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character, escape in _ESCAPES.items():
        written = written.replace(character, escape)  # they occur inside strings only
    try:
        return written.encode()
    except UnicodeEncodeError as error:
        raise YamlError("a lone surrogate is not text") from error


class _Reader:
    """Turns nodes into values, counting them: an alias is read again at every place it stands."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def value(self, node: yaml.Node, *, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise YamlError(f"more than {MAX_VALUES} values, or deeper than {MAX_DEPTH}")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, depth=depth + 1) for child in node.value]
        if not isinstance(node, yaml.ScalarNode):
            raise _problem(node, "not a value of JSON")
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                pairs = self._merged(value, depth)
            else:
                name = _scalar(key) if isinstance(key, yaml.ScalarNode) else None
                if not isinstance(name, str):
                    raise _problem(key, "a name must be text: put it in quotes")
                pairs = [(name, self.value(value, depth=depth + 1))]
            for name, one in pairs:
                if name in found:
                    raise _problem(key, f"{name!r} stands twice")
                found[name] = one
        return found

    def _merged(self, node: yaml.Node, depth: int) -> list[tuple[str, Any]]:
        """Read what ``<<`` brings in; a name that stands twice then is refused, as everywhere."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        pairs: list[tuple[str, Any]] = []
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                raise _problem(source, "only mappings can be merged")
            pairs.extend(self.value(source, depth=depth + 1).items())
        return pairs


def _scalar(node: yaml.ScalarNode) -> Any:
    text = node.value
    if node.style is not None:  # quoted or a block: text, whatever it looks like
        if node.tag != _STRING:
            raise _problem(node, f"the tag {node.tag} has no meaning in a manifest")
        return text
    plain = text in _NULLS or text in _FLAGS or _INTEGER.fullmatch(text) is not None
    if node.tag == _STRING and (plain or _AMBIGUOUS.fullmatch(text) is None):
        return text  # plain and yet text: somebody wrote !!str
    if text in _NULLS:
        return None
    if text in _FLAGS:
        return _FLAGS[text]
    if _INTEGER.fullmatch(text) is not None and text != "-0":
        return int(text)
    raise _problem(node, f"{text[:64]!r} is read differently by different programs: put it in quotes")


def _problem(node: yaml.Node, words: str) -> YamlError:
    mark = node.start_mark
    return YamlError(f"line {mark.line + 1}, column {mark.column + 1}: {words}")
