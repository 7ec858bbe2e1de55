"""Live captions under load: how many sessions a core holds, what a session costs, what an hour does."""
