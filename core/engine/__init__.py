"""Native engines in child processes of their own, so that their crash is never the server's."""
