"""Morse code for junctor: a provider, a contract of its own, and a command."""
