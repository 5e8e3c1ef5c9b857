"""What travels: envelopes, JSON in and out, status and reason codes."""
