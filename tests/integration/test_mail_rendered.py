"""The mail in a real browser: it fits a phone, its words can be read, and it asks for nothing from elsewhere."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

from tests.mail_story import mail_html

WHOLE_PAGES = {"document-title", "html-has-lang", "landmark-one-main", "region", "page-has-heading-one"}
"""Rules about pages, which a mail inside a mail program is none of."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=flags)
        yield started
        started.close()


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mail") / "mail.html"
    path.write_text(mail_html())
    return path


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (390, "dark"), (600, "light"), (650, "dark")])
def test_it_fits_and_can_be_read(browser: Browser, mail: Path, width: int, scheme: Literal["light", "dark"]) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    tab = context.new_page()
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(mail.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= width, "nobody scrolls sideways"
    pictures = tab.evaluate("[...document.images].map(i => i.complete && i.naturalWidth)")
    assert len(pictures) == 11
    assert set(pictures) == {264}
    top = tab.evaluate("getComputedStyle(document.querySelector('.main')).backgroundColor")
    assert top == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(23, 27, 34)")
    found = Axe().run(tab).response["violations"]
    serious = [one["id"] for one in found if one["impact"] in ("serious", "critical") and one["id"] not in WHOLE_PAGES]
    assert serious == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()


def test_without_javascript_and_without_pictures_the_words_are_all_there(browser: Browser, mail: Path) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 650, "height": 800})
    tab = context.new_page()
    tab.goto(mail.as_uri())
    text = tab.inner_text("body")
    context.close()
    for words in ("4 of 12 targets need attention", "Needs attention", "Changes", "Next", "cliffwatch findings"):
        assert words in text
    assert "Began between Mon 16 Nov 20:00 (last healthy evaluation) and Tue 17 Nov 20:00 (first seen)." in text
    assert "Likely at fault: the served model." in text
