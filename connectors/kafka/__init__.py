"""``kafka``: records from the topics of an Apache Kafka cluster, or whatever speaks its protocol, and into them."""

from __future__ import annotations

from connectors.kafka.sink import KafkaSink
from connectors.kafka.source import KafkaSource

__all__ = ["KafkaSink", "KafkaSource"]
