"""Fakes of what lies outside this process: upstream servers on loopback."""
