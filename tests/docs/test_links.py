"""Every link of the pages leads somewhere, and every page can be found."""

from __future__ import annotations

import xml.dom.minidom
from typing import TYPE_CHECKING

import pytest

from .pages import DOCS, LINKING, ROOT, anchors, links

if TYPE_CHECKING:
    from pathlib import Path

_LOCAL = [(page, link) for page in LINKING for link in links(page) if "://" not in link]
_ELSEWHERE = {link for page in LINKING for link in links(page) if "://" in link}


def _target(page: Path, link: str) -> tuple[Path, str]:
    name, _, fragment = link.partition("#")
    return (page if not name else (page.parent / name).resolve()), fragment


@pytest.mark.parametrize(("page", "link"), _LOCAL, ids=lambda part: str(part).removeprefix(f"{ROOT}/"))
def test_a_link_leads_to_a_file_and_a_heading_that_are_there(page: Path, link: str) -> None:
    target, fragment = _target(page, link)

    assert target.is_file()
    assert not fragment or fragment in anchors(target)


def test_a_heading_that_is_not_there_is_noticed() -> None:
    assert "dead-letters" in anchors(DOCS / "messages.md")
    assert "no-such-heading" not in anchors(DOCS / "messages.md")


def test_only_the_changelog_links_to_other_places() -> None:
    assert sorted(_ELSEWHERE) == ["https://keepachangelog.com/en/1.1.0/", "https://semver.org/"]


def test_every_file_under_docs_is_linked_from_the_readme_or_another_page() -> None:
    linked = {_target(page, link)[0] for page, link in _LOCAL}

    assert [path for path in sorted(DOCS.rglob("*")) if path.is_file() and path not in linked] == []


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.svg")), ids=lambda path: path.name)
def test_a_picture_says_in_words_what_it_shows(path: Path) -> None:
    picture = xml.dom.minidom.parse(str(path)).documentElement

    assert picture.getElementsByTagName("title")
    assert len(picture.getElementsByTagName("desc")[0].firstChild.data) > 80
