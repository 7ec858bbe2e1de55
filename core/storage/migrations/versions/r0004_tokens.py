"""Tokens in the ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = ("prompt_tokens", "completion_tokens")


def upgrade() -> None:
    """Add both columns; the rows that are there served none."""
    for name in COLUMNS:
        column = sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)
        op.add_column("ledger_entries", column)


def downgrade() -> None:
    """Drop both columns."""
    for name in COLUMNS:
        op.drop_column("ledger_entries", name)
