"""Create the table of entries."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "entry", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("text", sa.String(), nullable=False)
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("entry")
