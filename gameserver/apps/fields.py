"""The types of single settings that definitions have in common: how they are written, and their limits."""

from typing import Annotated

from msgspec import Meta

END = r"$(?!\n)"  # a bare $ also matches before a last line feed, here and in JSON Schema

AppId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]{1,64}" + END,
        description="What clients send as gameId. No two apps share one.",
        extra={"expected": "1 to 64 letters, digits, - or _"},
    ),
]
AppSecret = Annotated[
    str,
    Meta(
        min_length=16,
        max_length=256,
        description="Clients sign their packets with it. Or name an environment variable in secret_env.",
        extra={"secret": "required"},
    ),
]
Password = Annotated[str, Meta(max_length=1024, extra={"secret": "optional"})]
EnvironmentName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}" + END,
        description="Environment variable that holds the value, to keep it out of this file.",
        extra={"expected": "the name of an environment variable"},
    ),
]
WebAddress = Annotated[
    str,
    Meta(
        pattern=r"^https?://[^\s/?#]+[^\s]*" + END,
        max_length=2048,
        extra={"expected": "a web address that starts with https:// or http://"},
    ),
]
FileReference = Annotated[
    str,
    Meta(
        max_length=256,
        description="File in the app's folder.",
        extra={"file": True, "expected": "the path of a file"},
    ),
]
PlatformId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_]{1,32}" + END,
        description="Platform id as clients send it, such as IOS, ANG, WEB, WINDOWS; case does not matter.",
        extra={"expected": "a platform id of letters, digits and _, such as IOS"},
    ),
]
PLATFORMS = {
    "AMAZON": "Amazon",
    "ANG": "Android (Google Play)",
    "APPLE_TV_OS": "Apple TV",
    "BB": "BlackBerry",
    "FB": "Facebook",
    "IOS": "iPhone and iPad",
    "LINUX": "Linux",
    "MAC": "macOS",
    "NINTENDO": "Nintendo",
    "OCULUS": "Meta Quest (Oculus)",
    "PS3": "PlayStation 3",
    "PS4": "PlayStation 4",
    "PS_VITA": "PlayStation Vita",
    "ROKU": "Roku",
    "STEAM": "Steam",
    "TIZEN": "Tizen",
    "VISION_OS": "Apple Vision",
    "WATCH_OS": "Apple Watch",
    "WEB": "browsers",
    "WII": "Wii",
    "WINDOWS": "Windows",
    "WINP": "Windows Phone",
    "XBOX_360": "Xbox 360",
    "XBOX_ONE": "Xbox One",
    "UNKNOWN": "a client that cannot tell",
}
"""What official clients send. It is no closed list: new platforms need no new server."""
Version = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,9}(\.[0-9]{1,9}){0,7}" + END,
        extra={"expected": "a version such as 1.4.0"},
    ),
]
Language = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}" + END,
        extra={"expected": "a language code such as en or pt-BR"},
    ),
]
Country = Annotated[
    str,
    Meta(pattern=r"^([A-Za-z]{2})?" + END, extra={"expected": "a country code of two letters such as CA"}),
]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
