"""The wire of every public contract: msgspec Structs and nothing else."""
