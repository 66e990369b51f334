"""From an exception to the one line and the exit status a person gets."""

from __future__ import annotations

from typing import Final

_WRONG_SETTINGS: Final = frozenset(
    {
        "ChildSettingsError",
        "FilterError",
        "InputError",
        "MissingPackageError",
        "MixedRevisionError",
        "ModelError",
        "OutputError",
        "ResumeError",
        "SettingsError",
        "TopicSetupError",
    }
)
"""By name: importing the packages they live in would cost `--help` its quick answer."""

_EXTRAS: Final = {
    "fastapi": "api",
    "limits": "api",
    "prometheus_client": "api",
    "uvicorn": "api",
    "torch": "worker",
    "sentence_transformers": "worker",
    "tokenizers": "worker",
    "pyarrow": "embed",
}


def one_line(error: BaseException) -> tuple[int, str]:
    """Exit status and line: 2 for wrong settings, 1 for everything else."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _EXTRAS:
        extra = _EXTRAS[(error.name or "").partition(".")[0]]
        return 2, f"this command needs more than is installed: pip install 'kafka-embeddings[{extra}]'"
    text = " ".join(str(error).split()) or type(error).__name__
    if type(error).__name__ in _WRONG_SETTINGS:
        return 2, text
    expected = type(error).__module__.partition(".")[0] in ("api", "cli", "client", "schemas", "transport", "worker")
    return 1, text if expected else f"{type(error).__name__}: {text} (not expected: please report it)"
