"""What people do through the pages and the API, over real HTTP: deeds, and attempts at deeds that are not theirs."""

import asyncio
import json
import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from monitor.core.clock import utcnow
from monitor.core.errors import ConfigError
from monitor.core.records import Arm, BaselineStatus, IdentityCheck, Match, RunOutcome, ServedMetadata
from monitor.core.settings import ActionToken
from monitor.daemon.app import App
from monitor.report.web.authorization import LONGEST_WHY
from monitor.report.web.session_middleware import LARGEST_BODY
from monitor.report.web.tokens import (
    ADDRESSES,
    ATTEMPTS,
    SESSION,
    SESSIONS,
    WINDOW,
    Failures,
    Sessions,
    Tokens,
    read_tokens,
)
from tests import daemon, fleet
from tests.site import TOKENS, Site

WHY = "read thirty answers, all as shipped"
TARGET_PAGE = "/targets/support-bot"


@pytest.fixture
def site(fleet_file: Path) -> Iterator[Site]:
    with Site(fleet_file) as made:
        yield made


class Person(httpx.Client):
    """A browser as far as cookies and headers go."""

    def __init__(self, site: Site) -> None:
        super().__init__(base_url=site.url, timeout=30)
        self.site = site

    def form(self, path: str = "/") -> str:
        """The secret in the forms of a page."""
        found = re.search(r'name="form" value="([^"]+)"', self.get(path).text)
        assert found is not None, f"{path} has a form"
        return found[1]

    def fill(self, path: str, data: dict[str, str], **headers: str) -> httpx.Response:
        sent = {"origin": self.site.url, "sec-fetch-site": "same-origin", **headers}
        return self.post(path, data=data, headers={name.replace("_", "-"): value for name, value in sent.items()})

    def login(self, name: str = "alice", back: str = TARGET_PAGE) -> httpx.Response:
        return self.fill("/login", {"form": self.form("/login"), "token": TOKENS[name], "back": back})

    def do(self, path: str, why: str = WHY, **more: str) -> httpx.Response:
        return self.fill(path, {"form": self.form(), "why": why, **more})


@pytest.fixture
def person(site: Site) -> Iterator[Person]:
    with Person(site) as made:
        yield made


@pytest.fixture
def alice(person: Person) -> Person:
    assert person.login().status_code == 303
    return person


def captured(site: Site) -> int:
    """A baseline that waits for its approval."""
    site.now = fleet.NOW + timedelta(days=8)
    (number,) = site.store.close_due_baselines(site.now)
    return number


def unchanged(site: Site) -> bool:
    return site.store.audit_entries() == [] and site.open_alarm().acknowledged_by is None


# What people do


def test_a_login_leads_back_and_every_page_says_who_is_there(person: Person) -> None:
    assert f'href="/login?back={TARGET_PAGE}"' in person.get(TARGET_PAGE).text.replace("%2F", "/")
    done = person.login()
    assert (done.status_code, done.headers["location"]) == (303, TARGET_PAGE)
    cookie = done.headers["set-cookie"]
    assert "cliffwatch=" in cookie
    assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/"))
    for path in ("/", TARGET_PAGE, "/baselines/1", "/findings", "/nope"):
        assert "<span>alice</span>" in person.get(path).text, path
    assert person.get("/login?back=/findings").headers["location"] == "/findings", "logged in already"


def test_a_captured_baseline_is_approved_with_who_and_why(site: Site, person: Person) -> None:
    number = captured(site)
    person.login()
    assert f'action="/baselines/{number}/approve"' in person.get(f"/baselines/{number}").text
    with capture_logs() as logs:
        done = person.do(f"/baselines/{number}/approve", why=f"  {WHY}\n ")
    assert (done.status_code, done.headers["location"]) == (303, f"/baselines/{number}")
    page = person.get(f"/baselines/{number}").text
    assert f"Baseline {number} of extractor/support: approved." in page
    assert f"Baseline {number} of extractor/support: approved." not in person.get(f"/baselines/{number}").text, "once"
    found = site.store.baseline(number)
    assert (found.status, found.approved_by, found.approved_why) == (BaselineStatus.APPROVED, "alice", WHY)
    (entry,) = site.store.audit_entries("extractor")
    assert (entry.who, entry.action, entry.subject, entry.why) == ("alice", "approve", f"baseline {number}", WHY)
    assert (entry.at, entry.address) == (site.now, "127.0.0.1")
    (event,) = [one for one in logs if one["event"] == "action"]
    assert (event["action"], event["who"], event["subject"]) == ("approve", "alice", f"baseline {number}")
    again = person.do(f"/baselines/{number}/approve")
    assert again.status_code == 409
    assert f"baseline {number} cannot be approved: it is approved already" in again.text
    assert len(site.store.audit_entries()) == 1


def test_a_baseline_is_retired_and_what_was_raised_against_it_cleared(site: Site, alice: Person) -> None:
    (number,) = [one.id for one in site.store.baselines("support-bot")]
    assert alice.do(f"/baselines/{number}/retire", why="the new prompt").status_code == 303
    assert site.store.baseline(number).retired_by == "alice"
    assert site.store.alarms("support-bot", raised=True) == []
    assert [one.action for one in site.store.audit_entries("support-bot")] == ["retire"]
    assert "/retire" not in alice.get(f"/baselines/{number}").text, "nothing left to do"


def test_an_acknowledged_alarm_stays_raised_and_the_page_says_who_looks_into_it(site: Site, alice: Person) -> None:
    alarm = site.open_alarm()
    assert alice.do(f"/alarms/{alarm.id}/acknowledge", why="restarting vLLM", back=TARGET_PAGE).status_code == 303
    for path in ("/", TARGET_PAGE):
        assert "Acknowledged by alice, 12:00 UTC: restarting vLLM" in alice.get(path).text, path
    finding = f"/findings/{alarm.raised_run_id}/{alarm.signal}"
    site.now += timedelta(days=4)
    for path in ("/", TARGET_PAGE, finding):
        told = "Acknowledged by alice, 2026-11-22 12:00 UTC: restarting vLLM"
        assert told in alice.get(path).text, "four nights ago, and not tonight"
    assert site.open_alarm().acknowledged_at == fleet.NOW
    listed = httpx.get(f"{site.url}/api/v1/alarms?open=true").json()["alarms"]
    assert "alice" in {one["acknowledged_by"] for one in listed}


def test_all_open_alarms_are_acknowledged_with_one_reason_and_one_click(site: Site, alice: Person) -> None:
    assert "Acknowledge all 2 alarms" in alice.get(TARGET_PAGE).text
    with capture_logs() as logs:
        done = alice.do(f"{TARGET_PAGE}/acknowledge", why="restarting vLLM", back=TARGET_PAGE)
    assert (done.status_code, done.headers["location"]) == (303, TARGET_PAGE)
    page = alice.get(TARGET_PAGE).text
    assert '<p class="told" role="status">2 alarms of support-bot: acknowledged. The alarms stay raised.</p>' in page
    assert page.count("Acknowledged by alice, 12:00 UTC: restarting vLLM") >= 2
    assert "Acknowledge all" not in page, "nothing left to do at once"
    found = [site.open_alarm(signal) for signal in ("adapter_loss", "length")]
    assert {(one.acknowledged_by, one.acknowledged_at) for one in found} == {("alice", fleet.NOW)}
    audit_entries = site.store.audit_entries("support-bot")
    assert {(one.action, one.who, one.why, one.address) for one in audit_entries} == {
        ("acknowledge", "alice", "restarting vLLM", "127.0.0.1")
    }
    assert sorted(str(one.subject) for one in audit_entries) == sorted(
        f"alarm {one.id} ({one.signal})" for one in found
    )
    assert len([one for one in logs if one["event"] == "action"]) == 2
    site.now += timedelta(minutes=5)
    assert alice.do(f"{TARGET_PAGE}/acknowledge", why="again", back=TARGET_PAGE).status_code == 303
    assert "Nothing changed: support-bot has no unacknowledged open alarm." in alice.get(TARGET_PAGE).text
    assert site.store.audit_entries("support-bot") == audit_entries
    assert site.open_alarm().acknowledged_why == "restarting vLLM"


def moved(site: Site) -> None:
    """The server loads the subject from another place than when the baseline was approved."""
    check = IdentityCheck(
        "support-bot", Arm.SUBJECT, "served_root", Match.DIFFERS, "/a/support", "/b/support", site.now, site.now
    )
    site.store.save_identity_checks([check])
    facts = {"root": "/b/support"}
    site.store.save_served_metadata([ServedMetadata("support-bot", Arm.SUBJECT, "support", facts, site.now)])


def test_a_known_move_of_the_weights_is_accepted_on_the_targets_page(site: Site, alice: Person) -> None:
    moved(site)
    assert f'action="{TARGET_PAGE}/accept/root"' in alice.get(TARGET_PAGE).text
    done = alice.do(f"{TARGET_PAGE}/accept/root", why="another volume", back=TARGET_PAGE)
    assert (done.status_code, done.headers["location"]) == (303, TARGET_PAGE)
    page = unescape(alice.get(TARGET_PAGE).text)
    assert "Root '/b/support' of support-bot: accepted." in page
    assert "/accept/root" not in page, "nothing left to accept"
    assert "subject is loaded from</dt><dd>/b/support" in page
    listed = httpx.get(f"{site.url}/api/v1{TARGET_PAGE}").json()["listed"]
    assert [one["facts"] for one in listed] == [{"root": "/b/support"}]
    (entry,) = site.store.audit_entries("support-bot")
    assert (entry.who, entry.action, entry.subject) == ("alice", "accept", "root '/b/support'")
    again = alice.do(f"{TARGET_PAGE}/accept/root", why="again")
    assert again.status_code == 409


def test_a_change_is_accepted_through_the_api(site: Site) -> None:
    moved(site)
    url = f"{site.url}/api/v1{TARGET_PAGE}/accept"
    reply = httpx.post(url, json={"part": "root", "why": WHY}, headers=bearer())
    assert [one["subject"] for one in reply.json()["audit_entries"]] == ["root '/b/support'"]
    assert httpx.post(url, json={"part": "rooot", "why": WHY}, headers=bearer()).status_code == 409
    assert httpx.post(url, json={"part": "root", "why": WHY}).status_code == 401
    unknown = httpx.post(f"{site.url}/api/v1/targets/no/accept", json={"part": "root", "why": WHY}, headers=bearer())
    assert unknown.status_code == 404


def test_a_finding_offers_to_accept_what_it_counts_as_changed(site: Site, alice: Person) -> None:
    with closing(sqlite3.connect(site.store._database.engine.url.database or "")) as database:
        found = database.execute("SELECT run_id, id, measures FROM finding WHERE signal='contract' LIMIT 1").fetchone()
        changed = json.loads(found[2]) | {"contract_changed_fingerprint": 1.0}
        database.execute("UPDATE finding SET measures=? WHERE id=?", (json.dumps(changed), found[1]))
        database.commit()
    page = alice.get(f"/findings/{found[0]}/contract").text
    assert "Accept the new fingerprint" in page
    assert "Accept the new model id" not in page


def test_what_somebody_looks_into_stays_theirs(site: Site, alice: Person) -> None:
    site.store.acknowledge(site.open_alarm("length").id or 0, "bob", "reading the answers", fleet.NOW)
    reply = httpx.post(f"{site.url}/api/v1{TARGET_PAGE}/acknowledge", json={"why": WHY}, headers=bearer())
    assert (reply.status_code, reply.json()["acknowledged"]) == (200, 1)
    assert [one["subject"] for one in reply.json()["audit_entries"]] == [f"alarm {site.open_alarm().id} (adapter_loss)"]
    assert [site.open_alarm(one).acknowledged_by for one in ("adapter_loss", "length")] == ["alice", "bob"]
    again = httpx.post(f"{site.url}/api/v1{TARGET_PAGE}/acknowledge", json={"why": WHY}, headers=bearer())
    assert again.json() == {"acknowledged": 0, "audit_entries": []}
    assert len(site.store.audit_entries()) == 1


def test_two_who_are_woken_at_once_do_not_take_alarms_from_each_other(site: Site) -> None:
    with ThreadPoolExecutor(8) as pool:
        replies = [
            pool.submit(
                httpx.post, f"{site.url}/api/v1{TARGET_PAGE}/acknowledge", json={"why": WHY}, timeout=30,
                headers=bearer("bob" if number % 2 else "alice"),
            )
            for number in range(8)
        ]  # fmt: skip
    assert sorted(one.result().json()["acknowledged"] for one in replies) == [0] * 7 + [2]
    assert len(site.store.audit_entries()) == 2


def test_a_cleared_alarm_is_over_and_a_second_clear_says_so(site: Site, alice: Person) -> None:
    alarm = site.open_alarm()
    first = alice.do(f"/alarms/{alarm.id}/clear", why="taken out on purpose", back=TARGET_PAGE)
    assert (first.status_code, first.headers["location"]) == (303, TARGET_PAGE)
    assert "(adapter_loss) of support-bot/support: cleared." in alice.get(TARGET_PAGE).text
    over = next(one for one in site.store.alarms("support-bot") if one.id == alarm.id)
    assert (over.cleared_by, over.cleared_why) == ("alice", "taken out on purpose")
    second = alice.do(f"/alarms/{alarm.id}/clear")
    assert (second.status_code, "was already cleared by alice" in second.text) == (409, True)
    assert [one.subject for one in site.store.audit_entries()] == [f"alarm {alarm.id} (adapter_loss)"]


def test_a_run_that_cannot_go_on_record_is_not_made(site: Site, alice: Person, fleet_file: Path) -> None:
    """The audit log takes nothing: no run that costs money is left behind, and a later click is no second one."""
    before = site.store.runs("summariser")
    with closing(sqlite3.connect(fleet_file)) as full:
        full.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    assert alice.do("/targets/summariser/support/runs", why="is it back?").status_code == 503
    assert (site.store.runs("summariser"), site.store.audit_entries("summariser")) == (before, [])
    with closing(sqlite3.connect(fleet_file)) as room:
        room.execute("DROP TRIGGER full")
    assert alice.do("/targets/summariser/support/runs", why="is it back?").status_code == 303
    (done,) = site.store.audit_entries("summariser")
    (made,) = {one.id for one in site.store.runs("summariser")} - {one.id for one in before}
    assert done.subject == f"run {made}"


def test_a_run_is_due_now_off_the_schedule_and_only_one_at_a_time(site: Site, alice: Person) -> None:
    before = {one.id for one in site.store.runs("summariser")}
    assert alice.do("/targets/summariser/support/runs", why="is it back?").status_code == 303
    (made,) = [one for one in site.store.runs("summariser") if one.id not in before]
    assert (made.status, made.scheduled, made.next_at) == ("due", False, fleet.NOW)
    assert made in site.store.due_runs(fleet.NOW)
    second = alice.do("/targets/summariser/support/runs", why="is it back?")
    assert second.status_code == 409
    assert f"manual run {made.id} has not finished" in second.text
    assert [one.subject for one in site.store.audit_entries("summariser")] == [f"run {made.id}"]


NOT_THERE = [
    ("/baselines/99/approve", 404, "there is no baseline 99"),
    (f"/baselines/{2**63}/retire", 404, "no such id"),
    ("/alarms/99/clear", 404, "unknown alarm 99"),
    ("/alarms/0/acknowledge", 404, "no such id"),
    ("/targets/nobody/acknowledge", 404, "Unknown target"),
    ("/targets/nobody/support/runs", 404, "Unknown target"),
    ("/targets/summariser/format/runs", 404, "Unknown suite"),
]


def test_what_is_not_there_is_said_on_a_page(site: Site, alice: Person) -> None:
    for path, status, says in NOT_THERE:
        reply = alice.do(path)
        assert (reply.status_code, says in reply.text) == (status, True), path
        assert "Nothing was changed" in reply.text
    assert unchanged(site)


@pytest.mark.parametrize(("why", "says"), [("", "give your name and a reason"), (" \n", "give your name and a reason"),
                                           ("x" * (LONGEST_WHY + 1), "the maximum is 1000")])  # fmt: skip
def test_a_deed_needs_a_reason_of_a_sane_length(site: Site, alice: Person, why: str, says: str) -> None:
    reply = alice.do(f"/alarms/{site.open_alarm().id}/clear", why=why)
    assert (reply.status_code, says in reply.text) == (409, True)
    assert unchanged(site)


def test_who_logged_out_can_do_nothing(site: Site, alice: Person) -> None:
    form, cookie = alice.form(), alice.cookies["cliffwatch"]
    assert alice.fill("/logout", {"form": "x"}).status_code == 403, "another site may not log people out"
    assert alice.fill("/logout", {"form": form}).headers["location"] == "/"
    alice.cookies.set("cliffwatch", cookie)
    assert alice.fill(f"/alarms/{site.open_alarm().id}/clear", {"form": form, "why": WHY}).status_code == 401
    assert unchanged(site)


# Attempts


def test_without_people_the_pages_only_read(fleet_file: Path) -> None:
    with Site(fleet_file, {}) as site, Person(site) as person:
        for path in ("/", TARGET_PAGE, "/baselines/1"):
            page = person.get(path).text
            assert 'method="post"' not in page
            assert "/login" not in page
        alarm = site.open_alarm().id
        assert person.get("/login").status_code == 404
        assert person.fill("/login", {"token": TOKENS["alice"]}).status_code == 404
        assert person.fill(f"/alarms/{alarm}/clear", {"why": WHY}).status_code == 404
        bearer = {"authorization": f"Bearer {TOKENS['alice']}"}
        refused = person.post(f"/api/v1/alarms/{alarm}/clear", json={"why": WHY}, headers=bearer)
        assert (refused.status_code, "http.actions" in refused.json()["error"]) == (403, True)
        assert unchanged(site)


AUDIT_ENTRIES = [
    "/baselines/1/retire", "/alarms/1/acknowledge", "/alarms/1/clear", f"{TARGET_PAGE}/acknowledge",
    "/targets/summariser/support/runs",
]  # fmt: skip


def test_without_a_login_nothing_is_done(site: Site, person: Person) -> None:
    for path in AUDIT_ENTRIES:
        reply = person.fill(path, {"form": "", "why": WHY})
        assert (reply.status_code, "not logged in" in reply.text) == (401, True), path
    assert unchanged(site)


ELSEWHERE: list[dict[str, str]] = [
    {"origin": "https://evil.example", "sec_fetch_site": "cross-site"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"sec_fetch_site": "same-site"},
    {"sec_fetch_site": "none"},
    {"origin": "http://[", "sec_fetch_site": "same-origin"},
]


def test_a_form_of_another_site_is_refused_even_with_cookie_and_secret(site: Site, alice: Person) -> None:
    for headers in ELSEWHERE:
        for path in (*AUDIT_ENTRIES, "/logout", "/login"):
            reply = alice.fill(path, {"form": alice.form(), "why": WHY, "token": TOKENS["bob"]}, **headers)
            assert (reply.status_code, "a Cliffwatch page" in reply.text) == (403, True), (path, headers)
    assert unchanged(site)
    assert "<span>alice</span>" in alice.get("/").text


def test_a_form_that_says_nothing_of_where_it_is_from_is_refused(site: Site, alice: Person) -> None:
    data = {"form": alice.form(), "why": WHY}
    assert alice.post(f"/alarms/{site.open_alarm().id}/clear", data=data).status_code == 403
    assert alice.post("/login", data={"token": TOKENS["alice"]}).status_code == 403
    assert unchanged(site)


def test_behind_a_proxy_the_public_address_is_our_own(fleet_file: Path) -> None:
    with Site(fleet_file, url="https://watch.example.com/") as site, Person(site) as person:
        form = person.get("/login")
        assert "Secure" in form.headers["set-cookie"]
        nonce = re.search(r'name="form" value="([^"]+)"', form.text)
        assert nonce is not None
        sent = {"form": nonce[1], "token": TOKENS["alice"]}
        cookie = {"cookie": f"cliffwatch_login={nonce[1]}"}
        done = person.fill("/login", sent, origin="https://watch.example.com", **cookie)
        assert done.status_code == 303
        assert re.search(r"__Host-cliffwatch=\S+; .*Path=/; .*Secure", done.headers["set-cookie"])
        assert person.fill("/login", sent, origin="http://watch.example.com", **cookie).status_code == 403


@pytest.mark.parametrize("form", ["", "x", "\u202e", None])
def test_a_form_without_the_session_s_secret_is_refused(site: Site, alice: Person, form: str | None) -> None:
    data = {"why": WHY} if form is None else {"why": WHY, "form": form}
    reply = alice.fill(f"/alarms/{site.open_alarm().id}/clear", data)
    assert (reply.status_code, "belongs to another login" in reply.text) == (403, True)
    assert unchanged(site)


def test_another_person_s_secret_is_no_use(site: Site, alice: Person) -> None:
    with Person(site) as bob:
        bob.login("bob")
        reply = alice.fill(f"/alarms/{site.open_alarm().id}/clear", {"why": WHY, "form": bob.form()})
    assert reply.status_code == 403
    assert unchanged(site)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_only_a_post_does_anything(site: Site, alice: Person, method: str) -> None:
    headers = {"authorization": f"Bearer {TOKENS['alice']}", "origin": site.url}
    before = alice.form()
    for path in (*AUDIT_ENTRIES, "/baselines/1/approve", "/logout", "/api/v1/alarms/1/clear"):
        reply = alice.request(method, path, params={"why": WHY, "form": before}, headers=headers)
        assert reply.status_code in (404, 405), path
    assert unchanged(site)
    assert alice.form() == before, "still logged in"


def test_a_session_s_name_is_never_one_that_was_brought_along(site: Site, person: Person) -> None:
    planted = "planted-by-somebody-who-waits-for-a-login"
    person.cookies.set("cliffwatch", planted)
    person.login()
    assert person.cookies.get("cliffwatch", domain="127.0.0.1") not in (None, planted)
    person.cookies.clear()
    person.cookies.set("cliffwatch", planted)
    assert "Log in</a>" in person.get("/").text


def test_a_new_login_ends_the_session_before(site: Site, alice: Person) -> None:
    old = alice.cookies["cliffwatch"]
    with Person(site) as other:
        other.cookies.set("cliffwatch", old, domain="127.0.0.1")
        assert "<span>alice</span>" in other.get("/").text
        # A person who is logged in is sent on, so the form is had without the cookie.
        with Person(site) as fresh:
            nonce = fresh.form("/login")
        other.cookies.set("cliffwatch_login", nonce, domain="127.0.0.1")
        assert other.fill("/login", {"form": nonce, "token": TOKENS["bob"]}).status_code == 303
    assert "<span>" not in alice.get("/").text.split("</header>")[0]


def test_a_session_ends_by_itself(site: Site, alice: Person) -> None:
    form = alice.form()
    site.now += SESSION
    assert alice.fill(f"/alarms/{site.open_alarm().id}/clear", {"why": WHY, "form": form}).status_code == 401
    assert unchanged(site)


def test_who_logs_in_again_comes_back_to_the_page_whose_form_came_too_late(site: Site, alice: Person) -> None:
    form, alarm = alice.form(), f"/alarms/{site.open_alarm().id}/acknowledge"
    asked = f"{TARGET_PAGE}?page=1"
    site.now += SESSION
    for sent, headers, page in (
        ({"back": asked}, {"referer": f"{site.url}/findings"}, asked),
        ({}, {"referer": f"{site.url}{asked}#open"}, asked),
        ({"back": "//evil.example"}, {"referer": f"{site.url}{asked}"}, asked),
        ({}, {"referer": "http://evil.example/lure"}, "/"),
        ({}, {"referer": "http://["}, "/"),
        ({}, {}, "/"),
    ):
        late = alice.fill(alarm, {"why": WHY, "form": form, **sent}, **headers)
        assert late.status_code == 401
        (link,) = re.findall(r'href="(/login\?back=[^"]*)">Log in</a>', late.text)
        asks = alice.get(link)
        back = re.search(r'name="back" value="([^"]*)"', asks.text)
        assert back is not None
        assert unescape(back[1]) == page, (sent, headers)
    assert unchanged(site)
    assert alice.login(back=asked).headers["location"] == asked
    assert alice.get(asked).status_code == 200


def test_whose_token_is_replaced_is_logged_out(site: Site, alice: Person) -> None:
    site.tokens = Tokens({**TOKENS, "alice": "another-token-0123456789abcdef0123456789"})
    assert "Log in</a>" in alice.get("/").text
    site.tokens = Tokens({"bob": TOKENS["bob"]})
    assert "Log in</a>" in alice.get("/").text


@pytest.mark.parametrize("token", ["", "x", TOKENS["alice"][:-1], TOKENS["alice"] + "x", "alice", "\u202e", "ä" * 40])
def test_a_wrong_token_is_nobody_s_and_stands_nowhere(site: Site, person: Person, token: str) -> None:
    with capture_logs() as logs:
        reply = person.fill("/login", {"form": person.form("/login"), "token": token})
    assert (reply.status_code, "Unknown token" in reply.text) == (401, True)
    assert "cliffwatch=" not in reply.headers["set-cookie"]
    assert [(one["event"], one["address"]) for one in logs] == [("login_failed", "127.0.0.1")]
    if len(token) > 8:
        assert token not in reply.text + json.dumps(logs)


def test_a_login_form_counts_in_the_browser_that_it_was_shown_in(site: Site, person: Person) -> None:
    with Person(site) as other:
        foreign = other.form("/login")
    person.get("/login")
    reply = person.fill("/login", {"form": foreign, "token": TOKENS["alice"]})
    assert (reply.status_code, "has expired" in reply.text) == (403, True)
    assert "cliffwatch=" not in reply.headers["set-cookie"]


def guess(person: Person) -> httpx.Response:
    return person.fill("/login", {"form": person.form("/login"), "token": "guess"})


def test_who_guesses_is_told_to_stop_and_does_not_fill_the_log(site: Site, person: Person) -> None:
    with capture_logs() as logs:
        assert [guess(person).status_code for _ in range(ATTEMPTS)] == [401] * ATTEMPTS
        limited = guess(person)
        wrong = {"authorization": "Bearer guess"}
        assert person.post("/api/v1/alarms/1/clear", json={"why": WHY}, headers=wrong).status_code == 429
    assert len([one for one in logs if one["event"] == "login_failed"]) == ATTEMPTS
    assert (limited.status_code, limited.headers["retry-after"]) == (429, str(round(WINDOW.total_seconds())))
    assert "Wait 600 s" in limited.text
    assert "A valid token is accepted at any time" in limited.text
    site.now += WINDOW
    assert guess(person).status_code == 401


def test_nobody_s_guesses_keep_the_on_call_out(site: Site, person: Person) -> None:
    """Behind a proxy everybody comes from one address: that of whoever guesses is the on-call's, too."""
    assert [guess(person).status_code for _ in range(ATTEMPTS + 1)][-1] == 429
    program = person.post(f"/api/v1/alarms/{site.open_alarm().id}/acknowledge", json={"why": WHY}, headers=bearer())
    assert (program.status_code, site.open_alarm().acknowledged_by) == (200, "alice")
    assert person.login().status_code == 303
    assert "<span>alice</span>" in person.get("/").text


def test_an_address_is_taken_from_a_header_only_where_the_proxy_is_known(
    fleet_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forwarded = {"x-forwarded-for": "192.0.2.7", **bearer()}
    for trusted, address in ((None, "192.0.2.7"), ("192.0.2.1", "127.0.0.1"), ("127.0.0.1", "192.0.2.7")):
        if trusted:
            monkeypatch.setenv("FORWARDED_ALLOW_IPS", trusted)
        else:
            monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
        with Site(fleet_file) as site:
            path = f"{site.url}/api/v1/alarms/{site.open_alarm().id}/acknowledge"
            done = httpx.post(path, json={"why": WHY}, headers=forwarded).json()
        assert done["entry"]["address"] == address, trusted


NOT_OURS = (
    "//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
    "/\nSet-Cookie: a=b", "/\u202e", "", "evil", "/" + "x" * 3000, "/%0d\r\nX: y",
)  # fmt: skip


def test_nobody_is_sent_to_another_site(site: Site, person: Person) -> None:
    for back in NOT_OURS:
        person.cookies.clear()
        done = person.login(back=back)
        assert (done.status_code, done.headers["location"]) == (303, "/"), back
        assert "x" not in done.headers
        acted = person.do(f"/alarms/{site.open_alarm().id}/acknowledge", back=back)
        assert acted.headers["location"] == "/", back
        assert person.get("/login", params={"back": back}).headers["location"] == "/", back


HOSTILE = "planned\r\nSet-Cookie: a=b\r\n\r\n<script>alert(1)</script> \u202e\x1b[31m \x00 {{ 7*7 }} é"


def test_a_reason_is_text_wherever_it_goes(site: Site, alice: Person) -> None:
    with capture_logs() as logs:
        done = alice.do(f"/alarms/{site.open_alarm().id}/acknowledge", why=HOSTILE, back=TARGET_PAGE)
    assert done.status_code == 303
    assert "set-cookie" not in done.headers
    (event,) = [one for one in logs if one["event"] == "action"]
    assert not set(event["why"]) & {"\r", "\n", "\x1b", "\u202e"}
    for path in (TARGET_PAGE, "/"):
        page = alice.get(path).text
        assert "<script" not in page
        assert not set(page) & {"\u202e", "\x1b", "\x00"}
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page, path
    assert site.open_alarm().acknowledged_why.startswith("planned Set-Cookie: a=b <script>")  # type: ignore[union-attr]


def test_a_baselines_reason_is_text_too_and_no_terminal_obeys_one(site: Site, person: Person) -> None:
    number = captured(site)
    person.login()
    assert person.do(f"/baselines/{number}/approve", why=HOSTILE).status_code == 303
    assert person.do(f"/baselines/{number}/retire", why=HOSTILE).status_code == 303
    found = site.store.baseline(number)
    for words in (found.approved_why, found.retired_why, *(one.why for one in site.store.audit_entries())):
        assert words is not None
        assert words.startswith("planned Set-Cookie: a=b <script>alert(1)</script> \\u{202e}\\u{1b}[31m \\u{0} {{")


def test_nobody_signs_for_somebody_else(site: Site, alice: Person) -> None:
    forged = {"by": "bob", "who": "bob", "person": "bob", "acknowledged_by": "bob"}
    assert alice.do(f"/alarms/{site.open_alarm().id}/acknowledge", **forged).status_code == 303
    assert (site.open_alarm().acknowledged_by, site.store.audit_entries()[0].who) == ("alice", "alice")
    bearer = {"authorization": f"Bearer {TOKENS['alice']}"}
    reply = alice.post(f"/api/v1/alarms/{site.open_alarm().id}/clear", json={"why": WHY, **forged}, headers=bearer)
    assert (reply.status_code, site.open_alarm().cleared_by) == (422, None)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_huge_body_is_refused(site: Site, alice: Person, chunked: bool) -> None:
    body = b"why=" + b"x" * (2 * LARGEST_BODY)
    for path in ("/login", "/alarms/1/clear", "/api/v1/alarms/1/clear"):
        content = (body[start : start + 8192] for start in range(0, len(body), 8192)) if chunked else body
        headers = {"content-type": "application/x-www-form-urlencoded", "origin": site.url}
        if path.startswith("/api"):
            headers |= {"content-type": "application/json", "authorization": f"Bearer {TOKENS['alice']}"}
        try:
            status = alice.post(path, content=content, headers=headers).status_code
        except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
            status = 413  # the server said so and hung up on the rest of it
        assert status == 413, path
    assert unchanged(site)
    assert "<span>alice</span>" in alice.get("/").text, "all others go on"


NO_FORMS = [
    ("application/json", b'{"why": "x"}', 415),
    ("multipart/form-data; boundary=x", b"--x--", 415),
    ("text/plain", b"why=x", 415),
    ("application/x-www-form-urlencoded", b"why=%FF%FE", 400),
    ("application/x-www-form-urlencoded", b"\xff", 400),
    ("application/x-www-form-urlencoded", b"&".join(b"a=b" for _ in range(50)), 400),
]


def test_what_is_no_form_is_refused(site: Site, alice: Person) -> None:
    for kind, body, status in NO_FORMS:
        headers = {"content-type": kind, "origin": site.url}
        reply = alice.post(f"/alarms/{site.open_alarm().id}/clear", content=body, headers=headers)
        assert reply.status_code == status, (kind, body)
    assert unchanged(site)


def test_the_policy_lets_forms_go_to_us_alone(alice: Person) -> None:
    policy = alice.get(TARGET_PAGE).headers["content-security-policy"]
    assert policy == (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


# Programs


def bearer(name: str = "alice") -> dict[str, str]:
    return {"authorization": f"Bearer {TOKENS[name]}"}


def test_a_program_does_the_same_with_its_token(site: Site) -> None:
    number, alarm = captured(site), site.open_alarm().id
    with httpx.Client(base_url=f"{site.url}/api/v1", headers=bearer("bob"), timeout=30) as program:
        for path, more in (
            (f"/baselines/{number}/approve", {}),
            (f"/baselines/{number}/retire", {}),
            (f"/alarms/{alarm}/acknowledge", {}),
            (f"/alarms/{alarm}/clear", {}),
            ("/targets/summariser/runs", {"suite": "support"}),
        ):
            reply = program.post(path, json={"why": WHY, **more})
            assert reply.status_code == 200, (path, reply.text)
            assert reply.json()["entry"]["who"] == "bob"
        audit = program.get("/audit").json()["audit_entries"]
        assert [one["action"] for one in audit] == ["run", "clear", "acknowledge", "retire", "approve"]
        assert {one["address"] for one in audit} == {"127.0.0.1"}
        assert [one["target"] for one in program.get("/audit?target=summariser&limit=5").json()["audit_entries"]] == [
            "summariser"
        ]
        assert program.post(f"/alarms/{alarm}/clear", json={"why": WHY}).status_code == 409
        assert program.post("/alarms/99/clear", json={"why": WHY}).status_code == 404
        assert program.post("/targets/nobody/runs", json={"why": WHY, "suite": "x"}).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer"}, {"authorization": TOKENS["alice"]},
     {"authorization": f"Basic {TOKENS['alice']}"}],
)  # fmt: skip
def test_a_program_without_a_token_is_refused_before_its_body_is_judged(site: Site, headers: dict[str, str]) -> None:
    for body in ({"why": WHY}, {}, {"nonsense": 1}):
        reply = httpx.post(f"{site.url}/api/v1/alarms/{site.open_alarm().id}/clear", json=body, headers=headers)
        assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
        assert TOKENS["alice"] not in reply.text
    assert unchanged(site)


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ({"json": {"why": "  "}}, "why: give a reason; it must not be blank"),
        ({"json": {"why": ""}}, "why: give a reason; it must not be blank"),
        ({"json": {}}, "why: give a reason; it must not be blank"),
        ({"json": {"why": 7}}, "why: send text"),
        ({"json": {"why": WHY, "who": "bob"}}, "who: unknown name"),
        ({"json": {"why": "x" * 1001}}, "why: at most 1000 characters"),
        ({"content": '{"why": "x"}'}, "send a JSON object with Content-Type: application/json"),
        ({"json": ["why"]}, "send a JSON object with Content-Type: application/json"),
        ({}, "send a JSON object with Content-Type: application/json"),
        (
            {"content": "{why", "headers": {**bearer(), "content-type": "application/json"}},
            "send a JSON object with Content-Type: application/json",
        ),
    ],
)
def test_a_program_is_told_what_to_send(site: Site, sent: dict[str, Any], says: str) -> None:
    address = f"{site.url}/api/v1/alarms/{site.open_alarm().id}/clear"
    reply = httpx.post(address, **{"headers": bearer(), **sent})
    assert reply.status_code == 422
    assert reply.json()["error"].endswith(says)
    assert unchanged(site)


def test_a_run_by_hand_needs_a_suite(site: Site) -> None:
    reply = httpx.post(f"{site.url}/api/v1/targets/summariser/runs", json={"why": WHY}, headers=bearer())
    assert (reply.status_code, reply.json()["error"]) == (422, "suite: this is required")


def test_the_api_takes_no_cookie(site: Site, alice: Person) -> None:
    headers = {"origin": site.url, "sec-fetch-site": "same-origin"}
    reply = alice.post(f"/api/v1/alarms/{site.open_alarm().id}/clear", json={"why": WHY}, headers=headers)
    assert reply.status_code == 401
    assert unchanged(site)


def test_a_token_stands_in_no_page_log_or_store(site: Site, fleet_file: Path, alice: Person) -> None:
    with capture_logs() as logs:
        alice.do(f"/alarms/{site.open_alarm().id}/acknowledge")
        httpx.post(
            f"{site.url}/api/v1/targets/summariser/runs", json={"why": WHY, "suite": "support"}, headers=bearer("bob")
        )
    pages = [alice.get(path).text for path in ("/", TARGET_PAGE, "/api/v1/audit", "/metrics", "/api/v1/status")]
    kept = b"".join(path.read_bytes() for path in fleet_file.parent.glob(f"{fleet_file.name}*"))
    for token in TOKENS.values():
        assert token not in "".join(pages) + repr(logs) + repr(site.tokens) + repr(vars(site.tokens))
        assert token.encode() not in kept


# Tokens, sessions and failures by themselves


def test_tokens_are_read_from_where_they_are_kept(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKENS['bob']}\n")
    actions = {"alice": ActionToken(token_env="ALICE"), "bob": ActionToken(token_file=tmp_path / "token")}
    tokens = read_tokens(actions, {"ALICE": TOKENS["alice"]})
    assert [tokens.person(TOKENS[name]) for name in ("alice", "bob")] == ["alice", "bob"]
    assert tokens.person("") is None
    (tmp_path / "token").write_text(TOKENS["alice"])
    with pytest.raises(ConfigError) as raised:
        read_tokens({**actions, "carol": ActionToken(token_env="CAROL"), "dan": ActionToken(token_file=tmp_path)},
                    {"ALICE": TOKENS["alice"], "CAROL": "short-should-not-appear"})  # fmt: skip
    assert str(raised.value).splitlines() == [
        "http.actions.bob: another person has the same token",
        "http.actions.carol: the token is missing or shorter than 32 characters",
        "http.actions.dan: token_file cannot be read: IsADirectoryError",
    ]


def test_sessions_and_counts_do_not_grow_for_ever() -> None:
    now = fleet.NOW
    sessions, tokens = Sessions(lambda: now), Tokens(TOKENS)
    names = [sessions.begin("alice", TOKENS["alice"]) for _ in range(SESSIONS + 1)]
    assert sessions.find(names[0], tokens) is None
    assert sessions.find(names[1], tokens) is not None
    failures = Failures(lambda: now)
    for _ in range(ATTEMPTS):
        failures.failed("192.0.2.1")
    assert failures.wait("192.0.2.1") > 0
    for number in range(ADDRESSES):
        failures.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert failures.wait("192.0.2.1") == 0, "the longest quiet is forgotten"


def test_a_customer_s_ipv6_addresses_count_as_one() -> None:
    failures = Failures(lambda: fleet.NOW)
    for number in range(ATTEMPTS):
        failures.failed(f"2001:db8::{number:x}")
    assert failures.wait("2001:db8::ffff") > 0
    assert failures.wait("2001:db8:0:1::1") == 0


# The daemon


async def test_the_daemon_asks_a_run_at_once_and_reads_tokens_again(tmp_path: Path) -> None:
    kept = tmp_path / "alice.token"
    kept.write_text(TOKENS["alice"])
    path = daemon.write(tmp_path, daemon.HEALTHY, http={"port": 0, "actions": {"alice": {"token_file": "alice.token"}}})
    app = App(path)
    await app.start()
    try:
        assert app.store is not None
        async with httpx.AsyncClient(base_url=f"{app.url}/api/v1", timeout=30) as program:
            ask = {"json": {"why": "is it back?", "suite": "facts"}, "headers": bearer()}
            made = await program.post("/targets/bot/runs", **ask)  # type: ignore[arg-type]
            number = int(made.json()["entry"]["subject"].removeprefix("run "))
            await app.tick(utcnow())
            while (run := app.store.get_run(number)).status != "done":
                await asyncio.sleep(0.05)
            assert (run.outcome, run.scheduled) == (RunOutcome.MEASURED, False), "all batches at once"
            kept.write_text("another-token-0123456789abcdef0123456789")
            assert await app.reload() is None
            assert (await program.post("/targets/bot/runs", **ask)).status_code == 401  # type: ignore[arg-type]
            kept.write_text("short-should-not-appear")
            problem = await app.reload()
            assert problem is not None
            assert "a token of 23 characters" in problem
            assert "should-not-appear" not in problem
    finally:
        await app.stop()
