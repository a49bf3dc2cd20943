"""A build that runs is shown as it goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from lamina.base.events import LogEvent, VertexEvent
from lamina.stores.store import open_store
from tests.ui.conftest import opened_page
from tests.ui.records import recorder, step

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.commands import Lamina
    from tests.ui.conftest import Serve


def test_a_running_build(browser: Browser, lamina: Lamina, serve: Serve) -> None:
    ref = "d" * 32
    with (
        open_store(str(lamina.root)) as store,
        serve(lamina) as server,
        opened_page(browser, server) as page,
    ):
        expect(page.get_by_text("No build is recorded yet")).to_be_visible()
        with recorder(store, ref) as recording:
            sink = recording.event_sink
            row = page.get_by_role("row").filter(has_text="app")
            expect(row).to_contain_text("running")
            began = time.time()
            sink(VertexEvent(step(0), "[1/2] RUN make", (), began))
            row.get_by_role("link").click()
            bar = page.get_by_role("button", name="RUN make: running")
            expect(bar).to_be_visible()
            page.get_by_role("link", name="Logs").click()
            sink(LogEvent(step(0), 1, b"the first line\n", began))
            expect(page.get_by_text("the first line")).to_be_visible()
            for number in range(200):
                sink(LogEvent(step(0), 1, b"line %d\n" % number, began))
            expect(page.get_by_text("line 199")).to_be_in_viewport()  # it follows
            sink(VertexEvent(step(0), "[1/2] RUN make", (), began, time.time()))
            sink(VertexEvent(step(1), "[2/2] RUN install", (step(0),), time.time()))
            page.get_by_role("link", name="Timeline").click()
            expect(page.get_by_role("button", name="RUN install: running")).to_be_visible()
            sink(VertexEvent(step(1), "[2/2] RUN install", (step(0),), began, time.time()))
        expect(page.get_by_role("heading", name="app")).to_be_visible()
        expect(page.locator(".summary .mark").first).to_contain_text("completed")
        expect(page.get_by_role("button", name="RUN install: ran")).to_be_visible()
