"""Pydantic models that contracts may name, imported from what is installed or lies beside the daemon's file."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from router.config.inputs import Inputs
from rules.document import Document, Key
from rules.faults import Fault
from rules.form import Form
from rules.suggest import did_you_mean

_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_INNER = frozenset({"router", "rules", "connectors"})
"""Modules that are never imported anew."""
_WANTED = "a pydantic model such as shop.models:Order"


_stamps: dict[str, Inputs] = {}
"""By top-level module beside a daemon's file, the files that it was imported from."""


def import_models(document: Document, folder: Path, faults: list[Fault], inputs: Inputs) -> dict[str, type[Any] | None]:
    """Every model under ``models``, by name; None for one that cannot be had. Modules beside the daemon's file go
    before installed ones, and are imported anew when one of their files has changed; ``inputs`` are told of these."""
    node = document.node(("models",))
    if node is None:
        return {}
    form = Form(document)
    mapping = (
        form.mapping(("models",), node.data, "a mapping of names to models, such as {order: 'shop.models:Order'}") or {}
    )
    tops = {value.partition(":")[0].partition(".")[0] for value in mapping.values() if isinstance(value, str)}
    _forget_changed(tops)
    with _importable(folder):
        found = {name: _model(form, ("models", name), value) for name, value in mapping.items()}
    _remember(tops, folder, inputs)
    faults += form.faults
    return found


def _forget_changed(tops: Iterable[str]) -> None:
    """Let modules that lie beside the daemon's file be imported anew, if one of their files has changed."""
    for top in tops:
        if top in _stamps and _stamps.pop(top).have_changed():
            for name in _modules_of(top):
                del sys.modules[name]


def _remember(tops: Iterable[str], folder: Path, inputs: Inputs) -> None:
    for top in tops:
        files = [Path(file) for name in _modules_of(top) if (file := getattr(sys.modules[name], "__file__", None))]
        own = [file for file in files if file.is_relative_to(folder) and "site-packages" not in file.parts]
        for file in own or [folder / f"{top}.py"]:
            inputs.note(file)
        if own and top not in _INNER:
            _stamps[top] = Inputs()
            for file in own:
                _stamps[top].note(file)


def _modules_of(top: str) -> list[str]:
    return [name for name in sys.modules if name == top or name.startswith(f"{top}.")]


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    path = str(folder)
    sys.path.insert(0, path)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(path)


def _model(form: Form, path: Key, data: object) -> type[Any] | None:
    text = form.text(path, data, _WANTED)
    if text is None:
        return None
    if not _NAME.fullmatch(text):
        form.fault(path, f"`{text}` is no name of a model", f"should be {_WANTED}")
        return None
    module_name, _, name = text.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        form.fault(path, f"there is no module `{error.name}`", "should be installed, or lie beside the daemon's file")
        return None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's module may raise anything
        form.fault(path, f"`{module_name}` cannot be imported: {type(error).__name__}: {error}")
        return None
    for step in name.split("."):
        if not hasattr(found, step):
            form.fault(path, f"`{module_name}` has no `{step}`", did_you_mean(step, _models_in(found)))
            return None
        found = getattr(found, step)
    if isinstance(found, type) and _is_model(found):
        return found
    form.fault(path, f"`{text}` is no pydantic model", f"should be {_WANTED}")
    return None


def _is_model(found: Any) -> bool:
    from pydantic import BaseModel

    return isinstance(found, type) and issubclass(found, BaseModel)


def _models_in(module: Any) -> list[str]:
    return [name for name, value in vars(module).items() if _is_model(value)]
