"""Tokens used of the day"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person", name="pk_usage"),
    )
    op.create_index("ix_usage_ends_at", "usage", ["ends_at"])


def downgrade() -> None:
    op.drop_table("usage")
