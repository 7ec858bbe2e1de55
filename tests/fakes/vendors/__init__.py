"""Fakes of the vendors' servers: each checks what it is sent against its documentation."""
