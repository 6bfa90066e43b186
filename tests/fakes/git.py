"""People with keys made by the real ``ssh-keygen``, and repositories made by the real ``git``.

Every command runs with an environment of its own: no configuration, agent or variable of the machine's user.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marbleops.approval.statement import (
    approval_line,
    approval_statement,
    key_proof_line,
    key_proof_statement,
)
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from pathlib import Path

PATH = "envs/prod/manifest.json"
LINEAGE = "shop-prod"


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody with a signing key."""

    name: str
    key: Path
    public: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Git:
    """Runs git in one folder with a clean environment."""

    folder: Path
    home: Path

    def __call__(self, *arguments: str, stdin: bytes | None = None, env: dict[str, str] | None = None) -> str:
        done = run(["git", *arguments], cwd=self.folder, home=self.home, stdin=stdin, env=env)
        return done.decode().strip()

    def at(self, folder: Path) -> Git:
        """Run in another folder."""
        return Git(folder=folder, home=self.home)


def clean_environment(home: Path) -> dict[str, str]:
    """Make the environment of every command."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
    }


def run(
    command: list[str],
    *,
    cwd: Path,
    home: Path,
    stdin: bytes | None = None,
    env: dict[str, str] | None = None,
) -> bytes:
    """Run a command and return its output; the test fails with its words if it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=clean_environment(home) | (env or {}),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, f"{command}: {done.stderr.decode()}{done.stdout.decode()}"
    return done.stdout


@dataclass(kw_only=True)
class Team:
    """A home folder, people, a bare repository and a clone to work in."""

    home: Path
    people: dict[str, Person]
    bare: Path
    git: Git

    @classmethod
    def make(cls, folder: Path, *names: str) -> Team:
        """Make people and an empty repository below *folder*."""
        home = folder / "home"
        home.mkdir()
        bare, work = folder / "repository.git", folder / "work"
        git = Git(folder=folder, home=home)
        git("init", "-q", "--bare", "-b", "main", str(bare))
        git("init", "-q", "-b", "main", str(work))
        git = git.at(work)
        git("remote", "add", "origin", str(bare))
        for key, value in (
            ("user.name", "nobody"),
            ("user.email", "nobody@example.org"),
            ("gpg.format", "ssh"),
        ):
            git("config", key, value)
        team = cls(home=home, people={}, bare=bare, git=git)
        for name in names:
            team.add(name)
        return team

    def add(self, name: str) -> Person:
        """Give a new person a key."""
        key = self.home / name
        run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)],
            cwd=self.home,
            home=self.home,
        )
        listed = run(["ssh-keygen", "-lf", f"{key}.pub"], cwd=self.home, home=self.home).decode().split()
        public = (self.home / f"{name}.pub").read_text().strip()
        person = Person(name=name, key=key, public=public, fingerprint=listed[1])
        self.people[name] = person
        return person

    def as_person(self, name: str) -> list[str]:
        """Options that make git act, and sign, as *name*."""
        person = self.people[name]
        return [
            "-c", f"user.name={name}", "-c", f"user.email={name}@example.org",
            "-c", f"user.signingkey={person.key}",
        ]  # fmt: skip

    def write(self, raw: bytes, *, path: str = PATH) -> None:
        """Put a file into the work tree and the index."""
        file = self.git.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(raw)
        self.git("add", path)

    def commit(
        self, message: str, *, by: str, approve: bytes | None = None, sign: bool = True, empty: bool = False
    ) -> str:
        """Commit what is staged; with *approve* the message names that manifest."""
        if approve is not None:
            message += "\n\n" + approval_line(Digest.of(approve), by)
        options = ["--allow-empty"] if empty else []
        self.git(*self.as_person(by), "commit", "-q", *options, *(["-S"] if sign else []), "-m", message)
        return self.git("rev-parse", "HEAD")

    def tag(self, raw: bytes, *, by: str, version: int, target: str = "HEAD", push: bool = True) -> str:
        """Approve *raw* by a signed tag."""
        name = f"approve/{LINEAGE}/{version}/{by}"
        line = approval_line(Digest.of(raw), by)
        self.git(*self.as_person(by), "tag", "-s", "-m", f"approve\n\n{line}", name, target)
        if push:
            self.git("push", "-q", "origin", f"refs/tags/{name}")
        return name

    def prove(self, name: str, *, target: str = "HEAD", push: bool = True) -> str:
        """Prove the key of *name* by a signed tag."""
        line = key_proof_line(fingerprint=self.people[name].fingerprint, lineage=LINEAGE, user=name)
        tag = f"approve/{LINEAGE}/keys/{name}"
        self.git(*self.as_person(name), "tag", "-s", "-m", f"key\n\n{line}", tag, target)
        if push:
            self.git("push", "-q", "origin", f"refs/tags/{tag}")
        return tag

    def detached(self, raw: bytes, *, by: str, version: int) -> bytes:
        """Sign the approval statement of *raw* by ``ssh-keygen -Y sign``."""
        statement = approval_statement(lineage=LINEAGE, version=version, digest=Digest.of(raw), user=by)
        return self._sign(statement, by)

    def detached_proof(self, name: str) -> bytes:
        """Sign a key proof by ``ssh-keygen -Y sign``."""
        person = self.people[name]
        return self._sign(
            key_proof_statement(fingerprint=person.fingerprint, lineage=LINEAGE, user=name), name
        )

    def push(self, *refs: str) -> None:
        """Push refs (the branch, if none is given)."""
        self.git("push", "-q", "origin", *(refs or ("HEAD:refs/heads/main",)))

    def _sign(self, statement: bytes, name: str) -> bytes:
        key = str(self.people[name].key)
        command = ["ssh-keygen", "-Y", "sign", "-q", "-n", "manifest-approval@marbleops.v1", "-f", key]
        return run(command, cwd=self.home, home=self.home, stdin=statement)

    def manifest(self, *, version: int = 1, previous: bytes | None = None, **changes: Any) -> bytes:
        """Write a manifest by this team; *changes* replace top-level members, ``GitOps`` ones are merged."""
        gitops: dict[str, Any] = {"Lineage": LINEAGE, "Version": version, "Path": PATH}
        if previous is not None:
            gitops["Previous"] = str(Digest.of(previous))
        document: dict[str, Any] = {
            "Packages": {
                "backend": {"SignerID": "ab" * 32, "ProductID": 15, "SecurityVersion": 1},
                "frontend": {"SignerID": "cd" * 32, "ProductID": 16, "SecurityVersion": 1},
            },
            "Marbles": {
                "backend": {"Package": "backend", "Parameters": {"Env": {"COLOR": "blue"}}},
                "frontend": {"Package": "frontend", "Parameters": {}},
            },
            "Users": {
                person.name: {"SigningKeys": [person.public], "Roles": ["updater", "release"]}
                for person in self.people.values()
                if person.name != "stranger"
            },
            "Roles": {
                "updater": {"ResourceType": "Manifest", "Actions": ["UpdateManifest"]},
                "release": {
                    "ResourceType": "Packages",
                    "ResourceNames": ["backend", "frontend"],
                    "Actions": ["UpdateSecurityVersion"],
                },
            },
            "Config": {"UpdateThreshold": 2},
            "GitOps": gitops | changes.pop("GitOps", {}),
        }
        return json.dumps(document | changes, indent=2).encode() + b"\n"
