"""Mosquitto, the MQTT broker, with every kind of listener side by side.

with Mosquitto(folder, certificates) as broker:
    broker.addresses.plain               # ("127.0.0.1", 21883)
    broker.kill()                        # SIGKILL; then start() brings it back with the same data and ports
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.certificates import Certificates, make_certificates
from tests.servers.ports import claim_port
from tests.servers.process import STOP_SECONDS, ServerProcess, Unavailable

USER, PASSWORD = "alice", "the password of alice"
"""Who may log in where users are asked for."""
_WAITING = {"x86_64": {232, 281}, "aarch64": {22}}.get(platform.machine(), set())
"""The numbers of epoll_wait and epoll_pwait."""
NO_MOSQUITTO = "Mosquitto is not installed: apt-get install mosquitto"


@dataclass(frozen=True)
class MosquittoAddresses:
    """Where a broker is reached: host and port of each listener, all on 127.0.0.1."""

    plain: tuple[str, int]
    """No TLS, no user."""
    users: tuple[str, int]
    """No TLS, a user with a password."""
    tls: tuple[str, int]
    """TLS, a user with a password."""
    mtls: tuple[str, int]
    """TLS; clients need a certificate of the same authority, and no user."""


class Mosquitto:
    """A broker for MQTT 5 and 3.1.1. What it keeps for clients that are away is bounded by nothing but memory.

    durable: it writes its state after every change, and is killed when it has done so: what it acknowledged is never
    lost. Without, which is a hundred times as fast, it keeps its state in memory until it is stopped, or told to
    ``save``. settings: further lines of its configuration."""

    def __init__(
        self, folder: Path, certificates: Certificates, *, durable: bool = True, settings: Sequence[str] = ()
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._durable = durable
        self._state = folder / "mosquitto.db"
        self.log = folder / "mosquitto.log"
        """What it says."""
        self.addresses = MosquittoAddresses(*(("127.0.0.1", claim_port()) for _ in range(4)))
        self._passwords = folder / "passwords"
        self._passwords.touch(mode=0o600)
        self.set_password(USER, PASSWORD)
        config = folder / "mosquitto.conf"
        config.write_text("\n".join([*self._general(folder, durable), *settings, *self._listeners(certificates), ""]))
        command = [_program("mosquitto"), "-c", str(config)]
        self._process = ServerProcess(command, [port for _, port in self._all()], self.log)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()

    @property
    def running(self) -> bool:
        """Whether its process lives, frozen or not."""
        return self._process.running

    def start(self) -> None:
        """Start it, or start it again; returns when clients can connect. Raises NotStarted."""
        self._process.launch()
        self._process.wait_until_listening()

    def kill(self) -> None:
        """SIGKILL; if it is durable, in a moment at which nothing waits to be written. It acknowledges first and writes
        then, before it waits for what comes next: so it is killed while it waits, some milliseconds later at most."""
        if self._durable:
            self._freeze_at_rest()
        self._process.kill()

    def _freeze_at_rest(self) -> None:
        """SIGSTOP, in a moment in which it has done everything that it was asked for."""
        deadline = time.monotonic() + STOP_SECONDS
        while self.running:
            self.freeze()
            if self._process.blocked_in() in _WAITING:
                break
            assert time.monotonic() < deadline, "Mosquitto never waits for anything"
            self.thaw()
            time.sleep(0.001)

    def save(self) -> None:
        """Have it write its state, with everything that has reached it by now; returns when that is on disk. What comes
        meanwhile may be in it or not."""
        self._freeze_at_rest()
        self.thaw()
        before = self._version_of_state()
        self._process.save()
        deadline = time.monotonic() + STOP_SECONDS
        while self.running and self._version_of_state() == before:
            assert time.monotonic() < deadline, "Mosquitto does not write its state"
            time.sleep(0.002)

    def _version_of_state(self) -> tuple[int, int]:
        """It makes a new file each time, and gives it the name when it is whole."""
        try:
            found = self._state.stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_ino, found.st_mtime_ns

    def stop(self) -> None:
        """SIGTERM: it writes its state and ends."""
        self._process.stop()

    def freeze(self) -> None:
        """SIGSTOP: its connections stay, and nobody answers."""
        self._process.freeze()

    def thaw(self) -> None:
        """SIGCONT: it goes on where it was."""
        self._process.thaw()

    def set_password(self, user: str, password: str) -> None:
        """Let somebody in with this password from the next start or ``reload`` on."""
        self._change_passwords("-b", str(self._passwords), user, password)

    def remove_user(self, user: str) -> None:
        """Let somebody in no more from the next start or ``reload`` on."""
        self._change_passwords("-D", str(self._passwords), user)

    def reload(self) -> None:
        """Have it read the passwords again."""
        self._process.reload()

    def _change_passwords(self, *arguments: str) -> None:
        subprocess.run([_program("mosquitto_passwd"), *arguments], check=True, capture_output=True, timeout=60)

    def _all(self) -> list[tuple[str, int]]:
        addresses = self.addresses
        return [addresses.plain, addresses.users, addresses.tls, addresses.mtls]

    def _general(self, folder: Path, durable: bool) -> list[str]:
        return [
            "per_listener_settings true",
            "persistence true",
            f"persistence_location {folder}/",
            f"autosave_on_changes {str(durable).lower()}",
            f"autosave_interval {int(durable)}",
            "max_queued_messages 0",
            # As it happens; its standard output it writes in blocks.
            f"log_dest file {self.log}",
            "log_type error",
            "log_type warning",
            # A process that gives up root is no longer one that the kernel ends with us.
            *(["user root"] if os.geteuid() == 0 else []),
        ]

    def _listeners(self, certificates: Certificates) -> list[str]:
        password = ["allow_anonymous false", f"password_file {self._passwords}"]
        tls = [
            f"cafile {certificates.ca}",
            f"certfile {certificates.folder / 'server.pem'}",
            f"keyfile {certificates.folder / 'server.key'}",
        ]
        kinds = [
            ["allow_anonymous true"],
            password,
            [*tls, *password],
            [*tls, "allow_anonymous true", "require_certificate true"],
        ]
        lines = []
        for (host, port), kind in zip(self._all(), kinds, strict=True):
            lines += [f"listener {port} {host}", *kind]
        return lines


@contextmanager
def own_broker(settings: Sequence[str] = ()) -> Iterator[Mosquitto]:
    """One for long work, in a folder of its own, as long as the context. It keeps nothing on disk by itself."""
    with tempfile.TemporaryDirectory(prefix="sluiceway-mqtt-") as name:
        folder = Path(name)
        certificates = make_certificates(folder / "certificates")
        with Mosquitto(folder / "mosquitto", certificates, durable=False, settings=settings) as broker:
            yield broker


def _program(name: str) -> str:
    """Where a program of Mosquitto's is; Debian puts the server where only root looks."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if not path:
        raise Unavailable(NO_MOSQUITTO)
    return path
