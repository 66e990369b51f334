"""The table of cases in the package's docstring against the tests it names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import tests.conformance

_FOLDER = Path(__file__).parent
_CASES = 36


def _table() -> dict[int, set[str]]:
    """Case -> the tests that hold it."""
    table: dict[int, set[str]] = {}
    for line in (tests.conformance.__doc__ or "").splitlines():
        if case := re.match(r"(\d+)\. ", line):
            table[int(case[1])] = named = set()
        elif test := re.fullmatch(r"   ([\w.]+)", line):
            named.add(test[1])
    return table


def _tests(module: Path) -> set[str]:
    return {node.name for node in ast.parse(module.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_every_case_is_held_by_tests_that_there_are() -> None:
    table = _table()

    assert list(table) == list(range(1, _CASES + 1))
    for named in table.values():
        assert named
        for test in named:
            *folders, module, name = test.split(".")
            assert name in _tests(_FOLDER.parent.joinpath(*folders, f"{module}.py")), test


def test_every_test_that_is_named_for_a_case_stands_under_it() -> None:
    for module in _FOLDER.glob("test_*.py"):
        for name in _tests(module):
            if named_for := re.match(r"test_cases?_((?:\d+_and_)*\d+)_", name):
                for case in named_for[1].split("_and_"):
                    assert f"conformance.{module.stem}.{name}" in _table()[int(case)]
