"""`lamina.testing`: the fixtures as a user's test session has them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TESTS = """
import urllib.request

import pytest

import lamina


@pytest.fixture(scope="session")
def image(build_image):
    return build_image(".", build_args={"V": "5"})


def test_run(image):
    assert image.run(["cat", "/v"]).stdout == b"5\\n"
    assert image.run(["sh", "-c", "exit 3"]).exit_code == 3


def test_files(image):
    assert image.read("/link") == b"5\\n"
    assert image.stat("/link").target == "/v"
    assert oct(image.stat("/v").mode) == "0o100640"
    assert image.files("/[vl]*") == ["/link", "/v"]
    with pytest.raises(lamina.NotFound):
        image.read("/none")
    with pytest.raises(lamina.NotFound):
        image.stat("/v/none")


def test_config(image):
    assert image.config["Cmd"] == ["httpd", "-f", "-p", "127.0.0.1:PORT", "-h", "/www"]


def test_service(image):
    with image.serve(port=PORT) as service:
        page = urllib.request.urlopen("http://127.0.0.1:PORT/index.html").read()
        assert page == b"served\\n"
        assert service.container.running
    assert not service.container.running


def test_a_service_that_ends(image):
    with pytest.raises(lamina.Unavailable, match="broken"):
        with image.serve(["sh", "-c", "echo broken; exit 1"], port=1):
            pass


def test_a_state(build_image):
    built = build_image(lamina.scratch().write("/a", "state"))
    assert built.read("/a") == b"state"


def test_a_failing_build(build_image):
    with pytest.raises(lamina.CommandFailed):
        build_image(".", target="broken")
"""
DOCKERFILE = """FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
FROM base AS broken
RUN exit 1
FROM base
ARG V
RUN echo $V > /v && chmod 640 /v && ln -s /v /link && mkdir /www && echo served > /www/index.html
CMD ["httpd", "-f", "-p", "127.0.0.1:PORT", "-h", "/www"]
"""


def free_port() -> int:
    import socket

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def test_a_session_with_the_fixtures(tmp_path: Path) -> None:
    port = str(free_port())
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy("/bin/busybox", folder / "busybox")
    (folder / "Dockerfile").write_text(DOCKERFILE.replace("PORT", port))
    (folder / "conftest.py").write_text('pytest_plugins = ["lamina.testing"]\n')
    (folder / "test_image.py").write_text(TESTS.replace("PORT", port))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=folder,
        env={**os.environ, "LAMINA_TEST_ROOT": str(tmp_path / "store")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout
