"""Comparisons and votes"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "comparisons",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("owner_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("blind", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_comparisons"),
    )
    op.create_index("ix_comparisons_owner_id_created_at", "comparisons", ["owner_id", "created_at"])
    op.create_table(
        "comparison_columns",
        sa.Column("conversation_id", sa.String(length=64), nullable=False),
        sa.Column("comparison_id", sa.String(length=64), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["comparison_id"],
            ["comparisons.id"],
            name="fk_comparison_columns_comparison_id_comparisons",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name="fk_comparison_columns_conversation_id_conversations",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("conversation_id", name="pk_comparison_columns"),
    )
    op.create_index("ix_comparison_columns_comparison_id", "comparison_columns", ["comparison_id"])
    op.create_table(
        "votes",
        sa.Column("comparison_id", sa.String(length=64), nullable=False),
        sa.Column("owner_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("choice", sa.String(length=8), nullable=False),
        sa.Column("a", sa.Text(), nullable=False),
        sa.Column("b", sa.Text(), nullable=False),
        sa.Column("a_tokens_per_second", sa.Float(), nullable=True),
        sa.Column("b_tokens_per_second", sa.Float(), nullable=True),
        sa.Column("a_memory", sa.BigInteger(), nullable=True),
        sa.Column("b_memory", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("comparison_id", name="pk_votes"),
    )
    op.create_index("ix_votes_owner_id", "votes", ["owner_id"])


def downgrade() -> None:
    op.drop_table("votes")
    op.drop_table("comparison_columns")
    op.drop_table("comparisons")
