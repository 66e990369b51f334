"""`benchmarks/recording.py`, `draw.py` and `picture.py`: from figures to the page."""

from __future__ import annotations

import xml.dom.minidom
from typing import TYPE_CHECKING

import pytest

from benchmarks.draw import (
    BEGIN,
    END,
    IMAGES,
    NOT_MEASURED,
    PAGE,
    Result,
    read_results,
    render_images,
    render_page,
)
from benchmarks.recording import Results, number

if TYPE_CHECKING:
    from pathlib import Path

_EMPTY = f"above\n{BEGIN}\nout of date\n{END}\nbelow\n"


@pytest.fixture
def results(tmp_path: Path) -> dict[str, Result]:
    """What a run of one benchmark wrote."""
    recorded = Results("loop", {"texts": 1000, "rounds": 3, "json": tmp_path, "bootstrap": "k:9092"})
    recorded.detail("broker", "Apache Kafka")
    recorded.compare("float32", [8.0, 10.0, 12.0], [2.0, 2.0, 2.0], "<docstrings>")
    recorded.compare("auto", [16.0, 18.0, 20.0], [2.0, 2.0, 2.0], "mixed")
    recorded.write(tmp_path / "loop.json")
    return read_results(tmp_path)


def test_a_result_holds_the_median_of_the_ratios_and_whether_the_target_is_met(results: dict[str, Result]) -> None:
    first, second = results["loop"]["figures"]

    assert (first["median"], first["lowest"], first["highest"]) == (5.0, 4.0, 6.0)
    assert (first["target"], first["met"]) == (">= 4", True)
    assert (second["target"], second["met"]) == (">= 10", False)


def test_a_result_tells_machine_and_versions_and_no_address(results: dict[str, Result]) -> None:
    assert "torch" in results["loop"]["machine"]["packages"]
    assert results["loop"]["options"] == {"texts": 1000, "rounds": 3}


def test_the_page_shows_what_was_measured_and_says_what_was_not(results: dict[str, Result]) -> None:
    page = render_page(_EMPTY, results)

    assert page.startswith("above\n")
    assert page.endswith("\nbelow\n")
    assert "out of date" not in page
    (row,) = (line for line in page.splitlines() if "<docstrings>" in line)
    assert (
        "| 5.00 | 3: 4.00 to 6.00 | 10.00 against 2.00 texts/s | >= 4: met | Apache Kafka, 1,000 texts | 1 |" in row
    )
    (other,) = (line for line in page.splitlines() if "interactive p99" in line)
    assert NOT_MEASURED in other
    assert "(images/benchmark-loop.svg)" in page
    assert "benchmark-lanes" not in page


def test_a_picture_is_well_formed_and_says_in_words_what_it_shows(results: dict[str, Result]) -> None:
    images = render_images(results)

    assert list(images) == ["benchmark-loop.svg"]
    picture = xml.dom.minidom.parseString(images["benchmark-loop.svg"]).documentElement
    assert picture is not None
    (said,) = picture.getElementsByTagName("desc")
    assert "(<docstrings>): 5.00" in said.firstChild.data
    assert len(picture.getElementsByTagName("rect")) == 1 + 2


def test_a_page_without_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="lacks the line"):
        render_page("# By hand", {})


def test_the_page_and_its_pictures_are_what_the_results_say() -> None:
    results = read_results()

    assert render_page(PAGE.read_text(), results) == PAGE.read_text(), "run: python -m benchmarks.draw"
    assert {path.name: path.read_text() for path in IMAGES.glob("benchmark-*.svg")} == render_images(results)


def test_numbers_are_shown_as_people_read_them() -> None:
    shown = [number(value) for value in (0.9999982, 1.0, 4.666, 42.13, 6513.4)]

    assert shown == ["0.9999982", "1.00", "4.67", "42.1", "6,513"]
