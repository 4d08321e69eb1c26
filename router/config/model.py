"""What a configuration is once it has been checked."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr

from router.config.inputs import TextFile
from router.config.secrets import Secrets
from router.settings import Settings
from router.tables.settings import TableSpec
from router.tls import ServerTls
from router.units import Address, Duration, Size, split_address
from rules.codecs import DecodeSetting, EncodeSetting, Format, Json
from rules.faults import Fault, Place
from rules.flow import Flow, Value
from rules.model import Model
from rules.reader import sink_targets

KEYS = (
    *("state_dir", "http", "vars", "secrets", "tables", "drain_timeout", "dead_letters"),
    *("connections", "models", "defaults", "sources", "sinks", "flows"),
)
"""What the daemon's file may say."""

Class = type[Any]


class Part(Model):
    """The base of what the daemon's file says besides connectors' own settings."""


class Http(Part):
    """Where metrics, health and the admin pages are served."""

    listen: Address = "127.0.0.1:9600"
    """The host and port to listen on. Port 0 takes any free one."""
    token: Annotated[SecretStr, Field(min_length=1)] | None = None
    """What a request must show as `Authorization: Bearer ...`. Needed when others than this machine can connect."""
    tls: ServerTls | None = None
    """Serve the pages over https. With `client_ca`, every page is for clients with a certificate alone."""

    @property
    def host(self) -> str:
        """The host to listen on."""
        return split_address(self.listen)[0]

    @property
    def port(self) -> int:
        """The port to listen on; 0 for any free one."""
        return split_address(self.listen)[1]

    @property
    def token_text(self) -> str | None:
        """The token itself. Never to be logged or shown."""
        return None if self.token is None else self.token.get_secret_value()

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class DeadLetterPolicy(Part):
    """What becomes of dead letters. They are written to the state folder first, whatever is said here."""

    to: str | dict[str, str] | None = None
    """A sink that they are moved to, as JSON; or several, by flow: `{orders: lost_orders}`. Without it, or of a flow
    that is not named, they stay in the state folder."""
    retain: Annotated[Duration, Field(gt=0)] | None = None
    """How long those that stay are kept. Older ones are deleted, counted and logged."""
    max_bytes: Annotated[Size, Field(ge=1 << 20)] | None = None
    """How much of the disk the file with the dead letters may use. The oldest ones are deleted, counted and logged, so
    that new ones find room. What waits to be moved or replayed is not deleted, and may take more."""

    @property
    def routes(self) -> tuple[tuple[str | None, str], ...]:
        """Flows and the sinks of their letters; None for every flow."""
        if self.to is None:
            return ()
        return ((None, self.to),) if isinstance(self.to, str) else tuple(self.to.items())

    @property
    def sinks(self) -> frozenset[str]:
        """The sinks that letters are moved to."""
        return frozenset(sink for _, sink in self.routes)


class BatchPolicy(Part):
    """How much one write takes at most, and how long a batch waits to fill."""

    records: Annotated[int, Field(gt=0)] = 10_000
    """Records in one write, at most."""
    bytes: Annotated[Size, Field(gt=0)] = 1 << 20
    """Bytes of payload in one write, at most; a larger record is written alone."""
    wait: Duration = 0.0
    """How long records wait for others to be written with. 0 writes what is there."""


class RetryPolicy(Part):
    """What happens to records that a sink refused for now."""

    attempts: Annotated[int, Field(gt=0)] = 10
    """Writes of a record, the first included, until it is a dead letter. An outage of the sink does not count."""
    backoff: Annotated[Duration, Field(gt=0, le=30)] = 0.1
    """The pause before the second attempt. It doubles each time, up to 30s, and is jittered."""


class QueueBounds(Part):
    """How much may wait for a sink."""

    records: Annotated[int, Field(gt=0)] = 50_000
    """Records in the queue, at most."""
    bytes: Annotated[Size, Field(gt=0)] = 16 << 20
    """Bytes of payload in the queue, at most."""


class BufferSettings(Part):
    """What waits for a sink, where it is safe."""

    type: Literal["disk"]
    """On `disk`, in `state_dir`."""
    bytes: Annotated[Size, Field(gt=0)] = 1 << 30
    """Bytes of payload in the buffer, at most. On disk they take more: keys, headers, and what came as it came."""


class SourceCommon(Part):
    """What every source takes besides its connector's own settings."""

    decode: DecodeSetting = Json()
    """What its payloads are: `json`, `text`, `bytes`, `csv` and so on, or a mapping with `type` and more settings."""


class SinkCommon(Part):
    """What every sink takes besides its connector's own settings."""

    encode: EncodeSetting | None = None
    """What goes out. `same`: a record that no rule changed goes out byte for byte, a changed one in its own format.
    Otherwise a format, as in `decode`."""
    batch: BatchPolicy = BatchPolicy()
    """How much one write takes."""
    retry: RetryPolicy = RetryPolicy()
    """What happens to records that the sink refused for now."""
    timeout: Annotated[Duration, Field(gt=0)] = 60.0
    """How long one write may take."""
    queue: QueueBounds = QueueBounds()
    """How much may wait for the sink."""
    buffer: BufferSettings | None = None
    """A buffer before the queue: a record that is in it is safe, and its source is told so."""
    when_full: Literal["block", "dead_letter"] = "block"
    """What a full queue, or buffer, does: hold up the flows that use the sink, or make dead letters of what does not
    fit."""
    ordered: bool = True
    """Whether records with the same key are written in their order."""


SELECTORS = {
    "type": "The connector, as `sluiceway connectors` lists it.",
    "use": "The name of a connection, whose settings hold here too; it also says the type.",
    "allow": "For settings that a record may choose: patterns of the values it may choose, such as "
    "`{path: [archive/*]}`.",
}
"""What sources and sinks take besides, and is no setting of the connector or of its surroundings."""


@dataclass(frozen=True)
class SourceSpec:
    """A source that is to be built: ``connector(settings.within(context))``. ``fingerprint`` is that of its connector's
    own settings."""

    name: str
    type: str
    connector: Class
    settings: Settings = field(repr=False)
    decode: Format
    place: Place
    fingerprint: str


@dataclass(frozen=True)
class SinkSpec:
    """A sink that is to be built, and how deliveries to it are made. ``templates`` are its per-record settings that
    hold ``${CEL}``; ``allow`` says for such settings which values a record may choose, as patterns; ``encode`` is the
    format of what goes out, or None for that of the source; ``fingerprint`` is that of its connector's own settings."""

    name: str
    type: str
    connector: Class
    settings: Settings = field(repr=False)
    templates: Mapping[str, Value]
    allow: Mapping[str, tuple[str, ...]]
    common: SinkCommon
    encode: Format | None
    place: Place
    fingerprint: str

    @property
    def batch(self) -> BatchPolicy:
        """How much one write takes."""
        return self.common.batch

    @property
    def retry(self) -> RetryPolicy:
        """What happens to records that the sink refused for now."""
        return self.common.retry

    @property
    def timeout(self) -> float:
        """Seconds that one write may take."""
        return self.common.timeout

    @property
    def queue(self) -> QueueBounds:
        """How much may wait for the sink."""
        return self.common.queue

    @property
    def buffer(self) -> BufferSettings | None:
        """The buffer before the queue."""
        return self.common.buffer

    @property
    def when_full(self) -> Literal["block", "dead_letter"]:
        """What a full queue, or buffer, does."""
        return self.common.when_full

    @property
    def ordered(self) -> bool:
        """Whether records with the same key are written in their order."""
        return self.common.ordered


def incoming_format(
    sink: str, flows: Iterable[Flow], sources: Mapping[str, SourceSpec | None], letters: DeadLetterPolicy
) -> Format:
    """The format of what a sink gets that sends records out as they came: that of all sources whose flows name it, if
    they agree; otherwise JSON, which dead letters are."""
    found = {
        spec.decode
        for flow in flows
        if any(target.sink == sink for target in sink_targets(flow.rules, flow.otherwise))
        for name, _ in flow.sources
        if (spec := sources.get(name)) is not None
    }
    return found.pop() if len(found) == 1 and sink not in letters.sinks else Json()


@dataclass(frozen=True)
class Configuration:
    """Everything that the daemon's files and the rules files say, checked.

    ``folder`` is what relative paths are relative to. ``drain_timeout`` is in seconds. ``version`` is a hash of what
    all files mean, without secrets and what ``${env:...}`` and ``${file:...}`` filled in; ``secrets`` masks the latter
    in texts.
    ``named_secrets`` are those that expressions may name, by name. ``places`` are where the keys of the daemon's file
    stand; ``texts`` are the files that somebody wrote.
    """

    files: tuple[Path, ...]
    folder: Path
    state_dir: Path
    http: Http | None
    vars: Mapping[str, object] = field(repr=False)
    named_secrets: Mapping[str, str] = field(repr=False)
    tables: Mapping[str, TableSpec]
    drain_timeout: float
    dead_letters: DeadLetterPolicy
    sources: Mapping[str, SourceSpec]
    sinks: Mapping[str, SinkSpec]
    flows: tuple[Flow, ...]
    models: Mapping[str, Class]
    warnings: tuple[Fault, ...]
    places: Mapping[str, Place] = field(repr=False)
    version: str
    secrets: Secrets = field(repr=False)
    texts: tuple[TextFile, ...] = ()
