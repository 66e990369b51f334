"""The two images against the distribution they install."""

from __future__ import annotations

import re

import pytest

from .files import PROJECT, ROOT, dockerfile, only

_EXTRAS = PROJECT["project"]["optional-dependencies"]
_PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def _extras(stage: str) -> list[str]:
    found = re.search(r'"\.\[([a-z,]+)\]"', only(stage, "RUN").text)
    assert found is not None
    return found.group(1).split(",")


@pytest.mark.parametrize(("stage", "extras"), [("worker", ["worker", "otel"]), ("api", ["api", "redis", "otel"])])
def test_each_image_installs_its_own_extras_under_the_constraints(stage: str, extras: list[str]) -> None:
    assert only(stage, "RUN").text.startswith("pip install -c constraints.txt ")
    assert _extras(stage) == extras
    assert set(_extras(stage)) <= set(_EXTRAS)


def test_the_api_image_has_nothing_of_torch() -> None:
    requirements = PROJECT["project"]["dependencies"] + [one for extra in _extras("api") for one in _EXTRAS[extra]]

    assert not [one for one in requirements if re.match(r"torch|transformers|sentence|tokenizers|gt-all", one)]


@pytest.mark.parametrize("stage", ["worker", "api"])
def test_each_image_runs_the_command_in_exec_form_and_not_as_root(stage: str) -> None:
    assert only(stage, "ENTRYPOINT").words == list(PROJECT["project"]["scripts"])
    assert only(stage, "USER").text != "root"


def test_the_apis_probe_asks_for_readiness() -> None:
    assert "/v1/health/ready" in only("api", "HEALTHCHECK").text


def test_every_package_of_the_wheel_is_copied_and_let_through_to_the_build() -> None:
    copied = [one.text.split()[0] for one in dockerfile() if one.name == "COPY" and "." not in one.text]
    let_through = (ROOT / ".dockerignore").read_text().splitlines()

    assert sorted(copied) == sorted(_PACKAGES)
    assert {f"!{package}" for package in _PACKAGES} <= set(let_through)
