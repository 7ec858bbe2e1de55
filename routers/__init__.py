"""The HTTP and command-line faces."""
