"""The verbs of the Makefile, and what they do when things go wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from .files import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_MAKEFILE = ROOT / "Makefile"
_VERBS = {"help", "install", "run", "test", "test-fast", "lint", "format", "kafka", "chaos", "benchmarks", "clean"}
_TO_RUN = ".[api,worker,embed]"
_TO_TEST = ".[api,redis,otel,worker,embed,test,lint]"
_ON_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


def _make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "-f", str(_MAKEFILE), *words], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with what the rules depend on, and nothing installed."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "constraints.txt").touch()
    return tmp_path


def _write_command(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_help_lists_every_verb_and_is_what_make_alone_does() -> None:
    listed = _make(ROOT, "help").stdout

    assert set(re.findall(r"^make ([a-z-]+)", listed, re.MULTILINE)) == _VERBS
    assert _make(ROOT).stdout == listed


def test_every_verb_is_phony() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", _MAKEFILE.read_text(), re.MULTILINE)

    assert set(phony.split()) == _VERBS


def test_continuous_integration_calls_verbs_that_exist() -> None:
    called = re.findall(r"^(?:\w+=\w+ )*make ([a-z-]+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)

    assert called == ["lint", "test"]
    assert set(called) <= _VERBS


def test_an_old_python_is_refused_by_name_and_leaves_no_environment(project: Path) -> None:
    _write_command(project / "old", '[ "$1" = --version ] && echo "Python 3.9.2" && exit 0; exit 1')

    made = _make(project, "install", f"PYTHON={project / 'old'}")

    assert made.returncode != 0
    assert "needs Python 3.11 or newer" in made.stderr
    assert "is Python 3.9.2" in made.stderr
    assert not (project / ".venv").exists()


def test_an_environment_that_came_out_half_made_is_removed(project: Path) -> None:
    _write_command(
        project / "no-venv", '[ "$1" = -m ] && mkdir -p .venv/bin && touch .venv/bin/python && exit 1; exit 0'
    )

    made = _make(project, "install", f"PYTHON={project / 'no-venv'}")

    assert made.returncode != 0
    assert not (project / ".venv").exists()


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_install_brings_what_runs_and_what_tests_once_and_again_when_what_it_reads_changes(
    project: Path, changed: str
) -> None:
    _write_command(project / ".venv" / "bin" / "python", 'echo "$@" >> pip-calls')
    calls = project / "pip-calls"

    _make(project, "install")
    _make(project, "install")
    assert [line.split()[-1] for line in calls.read_text().splitlines()] == [_TO_RUN, _TO_TEST]

    stamp = (project / ".venv" / ".installed").stat().st_mtime_ns
    _touch_after(project / changed, stamp)
    _make(project, "install")
    assert calls.read_text().count("pip install") == 4


def _touch_after(path: Path, mtime_ns: int) -> None:
    os.utime(path, ns=(mtime_ns + 1_000_000, mtime_ns + 1_000_000))


def test_ctrl_c_on_a_terminal_ends_make_run_with_the_commands_own_0(project: Path) -> None:
    _write_command(project / ".venv" / "bin" / "python", "exit 0")
    _write_command(
        project / ".venv" / "bin" / "kafka-embeddings",
        "trap 'echo ended; exit 0' INT; echo ready \"$@\"; while :; do sleep 0.05; done",
    )
    make = ["make", "-f", str(_MAKEFILE), "run", "ARGS=--port 8001"]
    with subprocess.Popen(
        [sys.executable, "-c", _ON_A_TERMINAL, *make],
        cwd=project,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as terminal:
        assert terminal.stdout is not None
        assert terminal.stdin is not None
        started = next(line for line in terminal.stdout if line.startswith("ready"))
        terminal.stdin.write("\x03")
        terminal.stdin.flush()
        rest = terminal.stdout.read()
        code = terminal.wait(10)

    assert started.split() == ["ready", "up", "--sample", "--port", "8001"]
    assert "ended" in rest
    assert "***" not in rest
    assert code == 0
