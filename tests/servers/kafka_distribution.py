"""The jars of Apache Kafka and a Java to run them: fetched once by Maven, kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.servers.locks import alone
from tests.servers.process import Unavailable

POM = Path(__file__).with_name("pom.xml")
OLDEST_JAVA = 17
FETCH_SECONDS = 900
QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""For short lives: the server is up in less time and needs less memory, and is slower under load."""

NO_JAVA = "Apache Kafka needs Java 17 or newer, and there is none: apt-get install default-jre-headless"
NO_MAVEN = "the jars of Apache Kafka are fetched by Maven, and there is no mvn: apt-get install maven"


@dataclass(frozen=True)
class Distribution:
    """What a Kafka is started from."""

    java: str
    folder: Path

    @property
    def class_archive(self) -> Path:
        """The classes as Java keeps them for a quick start; optional, and ignored by a Java that did not make it."""
        return self.folder / "classes.jsa"

    def command(self, main: str, *arguments: str, options: tuple[str, ...] = QUICK_START) -> list[str]:
        """The command that runs a class of Kafka."""
        shared = [f"-XX:SharedArchiveFile={self.class_archive}"] if self.class_archive.exists() else []
        jars = ":".join(str(jar) for jar in sorted(self.folder.glob("*.jar")))
        return [self.java, *shared, *options, "-Xshare:auto", "-Xlog:disable", "-cp", jars, main, *arguments]


def fetch() -> Distribution:
    """The distribution; the first call on a machine takes as long as Maven does. Raises Unavailable."""
    java = _java()
    folder = _cache() / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        with alone(folder.with_suffix(".lock")):
            if not folder.exists():
                _fetch_jars(folder)
    return Distribution(java, folder)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluiceway"


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    if not java:
        raise Unavailable(NO_JAVA)
    told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    version = re.search(r'version "(\d+)', told)
    if not version or int(version[1]) < OLDEST_JAVA:
        raise Unavailable(f"{NO_JAVA} ({java} is {told.splitlines()[0] if told else 'silent about its version'})")
    return java


def _fetch_jars(folder: Path) -> None:
    maven = shutil.which("mvn")
    if not maven:
        raise Unavailable(NO_MAVEN)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as work:
        # Maven writes beside the pom; the tree is not its place.
        pom, jars = shutil.copy(POM, work), Path(work) / "jars"
        copy = ["dependency:copy-dependencies", f"-DoutputDirectory={jars}", "-DincludeScope=runtime"]
        command = [maven, "--batch-mode", "--quiet", f"--file={pom}", *copy]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
        except subprocess.TimeoutExpired as late:
            raise Unavailable(f"Maven did not fetch the jars of Apache Kafka in {FETCH_SECONDS} seconds") from late
        if done.returncode:
            said = [line for line in done.stdout.splitlines() if "ERROR" in line]
            raise Unavailable(f"Maven could not fetch the jars of Apache Kafka: {said[0] if said else done.stderr}")
        jars.rename(folder)
