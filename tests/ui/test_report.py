"""Static reports, from a file and without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from lamina.stores.store import open_store
from tests.ui.records import record_long_log, record_many_steps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.commands import Lamina


def test_a_report_has_the_views_of_the_build(
    browser: Browser, builds: Lamina, tmp_path: Path, static: None
) -> None:
    report = tmp_path / "report.html"
    done = builds("history", "export", "--html", str(report), "^1")
    assert done.code == 0, done.err
    context = browser.new_context(offline=True)
    page = context.new_page()
    problems: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    expect(page.get_by_role("heading", name="app")).to_be_visible()
    expect(page.get_by_text("Saved by the cache")).to_be_visible()
    page.get_by_role("button", name="COPY src /assets").click()
    expect(page.get_by_role("complementary")).to_contain_text("src/b.txt added")
    page.get_by_role("link", name="Graph").click()
    expect(page.locator(".node").first).to_be_visible()
    page.get_by_role("link", name="Logs").click()
    page.get_by_role("searchbox", name="Search the log").fill("package 250")
    page.keyboard.press("Enter")
    expect(page.get_by_text("package 250", exact=True)).to_be_visible()
    page.get_by_role("link", name="Cache misses").click()
    expect(page.get_by_text("build argument VERSION changed from 1 to 2").first).to_be_visible()
    page.get_by_role("link", name="Dockerfile", exact=True).click()
    expect(page.get_by_role("row").filter(has_text="COPY src")).to_contain_text("ran")
    page.get_by_role("link", name="Details").click()
    page.get_by_role("button", name="Provenance").click()
    expect(page.locator(".attestation")).to_contain_text("buildDefinition")
    context.close()
    assert problems == []
    assert {url.partition("#")[0] for url in requests if not url.startswith("data:")} == {
        report.as_uri()
    }


def test_a_build_writes_its_report(
    context: Callable[..., Path], lamina: Lamina, tmp_path: Path, static: None
) -> None:
    folder = context("FROM base\nRUN exit 3\n")
    report = tmp_path / "report.html"
    assert lamina("build", "--report", str(report), str(folder)).code == 1
    text = report.read_text()
    assert "exit code: 3" in text
    ref = lamina("history", "ls", "--format", "{{.Ref}}").out.split()[-1]
    assert ref in text
    report.unlink()
    done = lamina("build", "--report", str(report), "--file", "missing", str(folder))
    assert done.code == 1
    assert "the report was not written: no record of a build" in done.err
    assert "missing: no such file" in done.err
    done = lamina("build", "--report", str(tmp_path / "no/report.html"), str(folder))
    assert "no such directory" in done.err


def test_a_report_of_a_large_build_is_not_large(
    lamina: Lamina, tmp_path: Path, static: None
) -> None:
    with open_store(str(lamina.root)) as store:
        record_many_steps(store, "a" * 32)
        record_long_log(store, "b" * 32, 100_000)
    for ref in ("a", "b"):
        report = tmp_path / "report.html"
        done = lamina("history", "export", "--html", str(report), ref)
        assert done.code == 0, done.err
        assert report.stat().st_size < 5_000_000


def test_bad_flags(lamina: Lamina) -> None:
    done = lamina("history", "export", "--html", "x.html", "--all")
    assert done.code == 1
    assert "takes one build" in done.err
