"""Bake definitions in git repositories."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.e2e.test_git import address, git, repository

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commands import Lamina

__all__ = ["address", "repository"]


def test_a_definition_in_a_repository(
    lamina: Lamina, repository: Path, address: str, tmp_path: Path
) -> None:
    (repository / "docker-bake.hcl").write_text(
        'target "default" {\n'
        '  contexts = { inner = "./sub", here = "cwd://." }\n'
        '  dockerfile-inline = "FROM scratch\\nCOPY file /\\nCOPY --from=inner run /inner\\n"\n'
        "}\n"
        'target "sub" {\n  context = "sub"\n  args = { C = BAKE_CMD_CONTEXT }\n}\n'
    )
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "bake")
    done = lamina("bake", "--print", address, "default", "sub")
    assert done.code == 0, done.err
    targets = json.loads(done.out)["target"]
    assert targets["default"]["context"] == address
    assert targets["default"]["contexts"]["inner"] == f"{address}#:sub"
    assert targets["sub"]["context"] == f"{address}#:sub"
    assert targets["sub"]["args"] == {"C": "cwd://"}
    out = tmp_path / "out"
    done = lamina("bake", "--progress=plain", f"--set=*.output={out}", f"{address}#main")
    assert done.code == 0, done.err
    assert (out / "file").read_text() == "one"
    assert (out / "inner").read_text() == "two"
    done = lamina("bake", "--print", "-f", "missing.hcl", address)
    assert done.code == 1
    assert "there is no missing.hcl in" in done.err
