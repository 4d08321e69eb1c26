"""What is wrong with manifests, by their schemas: a JSON list of them on stdin, a JSON list of faults on stdout.

Runs with the Python of ``deploy_tools`` alone, which has the schemas. ``compose`` as argument: it is a Compose file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

KUBERNETES = "1.33"
CUSTOM = {
    "keda.sh/v1alpha1": "cloudcoil.models.keda.v1alpha1",
    "monitoring.coreos.com/v1": "cloudcoil.models.prometheus_operator.v1",
}


def of_compose(document: Any) -> Iterator[str]:
    """What the schema of Compose refuses of a file."""
    try:
        import_module("compose_spec").PyCompose.from_json(json.dumps(document)).validate()
    except Exception as error:  # noqa: BLE001 - each of these packages has errors of its own
        yield str(error)


def of_manifest(manifest: Any) -> Iterator[str]:
    """What the schema of its kind refuses of a manifest, and fields that it does not know."""
    name = f"{manifest['kind']} {manifest['metadata'].get('name')}"
    module = CUSTOM.get(manifest["apiVersion"])
    try:
        if module is None:
            import_module("kubernetes_validate").validate(manifest, KUBERNETES, strict=True)
        else:
            model = getattr(import_module(module), manifest["kind"]).model_validate(manifest)
            known = json.loads(model.model_dump_json(by_alias=True, exclude_unset=True))
            yield from (f"{name}: {path} is not known" for path in _unknown(manifest, known))
    except Exception as error:  # noqa: BLE001 - each of these packages has errors of its own
        yield f"{name}: {error}"


def _unknown(given: Any, known: Any, path: str = "") -> Iterator[str]:
    """Where something was given that the schema has dropped."""
    if isinstance(given, dict):
        for name, value in given.items():
            if not isinstance(known, dict) or name not in known:
                yield f"{path}.{name}"
            else:
                yield from _unknown(value, known[name], f"{path}.{name}")
    elif isinstance(given, list):
        for number, value in enumerate(given):
            yield from _unknown(value, known[number], f"{path}[{number}]")


def main() -> None:
    """Print the faults."""
    given = json.load(sys.stdin)
    faults = of_compose if sys.argv[1:] == ["compose"] else of_manifest
    print(json.dumps([fault for each in given for fault in faults(each)]))


if __name__ == "__main__":
    main()
