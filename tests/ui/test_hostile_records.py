"""What builds print, name or label is shown as text, and passwords in URLs are not shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from lamina.stores.store import open_store
from tests.commands import Lamina
from tests.ui.conftest import opened_page
from tests.ui.records import MARKUP, SECRET, record_hostile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from tests.ui.conftest import Serve
    from tests.ui.server import UiServer

REF = "c" * 32


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Lamina:
    lamina = Lamina(tmp_path_factory.mktemp("hostile") / "store")
    with open_store(str(lamina.root)) as store:
        record_hostile(store, REF)
    return lamina


@pytest.fixture(scope="module")
def hostile(store: Lamina, serve: Serve) -> Iterator[UiServer]:
    with serve(store) as server:
        server.login()
        yield server


def check(page: Page) -> None:
    """No markup of the record is an element, and its text is there."""
    expect(page.get_by_text("onerror=alert(1)").first).to_be_attached()
    assert page.locator("img, #app script, iframe, a[href^=javascript]").count() == 0
    content = page.content()
    assert SECRET not in content
    assert "\x1b" not in content
    assert page.title().count("\x1b") == 0


def test_every_view(browser: Browser, hostile: UiServer) -> None:
    with opened_page(browser, hostile) as page:
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        check(page)
        for view in ("timeline", "graph", "logs", "explain", "dockerfile", "details"):
            page.goto(f"{hostile.origin}/#/builds/{REF}/{view}?step=1")
            check(page)


def test_the_api(hostile: UiServer) -> None:
    for path in ("", "/explain", "/savings", "/log"):
        answer = hostile.request(f"/api/builds/{REF}{path}")
        assert answer.headers["content-type"] == "application/json"
        assert SECRET.encode() not in answer.body
    text = hostile.request(f"/api/builds/{REF}/log/text?step={hostile_step(hostile)}")
    assert text.headers["content-type"].startswith("text/plain")
    assert MARKUP.encode() in text.body


def hostile_step(hostile: UiServer) -> str:
    return str(hostile.get(f"/api/builds/{REF}")["steps"][0]["digest"])


def test_a_report(browser: Browser, store: Lamina, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    assert store("history", "export", "--html", str(report), REF).code == 0
    text = report.read_text()
    assert SECRET not in text
    assert MARKUP not in text
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    for view in ("timeline", "graph", "logs", "details"):
        page.goto(f"{report.as_uri()}#/builds/{REF}/{view}?step=1")
        check(page)
    context.close()
