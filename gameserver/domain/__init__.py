"""Rules of the game that more than one service needs, a package or module for each noun."""
