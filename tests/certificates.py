"""Certificates for tests: an authority, a server on this machine that it vouches for, and a client."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """A folder with ``ca.pem``, ``server.pem`` and ``.key`` (for 127.0.0.1 and localhost), ``client.pem`` and
    ``.key``, and ``other-ca.pem``, which vouches for none of them."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.folder / "ca.pem"


def make_certificates(folder: Path) -> Certificates:
    """Make them, in a folder that does not exist yet."""
    folder.mkdir(parents=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(folder / "other-ca.pem"))
    for name, names in (("server", ("127.0.0.1", "localhost")), ("client", ("client@example.org",))):
        issued = authority.issue_cert(*names)
        issued.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        for number, part in enumerate(issued.cert_chain_pems):
            part.write_to_path(str(folder / f"{name}.pem"), append=bool(number))
    return Certificates(folder)
