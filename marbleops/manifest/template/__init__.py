"""The templates of files and environment variables: a strict subset of Go's ``text/template``.

MarbleRun runs Go's whole language; its documents and samples use ``{{ FUNC .PATH }}`` (marblerun-core 5.6,
13.10). Here are also constants, pipelines, parentheses, comments, ``index`` and ``len``. Everything else is
refused when a manifest is set, with its place, its reason and what to write instead (``docs/templates.md``).
"""

from marbleops.manifest.template.constructs import BUILT_INS, FUNCTIONS
from marbleops.manifest.template.dry_run import dry_run, marble_templates
from marbleops.manifest.template.evaluate import render
from marbleops.manifest.template.model import (
    PARTS,
    RESERVED,
    Kind,
    Path,
    Reading,
    Root,
    Target,
    Template,
    TemplateError,
    TemplateValue,
)
from marbleops.manifest.template.parse import parse_template

__all__ = [
    "BUILT_INS",
    "FUNCTIONS",
    "PARTS",
    "RESERVED",
    "Kind",
    "Path",
    "Reading",
    "Root",
    "Target",
    "Template",
    "TemplateError",
    "TemplateValue",
    "dry_run",
    "marble_templates",
    "parse_template",
    "render",
]
