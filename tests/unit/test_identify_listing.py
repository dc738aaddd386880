"""Lists of models in the forms of many servers and gateways."""

from typing import Any

import pytest

from monitor.identify.checks import UnreadableError
from monitor.identify.listing import HIDDEN, HiddenError, parse

FORMS: dict[str, Any] = {
    "openai": {"object": "list", "data": [{"id": "tuned"}, {"id": "plain"}]},
    "bare": [{"id": "tuned"}, {"id": "plain"}],
    "bare names": ["tuned", "plain"],
    "names": {"models": ["tuned", "plain"]},
    "ollama": {"models": [{"name": "tuned:latest", "model": "tuned:latest"}, {"name": "plain:latest"}]},
    "gemini": {"models": [{"name": "models/tuned"}, {"name": "models/plain"}]},
    "both": {"models": [{"name": "tuned"}], "object": "list", "data": [{"id": "plain"}]},
    "litellm info": {"data": [{"model_name": "tuned", "model_info": {}}, {"model_name": "plain"}]},
    "keyed": {"tuned": {"owned_by": "me"}, "plain": {"owned_by": "me"}},
    "keyed in data": {"object": "list", "data": {"tuned": {}, "plain": {"id": "plain"}}},
    "nested": {"data": {"data": [{"id": "tuned"}, {"id": "plain"}]}},
    "bedrock": {"modelSummaries": [{"modelId": "tuned"}, {"modelId": "plain"}]},
    "vertex": {"publisherModels": [{"name": "publishers/x/models/tuned"}, {"name": "publishers/x/models/plain"}]},
    "unknown key": {"engines": [{"id": "tuned"}, {"id": "plain"}], "took": 3},
    "aliases": {"data": [{"id": "tuned-2409", "aliases": ["tuned"]}, {"id": "plain"}]},
    "junk between": {"data": [None, 3, {"id": 5}, {"id": "tuned"}, [], {"id": ""}, {"id": "plain"}]},
    "pattern": {"data": [{"id": "*"}]},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_list_is_read(form: str) -> None:
    listed = parse(200, FORMS[form])
    assert listed.find("tuned") is not None
    assert listed.find("plain") is not None
    assert listed.complete
    if form != "pattern":
        assert listed.find("missing") is None


@pytest.mark.parametrize("more", [
    {"has_more": True}, {"nextPageToken": "abc"}, {"next": "https://x/models?page=2"}, {"total": 40},
    {"pagination": {"next_page": 2}}, {"nextLink": "x"},
])  # fmt: skip
def test_a_list_with_further_pages_is_incomplete(more: dict[str, Any]) -> None:
    assert not parse(200, {"data": [{"id": "tuned", "root": "/a", "parent": "b"}], **more}).complete
    assert not parse(200, {"data": [{"id": "tuned", "root": "/a", "parent": "b"}], **more}).sure


@pytest.mark.parametrize("last", [{"has_more": False}, {"next": None}, {"nextPageToken": ""}, {"total": 1}])
def test_the_last_page_is_complete(last: dict[str, Any]) -> None:
    assert parse(200, {"data": [{"id": "tuned"}], **last}).complete


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"object": "list", "data": None}, "the server lists no model"),
        ({"data": []}, "the server lists no model"),
        ([], "the server lists no model"),
        ({"error": {"message": "bad key"}}, "the reply is an error: 'bad key'"),
        ({"data": "tuned"}, "no list of models"),
        (None, "no list of models"),
        ("tuned", "no list of models"),
        ({}, "no list of models"),
    ],
)
def test_what_is_no_list_says_why(body: Any, says: str) -> None:
    with pytest.raises(UnreadableError, match=says):
        parse(200, body)


@pytest.mark.parametrize("status", sorted(HIDDEN))
def test_a_server_may_hide_its_list(status: int) -> None:
    with pytest.raises(HiddenError, match=str(status)):
        parse(status, {"error": "no"})


@pytest.mark.parametrize(
    ("entry", "sure"),
    [
        ({"id": "tuned", "root": "/adapters/tuned", "parent": "plain"}, True),
        ({"id": "plain", "root": "/models/plain", "parent": None, "owned_by": "vllm"}, True),
        ({"id": "plain", "root": "plain", "parent": None, "permission": []}, False),
        ({"id": "plain", "root": "/models/plain", "owned_by": "sglang"}, False),
        ({"id": "plain.gguf", "owned_by": "llamacpp", "meta": {}}, False),
        ({"id": "plain"}, False),
    ],
)
def test_only_a_server_that_says_where_its_weights_are_lists_all_it_serves(entry: dict[str, Any], sure: bool) -> None:
    assert parse(200, {"data": [entry]}).sure is sure
