"""The API against its own description: what fits it, and what just does not, is answered as it says."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup

from tests.site import TOKENS, Site

EXAMPLES: Final = 12
"""Of each operation and kind."""

BEARER: Final = {"Authorization": f"Bearer {TOKENS['alice']}"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, _fleet_template: Path) -> Iterator[Site]:
    with Site(Path(shutil.copy(_fleet_template, tmp_path_factory.mktemp("fuzz")))) as made:
        yield made


def operations(site: Site) -> list[Any]:
    schema: Any = schemathesis.openapi.from_url(f"{site.url}/api/v1/openapi.json")
    return [found.ok() for found in schema.get_all_operations()]


def fuzz(operation: Any, mode: GenerationMode) -> None:
    """Raises with the request that was not answered as described."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def answered(case: Case[Any]) -> None:
        case.call_and_validate(headers=BEARER)

    answered()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_every_operation_is_answered_as_described(site: Site, mode: GenerationMode) -> None:
    asked, wrong = 0, []
    for operation in operations(site):
        if mode.is_negative and not (operation.path_parameters or operation.query or operation.body):
            continue  # nothing of it can be wrong
        asked += 1
        try:
            fuzz(operation, mode)
        except FailureGroup as group:
            wrong.append(f"{operation.label}: {'; '.join(str(one) for one in group.exceptions)}")
    assert wrong == []
    assert asked > 15


def test_the_description_names_every_route_of_the_api(site: Site) -> None:
    described = httpx.get(f"{site.url}/api/v1/openapi.json").json()
    paths = described["paths"]
    assert {path.removeprefix("/api/v1") for path in paths if "post" in paths[path]} == {
        "/baselines/{number}/approve", "/baselines/{number}/retire", "/alarms/{number}/acknowledge",
        "/alarms/{number}/clear", "/targets/{target}/acknowledge", "/targets/{target}/runs",
        "/targets/{target}/accept", "/inputs",
    }  # fmt: skip
    assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    for path, methods in paths.items():
        assert path.startswith("/api/v1/")
        for method, one in methods.items():
            refused = set(one["responses"])
            assert {"422", "503"} <= refused or path.endswith(("/status", "/runbooks", "/inputs")), (
                f"{method} {path}: {refused}"
            )
            assert "security" not in one if method == "get" else one["security"], "reading needs no token"
