"""1,000 signed commits verified in process, against ``git verify-commit`` over the same objects."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from bench.report import Row
from conformance import gitsmith
from marbleops.approval.signed import verify_object
from marbleops.approval.sshkey import parse_public_key

COMMITS = 1000
SINGLE = 100
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def _commits(key: gitsmith.Key) -> list[bytes]:
    raws: list[bytes] = []
    parents: tuple[str, ...] = ()
    for number in range(COMMITS):
        raw = gitsmith.make_commit(EMPTY_TREE, parents, "bench", f"change {number}\n", key)
        parents = (gitsmith.object_id("commit", raw),)
        raws.append(raw)
    return raws


def _git(repository: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(repository),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }
    done = subprocess.run(
        ["git", *arguments], cwd=repository, env=environment, input=stdin, capture_output=True, check=True
    )
    return done.stdout


def run() -> list[Row]:
    """Measure both over the same 1,000 commits."""
    key = gitsmith.key("bench")
    raws = _commits(key)
    public = parse_public_key(key.public_line("bench"))
    with tempfile.TemporaryDirectory(prefix="mo-bench-") as folder:
        repository = Path(folder)
        _git(repository, "init", "-q")
        (repository / "allowed").write_text(f"bench {key.public_line('bench')}\n")
        _git(repository, "config", "gpg.ssh.allowedSignersFile", str(repository / "allowed"))
        _git(repository, "mktree")
        ids = [
            _git(repository, "hash-object", "-t", "commit", "-w", "--stdin", stdin=raw).decode().strip()
            for raw in raws
        ]

        begin = time.perf_counter()
        for raw in raws:
            verify_object(raw, keys=[public], require_user_presence=False)
        ours = time.perf_counter() - begin

        begin = time.perf_counter()
        _git(repository, "verify-commit", *ids)
        batched = time.perf_counter() - begin

        begin = time.perf_counter()
        for commit in ids[:SINGLE]:
            _git(repository, "verify-commit", commit)
        single = (time.perf_counter() - begin) * COMMITS / SINGLE
    return [
        Row("1,000 signed commits, in process", f"{ours * 1000:.0f} ms", ""),
        Row(
            "  git verify-commit, one call",
            f"{batched * 1000:.0f} ms",
            f"{batched / ours:.0f} x ours (goal 50 x)",
        ),
        Row(
            f"  git verify-commit, a process each (from {SINGLE})",
            f"{single * 1000:.0f} ms",
            f"{single / ours:.0f} x ours",
        ),
    ]
