"""What staff and operators may do, as typed actions: behind the command line, and whatever else asks."""
