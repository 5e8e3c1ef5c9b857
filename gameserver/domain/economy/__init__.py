"""What players own and spend."""
