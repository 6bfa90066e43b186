"""The bounds of a manifest, in one place. What is over a bound is refused before it costs anything."""

from __future__ import annotations

from typing import Final

MAX_MANIFEST_BYTES: Final = 1024 * 1024
"""approvals.md section 2: a manifest has at most 1 MiB."""

MAX_DEPTH: Final = 24
"""Nesting. The deepest field of the schema lies 9 levels down; the rest is room for ignored fields."""

MAX_VALUES: Final = 32_768
"""Values and names together: bounds the time of validation and the memory of the position index."""

MAX_INTEGER_DIGITS: Final = 20
"""No field is wider than 64 bits; longer literals are out of range everywhere."""

MAX_ISSUES: Final = 64
"""Issues that are told in one answer; more of them would help nobody."""

MAX_COLLECTED: Final = 1024
"""Issues that are looked for at all."""

MAX_HINTS: Final = 64
"""Names for which a similar one is looked for in one text: comparing is far dearer than refusing."""

MAX_CANDIDATES: Final = 512
"""Names among which a similar one is looked for; among more of them nothing is suggested."""

MAX_SHOWN: Final = 80
"""Characters of a foreign name that are repeated in a message."""

MAX_SECURITY_VERSION: Final = 65_535
"""ISVSVN and ISVPRODID have 16 bits (approvals.md section 1)."""

MAX_TEMPLATE_BYTES: Final = MAX_MANIFEST_BYTES
"""A template stands in a manifest; encodings only make it shorter."""

MAX_TEMPLATE_ACTIONS: Final = 4_096
"""Actions in one template: bounds the time of reading it."""

MAX_MANIFEST_ACTIONS: Final = 8_192
"""Actions in all templates of a manifest: bounds the time of trying them out to about a second."""

MAX_ACTION_TOKENS: Final = 64
"""Words, signs and blanks in one action; the longest that means something has some twenty."""

MAX_TEMPLATE_DEPTH: Final = 8
"""Parentheses inside parentheses. Nothing that has a meaning nests more than three deep."""

MAX_RENDERED_BYTES: Final = 4 * 1024 * 1024
"""One file or variable, written out. A marble's gRPC client takes no message of more than 4 MiB."""

MAX_CACHED_TEMPLATE_BYTES: Final = 64 * 1024
"""Longer templates are read again for each marble instead of being remembered."""
