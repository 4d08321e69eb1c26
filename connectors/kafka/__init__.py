"""``kafka``: records from the topics of an Apache Kafka cluster, or whatever speaks its protocol, and into them."""
