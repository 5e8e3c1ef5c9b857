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

CREDENTIALS = {
    "Anonymous": ("a random id that the device makes once and keeps", "empty"),
    "Universal": ("a name", "the password"),
    "Email": ("an e-mail address", "the password"),
    "External": ("the id at an external login of the app, whose name is `externalAuthName`", "as that wants"),
    "Handoff": ("the `handoffId` of `identity.CREATE_HANDOFF_ID`", "its `securityToken`"),
    "SettopHandoff": ("the `handoffCode` of `identity.CREATE_HANDOFF_ID`", "empty"),
    "Apple": ("the user id of Sign in with Apple", "the identity token"),
    "Blockchain": ("a public key; nobody logs in with it", "none"),
    "Facebook": ("the user id", "the access token"),
    "FacebookLimited": ("the user id", "the token of Limited Login"),
    "GameCenter": ("the id that was signed", "JSON with `publicKeyUrl`, `timestamp`, `signature`, `salt`"),
    "Google": ("the user id", "an id token, or a server auth code"),
    "GoogleOpenId": ("the user id, or the proven address", "an id token"),
    "Nintendo": ("the user id", "the id token"),
    "Oculus": ("the user id", "the nonce of GetUserProof"),
    "Parse": ("the user id", "a session token"),
    "PlaystationNetwork": ("the account id", "an authorization code"),
    "PlaystationNetwork5": ("the account id", "an authorization code"),
    "Steam": ("the 64-bit Steam id", "the ticket of GetAuthTicketForWebApi, in hex"),
    "Twitter": ("the user id", "access token and secret, with a colon between"),
    "Ultra": ("the user id", "the id token"),
    "Xbox": ("the player's id with the publisher (`ptx`)", "the XSTS token"),
}
"""What clients send as `externalId` and `authenticationToken`, by authentication type."""
