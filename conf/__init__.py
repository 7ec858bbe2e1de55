"""Settings: one frozen tree, loaded from TOML."""
