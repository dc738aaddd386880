"""Draws the mail for docs/email.md: ``python -m tests.mail_picture``. Needs Debian's chromium."""

import shutil
from io import BytesIO
from pathlib import Path
from typing import Final, Literal

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tests.mail_story import mail_html

WRITTEN: Final = Path(__file__).parents[1] / "docs" / "img" / "email.png"
WIDTH, HEIGHT, GAP = 650, 1500, 20


def shot(browser: Browser, html: str, scheme: Literal["light", "dark"]) -> Image.Image:
    """What a mail program shows first: ``WIDTH`` by ``HEIGHT`` pixels."""
    tab = browser.new_page(color_scheme=scheme, viewport={"width": WIDTH, "height": HEIGHT})
    tab.set_content(html)
    return Image.open(BytesIO(tab.screenshot()))


def main() -> None:
    html = mail_html()
    whole = Image.new("RGB", (2 * WIDTH + GAP, HEIGHT), "gray")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        whole.paste(shot(browser, html, "light"), (0, 0))
        whole.paste(shot(browser, html, "dark"), (WIDTH + GAP, 0))
        browser.close()
    whole.save(WRITTEN, optimize=True)


if __name__ == "__main__":
    main()
