"""The report page in a real browser: nothing from outside, no error, no sideways scrolling, sound that plays."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from sample_report import sample_report

from iclal.evaluation.report.page import write_html
from iclal.evaluation.report.report import write_report_json

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.fail(
            "no Chromium found: install it (Debian: apt-get install chromium), or leave out with -m 'not browser'"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("browser")
    write_report_json(folder / "report.json", **sample_report(folder))
    # The page stands alone in its folder: whatever it needed from outside would be missing.
    page = tmp_path_factory.mktemp("alone") / "report.html"
    write_html(folder / "report.json", page)
    return page.as_uri()


def open_page(browser: Browser, address: str, width: int, scheme: str = "light") -> tuple[Page, list[str]]:
    """The page, and the list into which every error and every request beyond the page itself is written."""
    troubles: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page.set_default_timeout(120_000)  # a busy machine is no fault of the page
    page.on("console", lambda message: troubles.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    page.on(
        "request",
        lambda request: troubles.append(request.url) if not request.url.startswith(("data:", address)) else None,
    )
    page.goto(address)
    return page, troubles


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (390, "dark")])
def test_page_fits_its_window_without_errors_or_requests(
    browser: Browser, address: str, width: int, scheme: str
) -> None:
    page, troubles = open_page(browser, address, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.body.scrollWidth") <= width
    # Text that is drawn over its own frame: a chart's labels, a tile's figure.
    outside = page.evaluate(
        """() => [...document.querySelectorAll('.chart text, .tile *, .lane *')].filter((e) => {
            const box = e.getBoundingClientRect(), frame = e.closest('figure, .tile').getBoundingClientRect();
            return box.left < frame.left - 1 || box.right > frame.right + 1;
        }).map((e) => e.textContent)"""
    )
    assert outside == []
    assert troubles == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(20, 23, 27)") == (scheme == "dark")
    page.close()


def test_recordings_are_decoded_and_a_token_plays_its_moment(browser: Browser, address: str) -> None:
    page, troubles = open_page(browser, address, 1280)
    page.wait_for_function("[...document.querySelectorAll('audio')].every((a) => a.duration > 1)")
    lengths = page.evaluate("[...document.querySelectorAll('audio')].map((a) => a.duration)")
    assert len(lengths) == 4 and lengths[0] == pytest.approx(5.855, abs=0.01)
    token = page.locator("svg.hearing .token").nth(5)
    start = float(token.get_attribute("data-start") or "nan")
    token.dispatch_event("click")
    page.wait_for_function(f"document.querySelector('figure.hears audio').currentTime >= {start}")
    assert page.evaluate("document.querySelector('.token.now') !== null")
    assert troubles == []
    page.close()


def test_pointing_at_a_chart_shows_its_figures(browser: Browser, address: str) -> None:
    page, _ = open_page(browser, address, 1280)
    strip = page.locator("#demonstrations ~ .charts figure").nth(4).locator(".strip").nth(2)
    strip.scroll_into_view_if_needed()
    strip.hover()
    shown = page.locator("#tip.shown").inner_text()
    assert shown.startswith("2 demonstrations") and "audio prefix: 82." in shown and "wrong labels: 32." in shown
    page.close()


def test_page_of_rows_alone_opens_without_errors(browser: Browser, address: str, tmp_path: Path) -> None:
    write_report_json(tmp_path / "report.json", sample_report(tmp_path)["rows"])
    write_html(tmp_path / "report.json", tmp_path / "report.html")
    page, troubles = open_page(browser, (tmp_path / "report.html").as_uri(), 390)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert troubles == []
    page.close()
