"""What requests say about a model that no list has, about a pinned version, and about the place it is loaded from."""

from datetime import UTC, datetime, timedelta

import pytest

from monitor.identify import Absence
from monitor.identify.asked import Asked, Request, answered_as, listed, served_root

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
GATEWAY = Absence("the server lists 'a'")
VLLM = Absence("the server lists 'a'", sure=True)
ANSWER = Request(NOW - HOUR, answered=True, said="tuned")

REFUSALS = {
    "vllm": (404, "HTTP 404 The model `tuned` does not exist."),
    "ollama": (404, "HTTP 404 model 'tuned' not found"),
    "litellm": (400, "HTTP 400 Invalid model name passed in model=tuned. Call `/v1/models` to view available models"),
    "openai": (404, "HTTP 404 The model `tuned` does not exist or you do not have access to it. (model_not_found)"),
    "azure": (404, "HTTP 404 DeploymentNotFound: The API deployment for this resource does not exist"),
    "openrouter": (400, "HTTP 400 tuned is not a valid model ID"),
    "deepseek": (400, "HTTP 400 Model Not Exist"),
    "anthropic": (404, "HTTP 404 not_found_error: model: tuned"),
    "gemini": (404, "HTTP 404 models/tuned is not found for API version v1beta"),
}
OTHER_ERRORS = {
    "wrong path": (404, "HTTP 404 404 page not found"),
    "bad parameter": (400, "HTTP 400 temperature must be 1"),
    "too long": (400, "HTTP 400 maximum context length is 512 tokens"),
    "nothing": (404, "HTTP 404"),
}


@pytest.mark.parametrize("absence", [GATEWAY, VLLM])
def test_a_model_that_answers_is_served_whatever_a_list_says(absence: Absence) -> None:
    found = listed("tuned", absence, Asked([ANSWER]), NOW)
    assert found.matches is True
    assert "it answers (last 2026-12-01 11:00 UTC)" in found.found


@pytest.mark.parametrize("server", REFUSALS)
def test_a_model_that_every_request_is_refused_for_is_not_served(server: str) -> None:
    status, detail = REFUSALS[server]
    requests = [Request(NOW - HOUR, answered=False, status=status, detail=detail)] * 26
    found = listed("tuned", GATEWAY, Asked(requests), NOW)
    assert found.matches is False
    assert "the endpoint does not know the model 'tuned'; every request is refused" in found.found


@pytest.mark.parametrize("error", OTHER_ERRORS)
def test_other_refusals_say_nothing_about_the_model(error: str) -> None:
    status, detail = OTHER_ERRORS[error]
    found = listed("tuned", GATEWAY, Asked([Request(NOW - HOUR, answered=False, status=status, detail=detail)]), NOW)
    assert found.matches is None
    assert found.found.startswith("cannot tell")


def test_one_answer_among_refusals_shows_that_it_is_served() -> None:
    status, detail = REFUSALS["vllm"]
    requests = [ANSWER, Request(NOW - HOUR, answered=False, status=status, detail=detail)]
    assert listed("tuned", GATEWAY, Asked(requests), NOW).matches is True


def test_without_a_request_only_a_list_of_everything_decides() -> None:
    assert listed("tuned", GATEWAY, Asked(), NOW).matches is None
    assert listed("tuned", VLLM, Asked(), NOW).matches is False


def test_answers_from_before_it_left_the_list_do_not_count() -> None:
    before = Asked([ANSWER], listed_at=NOW - HOUR / 2)
    assert listed("tuned", VLLM, before, NOW).matches is False, "the adapter was unloaded"
    assert listed("tuned", GATEWAY, before, NOW).matches is None
    after = Asked([ANSWER], listed_at=NOW - 2 * HOUR)
    assert listed("tuned", VLLM, after, NOW).matches is True


def test_old_answers_do_not_count() -> None:
    assert listed("tuned", GATEWAY, Asked([ANSWER]), NOW + timedelta(days=60)).matches is None


@pytest.mark.parametrize(
    ("declared", "said", "matches"),
    [
        ("chat-2024-08-06", "chat-2024-08-06", True),
        ("chat-2024-08-06", "models/chat@20240806", True),
        ("chat-2024-08-06", "chat-2024-11-20", False),
        ("chat-2024-08-06", "chat", None),
        ("chat-2024-08-06", "other", None),
        ("chat", "chat-2024-11-20", None),
        ("support", "base", None),
    ],
)
def test_only_another_version_of_a_pinned_model_is_a_difference(declared: str, said: str, matches: bool | None) -> None:
    found = answered_as(declared, [Request(NOW, answered=True, said=said), Request(NOW, answered=False)])
    assert (None if found is None else found.matches) is matches


def root(now: str, approved: list[str], adapter: str | None = None) -> bool | str | None:
    found = served_root("tuned", {"root": now}, approved, NOW if approved else None, adapter)
    return "nothing" if found is None else found.matches


def test_the_place_of_the_weights_is_compared_with_the_approved_one() -> None:
    assert root("/adapters/judge", ["/adapters/tuned"]) is False
    assert root("/adapters/tuned/", ["/adapters/tuned"]) is True
    assert root("/new/tuned", ["/adapters/tuned", "/new/tuned"]) is True, "accepted since"
    assert root("/adapters/judge", ["/adapters/judge"], "/home/me/tuned") is True, "a person approved it"


def test_a_declared_folder_may_be_mounted_elsewhere() -> None:
    assert root("/adapters/tuned", [], "/home/me/tuned") is True
    assert root("/adapters/judge", [], "/home/me/tuned") is None
    found = served_root("tuned", {"root": "/adapters/judge"}, [], None, "/home/me/tuned")
    assert found is not None
    assert "'tuned' is loaded from '/adapters/judge'" in found.found
    assert root("/adapters/judge", []) == "nothing"
    assert root("tuned", [], "/home/me/other") == "nothing", "a server that repeats the id says nothing"
