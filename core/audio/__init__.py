"""Audio tools: measure, decode, encode, detect speech."""
