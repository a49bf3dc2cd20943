"""The command as users run it: on a separate store, or with a daemon."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Lamina:
    """The command on a store in a temporary directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "lamina", "--root", str(self.root), *args]

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def __call__(self, *args: str, env: dict[str, str] | None = None, stdin: bytes = b"") -> Done:
        done = subprocess.run(
            self.command(*args),
            env={**self.environment(), **(env or {})},
            input=stdin,
            capture_output=True,
            timeout=240,
        )
        return Done(
            done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )

    def build(self, context: Path, *args: str, env: dict[str, str] | None = None) -> str:
        """Build with plain progress. Returns the log. Fails the test if the build fails."""
        done = self("build", "--progress=plain", *args, str(context), env=env)
        assert done.code == 0, done.err
        return done.err


class RemoteLamina(Lamina):
    """The same command, with a daemon at an address."""

    def __init__(self, root: Path, address: str, **environment: str) -> None:
        super().__init__(root)
        self.address = address
        self._environment = environment

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "lamina", *args]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "LAMINA_HOST": self.address, **self._environment}
