"""Pages that are made from the code are current; ``python -m scripts.generate_docs`` makes them so."""

from pathlib import Path

import pytest

from scripts.generate_docs import pages

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.parametrize("name", sorted(pages()))
def test_the_page_is_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == pages()[name]


def test_the_example_on_the_suites_page_is_a_good_suite(tmp_path: Path) -> None:
    from monitor.config.suites import load_suite

    example = pages()["suites.md"].split("```yaml\n")[1].split("```")[0]
    (tmp_path / "support.yaml").write_text(example, encoding="utf-8")
    assert len(load_suite("./support.yaml", tmp_path).probes) == 2
