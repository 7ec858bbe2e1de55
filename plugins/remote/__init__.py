"""Adapters for vendors' services."""
