"""Where Kafka's jars come from: fetched once by Maven into `.kafka/lib-<version>` at the repository's root."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

MINIMUM_JAVA: Final = 17
"""Kafka 4's broker refuses to start on anything older."""

_FOLDER: Final = Path(__file__).parent
_POM: Final = _FOLDER / "pom.xml"
_CACHE: Final = _FOLDER.parent.parent / ".kafka"
_FETCH_SECONDS: Final = 600
_COPY_DEPENDENCIES: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


def _version() -> str:
    version = ElementTree.parse(_POM).findtext("{*}properties/{*}kafka.version")
    if version is None:
        raise ValueError(f"{_POM} has no property kafka.version")
    return version


KAFKA_VERSION: Final = _version()


class FetchError(Exception):
    """Maven could not bring the jars; nothing was left behind that looks like them."""


def java() -> str | None:
    """Path of the java command, JAVA_HOME before PATH; None where there is none."""
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")


def java_major(command: str) -> int | None:
    """Major version that `command -version` reports; None where it reports none."""
    answer = subprocess.run([command, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    return int(found.group(1)) if found else None


def why_no_kafka() -> str | None:
    """What keeps this machine from running the broker, in one line; None when nothing does."""
    command = java()
    if command is None:
        return f"no java command found: install Java {MINIMUM_JAVA} or newer"
    major = java_major(command)
    if major is None or major < MINIMUM_JAVA:
        return f"{command} is Java {major or 'of unknown version'}: Kafka needs {MINIMUM_JAVA} or newer"
    if not _jars_folder().is_dir() and shutil.which("mvn") is None:
        return "no mvn command found: install Maven, which fetches Kafka's jars"
    return None


def class_path() -> str:
    """Java class path of the broker; fetches the jars when they are not there. Safe in several processes.

    Raises:
        FetchError: With the end of Maven's output.
    """
    folder = _jars_folder()
    if not folder.is_dir():
        _CACHE.mkdir(exist_ok=True)
        with (_CACHE / "fetch.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():
                _fetch(folder)
    return str(folder / "*")


def _jars_folder() -> Path:
    return _CACHE / f"lib-{KAFKA_VERSION}"


def _fetch(folder: Path) -> None:
    """Fill a temporary folder and rename it into place: a folder under the final name is always whole."""
    with tempfile.TemporaryDirectory(dir=_CACHE, prefix="fetching-") as scratch:
        jars = Path(scratch, "lib")
        command = ["mvn", "-q", "-B", "-f", str(_POM), _COPY_DEPENDENCIES]
        command += [f"-DoutputDirectory={jars}", "-DincludeScope=runtime"]
        try:
            done = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=_FETCH_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise FetchError(f"Maven took over {_FETCH_SECONDS} s to fetch Kafka's jars") from error
        if done.returncode != 0 or not (jars / f"kafka_2.13-{KAFKA_VERSION}.jar").is_file():
            raise FetchError(f"Maven could not fetch Kafka {KAFKA_VERSION}:\n{done.stdout[-2000:]}")
        jars.rename(folder)
