"""The web UI as users run it: a server process, real builds, and Debian's Chromium.

The browser finds the page in `src/lamina/ui/static`; `scripts/ui` builds it if it is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import Lamina
from tests.conftest import BASE
from tests.ui.server import UiServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from playwright.sync_api import Browser, ConsoleMessage, Page

    Serve = Callable[..., AbstractContextManager[UiServer]]

ROOT = Path(__file__).parents[2]
CHROMIUM = "/usr/bin/chromium"
DOCKERFILE = """
FROM base AS deps
ARG VERSION=1
RUN echo "fetched $VERSION"; printf '\\033[1;31mred\\033[0m line\\n'
RUN --mount=type=cache,target=/cache for i in $(seq 1 300); do echo "package $i"; done

FROM base AS assets
COPY src /assets

FROM deps
COPY --from=assets /assets /app
RUN echo done > /app/done
"""


@pytest.fixture(scope="session")
def static() -> None:
    """The built page."""
    if not (ROOT / "src/lamina/ui/static/index.html").exists():
        environment = {**os.environ, "PYTHON": sys.executable}
        subprocess.run([ROOT / "scripts/ui"], env=environment, check=True)


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Lamina:
    """A store with three builds of a target: the first one, one after changes, one that fails."""
    folder = tmp_path_factory.mktemp("ui")
    lamina = Lamina(folder / "store")
    context = folder / "app"
    (context / "src").mkdir(parents=True)
    shutil.copy("/bin/busybox", context / "busybox")
    (context / "Dockerfile").write_text(BASE + DOCKERFILE)
    (context / "src/a.txt").write_text("a")
    lamina.build(context, "-t", "example.com/app:1")
    (context / "src/b.txt").write_text("b")
    lamina.build(
        *(context, "-t", "example.com/app:2", "--build-arg", "VERSION=2"),
        *("--attest", "type=provenance,mode=max"),
    )
    (context / "Dockerfile").write_text(BASE + DOCKERFILE.replace("echo done", "exit 3; echo done"))
    assert lamina("build", "--progress=plain", str(context)).code == 1
    return lamina


@pytest.fixture(scope="session")
def serve(static: None) -> Serve:
    """Runs `lamina ui` on a store: `serve(lamina, flags…)`."""

    @contextmanager
    def run(lamina: Lamina, *flags: str, **environment: str) -> Iterator[UiServer]:
        command = lamina.command("ui", *flags)
        process = subprocess.Popen(
            command, env={**lamina.environment(), **environment}, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        with process.stdout:
            try:
                yield UiServer(process)
            finally:
                process.terminate()
                assert process.wait(10) == 0

    return run


@pytest.fixture(scope="session")
def server(builds: Lamina, serve: Serve) -> Iterator[UiServer]:
    """A server for `builds`, with a session."""
    with serve(builds) as server:
        server.login()
        yield server


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, server: UiServer) -> Iterator[Page]:
    """A page of `server` at 1440 pixels. Errors of scripts and refused requests fail the test."""
    with opened_page(browser, server) as page:
        yield page


@contextmanager
def opened_page(browser: Browser, server: UiServer, **options: Any) -> Iterator[Page]:
    """A page with a session."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, **options)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if _is_problem(m) else None)
    page.goto(server.login_url)
    server.renew_login()
    yield page
    context.close()
    assert problems == []


def _is_problem(message: ConsoleMessage) -> bool:
    """Whether a message is an error, for example of the Content-Security-Policy. Answers that are
    no success are not."""
    return message.type == "error" and not message.text.startswith("Failed to load resource")
