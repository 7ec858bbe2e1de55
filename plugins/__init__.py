"""Providers of our own, brought in through the same hooks as a stranger's."""
