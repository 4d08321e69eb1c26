"""Explanations, shown: as a tree for people, as JSON for tools."""
