"""Under which names the daemon answers, over real HTTP: its own, and none that a stranger's page could have."""

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from monitor.core.settings import Http
from monitor.report.web.factory import HEADERS
from monitor.report.web.host_check import OPEN, PUSHED, ours
from tests.site import TOKENS, Site

STRANGER = "rebound.evil.example"
PATHS = (
    "/", "/targets/support-bot", "/targets/support-bot/adapter_loss", "/findings", "/runs/10", "/baselines/1",
    "/runbooks/", "/login", "/nope", "/api/v1/targets", "/api/v1/findings", "/api/v1/runs/10", "/api/v1/openapi.json",
    "/-/status",
)  # fmt: skip


@pytest.fixture
def site(fleet_file: Path) -> Iterator[Site]:
    with Site(fleet_file, url="https://Watch.example.com:8443/") as made:
        yield made


def ask(site: Site, path: str, host: str, method: str = "GET") -> httpx.Response:
    return httpx.request(method, f"{site.url}{path}", headers={"host": host}, timeout=30)


def test_under_a_stranger_s_name_nothing_is_shown(site: Site) -> None:
    for path in PATHS:
        reply = ask(site, path, f"{STRANGER}:9464")
        assert reply.status_code == 421, path
        assert "set http.url, which is https://Watch.example.com:8443/ now," in reply.text, path
        assert STRANGER in reply.text
        assert reply.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
        for kept in ("support-bot", "Refunds", "adapter_loss", "Log in"):
            assert kept not in reply.text, path
    assert ask(site, "/api/v1/targets", STRANGER).json()["error"].startswith(f"The host name {STRANGER}")
    assert ask(site, "/-/reload", STRANGER, "POST").status_code == 421
    assert ask(site, "/", '"><script>alert(1)</script>.example').text.count("<script") == 0


def test_a_token_is_no_use_under_a_stranger_s_name(site: Site) -> None:
    headers = {"host": STRANGER, "authorization": f"Bearer {TOKENS['alice']}"}
    reply = httpx.post(f"{site.url}/api/v1/alarms/1/acknowledge", json={"why": "mine"}, headers=headers)
    assert reply.status_code == 421
    assert site.store.audit_entries() == []


def test_whoever_scrapes_and_probes_may_use_any_name(site: Site) -> None:
    for path in sorted(OPEN):
        assert ask(site, path, STRANGER).status_code == 200, path


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:9464", "192.0.2.7", "[::1]:9464", "[2001:db8::7]", "localhost", "LOCALHOST:9464", "localhost.",
     "cliffwatch.localhost:1", "cliffwatch:9464", "my_service", "cliffwatch.monitoring.svc:9464",
     "cliffwatch.monitoring.svc.cluster.local", "watch.example.com:8443", "WATCH.example.com", "watch.example.com.",
     socket.gethostname()],
)  # fmt: skip
def test_its_own_names_are_answered_to_whatever_the_port(site: Site, host: str) -> None:
    assert ask(site, "/targets/support-bot", host).status_code == 200
    assert ask(site, "/api/v1/targets", host).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:9464", "127.0.0.1.evil.example", "localhost.evil.example", "evil.localhost.com",
     "watch.example.com.evil.example", "evilwatch.example.com", "sub.watch.example.com", "evil.svc.example",
     "127.0.0.1@evil.example", "evil.example#localhost", "evil.example/localhost", "[::1].evil.example",
     "[evil.example]", "localhost, evil.example", "."],
)  # fmt: skip
def test_a_name_that_only_looks_like_one_of_them_is_not(site: Site, host: str) -> None:
    assert ask(site, "/", host).status_code == 421


def test_two_names_are_none(site: Site) -> None:
    """httpx would send one; a proxy that was fooled might pass on both, and each reader pick its own."""
    address = site.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=30) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        reply = b"".join(iter(lambda: line.recv(65_536), b""))
    assert reply.split()[1] in (b"400", b"421")
    assert b"support-bot" not in reply


def test_without_http_url_its_links_lead_to_where_it_listens() -> None:
    """What ``web_info`` and so every alert says: http://<http.host>:<http.port>."""
    assert ours("watch.example.com:9464", Http(host="watch.example.com"), "box")
    assert not ours("watch.example.com:9464", Http(host="0.0.0.0"), "box")
    assert ours("box.example.com", Http(), "box.example.com")
    assert not ours("box.example.com", Http(), "box")


@pytest.mark.parametrize("path", sorted(PUSHED))
def test_inputs_are_taken_under_any_name_and_only_with_a_token(site: Site, path: str) -> None:
    headers = {"Host": STRANGER, "Content-Type": "application/json"}
    assert httpx.post(f"{site.url}{path}", content=b"{}", headers=headers).status_code == 403
