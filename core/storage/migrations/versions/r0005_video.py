"""What jobs of video need: how far they are in words, a seal, seconds; content in the database."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COLUMNS = ("detail", "sealed", "seconds")
ORDER = "ix_jobs_state_queue_priority_id"


def upgrade() -> None:
    """Add the columns and the table of content."""
    zero = sa.text("0")
    op.add_column("jobs", sa.Column("detail", sa.String(), nullable=True))
    op.add_column("jobs", sa.Column("sealed", sa.Integer(), server_default=zero, nullable=False))
    op.add_column("jobs", sa.Column("seconds", sa.Float(), server_default=zero, nullable=False))
    op.create_index(ORDER, "jobs", ["state", "queue", "priority", "id"])
    op.create_table(
        "artefact_chunks",
        sa.Column("artefact", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("artefact", "number", name="pk_artefact_chunks"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("artefact_chunks")
    op.drop_index(ORDER, "jobs")
    for name in COLUMNS:
        op.drop_column("jobs", name)
