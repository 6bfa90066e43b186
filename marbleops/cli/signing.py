"""Make the signed tags that carry statements, and check that what Git made will count.

A tag is made by ``git tag -s`` with the person's own signing set-up and then read back and judged by the same
code as in the enclave: a signature of the wrong key or format is found here, not after the push.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from marbleops.cli.errors import CommandError, UsageProblem
from marbleops.cli.exits import Exit

if TYPE_CHECKING:
    from marbleops.cli.git import Repository
    from marbleops.cli.keys import SigningKey


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRequest:
    """A statement to be carried by a signed tag. ``line`` is the statement and ends the message."""

    name: str
    commit: str
    subject: str
    line: str

    @property
    def message(self) -> bytes:
        """The whole message: a subject, and the one statement as the last paragraph."""
        return f"{self.subject}\n\n{self.line}\n".encode()


def make_tag(repository: Repository, request: TagRequest, key: SigningKey, *, replace: bool) -> str:
    """Make and check the signed tag; return the id of the tag object. A tag that says the same is kept.

    Raises:
        UsageProblem: a tag of this name says something else and *replace* is not set, or Git cannot sign.
        CommandError: the signature would not count; the ref is put back as it was.
    """
    ref = f"refs/tags/{request.name}"
    existing = repository.object_at(ref)
    if existing is not None:
        if _says(repository, existing, request, key):
            return existing
        if not replace:
            raise UsageProblem(
                "a tag of this name exists and says something else", where=ref, next_step="add --replace"
            )
    force = ("--force",) if existing is not None else ()
    repository.raw(
        "tag",
        "--sign",
        "--cleanup=verbatim",
        "--file=-",
        *force,
        "--",
        request.name,
        request.commit,
        config=key.git_config(),
        stdin=request.message,
        interactive=True,
    )
    made = repository.object_at(ref)
    if made is None or not _says(repository, made, request, key):
        # Whatever stood there before stays: it may be a good approval.
        repository.raw("update-ref", *((ref, existing) if existing is not None else ("-d", ref)))
        raise CommandError(
            f"Git made a tag that would not count: no good signature by {key.public.fingerprint}",
            exit_code=Exit.REFUSED,
            where=ref,
            next_step="marbleops approve --key FILE",
        )
    return made


def push_tag(repository: Repository, remote: str, name: str, *, replace: bool) -> None:
    """Push one tag to *remote*.

    Raises:
        UsageProblem: the remote's name looks like an option, or Git fails.
    """
    if remote.startswith("-"):
        raise UsageProblem("not a usable remote", where=remote)
    refspec = f"refs/tags/{name}:refs/tags/{name}"
    repository.raw("push", "--quiet", "--", remote, f"+{refspec}" if replace else refspec, interactive=True)


def _says(repository: Repository, object_id: str, request: TagRequest, key: SigningKey) -> bool:
    """Tell whether the tag object makes exactly this statement with a good signature by *key*."""
    from marbleops.approval import sshsig
    from marbleops.approval.errors import EvidenceError
    from marbleops.approval.gitobject import parse_tag

    if repository.text("cat-file", "-t", object_id) != "tag":
        return False
    try:
        tag = parse_tag(repository.raw("cat-file", "tag", object_id))
        if tag.armor is None or tag.message.rstrip("\n").split("\n")[-1] != request.line:
            return False
        sshsig.verify(
            sshsig.parse_armor(tag.armor),
            message=tag.payload,
            key=key.public,
            namespace=sshsig.NAMESPACE_GIT,
            require_user_presence=False,
        )
    except EvidenceError:
        return False
    return True
