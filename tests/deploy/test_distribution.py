"""What gets installed: pinned versions, and import names that nobody else ships."""

from __future__ import annotations

from importlib.metadata import packages_distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from .files import PROJECT, ROOT

_PROJECT = PROJECT["project"]
_PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
_LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]


def _pins() -> dict[str, Version]:
    return {canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in _LINES)}


def test_every_direct_dependency_is_pinned_to_a_version_it_allows() -> None:
    extras = _PROJECT["optional-dependencies"].values()
    direct = [
        Requirement(line) for line in [*_PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    ]
    pins = _pins()

    missing = [one.name for one in direct if canonicalize_name(one.name) not in pins]
    refused = [str(one) for one in direct if not one.specifier.contains(pins[canonicalize_name(one.name)])]

    assert missing == []
    assert refused == []


def test_pins_are_exact_sorted_and_each_there_once() -> None:
    names = [canonicalize_name(line.split("==")[0]) for line in _LINES]

    assert names == sorted(set(names))


def test_no_other_installed_distribution_ships_an_import_name_of_ours() -> None:
    owners = packages_distributions()

    foreign = {name: set(owners.get(name, [])) - {_PROJECT["name"]} for name in _PACKAGES}

    assert {name: others for name, others in foreign.items() if others} == {}
