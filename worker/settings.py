"""Everything a worker can be told; built once, passed down in groups."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from schemas.requests import EmbeddingType
from schemas.topics import SLUG_PATTERN, Lane
from transport.settings import ProcessSettings

_GROUP = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

DEFAULT_MODEL = "all-MiniLM-L6-v2"


class ModelSettings(BaseModel):
    """Which model is served, and how it runs."""

    model_config = _GROUP

    name: str = DEFAULT_MODEL
    """Name the model is served under."""
    aliases: list[str] = []
    """Other names it answers to."""
    source: str = ""
    """Directory or hub id of a sentence-transformers model; empty: the packaged all-MiniLM-L6-v2."""
    slug: Annotated[str, Field(pattern=SLUG_PATTERN)] = ""
    """Names the model's own request topics; empty for the default model."""
    encoder: Literal["auto", "null"] = "auto"
    """`null`: vectors that cost nothing and no model, to measure and test the path itself."""
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`, `mps`; `auto`: the first accelerator, else the CPU."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the weights; `auto`: bfloat16 where the device computes in it, float32 elsewhere."""
    packing: Literal["auto", "off"] = "auto"
    """`auto`: batches without padding where the architecture supports it, checked at start; `off`: padded ones."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """CPU threads of encoder and tokenizer; none given: one a core, the cores shared out among `devices`."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Token limit of an input; none given: the model's own."""
    query_prefix: str | None = None
    """Put before an input whose role is `query`; none given: the model's own prompt, if it has one."""
    passage_prefix: str | None = None
    """Put before an input whose role is `passage`; none given: the model's own prompt, if it has one."""
    asymmetric: bool = False
    """Whether a request must name its role."""
    dimensions: list[Annotated[int, Field(ge=1)]] = []
    """Lengths a request may ask for beside the native one (Matryoshka models)."""
    clamp_dimensions: bool = False
    """Answer more `dimensions` than there are with the native length, instead of an error."""
    embedding_types: Annotated[list[EmbeddingType], Field(min_length=1)] | None = None
    """Types of numbers a request may ask for; none given: float, binary, ubinary, and with ranges int8 and uint8."""
    embedding_ranges: tuple[float, float] | Path | None = None
    """Lowest and highest value of a dimension, for int8 and uint8: two numbers, or a `.npy` file, shape (2, dim)."""
    append_eos: bool = False
    """Put the tokenizer's end-of-text token behind every text, counted in the limit."""
    pool_prefix: bool | None = None
    """Whether a prefix counts in pooling; none given: as the model says."""
    pooling: Literal["cls", "lasttoken", "max", "mean"] | None = None
    """How token vectors become one; none given: the model's own way."""
    trust_remote_code: bool = False
    """Run code that comes with the model."""
    accept_token_ids: bool = False
    """Take ids of the model's own vocabulary as inputs, read as given: no prefix, no special tokens added."""


class BatchSettings(BaseModel):
    """How inputs become batches."""

    model_config = _GROUP

    budget_tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens of one batch, padding counted where there is any; none given: tried out at the first start."""
    max_inputs: Annotated[int, Field(ge=1)] = 512
    """Inputs of one batch at the most."""
    bulk_share: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the device that bulk work keeps while interactive work waits."""
    interactive_bulk_seconds: Annotated[float, Field(gt=0)] = 0.05
    """Device time of a bulk batch while interactive traffic is about."""
    cache_bytes: Annotated[int, Field(ge=0)] = 0
    """Memory for vectors of earlier inputs, so that the same ones are not computed again; 0: none are kept."""


class BoundSettings(BaseModel):
    """How much may be in flight, for each lane."""

    model_config = _GROUP

    tokens: Annotated[int, Field(ge=1)] = 262_144
    """Tokens read and not yet answered."""
    bytes: Annotated[int, Field(ge=1)] = 256 * 1024 * 1024
    """Bytes read and reserved for responses, not yet answered."""
    messages_past_watermark: Annotated[int, Field(ge=1)] = 10_000
    """Messages of one partition read beyond its first unanswered one."""
    prefetch_bytes: Annotated[int, Field(ge=65536)] = 16 * 1024 * 1024
    """What the Kafka client reads ahead."""


class OwnFailureSettings(BaseModel):
    """When requests that fail through our own fault stop the worker; what callers do wrong never does."""

    model_config = _GROUP

    share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """More than this share of the requests of the window stops the worker; 1: none does."""
    window_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How long a request counts."""
    at_least: Annotated[int, Field(ge=1)] = 20
    """Failures in the window below which nothing stops, whatever their share."""


class WorkerSettings(ProcessSettings):
    """Settings of `kafka-embeddings worker`."""

    models: Path | None = None
    """Catalogue (TOML) of the models that are served; this worker serves the one that `model.name` names."""
    model: ModelSettings = ModelSettings()
    devices: list[str] = Field(default=[])
    """Devices to serve on, a process each; `["auto"]`: every CUDA device, else one worker; empty: `model.device`."""
    batch: BatchSettings = BatchSettings()
    bounds: BoundSettings = BoundSettings()
    own_failures: OwnFailureSettings = OwnFailureSettings()
    reply_topics: list[str] = Field(default=[])
    """Topics a request may name as its destination, beside `<prefix>.responses` and `<prefix>.replies*`."""
    flat_topics: list[str] = Field(default=[])
    """Topics a request may name that get the `flat` profile; `<prefix>.responses` may be listed too."""
    delivery: Literal["at-least-once", "exactly-once"] = "at-least-once"
    """`exactly-once`: answers and progress in transactions, `bulk` lane only, Apache Kafka only."""
    lanes: list[Lane] = Field(default=[])
    """Lanes to serve; none given: both, under `exactly-once` `bulk`."""
    commit_every_seconds: Annotated[float, Field(gt=0)] = 1.0
    """Time between commits of what is answered, under `exactly-once` between transactions."""
    transaction_timeout_seconds: Annotated[float, Field(ge=1)] = 15.0
    """The broker aborts a transaction left open this long, within 10 s more; a killed worker's holds up readers."""
    drain_timeout_seconds: Annotated[float, Field(ge=0)] = 30.0
    """How long a stopping worker answers what it has read."""
    revoke_timeout_seconds: Annotated[float, Field(ge=0)] = 3.0
    """How long a partition that moves away is waited for, so that its answers are committed."""
    stuck_after_seconds: Annotated[float, Field(gt=0)] | None = None
    """After this without anything done of a lane's oldest request the worker ends with 1, for another to take over.

    None given: five times the slowest batch seen, at least 60."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Port of `/metrics`, `/health/live` and `/health/ready`; 0: any free one; none given: there is none.

    Several workers of one command take this one and those that follow it."""
    metrics_host: str = "127.0.0.1"
    """Address they are served on."""
    clock_skew_seconds: Annotated[float, Field(ge=0)] = 1.0
    """How much later than its deadline a request counts as expired."""
    allow_mixed: bool = False
    """Join although live workers of this model show another revision."""

    @field_validator("lanes")
    @classmethod
    def _nobody_waits_for_a_transaction(cls, lanes: list[Lane], others: ValidationInfo) -> list[Lane]:
        if others.data.get("delivery") == "exactly-once" and Lane.INTERACTIVE in lanes:
            raise ValueError(
                "exactly-once is for bulk, a caller who waits would wait for transactions: leave interactive "
                "out, and serve it by workers of their own (--lanes interactive)"
            )
        return lanes

    @property
    def served_lanes(self) -> list[Lane]:
        """Lanes of this worker, interactive first."""
        given = self.lanes or ([Lane.BULK] if self.delivery == "exactly-once" else list(Lane))
        return [lane for lane in Lane if lane in given]
