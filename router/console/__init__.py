"""The web console: one page, at ``/``, and the two files that it is made of, at ``/console/``.

It holds no data, so that it needs no token, which no browser shows when it opens an address; what it shows it asks of
``/api/``. The files are made from ``console/`` by ``make console``.
"""

from router.console.pages import Console

__all__ = ["Console"]
