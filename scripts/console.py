"""The web console, router/console/static, made from console/ by esbuild.

``python -m scripts.console`` writes it; with ``--check`` it fails if it is not, byte for byte, what the sources give,
and with ``--types`` if they are not sound (TypeScript). Needs Node and npm; what the console is made of comes through
npm, as ``console/package-lock.json`` has it, into ``console/node_modules``. Who just uses Sluiceway needs none of that.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from router.config.schema import json_schema
from scripts.environment import ROOT
from scripts.function_docs import entries

SOURCES = ROOT / "console"
STATIC = ROOT / "router" / "console" / "static"
MODULES = SOURCES / "node_modules"
BUNDLE = [
    "src/main.ts", "--bundle", "--format=esm", "--target=es2022", "--minify", "--charset=utf8",
    "--legal-comments=none",  # LICENSES.txt has them, whole
]  # fmt: skip
OVERTIME = 600


def make(folder: Path) -> None:
    """Make all of the files in ``folder``."""
    install()
    meta = folder / "meta.json"
    run("node_modules/.bin/esbuild", *BUNDLE, f"--outfile={folder / 'console.js'}", f"--metafile={meta}")
    inputs = json.loads(meta.read_text(encoding="utf-8"))["inputs"]
    meta.unlink()
    (folder / "LICENSES.txt").write_text(licences(inputs), encoding="utf-8")
    (folder / "language.json").write_text(language(), encoding="utf-8")
    shutil.copyfile(SOURCES / "src" / "index.html", folder / "index.html")


def language() -> str:
    """What the editor completes, as JSON: the functions, as docs/functions.md lists them, and the keys of a rules file;
    from the code alone."""
    functions = [
        {"name": entry.name, "forms": entry.forms, "summary": entry.summary, "examples": entry.examples}
        for group in entries().values()
        for entry in group
    ]
    known = {"functions": functions, "rules": json_schema("rules")}
    return json.dumps(known, ensure_ascii=False, separators=(",", ":")) + "\n"


def install() -> None:
    """Have what the lock file names in ``console/node_modules``."""
    lock = (SOURCES / "package-lock.json").read_bytes()
    stamp = MODULES / ".sluiceway-lock"
    if not stamp.exists() or stamp.read_bytes() != lock:
        run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
        stamp.write_bytes(lock)


def run(*command: str) -> None:
    """Run a program in the folder of the sources; end with its code when it fails."""
    done = subprocess.run(command, cwd=SOURCES, check=False, timeout=OVERTIME)
    if done.returncode:
        sys.exit(done.returncode)


def licences(inputs: dict[str, object]) -> str:
    """The licence of each package of which something is in the bundle."""
    packages = sorted({package for name in inputs if (package := package_of(name))})
    return (
        "\n\n".join(
            ["What is bundled into console.js and console.css, and under which licence.", *map(licence, packages)]
        )
        + "\n"
    )


def package_of(name: str) -> str:
    """The package that an input belongs to; empty for our own."""
    if not name.startswith("node_modules/"):
        return ""
    parts = name.split("/")
    return "/".join(parts[1:3] if parts[1].startswith("@") else parts[1:2])


def licence(package: str) -> str:
    """One package's."""
    folder = MODULES / package
    told = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    head = f"{'=' * 80}\n{package} {told['version']}: {told['license']}\n{'=' * 80}"
    return "\n\n".join([head, *texts(folder)])


def texts(folder: Path) -> Iterator[str]:
    """The licences that lie in a package's folder."""
    for path in sorted(folder.iterdir()):
        if path.name.lower().startswith(("licence", "license", "notice")):
            yield path.read_text(encoding="utf-8").strip()


def stale(folder: Path) -> list[str]:
    """The names of the committed files that are not those of ``folder``."""
    names = sorted({path.name for path in [*folder.iterdir(), *STATIC.iterdir()]})
    return [name for name in names if content(folder / name) != content(STATIC / name)]


def content(path: Path) -> bytes | None:
    """A file's; None where there is none."""
    return path.read_bytes() if path.exists() else None


def main(arguments: list[str]) -> None:
    """Write or check."""
    if not shutil.which("npm") or not shutil.which("node"):
        print(
            "Node and npm are missing: the console is not looked at" if arguments else "make console needs Node and npm"
        )
        sys.exit(0 if arguments else 1)
    if "--types" in arguments:
        install()
        run("node_modules/.bin/tsc", "--noEmit", "-p", ".")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        make(folder)
        if "--check" in arguments:
            if names := stale(folder):
                sys.exit(f"router/console/static: {', '.join(names)} not what the sources give; run `make console`")
            return
        STATIC.mkdir(exist_ok=True)
        for path in folder.iterdir():
            shutil.copyfile(path, STATIC / path.name)


if __name__ == "__main__":
    main(sys.argv[1:])
