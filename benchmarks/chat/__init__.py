"""Chat through a gateway: requests beside peers, slow streams beside peers, and memory."""
