"""The people of the demo: each with a key of their own from ``ssh-keygen`` and a clone of their own."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from marbleops.cli.demo.world import Result, World

MANIFEST_PATH = "envs/prod/manifest.json"


def tool(name: str) -> str:
    """Find a program by name.

    Raises:
        FileNotFoundError: it is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is needed; tools/bootstrap names the package")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with a key and a clone."""

    name: str
    world: World
    key: Path
    clone: Path

    @classmethod
    def meet(cls, world: World, name: str) -> Person:
        """Make a key pair with ``ssh-keygen``."""
        home = world.root / name
        home.mkdir()
        key = home / "id_ed25519"
        world.run(
            [tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", f"{name}@example.org", "-f", str(key)]
        )
        return cls(name=name, world=world, key=key, clone=home / "shop")

    @property
    def public_key(self) -> str:
        """The line that goes into the manifest."""
        return self.key.with_suffix(".pub").read_text().strip()

    def join(self, repository: Path) -> None:
        """Clone the repository, set up signing, and install the commit hook with ``marbleops.approve=bumps``."""
        self.world.run([tool("git"), "clone", "-q", str(repository), str(self.clone)])
        settings = {
            "user.name": self.name.capitalize(),
            "user.email": f"{self.name}@example.org",
            "gpg.format": "ssh",
            "user.signingkey": str(self.key),
            "gpg.ssh.allowedSignersFile": str(self.world.allowed_signers),
            "marbleops.approve": "bumps",
            "marbleops.path": MANIFEST_PATH,
        }
        for name, value in settings.items():
            self.git("config", name, value)
        self.marbleops("hooks", "install")

    def git(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> Result:
        """Run git in the clone."""
        return self.world.run([tool("git"), *arguments], cwd=self.clone, codes=codes)

    def marbleops(self, *arguments: str, codes: tuple[int, ...] | None = (0,)) -> Result:
        """Run one of our commands in the clone."""
        return self.world.marbleops(*arguments, cwd=self.clone, codes=codes)

    def pull(self) -> None:
        """Take the branch as the host has it now."""
        self.git("fetch", "-q", "--tags", "--force", "origin")
        self.git("reset", "-q", "--hard", "origin/main")

    def head(self) -> str:
        """Return the commit at the tip of the clone."""
        return self.git("rev-parse", "HEAD").out.strip()

    @property
    def manifest(self) -> Path:
        """The manifest in the work tree."""
        return self.clone / MANIFEST_PATH

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the manifest as a person with an editor would: parse, change, write it back indented."""
        document = json.loads(self.manifest.read_text())
        change(document)
        self.manifest.write_text(json.dumps(document, indent=2) + "\n")

    def commit(self, subject: str, *trailers: str, signed: bool = True) -> str:
        """Commit everything; returns the commit's id. ``trailers`` become the message's last paragraph."""
        self.git("add", "-A")
        sign = ["-S"] if signed else ["--no-gpg-sign"]
        paragraphs = ["-m", subject] + (["-m", "\n".join(trailers)] if trailers else [])
        self.git("commit", "-q", *sign, *paragraphs)
        return self.head()

    def push(self, *refs: str, force: bool = False) -> None:
        """Push to the host."""
        self.git(
            "push", "-q", *(["--force"] if force else []), "origin", *(refs or ("HEAD:refs/heads/main",))
        )
