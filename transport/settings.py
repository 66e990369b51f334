"""How to reach a cluster, and what else every process of ours can be told."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from schemas.topics import DEFAULT_PREFIX, PREFIX_PATTERN

from .errors import SettingsError

_OURS: Final = frozenset(
    {
        "auto.offset.reset",
        "bootstrap.servers",
        "delivery.report.only.error",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "group.id",
        "metadata.broker.list",
        "transactional.id",
    }
)
"""Options that decide whether messages are lost; not to be overridden."""


class KafkaSettings(BaseModel):
    """Where the brokers are and how to talk to them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    bootstrap: Annotated[str, Field(min_length=1)] = "127.0.0.1:9092"
    """Brokers to ask first, `host:port[,host:port]`."""
    options: dict[str, SecretStr] = {}
    """Any librdkafka option, passed through (`security.protocol`, `sasl.password`, …); values are never logged."""
    options_file: Path | None = None
    """TOML file of librdkafka options; `options` win over it."""
    group_protocol: Literal["auto", "classic", "consumer"] = "auto"
    """Protocol of consumer groups; `auto`: `classic` on Kafka, `consumer` on the embedded broker."""
    session_timeout_seconds: Annotated[float, Field(ge=1)] = 6.0
    """A worker silent this long loses its partitions (`classic` only; under `consumer` the broker's rule counts)."""
    replication: Annotated[int, Field(ge=1)] = 1
    """Replicas of the topics that are created."""

    @property
    def is_given(self) -> bool:
        """Whether somebody named a broker, by flag, environment or file."""
        return "bootstrap" in self.model_fields_set

    def librdkafka_options(self) -> dict[str, str]:
        """The options to pass through, file and settings merged.

        Raises:
            SettingsError: The file cannot be read, or an option is ours to set.
        """
        options = _read_options(self.options_file) if self.options_file else {}
        options |= {name: value.get_secret_value() for name, value in self.options.items()}
        for name in sorted(_OURS & options.keys()):
            raise SettingsError(f"librdkafka option {name!r} is set by kafka-embeddings itself: leave it out")
        return options


class ProcessSettings(BaseSettings):
    """Settings of every process; flags win over the environment, the environment over the file."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        env_prefix="KAFKA_EMBEDDINGS_",
        env_nested_delimiter="__",
    )

    kafka: KafkaSettings = KafkaSettings()
    topic_prefix: Annotated[str, Field(pattern=PREFIX_PATTERN)] = DEFAULT_PREFIX
    """First part of every topic's name."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe events that are logged."""
    log_format: Literal["auto", "console", "json"] = "auto"
    """`auto`: readable lines on a terminal, JSON elsewhere."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings' signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        flags = dict(init_settings())
        file: dict[str, Any] = flags.pop(_FILE, {})
        return (
            InitSettingsSource(settings_cls, init_kwargs=flags),
            env_settings,
            InitSettingsSource(settings_cls, init_kwargs=file),
        )

    @classmethod
    def build(
        cls, flags: dict[str, Any], file: Path | None, section: str, beneath: dict[str, Any] | None = None
    ) -> Self:
        """Settings from flags, environment and file.

        Args:
            flags: What the command line says, nested as the settings are; None values count as not given.
            file: TOML file; its top level holds for every process, the table `section` for this one.
            section: Name of this process's table.
            beneath: Defaults under all of them.

        Raises:
            SettingsError: A value does not fit, a name is unknown, or the file cannot be read.
        """
        given = _given(flags)
        given[_FILE] = _merged(beneath or {}, {} if file is None else _read_section(file, section))
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise SettingsError(f"setting {where}: {first['msg'][0].lower()}{first['msg'][1:]}") from None


_FILE: Final = "_file"
_SECTIONS: Final = ("worker", "api")


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    nested = {name: _given(value) if isinstance(value, dict) else value for name, value in flags.items()}
    return {name: value for name, value in nested.items() if value is not None and value != {}}


def _read_section(path: Path, section: str) -> dict[str, Any]:
    entries = read_toml(path)
    common = {name: value for name, value in entries.items() if name not in _SECTIONS}
    return _merged(common, entries.get(section, {}))


def _merged(common: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """One process's table over the common one, nested tables entry by entry."""
    merged = dict(common)
    for name, value in own.items():
        beneath = common.get(name)
        merged[name] = _merged(beneath, value) if isinstance(beneath, dict) and isinstance(value, dict) else value
    return merged


def _read_options(path: Path) -> dict[str, str]:
    entries = read_toml(path)
    nested = [name for name, value in entries.items() if isinstance(value, dict)]
    if nested:
        raise SettingsError(f'{path}: quote option names that hold dots, for instance "{nested[0]}.…" = "…"')
    return {name: _option_text(value) for name, value in entries.items()}


def read_toml(path: Path) -> dict[str, Any]:
    """The entries of a TOML file.

    Raises:
        SettingsError: It cannot be read; one line that names it.
    """
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}: name a TOML file that is there") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error


def _option_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
