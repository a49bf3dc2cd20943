"""`lamina build --output-on-failure`."""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina

TEXT = """
FROM base
WORKDIR /app
RUN mkdir reports && echo passed > reports/a.xml && echo failed > reports/b.xml \
    && echo other > reports/c.txt && ln -s /etc/hostname reports/link && exit 3
"""


def test_reports_of_a_failed_step(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    out, xml, tar = tmp_path / "out", tmp_path / "xml", tmp_path / "all.tar"
    done = lamina(
        "build",
        f"--output-on-failure=type=local,dest={out},path=/app/reports",
        f"--output-on-failure=type=local,dest={xml},path=/app/reports/*.xml",
        f"--output-on-failure=type=tar,dest={tar}",
        str(context(TEXT)),
    )
    assert done.code == 1
    assert "exit code: 3" in done.err
    assert sorted(os.listdir(out)) == ["a.xml", "b.xml", "c.txt", "link"]
    assert (out / "b.xml").read_text() == "failed\n"
    assert os.readlink(out / "link") == "/etc/hostname"
    assert sorted(os.listdir(xml)) == ["a.xml", "b.xml"]
    with tarfile.open(tar) as archive:
        assert "app/reports/c.txt" in archive.getnames()
    again = lamina("build", str(context(TEXT)))  # the failure is no result
    assert again.code == 1


def test_an_image_of_a_failed_step(lamina: Lamina, context: Callable[..., Path]) -> None:
    flag = "--output-on-failure=type=image,name=failed"
    assert lamina("build", flag, str(context(TEXT))).code == 1
    shown = lamina("run", "failed", "/bin/cat", "/app/reports/b.xml")
    assert (shown.code, shown.out) == (0, "failed\n")


def test_nothing_is_written_without_a_failure(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    flag = f"--output-on-failure={out}"
    lamina.build(context("FROM base\nRUN true\n"), flag)
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "value", "said"),
    [
        (TEXT, "type=local,dest={out},path=/none", "--output-on-failure: "),
        (TEXT, "type=local,dest={out},path=reports", "path=reports is not absolute"),
        ("FROM base\nNONE\n", "type=local,dest={out}", "no step of the build has failed"),
        (TEXT, "type=local", "dest is missing"),
    ],
)
def test_what_cannot_be_extracted(
    lamina: Lamina,
    context: Callable[..., Path],
    tmp_path: Path,
    text: str,
    value: str,
    said: str,
) -> None:
    out = tmp_path / "out"
    done = lamina("build", f"--output-on-failure={value.format(out=out)}", str(context(text)))
    assert done.code == 1
    assert said in done.err
    assert "Traceback" not in done.err
    assert not out.exists()
