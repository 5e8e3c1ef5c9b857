"""Rules that more than one service or face needs."""
