"""Chat: OpenAI's dialect of it, which everything here speaks, and the way of a conversation."""
