"""`lamina config check`, and the sample of a configuration."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lamina.base.errors import InvalidInput, NotFound
from lamina.cli.commands import COMMANDS
from lamina.cli.config_check import check
from lamina.cli.flags import parse

SAMPLE = Path(__file__).parents[2] / "packaging" / "lamina.toml"


def checked(path: Path) -> int:
    return check(parse(COMMANDS["config check"], [str(path)]))


def test_the_sample_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(SAMPLE) == 0
    settings = re.sub(r"^# (?:  )?(?=\[|[a-zA-Z-]+ = )", "", SAMPLE.read_text(), flags=re.MULTILINE)
    assert settings.count("\n[") > 8
    path = tmp_path / "lamina.toml"
    path.write_text(settings)
    assert checked(path) == 0, capsys.readouterr().err
    assert capsys.readouterr().out.endswith(f"{path} is valid\n")


def test_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lamina.toml"
    path.write_text("proxyNetwork = true\n[worker.oci]\nmax-paralelism = 4\n")
    assert checked(path) == 1
    shown = capsys.readouterr()
    assert "unknown key worker.oci.max-paralelism is ignored" in shown.err
    assert "proxyNetwork is not supported" in shown.err
    assert shown.out == f"{path}: 2 problems\n"
    path.write_text("[worker.oci]\nmax-parallelism = 'four'\n")
    with pytest.raises(InvalidInput, match="max-parallelism"):
        checked(path)
    with pytest.raises(NotFound):
        checked(tmp_path / "missing")


def test_the_file_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("")
    monkeypatch.setenv("LAMINA_CONFIG", str(path))
    assert check(parse(COMMANDS["config check"], [])) == 0
