"""Real-time connections over real sockets."""
