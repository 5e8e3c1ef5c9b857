"""What players achieve: statistics, experience, rewards."""
