"""MQTT, versions 5 and 3.1.1: a source that subscribes and a sink that publishes."""

from __future__ import annotations

from connectors.mqtt.sink import MqttSink
from connectors.mqtt.source import MqttSource

__all__ = ["MqttSink", "MqttSource"]
