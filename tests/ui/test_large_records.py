"""Large builds: the page stays small whatever a build has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from lamina.stores.store import open_store
from tests.commands import Lamina
from tests.ui.conftest import opened_page
from tests.ui.records import LINES, record_long_log, record_many_steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.ui.conftest import Serve
    from tests.ui.server import UiServer

LONG, MANY = "a" * 32, "b" * 32


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> Iterator[UiServer]:
    lamina = Lamina(tmp_path_factory.mktemp("large") / "store")
    with open_store(str(lamina.root)) as store:
        record_long_log(store, LONG)
        record_many_steps(store, MANY)
    with serve(lamina) as server:
        yield server


@pytest.fixture
def large_page(browser: Browser, large: UiServer) -> Iterator[Page]:
    with opened_page(browser, large) as page:
        yield page


def test_a_million_lines(large_page: Page, large: UiServer) -> None:
    page = large_page
    sizes: list[int] = []
    page.on("response", lambda r: sizes.append(len(r.body())) if "/log/" in r.url else None)
    page.goto(f"{large.origin}/#/builds/{LONG}/logs")
    log = page.get_by_role("region", name="Log")
    expect(log).to_contain_text("src/file3.c")
    log.focus()
    page.keyboard.press("End")
    expect(log.get_by_text(f"src/file{LINES - 1}.c")).to_be_in_viewport()
    page.keyboard.press("Home")
    expect(log.get_by_text("src/file0.c")).to_be_in_viewport()
    page.get_by_role("searchbox", name="Search the log").fill("file777777.c")
    page.keyboard.press("Enter")
    expect(log.get_by_text("file777777.c")).to_be_in_viewport()
    page.goto(f"{large.origin}/#/builds/{LONG}/logs?step=1&line=500000")
    expect(page.locator(".line.target")).to_contain_text("src/file499999.c")
    assert log.locator(".line").count() < 150
    assert sum(sizes) < 1_000_000


def test_a_thousand_steps(large_page: Page, large: UiServer) -> None:
    page = large_page
    page.goto(f"{large.origin}/#/builds/{MANY}/graph")
    nodes = page.locator(".node")
    expect(nodes).to_have_count(1000)
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="RUN make part-999:").focus()
    expect(page.get_by_role("button", name="RUN make part-999:")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_role("complementary")).to_contain_text("make part-999")
    page.get_by_role("link", name="Timeline").click()
    bars = page.locator(".bar")
    expect(bars).to_have_count(1000)
    page.get_by_role("button", name="Zoom in").click()
    expect(page.locator(".bar.chosen")).to_have_count(1)
