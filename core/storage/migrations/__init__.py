"""Alembic's environment; it ships in the wheel, so that an installed server upgrades itself."""
