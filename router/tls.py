"""TLS: the settings that connectors share, and the contexts made of them.

A connector that connects takes ``tls: ClientTls``, one that listens ``tls: ServerTls | None``. Files are relative to
the daemon's file; they are read at every ``open()``, so that a renewed certificate is taken up by the next connection.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from router.errors import NotConnected
from rules.model import Model


class ClientTls(Model):
    """How a connection proves who the other side is, and who we are."""

    ca: str | None = None
    """A file of certificates (PEM) that vouch for the server. Without it, those of the system."""
    cert: str | None = None
    """Our own certificate (PEM), with its chain, for servers that ask for one (mutual TLS)."""
    key: str | None = None
    """Its private key (PEM); without it, it is in the file of `cert`."""
    key_password: SecretStr | None = Field(default=None)
    """What the private key is encrypted with."""
    server_name: str | None = None
    """The name that the server's certificate must carry, if it is not the host that is connected to."""
    verify: bool = True
    """`false` trusts whoever answers. For trying things out."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.key is not None and self.cert is None:
            raise ValueError("key should stand beside cert")
        return self

    def context(self, folder: Path) -> ssl.SSLContext:
        """A context for clients. Raises NotConnected when a file cannot be read or does not fit."""
        try:
            made = ssl.create_default_context(cafile=None if self.ca is None else str(folder / self.ca))
            if not self.verify:
                made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
            if self.cert is not None:
                _load(made, folder, self.cert, self.key, self.key_password)
        except OSError as error:
            raise NotConnected(_why(error, "ca, cert and key", self.ca, self.cert, self.key)) from error
        return made


class ServerTls(Model):
    """How a listener proves who it is, and whom it lets in."""

    cert: str
    """The certificate (PEM), with its chain."""
    key: str | None = None
    """Its private key (PEM); without it, it is in the file of `cert`."""
    key_password: SecretStr | None = Field(default=None)
    """What the private key is encrypted with."""
    client_ca: str | None = None
    """A file of certificates (PEM). With it, clients must show a certificate that one of these vouches for (mutual
    TLS)."""

    def context(self, folder: Path) -> ssl.SSLContext:
        """A context for servers. Raises NotConnected when a file cannot be read or does not fit."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            _load(made, folder, self.cert, self.key, self.key_password)
            if self.client_ca is not None:
                made.load_verify_locations(str(folder / self.client_ca))
                made.verify_mode = ssl.CERT_REQUIRED
        except OSError as error:
            raise NotConnected(_why(error, "cert, key and client_ca", self.cert, self.key, self.client_ca)) from error
        return made


def _load(context: ssl.SSLContext, folder: Path, cert: str, key: str | None, password: SecretStr | None) -> None:
    # Without a password given, an encrypted key must fail; OpenSSL would ask the terminal for it.
    secret = "" if password is None else password.get_secret_value()
    context.load_cert_chain(str(folder / cert), None if key is None else str(folder / key), lambda: secret)


def _why(error: OSError, settings: str, *files: str | None) -> str:
    named = ", ".join(file for file in files if file)
    return f"tls: {named or 'the certificates of the system'} cannot be used: {error.strerror or error} ({settings})"
