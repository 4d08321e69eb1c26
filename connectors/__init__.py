"""Connectors: one file per system, its settings, source and sink side by side."""
