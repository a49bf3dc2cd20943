"""The completion scripts in real shells."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import InvalidInput
from lamina.cli.commands import COMMANDS
from lamina.cli.completion import script

if TYPE_CHECKING:
    from pathlib import Path


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "some folder").mkdir()
    (tmp_path / "Dockerfile.test").write_text("")
    return tmp_path


def bash(folder: Path, *words: str) -> list[str]:
    """The completions of bash for the last word."""
    quoted = " ".join(f"'{word}'" for word in words)
    code = (
        f"lamina() {{ echo demo:1; }}\n{script('bash')}\n"
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n"
        "_lamina; printf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return [line for line in done.stdout.split("\n") if line]


@needs("bash")
def test_bash(folder: Path) -> None:
    assert bash(folder, "lamina", "bu") == ["build"]
    assert {name.split()[0] for name in COMMANDS} <= set(bash(folder, "lamina", ""))
    assert bash(folder, "lamina", "imagetools", "") == ["inspect", "create"]
    assert bash(folder, "lamina", "imagetools", "create", "--meta") == ["--metadata-file"]
    assert bash(folder, "lamina", "--builder", "x", "imagetools", "in") == ["inspect"]
    assert bash(folder, "lamina", "du", "--builder", "de") == ["demo:1"]
    assert bash(folder, "lamina", "--root", "/x", "comp") == ["completion"]
    assert bash(folder, "lamina", "build", "--meta") == ["--metadata-file"]
    assert bash(folder, "lamina", "build", "--progress", "pl") == ["plain"]
    assert bash(folder, "lamina", "build", "--progress", "=", "pl") == ["plain"]
    assert bash(folder, "lamina", "build", "--progress", "=") == [
        *("auto", "tty", "plain", "rawjson", "quiet", "none")
    ]
    assert bash(folder, "lamina", "build", "so") == ["some folder"]
    assert bash(folder, "lamina", "build", "-f", "Do") == ["Dockerfile.test"]
    assert bash(folder, "lamina", "rmi", "de") == ["demo:1"]
    assert bash(folder, "lamina", "completion", "") == ["bash", "zsh", "fish"]
    assert bash(folder, "lamina", "build", "-t", "x") == []
    assert bash(folder, "lamina", "cache", "") == ["ls", "export", "import", "rm", "demo:1"]
    assert bash(folder, "lamina", "cache", "ls", "--format", "n") == ["names"]


@needs("bash")
def test_bash_registers_the_function(folder: Path) -> None:
    code = f"{script('bash')}\ncomplete -p lamina"
    done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True)
    assert done.stdout == "complete -F _lamina lamina\n"


@needs("fish")
def test_fish(folder: Path) -> None:
    def offered(line: str) -> list[str]:
        code = f"function lamina; echo demo:1; end\n{script('fish')}\ncomplete -C '{line}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", code], cwd=folder, capture_output=True, text=True
        )
        assert done.stderr == ""
        return [line.partition("\t")[0] for line in done.stdout.splitlines()]

    assert offered("lamina bu") == ["build"]
    assert offered("lamina build --meta") == ["--metadata-file"]
    assert sorted(offered("lamina build --progress ")) == [
        *("auto", "none", "plain", "quiet", "rawjson", "tty")
    ]
    assert offered("lamina rmi de") == ["demo:1"]
    assert sorted(offered("lamina imagetools ")) == ["create", "inspect"]
    assert offered("lamina imagetools create --meta") == ["--metadata-file"]
    assert "--bootstrap" not in offered("lamina imagetools inspect --b")
    assert "--bootstrap" in offered("lamina inspect --b")
    assert offered("lamina use de") == ["demo:1"]
    assert sorted(offered("lamina completion ")) == ["bash", "fish", "zsh"]


@needs("zsh")
def test_zsh(folder: Path) -> None:
    (folder / "script.zsh").write_text(script("zsh"))
    # The line editor is real, in a pseudo-terminal; ^X prints its buffer.
    (folder / "drive.zsh").write_text(
        "zmodload zsh/zpty\n"
        "zpty z 'zsh -f -i'\n"
        'send() { zpty -w -n z "$1" }\n'
        "await() { local more; until [[ $out == *$1* ]]; do zpty -r z more || return 1;"
        " out+=$more; done }\n"
        'out=""\n'
        "zpty -w z 'unset PROMPT_SP; autoload -U compinit; compinit -u -d ./dump;"
        " source ./script.zsh;"
        ' show() { print "<$BUFFER>" > result; BUFFER=""; print done-$((6*7)); }; zle -N show;'
        ' bindkey "^X" show; print ready-$((6*7))\'\n'
        "await ready-42\n"
        "for line in 'lamina bu' 'lamina build --meta' 'lamina build --progress=pl'"
        " 'lamina imagetools cr' 'lamina imagetools create --meta'; do\n"
        "  out=\"\"; send \"$line\"$'\\t'; send $'\\x18'; await done-42; cat result\n"
        "done\n"
        "zpty -d z\n"
    )
    done = subprocess.run(
        ["zsh", "-f", "drive.zsh"], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == (
        "<lamina build >\n<lamina build --metadata-file=>\n<lamina build --progress=plain >\n"
        "<lamina imagetools create >\n<lamina imagetools create --metadata-file=>\n"
    )


def test_another_shell_is_refused() -> None:
    with pytest.raises(InvalidInput, match="csh"):
        script("csh")
