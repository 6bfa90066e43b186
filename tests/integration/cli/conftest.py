"""A team with real keys, a real clone of the example repository, and a real terminal when one is needed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import pytest

from marbleops.manifest.digest import Digest

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "gitops-repo"
PATH = "envs/prod/manifest.json"
NAMES = ("alice", "bob", "carol", "mallory")
DEPLOYMENT = str(Digest.of(b"a deployment"))
# Runs a command under a terminal of its own; what is on its standard input is typed there.
TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


def clean_environment(home: Path) -> dict[str, str]:
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "LC_ALL": "C.UTF-8",
        "NO_PROXY": "*",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """One person's clone: git and marbleops run here as that person, without a terminal unless typed to."""

    folder: Path
    keys: Path

    @property
    def manifest(self) -> Path:
        return self.folder / PATH

    def run(self, *command: str, codes: tuple[int, ...] = (0,), env: dict[str, str] | None = None) -> Done:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=clean_environment(self.keys) | (env or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,
            timeout=60,
            check=False,
        )
        result = Done(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())
        assert result.code in codes, f"{command}: {result}"
        return result

    def type_to(self, answer: str, *command: str) -> Done:
        """Run *command* at a terminal and type *answer*."""
        done = subprocess.run(
            [sys.executable, "-c", TERMINAL, *command],
            cwd=self.folder,
            env=clean_environment(self.keys),
            input=answer.encode(),
            capture_output=True,
            start_new_session=True,
            timeout=60,
            check=False,
        )
        return Done(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())

    def git(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> Done:
        return self.run("git", *arguments, codes=codes)

    def mo(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> Done:
        return self.run(sys.executable, "-m", "marbleops", *arguments, codes=codes)

    def become(self, name: str) -> None:
        """Sign and commit as *name* from now on."""
        self.git("config", "user.name", name)
        self.git("config", "user.email", f"{name}@example.org")
        self.git("config", "user.signingKey", str(self.keys / name))

    def document(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.manifest.read_text())
        return parsed

    def write(self, document: dict[str, Any]) -> Digest:
        self.manifest.write_text(json.dumps(document, indent=2) + "\n")
        return Digest.of(self.manifest.read_bytes())

    def draft(self, *, greeting: str | None = None, backend: int | None = None) -> Digest:
        """Write the manifest that follows the one in the work tree."""
        document, previous = self.document(), Digest.of(self.manifest.read_bytes())
        section = document["GitOps"]
        section |= {"Version": section["Version"] + 1, "Previous": str(previous), "Deployment": DEPLOYMENT}
        if greeting is not None:
            document["Marbles"]["frontend"]["Parameters"]["Env"]["GREETING"] = greeting
        if backend is not None:
            document["Packages"]["backend"]["SecurityVersion"] = backend
        return self.write(document)

    def commit(self, *arguments: str, subject: str = "change the mesh") -> str:
        """Stage all and commit, signed; return the message that came out."""
        self.git("add", "-A")
        self.git("commit", "-q", "-S", "-m", subject, *arguments)
        return self.message()

    def commit_unseen(self, subject: str) -> None:
        """Commit all with an ordinary subject, as somebody without our hook."""
        self.git("add", "-A")
        self.git("-c", f"core.hooksPath={os.devnull}", "commit", "-q", "-S", "-m", subject)

    def message(self, revision: str = "HEAD") -> str:
        return self.git("log", "-1", "--format=%B", revision).out

    def remember(self) -> Digest:
        """Let the clone know, as a reconciler would, that the manifest in the work tree is enforced."""
        digest = Digest.of(self.manifest.read_bytes())
        folder = self.keys / "state" / "shop"
        folder.mkdir(parents=True, exist_ok=True)
        version = self.document()["GitOps"]["Version"]
        enforced = {"version": version, "digest": str(digest), "deployment": DEPLOYMENT}
        status = {"target": "shop", "outcome": "Enforced", "enforced": enforced}
        (folder / "status.json").write_text(json.dumps(status))
        self.mo("status", "--state-dir", str(folder.parent), "--remember")
        return digest


@pytest.fixture(scope="session")
def team(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with everybody's key."""
    folder = tmp_path_factory.mktemp("keys")
    for name in NAMES:
        file = folder / name
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(file)], check=True
        )
    return folder


@pytest.fixture(scope="session")
def enforced_repository(team: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a repository whose first manifest is committed and remembered as enforced; each test copies it."""
    folder = tmp_path_factory.mktemp("seed") / "shop"
    shutil.copytree(EXAMPLE, folder)
    clone = Clone(folder=folder, keys=team)
    values = {f"{name.upper()}_KEY": (team / f"{name}.pub").read_text().strip() for name in NAMES[:3]}
    values |= {"FRONTEND_SIGNER": "a" * 64, "BACKEND_SIGNER": "b" * 64}
    template = Template((folder / "envs/prod/manifest.template.json").read_text())
    clone.manifest.write_text(template.substitute(values))
    clone.git("init", "-q", "-b", "main")
    clone.git("config", "gpg.format", "ssh")
    clone.become("alice")
    clone.git("add", "-A")
    clone.git("commit", "-q", "-m", "first manifest")
    clone.mo("hooks", "install")
    clone.remember()
    return folder


@pytest.fixture
def clone(team: Path, enforced_repository: Path, tmp_path: Path) -> Clone:
    """Alice's clone, in which version 1 is known to be enforced and the hook is installed."""
    folder = tmp_path / "shop"
    shutil.copytree(enforced_repository, folder, symlinks=True)
    return Clone(folder=folder, keys=team)
