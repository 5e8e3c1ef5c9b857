"""Authentication types, and what each takes to prove whose an identity is."""

from enum import Enum, auto


class Proof(Enum):
    """How an authentication type proves who is calling."""

    POSSESSION = auto()  # a random id kept by the device, and the profile that it played
    PASSWORD = auto()
    EXTERNAL = auto()  # the operator's own system vouches
    HANDOFF = auto()  # a single-use token made by this server
    THIRD_PARTY = auto()  # a platform would have to vouch


PROOFS: dict[str, Proof] = {
    "Anonymous": Proof.POSSESSION,
    "Universal": Proof.PASSWORD,
    "Email": Proof.PASSWORD,
    "External": Proof.EXTERNAL,
    "Handoff": Proof.HANDOFF,
    "SettopHandoff": Proof.HANDOFF,
} | dict.fromkeys(
    (
        "Apple",
        "Blockchain",
        "Facebook",
        "FacebookLimited",
        "GameCenter",
        "Google",
        "GoogleOpenId",
        "Nintendo",
        "Oculus",
        "Parse",
        "PlaystationNetwork",
        "PlaystationNetwork5",
        "Steam",
        "Twitter",
        "Ultra",
        "Xbox",
    ),
    Proof.THIRD_PARTY,
)
