"""The pages in a browser, with a keyboard and at all sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.ui.server import UiServer


def test_from_the_list_to_a_line_of_a_log(page: Page, server: UiServer) -> None:
    expect(page.get_by_role("row")).to_have_count(4)
    page.get_by_role("searchbox", name="Search builds").fill("app:2")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("row").nth(1).get_by_role("link").click()
    expect(page.get_by_role("heading", name="app")).to_be_visible()
    expect(page.get_by_text("Saved by the cache")).to_be_visible()
    page.get_by_role("button", name="COPY src /assets").click()
    panel = page.get_by_role("complementary")
    expect(panel).to_contain_text("src/b.txt added")
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    page.get_by_role("link", name="Logs").click()
    log = page.get_by_role("region", name="Log")
    expect(log).to_contain_text("fetched 2")
    red = log.get_by_text("red", exact=True)
    expect(red).to_have_class("ansi-1 bold")
    page.get_by_role("searchbox", name="Search the log").fill("package 250")
    page.keyboard.press("Enter")
    expect(log.get_by_text("package 250", exact=True)).to_be_visible()
    page.get_by_role("link", name="Line 250 of step").click()
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(page.locator(".line.target")).to_contain_text("package 250")


def test_each_view_has_its_address(page: Page, server: UiServer) -> None:
    refs = [row["ref"] for row in page.request.get(f"{server.origin}/api/builds").json()["builds"]]
    page.goto(f"{server.origin}/#/builds/{refs[1]}/graph")
    node = page.get_by_role("button", name="COPY src /assets")
    node.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("complementary")).to_contain_text("Cache key")
    page.goto(f"{server.origin}/#/builds/{refs[1]}/explain")
    expect(page.get_by_text("build argument VERSION changed from 1 to 2").first).to_be_visible()
    page.goto(f"{server.origin}/#/builds/{refs[0]}/dockerfile")
    expect(page.get_by_role("row").filter(has_text="exit 3")).to_contain_text("failed")
    expect(page.get_by_role("alert")).to_contain_text("exit code: 3")
    page.goto(f"{server.origin}/#/builds/{refs[1]}/details")
    page.get_by_role("button", name="Provenance").click()
    expect(page.locator(".attestation")).to_contain_text("buildDefinition")
    page.goto(f"{server.origin}/#/compare/{refs[2]}/{refs[1]}")
    expect(page.get_by_role("rowheader", name="build argument VERSION")).to_be_visible()
    page.goto(f"{server.origin}/#/store")
    expect(page.get_by_text("Read-only")).to_be_visible()
    page.goto(f"{server.origin}/#/builds/none")
    expect(page.get_by_role("alert")).to_contain_text("no record of a build")


def test_an_image(page: Page, server: UiServer) -> None:
    page.get_by_role("link", name="Images").click()
    page.get_by_role("link", name="example.com/app:2").click()
    expect(page.get_by_role("heading", name="example.com/app:2")).to_be_visible()
    layers = page.locator(".layers")
    layers.get_by_role("button").nth(0).click()
    files = page.get_by_role("table").filter(has_text="Mode")
    files.get_by_role("button", name="bin/").click()
    expect(files).to_contain_text("busybox")
    expect(page.locator(".treemap .box").first).to_be_visible()
    expect(page.locator(".json")).to_contain_text('"architecture"')
