"""What to do about a Coordinator's refusal: its words stay as they are, the next command is ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marbleops.cli.errors import CommandError
from marbleops.cli.exits import Exit

if TYPE_CHECKING:
    from marbleops.wire.envelope import CoordinatorError
    from marbleops.wire.marblerun.session import Session

RECOVERY, WAITING, SERVING = 1, 2, 3
"""The states of marblerun-api-cli-k8s 1.5."""

_BY_WORDS = (
    ("update already in progress", "marbleops manifest update get HOST"),
    (
        "does not match the pending manifest",
        "marbleops manifest update get HOST -o pending.json; read it, and acknowledge that file",
    ),
    (
        "is not allowed to read",
        "the user needs a role with ReadSecret for each; do all of them exist?",
    ),
    ("is not allowed to update secret", "the user needs a role in the manifest with WriteSecret for it"),
    (
        "is not allowed to update one or more packages",
        "the user needs a role with UpdateSecurityVersion for each; do all of them exist?",
    ),
    ("is not writeable", "only secrets with UserDefined are uploaded; the Coordinator makes the others"),
    (
        "no matching recovery public key",
        "a secret was not signed by its recovery key: that holder sends again; the others are kept",
    ),
    (
        "invalid secret length",
        "give the secret of the manifest in force: an update that changes recovery keys gives new ones",
    ),
    (
        "invalid or already used secret",
        "what was uploaded before still counts; go on with the next holder",
    ),
    (
        "failed to decrypt recovery secret",
        "encrypt it for this instance: marbleops recover-with-signature public-key HOST gives its key",
    ),
)
_BY_STATE = {
    RECOVERY: (
        "it waits for recovery: marbleops recover SECRET HOST --key KEY. Do not set a manifest: it would "
        "replace the state that waits"
    ),
    WAITING: "no manifest is set yet: marbleops manifest set FILE HOST",
    SERVING: (
        "it runs, with a manifest in force; nothing is to be recovered. marbleops manifest update apply FILE "
        "HOST changes the manifest"
    ),
}
_WRONG_STATE = ("server is not in expected state", "requested value not set")


def refused(error: CoordinatorError, host: str, session: Session) -> CommandError:
    """Return *error* with what to do about it; the state is asked for where the words leave it open."""
    message = str(error)
    if error.http == 405:
        message, step = "this Coordinator does not know the call", "it needs MarbleRun's REST API version 2"
    elif error.http == 401:
        step = "give the certificate and key of a user in the manifest; it must be that one byte for byte"
    elif any(words in message for words in _WRONG_STATE):
        step = _BY_STATE.get(state_of(session), "marbleops status HOST (says what it waits for)")
    else:
        step = next((step for words, step in _BY_WORDS if words in message), "")
    return CommandError(message, exit_code=Exit.REFUSED, where=host, next_step=step.replace("HOST", host))


def state_of(session: Session) -> int:
    """Return the number of the Coordinator's state, 0 where it does not tell."""
    from marbleops.wire.connection import CoordinatorUnreachable
    from marbleops.wire.envelope import CoordinatorError
    from marbleops.wire.marblerun.manifests import get_status

    try:
        return get_status(session).code
    except (CoordinatorUnreachable, CoordinatorError):
        return 0
