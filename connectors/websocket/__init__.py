"""WebSocket (RFC 6455): a source and a sink that connect to a server, and a sink that subscribers connect to."""

from __future__ import annotations

from connectors.websocket.server import WebSocketServerSink
from connectors.websocket.sink import WebSocketSink
from connectors.websocket.source import WebSocketSource

__all__ = ["WebSocketServerSink", "WebSocketSink", "WebSocketSource"]
