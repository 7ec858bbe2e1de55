"""What runs inside the engines' child processes; imports nothing of the server."""
