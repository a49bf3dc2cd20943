"""All pages in both themes at 1440 and 390 pixels: axe has no findings, nothing is cut off.

With `LAMINA_UI_SCREENSHOTS=DIR` it also writes pictures of the pages.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import ROOT, opened_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.ui.server import UiServer

AXE = ROOT / "ui/node_modules/axe-core/axe.min.js"
RUN = """axe.run(document, {
    resultTypes: ['violations'],
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'],
}).then(result => result.violations)"""
SHOTS = os.environ.get("LAMINA_UI_SCREENSHOTS", "")


def views(server: UiServer) -> dict[str, tuple[str, str]]:
    """The address of each view, and a text that it shows."""
    failed, second, first = (row["ref"] for row in server.get("/api/builds")["builds"])
    build = f"#/builds/{second}"
    return {
        "builds": ("#/builds", "example.com/app:2"),
        "timeline": (f"{build}/timeline?step=7", "Depends on"),
        "graph": (f"{build}/graph", "COPY src /assets"),
        "logs": (f"{build}/logs", "package 1"),
        "misses": (f"{build}/explain", "build argument VERSION"),
        "dockerfile": (f"#/builds/{failed}/dockerfile", "exit 3; echo done > /app/done"),
        "details": (f"{build}/details", "Provenance"),
        "compare": (f"#/compare/{first}/{second}", "Inputs that changed"),
        "image": (f"#/images/{server.get('/api/images')['images'][0]['digest']}", "Configuration"),
        "store": ("#/store", "Cache mounts"),
    }


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page(browser: Browser, server: UiServer, theme: str, width: int) -> None:
    findings: list[Any] = []
    with opened_page(browser, server, color_scheme=theme, reduced_motion="reduce") as page:
        page.set_viewport_size({"width": width, "height": 900 if width > 390 else 844})
        for name, (address, text) in views(server).items():
            page.goto(f"{server.origin}/{address}")
            expect(page.get_by_text(text).first).to_be_attached()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            if SHOTS:
                page.screenshot(path=os.path.join(SHOTS, f"{name}-{theme}-{width}.png"))
            if (theme, width) == ("dark", 390):
                continue  # neither the names nor the colours differ from those of the others
            page.evaluate(AXE.read_text())
            findings += (
                (name, finding["id"], [node["html"][:300] for node in finding["nodes"][:3]])
                for finding in page.evaluate(RUN)
            )
    assert findings == []


def test_a_keyboard_is_enough(browser: Browser, server: UiServer) -> None:
    with opened_page(browser, server) as page:
        expect(page.get_by_role("row")).to_have_count(4)
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.type("app:2")
        expect(page.get_by_role("row")).to_have_count(2)
        for _ in range(4):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="app")).to_be_visible()
        bar = page.get_by_role("button", name="COPY src /assets")
        bar.focus()
        page.keyboard.press("Space")
        expect(page.get_by_role("complementary")).to_contain_text("src/b.txt added")
        page.keyboard.press("Escape")
        expect(page.get_by_role("complementary")).to_have_count(0)
