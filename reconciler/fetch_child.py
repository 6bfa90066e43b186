"""What runs in the fetching child: libgit2 talks to a Git host that may be hostile.

libgit2's certificate store, search paths and time-outs belong to the process, and a crash or endless answer
should only ever cost a child (architecture.md, decision 11). Question and answer are JSON, so that a child
that was taken over can say wrong things and nothing more: what it stored is judged by signatures.
"""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.connection
import os
import resource
import shutil
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pygit2
from pygit2.enums import ConfigLevel

from reconciler import limits
from reconciler.proposals import newest_proposals

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchQuestion:
    """Which refs of which repository are wanted in which cache. *prefixes* are of approvals."""

    url: str
    cache: str
    branch: str
    prefixes: tuple[str, ...]
    ca: str | None
    proposals: bool = False

    def encode(self) -> bytes:
        """Write it for the child."""
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchAnswer:
    """What came of it.

    ``failure`` is empty, or one of: unreachable, certificate, authentication, not-found, no-branch,
    unsupported, too-large.
    """

    failure: str
    message: str
    changed: int

    @classmethod
    def decode(cls, raw: bytes) -> FetchAnswer:
        """Read a child's answer.

        Raises:
            ValueError: it is not one.
        """
        match json.loads(raw):
            case {"failure": str(failure), "message": str(message), "changed": int(changed)}:
                return cls(failure=failure, message=message[:1000], changed=changed)
            case _:
                raise ValueError("not an answer")


class _FetchFailedError(Exception):
    def __init__(self, failure: str, message: str) -> None:
        super().__init__(message)
        self.failure = failure


class _Callbacks(pygit2.RemoteCallbacks):
    """Bounds what is received and accepts exactly the certificates libgit2 found valid."""

    def certificate_check(self, certificate: None, valid: bool, host: bytes) -> bool:  # noqa: ARG002, FBT001
        # pygit2's default accepts any SSH host key, even one that contradicts known_hosts (gitops.md 6.2).
        return valid

    def transfer_progress(self, stats: Any) -> None:
        if stats.received_bytes > limits.MAX_FETCH_BYTES:
            raise _FetchFailedError("too-large", f"more than {limits.MAX_FETCH_BYTES} bytes")

    def credentials(self, url: str, username_from_url: str | None, allowed_types: Any) -> Any:  # noqa: ARG002
        raise _FetchFailedError(
            "authentication", "the server asks for credentials; they come with the production reconciler"
        )


def run_child(question: bytes, answer: Connection) -> None:
    """Fetch and send one answer; the entry point of the child process."""
    _die_with_parent()
    _limit()
    try:
        changed = _fetch(FetchQuestion(**json.loads(question)))
        reply = {"failure": "", "message": "", "changed": changed}
    except _FetchFailedError as error:
        reply = {"failure": error.failure, "message": str(error), "changed": 0}
    except Exception as error:  # noqa: BLE001  a process's outermost frame: anything becomes an answer
        reply = {"failure": "unreachable", "message": f"{type(error).__name__}: {error}"[:1000], "changed": 0}
    answer.send_bytes(json.dumps(reply).encode()[:_ANSWER_BYTES])
    answer.close()


def _die_with_parent() -> None:
    """End as soon as the reconciler is gone, however it went: the next one will use the same cache."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def wait() -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="parent-watch").start()


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for kind, value in (
        (resource.RLIMIT_AS, limits.MAX_FETCH_MEMORY),
        (resource.RLIMIT_FSIZE, limits.MAX_FETCH_BYTES),
        (resource.RLIMIT_CPU, int(limits.FETCH_SECONDS) * 2),
    ):
        hard = resource.getrlimit(kind)[1]
        wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (wanted, hard))


def _fetch(question: FetchQuestion) -> int:
    _configure(question.ca)
    cache = Path(question.cache)
    repository, fresh = _open(cache, question.url)
    wanted = _advertised(repository, question)
    try:
        return _update(repository, wanted)
    except pygit2.GitError as error:
        if fresh:
            raise _classified(error) from error
    # The host answered, so our own copy is the suspect: a kill can leave locks, a disk can lose packs.
    shutil.rmtree(cache)
    repository, _ = _open(cache, question.url)
    try:
        return _update(repository, wanted)
    except pygit2.GitError as error:
        raise _classified(error) from error


def _configure(ca: str | None) -> None:
    settings = pygit2.settings
    for level in (ConfigLevel.SYSTEM, ConfigLevel.GLOBAL, ConfigLevel.XDG, ConfigLevel.PROGRAMDATA):
        settings.search_path[level] = ""  # nobody's configuration rewrites URLs or names a proxy
    settings.owner_validation = False  # a mounted repository belongs to somebody else
    settings.server_connect_timeout = limits.CONNECT_MILLISECONDS
    settings.server_timeout = limits.CONNECT_MILLISECONDS
    if ca is not None:
        try:
            settings.set_ssl_cert_locations(ca, None)
        except (pygit2.GitError, OSError) as error:
            raise _FetchFailedError("certificate", f"cannot use {ca}: {error}") from error


def _open(cache: Path, url: str) -> tuple[pygit2.Repository, bool]:
    fresh = False
    try:
        repository = pygit2.Repository(str(cache))
    except pygit2.GitError:
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(mode=0o700, parents=True)
        repository = pygit2.init_repository(str(cache), bare=True)
        fresh = True
    for name, value in (("url", url), ("tagOpt", "--no-tags")):
        key = f"remote.origin.{name}"
        if key not in repository.config or repository.config[key] != value:
            repository.config[key] = value
    return repository, fresh


def _advertised(repository: pygit2.Repository, question: FetchQuestion) -> dict[str, str]:
    """Ask which refs there are, and keep those that are wanted."""
    try:
        heads = repository.remotes["origin"].list_heads(callbacks=_Callbacks())
    except (pygit2.GitError, OSError) as error:
        raise _classified(error) from error
    if len(heads) > limits.MAX_HEADS:
        raise _FetchFailedError("too-large", f"the host advertises more than {limits.MAX_HEADS} refs")
    branch = f"refs/heads/{question.branch}"
    wanted: dict[str, str] = {}
    tags = []
    if question.proposals:
        wanted.update(newest_proposals((str(head.name), str(head.oid)) for head in heads))
    for head in heads:
        name, target = str(head.name), str(head.oid)
        if name == branch:
            wanted[name] = target
        elif name.startswith(tuple(question.prefixes)) and not name.endswith("^{}"):
            tags.append((name, target))
    if branch not in wanted:
        raise _FetchFailedError("no-branch", f"there is no branch {question.branch}")
    wanted.update(sorted(tags, reverse=True)[: limits.MAX_APPROVAL_REFS])
    return wanted


def _update(repository: pygit2.Repository, wanted: dict[str, str]) -> int:
    """Fetch exactly the refs that differ, and forget those that are gone."""
    known = {name: str(repository.references[name].target) for name in repository.references}
    stale = [name for name in known if name not in wanted]
    changed = [name for name, target in wanted.items() if known.get(name) != target]
    if changed:
        specs = [f"+{name}:{name}" for name in changed]
        repository.remotes["origin"].fetch(specs, callbacks=_Callbacks())
    for name in stale:
        repository.references.delete(name)
    return len(changed) + len(stale)


def _classified(error: Exception) -> _FetchFailedError:
    if isinstance(error, _FetchFailedError):
        return error
    text = str(error)
    low = text.lower()
    table = (
        ("certificate", ("certificate",)),
        ("unsupported", ("object format", "refstorage", "unsupported extension")),
        ("authentication", ("authentication", "401", "403", "credentials")),
        ("not-found", ("404", "not a git repository", "could not find repository", "failed to resolve path")),
        ("not-found", ("repository not found", "unsupported url protocol")),
    )
    for failure, words in table:
        if any(word in low for word in words):
            return _FetchFailedError(failure, text)
    return _FetchFailedError("unreachable", text)
