"""The published contracts under which clients reach the server, a file each."""
