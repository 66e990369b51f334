"""Writes the reference part of `docs/configuration.md` from the settings classes; run it after changing one.

python -m cli.configuration_page
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from api.settings import ApiSettings
from schemas.topics import MEBIBYTE
from transport.settings import ProcessSettings
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

PAGE: Final = Path(__file__).parents[1] / "docs" / "configuration.md"
MARK: Final = "<!-- From here on generated from the settings classes: python -m cli.configuration_page -->"
"""Everything above it in the page is written by hand and kept."""

_SECTIONS: Final[Mapping[str, tuple[str, type[ProcessSettings]]]] = {
    "Every process": ("The top level of the file.", ProcessSettings),
    "The worker": ("The table `[worker]` of the file, in place of the top level or beside it.", WorkerSettings),
    "The API": ("The table `[api]` of the file, in place of the top level or beside it.", ApiSettings),
}
_TYPES: Final[Mapping[Any, str]] = {
    str: "text",
    SecretStr: "text",
    int: "integer",
    float: "number",
    bool: "`true`, `false`",
    Path: "path",
    list[str]: "list of texts",
    tuple[float, float]: "two numbers",
    dict[str, SecretStr]: "table of texts",
}
_BOUNDS: Final[Mapping[str, str]] = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the reference."""

    name: str
    """Dotted, as the TOML file nests it."""
    type: str
    default: str
    meaning: str

    @property
    def variable(self) -> str:
        """Name of its environment variable."""
        config = ProcessSettings.model_config
        prefix, delimiter = config.get("env_prefix", ""), config.get("env_nested_delimiter") or "."
        return prefix + self.name.replace(".", delimiter).upper()


def settings_of(kind: type[BaseModel], inherited: frozenset[str] = frozenset()) -> dict[str, list[Setting]]:
    """The settings of a class by group: the group's description -> its rows; the class's own group has none.

    Args:
        kind: A settings class.
        inherited: Names of its fields to leave out, since a base class shows them.
    """
    groups: dict[str, list[Setting]] = {"": []}
    for name, field in kind.model_fields.items():
        if name in inherited:
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            rows = [_setting(f"{name}.{inner}", it) for inner, it in field.annotation.model_fields.items()]
            groups[f"`{name}`: {_first_line(field.annotation)}"] = rows
        else:
            groups[""].append(_setting(name, field))
    return groups


def render(page: str) -> str:
    """The page with its reference brought up to date.

    Args:
        page: The page as it stands; what is above the mark is kept.

    Raises:
        ValueError: The mark is not in it.
    """
    head, mark, _ = page.partition(MARK)
    if not mark:
        raise ValueError(f"{PAGE.name} lacks the line {MARK!r}")
    return head + MARK + "\n\n" + "\n".join(_lines()) + "\n"


def write() -> None:
    """Bring the page up to date."""
    PAGE.write_text(render(PAGE.read_text()))


def _lines() -> Iterator[str]:
    for number, (title, (where, kind)) in enumerate(_SECTIONS.items()):
        inherited = frozenset(ProcessSettings.model_fields) if kind is not ProcessSettings else frozenset[str]()
        yield from ([""] if number else [])
        yield from (f"## {title}", "", where)
        for description, rows in settings_of(kind, inherited).items():
            if not rows:
                continue
            yield from ("", f"### {description}") if description else ()
            yield from ("", "| setting | environment variable | type | default | meaning |", "|---|---|---|---|---|")
            for row in rows:
                yield f"| `{row.name}` | `{row.variable}` | {row.type} | {row.default} | {row.meaning} |"


def _setting(name: str, field: FieldInfo) -> Setting:
    meaning = " ".join((field.description or "").split()).replace("|", "\\|")
    return Setting(name, _type(field), _default(name, field), meaning)


def _type(field: FieldInfo) -> str:
    kind: Any = field.annotation
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return " or ".join(_kind(one, list(field.metadata)) for one in kinds if one is not type(None))


def _kind(kind: Any, constraints: list[Any]) -> str:
    if get_origin(kind) is Annotated:
        kind, *inner = get_args(kind)
        constraints += [constraint for one in inner for constraint in getattr(one, "metadata", [one])]
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) is list and (member := get_args(kind)[0]) is not str:
        return f"list of {_kind(member, [])}"
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return ", ".join(f"`{value}`" for value in kind)
    bounds = [
        f"{sign} {getattr(constraint, name)}"
        for constraint in constraints
        for name, sign in _BOUNDS.items()
        if getattr(constraint, name, None) is not None
    ]
    return " ".join([_TYPES[kind], ", ".join(bounds)]).strip()


def _default(name: str, field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if name.endswith("bytes") and value:
        unit, size = ("MiB", MEBIBYTE) if value % MEBIBYTE == 0 else ("KiB", 1024)
        return f"`{value}` ({value // size} {unit})"
    return f"`{value}`"


def _first_line(kind: type[BaseModel]) -> str:
    text = (kind.__doc__ or "").strip().splitlines()[0].rstrip(".")
    return text[0].lower() + text[1:]


if __name__ == "__main__":
    write()
