"""Pages: documents that load nothing."""

import re

import pytest

from mcp_docker import __version__, pages


@pytest.mark.parametrize("name", pages.NAMES)
def test_a_page_is_one_small_document_that_names_no_other(name: str) -> None:
    page = pages.html(name)
    assert len(page.encode()) < 40_000
    page = page.replace("http://www.w3.org/2000/svg", "")  # a name, not a place
    assert not re.search(r"\b(?:src|href)\s*=|@import|url\(|https?://|\beval\b|new Function", page)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", page)
    assert page.count("<script>") == page.count("</script>") == 2
    assert "{{" not in page
    assert f'version: "{__version__}"' in page


def test_a_page_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        pages.html("settings")
