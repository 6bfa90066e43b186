"""The page of ``attest explain --html``: one file, no scripts, nothing loaded from anywhere.

Evidence is foreign: all that is shown of it is escaped, and the policy of the page allows nothing but its own
style sheet, which is named by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from typing import TYPE_CHECKING, Final

from marbleops.attestation.explain.codes import CODES
from marbleops.attestation.explain.ladder import to_the_top
from marbleops.attestation.explain.statuses import MEANINGS
from marbleops.attestation.verdict import INSECURE_SIMULATION, TcbStatus
from marbleops.cli.output import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from marbleops.attestation.explain.dates import Dated
    from marbleops.attestation.explain.explanation import Explanation
    from marbleops.attestation.explain.ladder import Rung
    from marbleops.attestation.explain.nearest import Nearest
    from marbleops.attestation.verdict import Verdict

_STYLE: Final = """
:root{color-scheme:light dark;
--ink:#1b1f24;--paper:#fff;--line:#d0d7de;--good:#116329;--bad:#a40e26;--warn:#7d4e00;
--soft:#f6f8fa;--note:#57606a}
@media (prefers-color-scheme:dark){:root{
--ink:#e6edf3;--paper:#0d1117;--line:#30363d;--good:#56d364;
--bad:#ff7b72;--warn:#e3b341;--soft:#161b22;--note:#9198a1}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:62rem;
margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
.verdict{border:2px solid;border-radius:.5rem;padding:.75rem 1rem}
.good{color:var(--good)}.bad{color:var(--bad)}.note{color:var(--note)}
.warn{color:var(--warn)}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.25rem .5rem;border-bottom:1px solid var(--line)}
td,code,pre{overflow-wrap:anywhere}code,pre{font:.875rem/1.4 ui-monospace,monospace}
pre{background:var(--soft);padding:.75rem;white-space:pre-wrap}
ol.chain{list-style:none;padding:0}ol.chain li{border-left:4px solid;padding:.25rem .75rem;margin:.25rem 0}
ol.ladder{list-style:none;padding:0 0 0 1rem;border-left:4px double var(--line);
border-right:4px double var(--line)}
ol.ladder li{border-bottom:2px solid var(--line);padding:.25rem .5rem}
ol.ladder li.here{background:var(--soft);font-weight:600}
"""
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
_CURRENT: Final = (None, TcbStatus.UP_TO_DATE, TcbStatus.SW_HARDENING_NEEDED)
_WORDS: Final = {True: ('<span class="good">✔ yes</span>'), False: ('<span class="bad">✗ no</span>')}


def render(page: Explanation, *, title: str) -> str:
    """Return the whole page."""
    parts = (
        _verdict(page.verdict, page.unreadable),
        _rows(page),
        _chain("Certificates", page.certificates, page.at),
        _chain("Collateral", page.documents, page.at),
        *(_ladder(ladder) for ladder in page.ladders),
        _nearest(page.nearest),
        _checks(page.verdict),
    )
    name = _text(title)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>Evidence: {name}</title>\n<style>{_STYLE}</style></head>\n<body>\n"
        f'<h1>Evidence: {name}</h1>\n<p class="note">{_text(page.form)}, '
        f"judged as of {_text(page.at.isoformat())}</p>\n" + "\n".join(part for part in parts if part)
    ) + "\n</body></html>\n"


def _text(value: str) -> str:
    return html.escape(visible(value), quote=True)


def _verdict(verdict: Verdict | None, unreadable: str) -> str:
    if verdict is None:
        why = f" It cannot be decoded: {_text(unreadable)}" if unreadable else ""
        return f'<p class="verdict note">Nothing was verified: this page proves nothing.{why}</p>'
    about = CODES[verdict.code]
    simulated = verdict.trust_domain == INSECURE_SIMULATION
    banner = '<p class="bad">SIMULATION: no hardware protects this.</p>' if simulated else ""
    if verdict.accepted:
        status = ""
        if verdict.status is not None:
            status = f", TCB status <b>{_text(verdict.status)}</b>: {_text(MEANINGS[verdict.status])}"
        advisories = f"<br>{_text(', '.join(verdict.advisories))}" if verdict.advisories else ""
        advisories += "".join(f"<br><b>Not checked: {_text(one)}</b>" for one in verdict.not_checked)
        root = _text(verdict.trust_domain)
        kind = "good" if verdict.status in _CURRENT else "warn"
        return (
            f'{banner}<p class="verdict {kind}">✔ verifies under the root of {root}{status}{advisories}</p>'
        )
    return (
        f'{banner}<p class="verdict bad">✗ <b>{_text(verdict.code)}</b>: {_text(verdict.detail)}<br>'
        f"{_text(about.meaning)}<br>To do: {_text(about.to_do)}</p>"
    )


def _rows(page: Explanation) -> str:
    rows = ((_text(row.label), f"<code>{_text(row.value)}</code>") for row in page.rows)
    return _section("What it is", _table(("field", "value"), rows)) if page.rows else ""


def _chain(title: str, listed: Sequence[Dated], at: datetime) -> str:
    if not listed:
        return ""
    items = []
    for one in listed:
        kind, mark = ("good", "✔") if one.current(at) else ("bad", "✗")
        ends = "no end" if one.ends is None else one.ends.date().isoformat()
        life = f"{one.begins.date().isoformat()} to {ends}"
        items.append(
            f'<li class="{kind}">{mark} <b>{_text(one.name)}</b> <span class="note">{_text(one.note)}</span>'
            f"<br>{life}</li>"
        )
    return _section(title, f'<ol class="chain">{"".join(items)}</ol>')


def _ladder(ladder: Sequence[Rung]) -> str:
    items = []
    for rung in ladder:
        kind, mark = ("here", "➜") if rung.stands_here else ("", "✗" if rung.gaps else "·")
        advisories = (
            f'<br><span class="note">{_text(", ".join(rung.advisories))}</span>' if rung.advisories else ""
        )
        missing = (
            f'<br><span class="note">{_text("; ".join(map(str, rung.gaps)))}</span>' if rung.gaps else ""
        )
        here = " (it stands here)" if rung.stands_here else ""
        words = f"{mark} {_text(rung.date)} <b>{_text(rung.status)}</b>{here}"
        items.append(f'<li class="{kind}">{words}{advisories}{missing}</li>')
    gaps = to_the_top(ladder)
    rows = ((_text(gap.component), str(gap.has), str(gap.needs), _text(gap.cure)) for gap in gaps)
    table = _table(("component", "has", "needs", "update"), rows) if gaps else ""
    return _section(f"Levels of the {ladder[0].of}", f'<ol class="ladder">{"".join(items)}</ol>{table}')


def _nearest(closest: Nearest | None) -> str:
    if closest is None:
        return ""
    title = f"Closest package: {closest.package}"
    if closest.admitted:
        return _section(title, '<p class="good">✔ it admits this enclave</p>')
    rows = ((_text(one.name), _text(one.expected), _text(one.found)) for one in closest.differs)
    body = _table(("field", "package asks for", "found"), rows)
    if closest.impossible:
        return _section(title, f"{body}<p>{_text(closest.impossible)}</p>")
    patch = "\n".join(_text(json.dumps(edit.to_json(), ensure_ascii=False)) for edit in closest.edits)
    weakens = "".join(f'<li class="bad">{_text(edit.weakens)}</li>' for edit in closest.edits if edit.weakens)
    words = "<p>The smallest change of the manifest that would admit it, as a JSON Patch. It weakens:</p>"
    return _section(title, f"{body}{words}<ul>{weakens}</ul><pre>{patch}</pre>")


def _checks(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    rows = (
        (
            _WORDS[one.ok],
            _text(one.name),
            f"<code>{_text(one.expected)}</code>",
            f"<code>{_text(one.found)}</code>",
        )
        for one in verdict.checks
    )
    return _section("Every check, in order", _table(("passed", "check", "expected", "found"), rows))


def _section(title: str, body: str) -> str:
    return f"<section><h2>{_text(title)}</h2>{body}</section>"


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out cells that are HTML already."""
    head = "".join(f"<th>{header}</th>" for header in headers)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
