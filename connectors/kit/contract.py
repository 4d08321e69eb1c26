"""What holds for sources and sinks alike, and what a test class says of the system that it tries them with."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from pydantic import BaseModel

from connectors.kit.leftovers import Leftovers
from connectors.kit.promise import VOCABULARY, BrokenPromise, Unfit, check
from router import Context, Json, MemoryPositions, NotConnected, Settings
from router.testing import until

T = TypeVar("T")

POSITIONS_BYTES = 64 << 10
"""What all positions of a source may take in the kit's checks, as JSON. They are written at every acknowledgement."""


class Contract:
    """The base of ``SourceContract`` and ``SinkContract``.

    A test class names the ``connector`` and says how to reach the system at its other end: ``config``, and as far as
    there is something to do, ``start``, ``stop``, ``go_away``, ``come_back``. Each test has an instance, a system and
    a ``folder`` of its own, and runs in its own event loop.
    """

    protocol: ClassVar[type[Any]]
    connector: ClassVar[type[Any]]
    """The class of the connector."""
    cannot: ClassVar[Mapping[str, str]] = {}
    """What the connector or its system is not able to, each with the reason: ``{"go away": "a file is always there"}``.
    The checks that need it are skipped. ``abilities`` names everything that may stand here."""
    abilities: ClassVar[Mapping[str, str]] = {}
    """Every key of ``cannot``, with what is missing where it stands."""
    patience: ClassVar[float] = 10.0
    """Seconds after which something that should have happened counts as not happening."""

    folder: Path
    """An empty folder, the test's own; relative paths in the settings are relative to it."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for ability in cls.cannot:
            if ability not in cls.abilities:
                near = get_close_matches(ability, cls.abilities, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(map(repr, cls.abilities))}"
                raise TypeError(f"{cls.__name__}.cannot has {ability!r}, which no check needs; {hint}")

    @pytest.fixture(autouse=True)
    def _in_a_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    # What a test class says of its system

    def config(self) -> Settings:
        """Settings with which a connector finds the system. Asked for whenever one is made."""
        raise Unfit(
            f"{type(self).__name__} should say config(): the settings with which the connector finds the system"
        )

    async def start(self) -> None:
        """Bring the system up, empty."""

    async def stop(self) -> None:
        """Take the system down for good. Runs after every check, whatever became of it."""

    async def go_away(self) -> None:
        """Break every connection to the system and refuse new ones; what it holds stays."""
        raise self._unwritten("go_away", "be away", "go away")

    async def come_back(self) -> None:
        """The system is there again, at the same address, with what it held."""
        raise self._unwritten("come_back", "be away", "go away")

    async def after_open(self, connector: Any) -> None:
        """A check has opened the connector: wait for what else must be there, such as clients that come to it."""

    def _unwritten(self, method: str, *abilities: str) -> Unfit:
        keys = " and ".join(map(repr, abilities))
        return Unfit(f"{type(self).__name__} should write {method}(), or say in `cannot` why not, under {keys}")

    def payload(self, number: int) -> bytes:
        """The record of this number: another one for each, the same one for the same."""
        return json.dumps({"number": number, "text": "Grüße, 世界 😀"}, ensure_ascii=False).encode()

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the check, which ends it; a failure of it is one of the check."""
        self.__dict__.setdefault("_tasks", []).append(asyncio.create_task(work, name="background of the kit"))

    # What checks use

    def _payloads(self, count: int, start: int = 0) -> list[bytes]:
        """So many different records."""
        return [self.payload(number) for number in range(start, start + count)]

    _still: ClassVar[float] = 30.0
    """Seconds for which the event loop may stand still before the check is interrupted."""
    _made: list[Any]
    _positions: Positions
    _tasks: list[asyncio.Task[None]]

    def _new(self) -> Any:
        """A new connector, as after a restart: it finds the positions of the ones before it."""
        self.__dict__.setdefault("_made", [])
        self.__dict__.setdefault("_positions", Positions())
        context = Context(name="kit", folder=self.folder, positions=self._positions)
        connector = self.connector(self.config().within(context))
        self._made.append(connector)
        return connector

    async def _clean_up(self) -> None:
        """Close what a check left open, end what runs in the background, and stop the system. Raises Unfit."""
        for connector in self.__dict__.get("_made", ()):
            with contextlib.suppress(Exception):  # what is wrong with close() is for its own checks to say
                async with asyncio.timeout(self.patience):
                    await connector.close()
        tasks = self.__dict__.get("_tasks", ())
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        await self.stop()
        for error in ends:
            if isinstance(error, Exception):
                raise Unfit(f"{type(self).__name__} failed in the background: {error!r}") from error

    async def _within(self, call: str, awaitable: Awaitable[T], right: str) -> T:
        """What a call of the connector comes to, which may take as long as ``patience``.

        Raises what the contract has words for, and BrokenPromise instead of anything else.
        """
        __tracebackhide__ = True
        try:
            async with asyncio.timeout(self.patience) as limit:
                return await awaitable
        except (*VOCABULARY, BrokenPromise):
            raise
        except Exception as error:
            if not limit.expired():
                raise BrokenPromise(f"{self._name}.{call} raises {type(error).__name__}: {error}", right) from error
        raise BrokenPromise(f"{self._name}.{call} has not returned in {self.patience:g} s", right)

    async def _eventually(self, condition: Callable[[], object], what: Callable[[], str], right: str) -> None:
        """Wait for something to become true. Raises BrokenPromise with ``what`` there is instead."""
        __tracebackhide__ = True
        with contextlib.suppress(TimeoutError):
            return await until(condition, self.patience)
        raise BrokenPromise(f"{what()}, even after {self.patience:g} s", right)

    async def _open(self, connector: Any) -> None:
        """Open it: the system is there."""
        __tracebackhide__ = True
        await self._within("open()", connector.open(), "connect, or raise NotConnected")
        await self.after_open(connector)

    async def _close(self, connector: Any, step: str = "") -> None:
        """Close it, whatever state it is in."""
        __tracebackhide__ = True
        await self._within(f"close() {step}".rstrip(), connector.close(), "release what there is; nothing is no error")

    async def _refuses_to_open(self, connector: Any) -> None:
        """The system is away, and that is what open() says."""
        __tracebackhide__ = True
        right = "raise NotConnected from its cause, with words that say which system is not there and why"
        try:
            await self._within("open()", connector.open(), right)
        except NotConnected as error:
            if not str(error):
                raise BrokenPromise(f"{self._name}.open() raises NotConnected without a word", right) from error
            return
        raise BrokenPromise(
            f"{self._name}.open() returns although the system is away",
            "shake hands before returning: the router takes what is open for what works, and a batch that fails after "
            "good opens for poison",
        )

    @property
    def _name(self) -> str:
        return self.connector.__name__

    # Checks

    def test_every_setting_says_what_it_does(self) -> None:
        """Config is a Settings, refuses what it does not know, and documents each setting, nested ones included."""
        config = getattr(self.connector, "Config", None)
        if not (isinstance(config, type) and issubclass(config, Settings)):
            raise BrokenPromise(
                f"{self._name}.Config is {config!r}",
                "a class with the connector's settings, derived from router.Settings",
            )
        silent = list(_undocumented(config))
        if silent:
            raise BrokenPromise(
                f"these settings do not say what they do: {', '.join(silent)}",
                "a docstring under each of them; `sluiceway connectors` and editors show it",
            )
        if config.model_config.get("extra") != "forbid" or not config.model_config.get("frozen"):
            raise BrokenPromise(
                f"{config.__name__} takes unknown keys, or may change",
                'leave `extra="forbid"` and `frozen=True` of router.Settings as they are',
            )

    def test_the_docstring_states_the_guarantee(self) -> None:
        """Its first line is one sentence, and what is promised of records stands below it."""
        text = inspect.getdoc(self.connector) if self.connector.__doc__ else None
        if not text or "guarantee" not in text.lower():
            raise BrokenPromise(
                f"the docstring of {self._name} does not state its guarantee",
                "a first line that says what it is; then paragraphs **Guarantee** (what may repeat, what may be lost), "
                "and what else a user must know, such as **Records**, **Order**, **Lag**, **Away**",
            )
        if not text.split("\n", 1)[0].endswith("."):
            raise BrokenPromise(
                f"the docstring of {self._name} begins with {text.split(chr(10), 1)[0]!r}",
                "one sentence in one line: `sluiceway connectors` lists it",
            )

    @check()
    async def test_the_constructor_takes_its_settings_and_does_nothing(self) -> None:
        """No I/O, no task, no thread, no event loop: the settings are looked at while the system may be anywhere."""
        required = [
            parameter
            for parameter in inspect.signature(self.connector).parameters.values()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]
        right = "take the validated Config and nothing else; connect in open()"
        if len(required) != 1:
            raise BrokenPromise(f"{self._name}{inspect.signature(self.connector)}", right)
        if "be away" not in self.cannot:
            await self.go_away()
        before, files = Leftovers.now(), set(self.folder.rglob("*"))
        try:
            connector = await asyncio.to_thread(self._new)  # there is no event loop in a thread
        except Unfit:
            raise
        except Exception as error:
            raise BrokenPromise(f"{self._name}(config) raises {type(error).__name__}: {error}", right) from error
        left = Leftovers.now().beyond(before)
        left += [f"the file {path}" for path in set(self.folder.rglob("*")) - files]
        if left:
            raise BrokenPromise(f"{self._name}(config) leaves {', '.join(left)}", right)
        self._has_its_methods(connector)

    def _has_its_methods(self, connector: Any) -> None:
        for name, member in vars(self.protocol).items():
            if inspect.iscoroutinefunction(member) and not inspect.iscoroutinefunction(getattr(connector, name, None)):
                raise BrokenPromise(
                    f"{self._name}.{name} is not an `async def`", f"write it as router.{self.protocol.__name__} has it"
                )

    @check("close")
    async def test_close_may_come_twice_and_without_open(self) -> None:
        """Whatever state it is in, it can be closed."""
        connector = self._new()
        await self._close(connector, "without open()")
        await self._close(connector, "for the second time")
        await self._open(connector)
        await self._close(connector, "after open()")
        await self._close(connector, "twice after open()")

    @check("open", "close", needs=["be away"])
    async def test_close_may_follow_an_open_that_failed(self) -> None:
        """And open() may follow that."""
        connector = self._new()
        await self.go_away()
        await self._refuses_to_open(connector)
        await self._close(connector, "after an open() that failed")
        await self.come_back()
        await self._open(connector)

    @check("close")
    async def test_close_leaves_nothing_behind(self) -> None:
        """No task, thread or descriptor remains, however often it is opened."""
        connector = self._new()
        await self._use_and_close(connector)
        before = await Leftovers.settled()
        for _ in range(3):
            await self._use_and_close(connector)
        left: list[str] = []

        def nothing() -> bool:
            nonlocal left
            left = Leftovers.now().beyond(before)
            return not left

        with contextlib.suppress(TimeoutError):
            await until(nothing, self.patience)
        if left:
            raise BrokenPromise(
                f"after three times open() and close(), {self._name} has left behind: {', '.join(left)}",
                "end in close() every task and thread that open() began, await it there, and close what it opened",
            )

    async def _use_and_close(self, connector: Any) -> None:
        await self._open(connector)
        await self._use(connector)
        await self._close(connector)

    async def _use(self, connector: Any) -> None:
        """Something that makes an open connector do its work."""


class Positions(MemoryPositions):
    """Positions that hold what may be kept in the state folder, and nothing else."""

    async def save(self, entries: Mapping[str, Json]) -> None:
        """Remember these as what JSON makes of them."""
        try:
            kept = json.loads(json.dumps(dict(entries), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise BrokenPromise(
                f"a position is no JSON: {error}", "texts, numbers, lists and maps with texts as keys"
            ) from error
        if kept != entries:
            raise BrokenPromise(
                f"a position comes back from JSON as {kept!r:.200}, not as {entries!r:.200}",
                "texts, numbers, lists and maps with texts as keys",
            )
        await asyncio.sleep(0)  # as a real one may
        await super().save(kept)
        size = len(json.dumps(self.entries))
        if size > POSITIONS_BYTES:
            raise BrokenPromise(f"the positions take {size} bytes", "a few numbers for each partition, not records")


def _undocumented(config: type[BaseModel], path: str = "", above: Sequence[type[BaseModel]] = ()) -> Iterator[str]:
    """The settings without a description, nested ones included."""
    schema = config.model_json_schema(by_alias=False, ref_template="{model}")
    if "$ref" in schema:  # a model that holds itself
        schema = schema["$defs"][schema["$ref"]]
    for name, info in config.model_fields.items():
        if not schema["properties"][name].get("description"):
            yield path + name
        for model in _models_in(info.annotation):
            if model not in above:
                yield from _undocumented(model, f"{path}{name}.", (*above, config))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models_in(argument)]
