"""The page /compare: one prompt to several models, side by side, and who won the blind duels."""
