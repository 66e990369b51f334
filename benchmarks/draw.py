"""Draws what was measured: `benchmarks/results/*.json` into pictures and into the table of `docs/benchmarks.md`.

python -m benchmarks.draw
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any, Final, TypeAlias

from .figures import FIGURES
from .picture import Bar, draw_bars
from .recording import number

_ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = _ROOT / "benchmarks" / "results"
PAGE: Final = _ROOT / "docs" / "benchmarks.md"
IMAGES: Final = _ROOT / "docs" / "images"
BEGIN: Final = "<!-- begin: python -m benchmarks.draw -->"
END: Final = "<!-- end: python -m benchmarks.draw -->"
NOT_MEASURED: Final = "not measured yet"

Result: TypeAlias = dict[str, Any]
"""One file, as `recording.Results` writes it."""


def read_results(folder: Path = RESULTS) -> dict[str, Result]:
    """What was measured, by benchmark."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def render_page(page: str, results: dict[str, Result]) -> str:
    """The page with table, machines and pictures put between its marks.

    Raises:
        ValueError: The page lacks a mark.
    """
    if BEGIN not in page or END not in page:
        raise ValueError(f"the page lacks the line {BEGIN} or {END}")
    head, tail = page.split(BEGIN, 1)[0], page.split(END, 1)[1]
    machines = _machines(results)
    parts = [
        _table(results, machines),
        *(f"Machine {place}: {machine}" for machine, place in machines.items()),
        *(f"![Ratios of benchmarks.{name}](images/{_image(name)})" for name in FIGURES if _ratios(results, name)),
    ]
    return f"{head}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{tail}"


def render_images(results: dict[str, Result]) -> dict[str, str]:
    """Pictures by their file's name: one for each benchmark that has ratios."""
    images = {}
    for name, rows in FIGURES.items():
        bars = [
            Bar(
                _what(name, one),
                one["median"],
                one["lowest"],
                one["highest"],
                rows[one["key"]].target(results[name]["machine"]["features"]),
            )
            for one in _ratios(results, name)
        ]
        if bars:
            images[_image(name)] = draw_bars(f"benchmarks.{name}: ratios of the two sides", bars)
    return images


def main() -> None:
    """Write the page and the pictures; a picture of what is no longer measured is removed."""
    results = read_results()
    PAGE.write_text(render_page(PAGE.read_text(), results))
    images = render_images(results)
    for path in IMAGES.glob(_image("*")):
        if path.name not in images:
            path.unlink()
    for name, image in images.items():
        (IMAGES / name).write_text(image)


def _table(results: dict[str, Result], machines: dict[str, int]) -> str:
    lines = [
        "| benchmark | what | median | rounds | sides | target | with | machine |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, rows in FIGURES.items():
        for key, row in rows.items():
            figures = [one for one in results[name]["figures"] if one["key"] == key] if name in results else []
            lines += [_measured(results[name], one, machines[_machine(results[name])]) for one in figures]
            if not figures:
                lines.append(f"| `{name}` | {row.what} | {NOT_MEASURED} | | | {_targets(name, key)} | | |")
    return "\n".join(lines)


def _measured(result: Result, figure: dict[str, Any], machine: int) -> str:
    name, rounds = result["benchmark"], len(figure["rounds"])
    row = FIGURES[name][figure["key"]]
    spread = f"{rounds}: {number(figure['lowest'])} to {number(figure['highest'])}" if rounds > 1 else "1"
    sides = ""
    if figure["ours"]:
        ours, theirs = (number(statistics.median(figure[side])) for side in ("ours", "theirs"))
        sides = f"{ours} against {theirs} {row.sides_unit}"
    target = f"{figure['target']}: {'met' if figure['met'] else 'missed'}" if figure["target"] else ""
    median = f"{number(figure['median'])} {row.unit}".strip()
    cells = (f"`{name}`", _what(name, figure), median, spread, sides, target, _with(result), str(machine))
    return f"| {' | '.join(cells)} |"


def _with(result: Result) -> str:
    """Broker, peer, and how much went through."""
    options, details = result["options"], result["details"]
    amounts = (f"{options[unit]:,} {unit}" for unit in ("texts", "requests", "calls") if unit in options)
    return ", ".join([*(details[name] for name in ("broker", "peer") if name in details), *amounts])


def _what(name: str, figure: dict[str, Any]) -> str:
    what = FIGURES[name][figure["key"]].what
    return f"{what} ({figure['case']})" if figure["case"] else what


def _targets(name: str, key: str) -> str:
    targets = FIGURES[name][key].targets
    return ", ".join(f"{target} with {target.feature}" if target.feature else str(target) for target in targets)


def _machines(results: dict[str, Result]) -> dict[str, int]:
    """Numbers of the machines, by their descriptions, in the order of the table."""
    descriptions = [_machine(results[name]) for name in FIGURES if name in results]
    return {description: place for place, description in enumerate(dict.fromkeys(descriptions), start=1)}


def _machine(result: Result) -> str:
    machine, device = result["machine"], result["details"].get("device")
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    cores = f"{machine['cores']} cores of {machine['processor']} ({', '.join(machine['features'])})"
    return f"{f'{device}, ' if device else ''}{cores}, Python {machine['python']}, {packages}."


def _ratios(results: dict[str, Result], name: str) -> list[dict[str, Any]]:
    return [one for one in results[name]["figures"] if one["ours"]] if name in results else []


def _image(name: str) -> str:
    return f"benchmark-{name}.svg"


if __name__ == "__main__":
    main()
