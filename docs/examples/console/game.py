"""Guess a number: a game for a terminal, with the Python client. `python game.py [SERVER]`.

The fewer guesses, the more points; the ten best of the week are shown.
"""

import random
import sys

from gameserver_client import Client, GameServerError, JsonFileStore

APP_ID, SECRET = "20001", "a secret that everybody knows"
BOARD = "clicks"
MOST = 100
PLAYER = JsonFileStore("guess-player.json")  # remembers who plays on this computer


def play() -> int:
    """Play one round; returns its points."""
    number, guesses = random.randint(1, MOST), 0
    while True:
        guesses += 1
        text = input(f"A number from 1 to {MOST}: ")
        if not text.isdigit():
            print("That is no number.")
        elif int(text) == number:
            return max(1, 11 - guesses)
        else:
            print("Too small." if int(text) < number else "Too large.")


def main() -> None:
    """Log in, play, post the score, show the best."""
    server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
    with Client(server, APP_ID, SECRET, store=PLAYER) as client:
        player = client.authenticate_anonymous()
        if not player["playerName"]:
            client.player_state.update_name(player_name=input("Your name: "))
        points = play()
        client.leaderboard.post_score(leaderboard_id=BOARD, score=points)
        print(f"{points} points. The best of this week:")
        best = client.leaderboard.get_global_leaderboard_page(
            leaderboard_id=BOARD, start_index=0, end_index=9
        )
        for entry in best["leaderboard"]:
            print(f"{entry['rank']:>3} {entry['name'] or 'nobody':20} {entry['score']:>8.0f}")
        client.logout()


if __name__ == "__main__":
    try:
        main()
    except GameServerError as refusal:
        sys.exit(f"The server says: {refusal}")
