"""The sample's texts: every docstring of the running Python's standard library, read from source.

Nothing is imported or downloaded. Left out are third-party folders and the tests; a file that does not parse is
passed over, and so is a docstring that no UTF-8 can hold (lone surrogates), since it is no text to send.
"""

from __future__ import annotations

import ast
import os
import sysconfig
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_PASSED_OVER: Final = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
_DOCUMENTED: Final = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Docstring:
    """One text of the corpus."""

    name: str
    """Qualified name, `gzip.GzipFile.read`; unique: a second one of the same name ends in `#2`."""
    text: str


def standard_library() -> Path:
    """Folder of the running Python's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def docstrings(root: Path) -> Iterator[Docstring]:
    """Every docstring below a folder of sources, lazily, in the same order each time. Blocks."""
    seen: Counter[str] = Counter()
    for path in _sources(root):
        module = _module_name(path.relative_to(root))
        tree = _parse(path)
        if module is None or tree is None:
            continue
        for name, text in _documented(tree, module):
            seen[name] += 1
            yield Docstring(name if seen[name] == 1 else f"{name}#{seen[name]}", text)


def _sources(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _PASSED_OVER and name.isidentifier())
        for name in sorted(files):
            if name.endswith(".py"):
                yield Path(folder, name)


def _module_name(relative: Path) -> str | None:
    """Dotted name, or None for a file that cannot be imported by one."""
    parts = list(relative.with_suffix("").parts)
    if len(parts) > 1 and parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts) if all(part.isidentifier() for part in parts) else None


def _parse(path: Path) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # doubtful escapes in old sources are not ours to report
            return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


def _documented(tree: ast.Module, module: str) -> Iterator[tuple[str, str]]:
    """Names and texts, outer before inner, in source order."""
    waiting: list[tuple[ast.AST, str]] = [(tree, module)]
    while waiting:
        node, name = waiting.pop()
        if isinstance(node, _DOCUMENTED) and (text := ast.get_docstring(node)) and _is_utf8(text):
            yield name, text
        inner = [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr)]
        for child in reversed(inner):
            own_name = getattr(child, "name", None) if isinstance(child, _DOCUMENTED) else None
            waiting.append((child, f"{name}.{own_name}" if own_name else name))


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
