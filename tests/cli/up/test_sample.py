"""`up --sample` with the real model: its books, its answer to the question, and the page that shows them."""

from __future__ import annotations

import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from cli.sample.corpus import docstrings
from tests.docs.pages import ROOT, blocks
from tests.docs.running import not_printed

from .sample_run import copy_part, up_with_sample

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.model, pytest.mark.slow]

_COMPRESSED = ("bz2.", "gzip.", "lzma.", "tarfile.", "zipfile.")


def test_the_sample_is_complete_finds_what_was_asked_for_and_says_what_the_readme_shows(tmp_path: Path) -> None:
    root = copy_part(tmp_path)
    count = len(list(docstrings(root)))
    assert count > 300
    [shown] = [block.text for block in blocks(ROOT / "README.md") if block.text.startswith("ready after")]

    with up_with_sample(root, "--device", "cpu", "--dtype", "float32") as up:
        up.wait_for("Ctrl-C stops everything", within_seconds=120)

        summary = f"{count} docstrings sent, {count} embeddings received, 0 errors, 0 lost, 0 duplicated"
        assert summary in up.own_lines, up.quote()
        nearest = re.findall(r"^  (\d\.\d{3})  (\S+)  ", up.stderr, re.MULTILINE)
        assert len(nearest) == 3
        assert all(0.4 < float(cosine) < 0.9 for cosine, _ in nearest), nearest
        assert all(name.startswith(_COMPRESSED) for _, name in nearest), nearest
        assert not_printed(shown, up.stderr) == [], up.quote()

        began_at = time.monotonic()
        up.signal(signal.SIGINT)
        assert up.wait() == 0, up.quote()
        assert time.monotonic() - began_at < 5, up.quote()


@pytest.mark.parametrize(
    "moment", ['"connected"', r"docstrings: +[1-9][\d,]*/"], ids=["while the model loads", "in mid-sample"]
)
def test_ctrl_c_stops_everything_in_time_at_any_moment(moment: str, tmp_path: Path) -> None:
    with up_with_sample(copy_part(tmp_path), "--device", "cpu", "--log-level", "info") as up:
        up.wait_for(moment, within_seconds=120)
        assert "0 lost" not in up.stderr

        began_at = time.monotonic()
        up.signal(signal.SIGINT)
        assert up.wait() == 0, up.quote()
        assert time.monotonic() - began_at < 5, up.quote()
        assert "Traceback" not in up.stderr, up.quote()
