"""The files of the configuration: read, checked with other contents, and given these.

What is written is the text that was given, byte for byte; before that it is checked as a reload would, and afterwards
it is reloaded. If that is refused all the same, the files are put back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from router.admin import Subject
from router.api.control import ReloadTold, record
from router.api.endpoint import ANOTHER_PAGE, Call, Endpoint, Failed, FaultTold, Said
from router.aside import aside
from router.audit_details import APPLIED, edits
from router.config import Configuration, TextFile, digest
from router.config.literals import Unreadable, without_secrets
from router.errors import SluicewayError, StateError
from router.proposal import Checked, FailedTest, check
from router.rewriting import Changed, NewText, Rewriting, Unwritable, why_unwritable
from rules.faults import Fault, Refused
from rules.model import Model

Path_ = Annotated[str, Field(max_length=4_000)]
Text = Annotated[str, Field(max_length=4 << 20)]
Files = Annotated[dict[Path_, Text], Field(max_length=1_000)]


class FileTold(Said):
    """A file of the running configuration, as it is on the disk."""

    path: str
    """As faults name it: relative to where the daemon was started, if it was started so."""
    kind: Literal["main", "rules", "schema"]
    flow: str | None
    """The flow that it is of."""
    text: str
    """What is in it. What `${env:NAME}` and the like stand for is not; a secret that is written there as it is is
    `***`."""
    hash: str
    """Changes when the file does."""
    is_running: bool
    """Whether this is what runs; if not, it was changed since, or a reload was refused."""
    read_only: str | None
    """Why it cannot be written; null where it can."""


class FilesTold(Said):
    """The files of the running configuration."""

    files: list[FileTold]


class Proposed(Model):
    """Contents of files, by path, in place of those on the disk."""

    files: Files = Field(default_factory=dict)


class FailedTestTold(Said):
    """A test that does not come out as it says."""

    flow: str
    name: str
    file: str
    line: int
    column: int
    why: str


class TestsTold(Said):
    """The tests in the rules files."""

    __test__ = False  # pytest: this is no test class

    run: int
    failed: list[FailedTestTold]


class CheckedTold(Said):
    """What `sluiceway check` and `sluiceway test` say of a configuration without faults."""

    faults: list[FaultTold]
    """None."""
    warnings: list[FaultTold]
    """What is no fault and yet probably not meant."""
    tests: TestsTold


class NewFile(Model):
    """What a file is to hold from now on."""

    text: Text
    base_hash: Annotated[str, Field(max_length=64)]
    """Its `hash` when it was read: if it has been changed since, nothing is written."""


class Applied(Model):
    """Contents of files, by path."""

    files: Annotated[dict[Path_, NewFile], Field(min_length=1, max_length=1_000)]


class AppliedTold(ReloadTold):
    """A configuration that was written and taken."""

    files: dict[str, str]
    """By path, the `hash` of each file that was written."""


def contents_of(running: Configuration, texts: Mapping[str, str]) -> dict[Path, bytes]:
    """The bytes of texts, by the paths that the running configuration has. Raises Failed for another path."""
    known = {str(file.path): file.path for file in running.texts}
    for path in texts:
        if path not in known:
            raise Failed(400, f"files: the running configuration has no file {path!r}; GET /api/files names them")
    try:
        return {known[path]: text.encode() for path, text in texts.items()}
    except UnicodeEncodeError as error:
        raise Failed(400, f"files: a text is no Unicode: {error.reason}") from error


async def _files(subject: Subject, _: Call) -> FilesTold:
    return await aside(_read_all, subject)


def _read_all(subject: Subject) -> FilesTold:
    running = subject.configuration
    flows = {Path(flow.place.file): flow.name for flow in running.flows}
    return FilesTold(files=[_file(subject, file, flows.get(file.of)) for file in running.texts])


def _file(subject: Subject, file: TextFile, flow: str | None) -> FileTold:
    text, read_only, data = "", why_unwritable(file.path), b""
    try:
        data = file.path.read_bytes()
        text = data.decode()
        shown = without_secrets(data, str(file.path)) if file.kind == "main" else text
        if subject.masked(shown) != text:
            text, read_only = subject.masked(shown), "it holds a secret, which is not shown; use ${env:NAME} for it"
    except OSError as error:
        read_only = f"it cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        read_only = "it is not UTF-8"
    except Unreadable as error:
        text, read_only = "", str(error)
    return FileTold(
        path=str(file.path),
        kind=file.kind,
        flow=flow,
        text=text,
        hash=digest(data),
        is_running=digest(data) == file.digest,
        read_only=read_only or None,
    )


async def _check(subject: Subject, call: Call) -> CheckedTold:
    running = subject.configuration
    checked = await aside(check, running, contents_of(running, call.body.files))
    return CheckedTold(
        faults=[],
        warnings=list(map(FaultTold.of, checked.configuration.warnings)),
        tests=TestsTold(run=checked.tests, failed=list(map(_failed, checked.failed))),
    )


def _failed(failed: FailedTest) -> FailedTestTold:
    place = failed.result.place
    return FailedTestTold(
        flow=failed.flow,
        name=failed.result.name,
        file=place.file,
        line=place.line,
        column=place.column,
        why=failed.why,
    )


async def _apply(subject: Subject, call: Call) -> AppliedTold:
    asked: Applied = call.body
    running = subject.configuration
    contents = contents_of(running, {path: new.text for path, new in asked.files.items()})
    texts = {path: NewText(data, asked.files[str(path)].base_hash) for path, data in contents.items()}
    before = await aside(_writable, subject, texts)
    _see_that_tests_pass(await aside(check, running, contents))
    await record(subject, "apply", call, {"files": _changes(before, contents)})
    rewriting = Rewriting(texts)
    try:
        await aside(rewriting.write)
    except Changed as error:
        raise Failed(409, str(error)) from error
    except Unwritable as error:
        raise Failed(403, str(error)) from error
    try:
        reloaded = await subject.reload(APPLIED, call.actor)
    except BaseException as error:
        rewriting.restore()
        if isinstance(error, SluicewayError) and not isinstance(error, StateError):
            raise Failed(409, f"{error}; the files are as they were") from error
        raise
    await aside(rewriting.keep)
    hashes = {str(path): digest(data) for path, data in contents.items()}
    return AppliedTold.model_validate({**reloaded.as_json(), "files": hashes})


def _writable(subject: Subject, texts: Mapping[Path, NewText]) -> dict[Path, str]:
    """What the files hold. Raises Failed where one cannot be written, or is not what it is taken to be."""
    found = {}
    for file in subject.configuration.texts:
        if file.path in texts:
            told = _file(subject, file, None)
            if told.hash != texts[file.path].base:
                raise Failed(409, f"{file.path} has been changed since it was read")
            if told.read_only:
                raise Failed(403, f"{file.path}: {told.read_only}")
            found[file.path] = told.text
    return found


def _see_that_tests_pass(checked: Checked) -> None:
    """Raises Refused for those that do not, as a reload does."""
    if checked.failed:
        raise Refused(
            Fault(failed.result.place, f"the test `{failed.result.name}` fails: {failed.why}")
            for failed in checked.failed
        )


def _changes(before: Mapping[Path, str], contents: Mapping[Path, bytes]) -> list[dict[str, Any]]:
    """What is to change in each file, for the audit."""
    return [edits(str(path), before[path], data.decode()) for path, data in contents.items()]


_REFUSED = "The files would be no configuration that could be taken: every fault."

ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/files",
        summary="The files of the running configuration, as they are on the disk",
        handle=_files,
        answer=FilesTold,
    ),
    Endpoint(
        method="POST",
        path="/api/check",
        summary="What `sluiceway check` and `sluiceway test` would say with these texts in place of files",
        handle=_check,
        answer=CheckedTold,
        body=Proposed,
        alone=True,
        failures={422: _REFUSED, 503: "The state folder cannot be read."},
    ),
    Endpoint(
        method="POST",
        path="/api/apply",
        summary="Write files and reload; where that is refused, they are as they were",
        handle=_apply,
        answer=AppliedTold,
        body=Applied,
        alone=True,
        failures={
            403: f"{ANOTHER_PAGE} Or a file cannot be written, and why.",
            409: "A file has been changed since it was read, or the daemon starts or stops.",
            422: _REFUSED,
            503: "It cannot be written down in the audit: then nothing is changed.",
        },
    ),
)
