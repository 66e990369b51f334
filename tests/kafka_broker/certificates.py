"""Certificates by `openssl`: an authority, a server's for 127.0.0.1, a client's, all of them for a day."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_NEW_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_FOR_A_DAY: Final = ("-days", "1")
_OF_THIS_MACHINE: Final = "subjectAltName=DNS:localhost,IP:127.0.0.1"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, each a PEM file."""

    certificate: Path
    key: Path


class Authority:
    """An authority of a test's own.

    Args:
        folder: Where its files go, made where it is not there.
        name: Of the authority.
    """

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._own = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
        _openssl(
            *("req", "-x509", *_NEW_KEY, *_FOR_A_DAY, "-subj", f"/CN={name}"),
            *("-keyout", str(self._own.key), "-out", str(self._own.certificate)),
        )

    @property
    def certificate(self) -> Path:
        """What those who trust it are given."""
        return self._own.certificate

    def issue(self, name: str) -> Certificate:
        """A certificate for a server of this machine, or for a client of that name."""
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extensions.write_text(f"{_OF_THIS_MACHINE}\n")
        _openssl("req", "-new", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", str(made.key), "-out", str(request))
        _openssl(
            *("x509", "-req", "-in", str(request), *_FOR_A_DAY, "-extfile", str(extensions), "-CAcreateserial"),
            *("-CA", str(self._own.certificate), "-CAkey", str(self._own.key), "-out", str(made.certificate)),
        )
        return made


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, f"openssl {arguments[0]}:\n{done.stderr}"
