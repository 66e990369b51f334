from __future__ import annotations

import ast
import warnings
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from cli.sample.corpus import Docstring, docstrings, standard_library

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def corpus() -> list[Docstring]:
    return list(docstrings(standard_library()))


@pytest.mark.slow
def test_this_python_has_thousands_of_docstrings_with_unique_names(corpus: list[Docstring]) -> None:
    assert len(corpus) > 6000
    assert len({docstring.name for docstring in corpus}) == len(corpus)
    assert all(docstring.text.encode("utf-8") for docstring in corpus)
    by_name = {docstring.name: docstring.text for docstring in corpus}
    assert "gzip.GzipFile" in by_name
    assert by_name["json"].startswith("JSON (JavaScript Object Notation)")
    assert not any(name.startswith(("test.", "site")) and ".tests." in name for name in by_name)


@pytest.mark.slow
def test_the_order_is_the_same_each_time_and_reading_is_lazy(corpus: list[Docstring]) -> None:
    assert list(islice(docstrings(standard_library()), 200)) == corpus[:200]


@pytest.mark.slow
def test_no_docstring_of_a_module_is_missed(corpus: list[Docstring]) -> None:
    for module in ("tarfile", "typing", "inspect"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse((standard_library() / f"{module}.py").read_bytes())
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        texts = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
        got = [d.text for d in corpus if d.name == module or d.name.startswith(f"{module}.")]
        assert sorted(got) == sorted(text for text in texts if text)


def test_names_are_qualified_and_repeated_ones_numbered(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text('"pack"\n')
    (tmp_path / "pack" / "mod.py").write_text(
        '"mod"\n'
        "if True:\n"
        "    class A:\n"
        '        "A"\n'
        '        async def f(self): "f"\n'
        '        def f(self):\n            "f again"\n            def g(): "g"\n'
        "try:\n    pass\nexcept OSError:\n"
        '    def handler(): "handler"\n'
        'def empty(): ""\n'
        "def none(): pass\n"
    )
    assert [(d.name, d.text) for d in docstrings(tmp_path)] == [
        ("pack", "pack"),
        ("pack.mod", "mod"),
        ("pack.mod.A", "A"),
        ("pack.mod.A.f", "f"),
        ("pack.mod.A.f#2", "f again"),
        ("pack.mod.A.f.g", "g"),
        ("pack.mod.handler", "handler"),
    ]


def test_what_cannot_be_sent_or_parsed_or_is_not_the_librarys_is_left_out(tmp_path: Path) -> None:
    for folder in ("site-packages", "test", "tests", "config-3.11"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "m.py").write_text('"no"')
    (tmp_path / "surrogate.py").write_text('"\\ud800"')
    (tmp_path / "broken.py").write_text("def (")
    (tmp_path / "nul.py").write_bytes(b"'a'\0")
    (tmp_path / "bad-name.py").write_text('"no"')
    (tmp_path / "escape.py").write_text('"doubtful \\d escape"')
    assert [d.name for d in docstrings(tmp_path)] == ["escape"]
