"""PlayStation Network: an authorization code, and whose access token comes of it."""

import base64
from http import HTTPStatus
from urllib.parse import quote, quote_plus

from gameserver.players.providers.asking import Claimed, Outside
from gameserver.players.providers.settings import PlayStation
from gameserver.players.providers.vouching import Vouched
from gameserver.players.providers.web import unclear

CODE_MAX = 512
HOST = "PlayStation Network"


async def network(claimed: Claimed, outside: Outside) -> Vouched | None:
    """Check the code that a game on a PlayStation 4 or Vita has got for its player."""
    assert claimed.settings.playstation is not None, "a check is called where its settings are"
    return await _check(claimed, outside, claimed.settings.playstation)


async def network5(claimed: Claimed, outside: Outside) -> Vouched | None:
    """Check the code that a game on a PlayStation 5 has got for its player."""
    assert claimed.settings.playstation5 is not None, "a check is called where its settings are"
    return await _check(claimed, outside, claimed.settings.playstation5)


async def _check(claimed: Claimed, outside: Outside, settings: PlayStation) -> Vouched | None:
    """Exchange the code, which works once, for an access token, and ask for which account that is.

    The token is only looked at; it is kept by nobody.
    """
    if not 0 < len(claimed.token) <= CODE_MAX or not claimed.token.isascii():
        return None
    pair = f"{quote_plus(settings.client_id)}:{quote_plus(settings.client_secret)}"
    headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    form = {
        "grant_type": "authorization_code",
        "code": claimed.token,
        "redirect_uri": settings.redirect_uri,
    }
    status, answer = await outside.web.ask_json(claimed.app, settings.token_url, form=form, headers=headers)
    if status == HTTPStatus.BAD_REQUEST and answer.get("error") == "invalid_grant":
        return None
    access = answer.get("access_token")
    if status != HTTPStatus.OK or not isinstance(access, str) or not access:
        raise unclear(HOST, f"status {status}, {answer.get('error')!r:.80}")
    url = f"{settings.token_url}/{quote(access, safe='')}"
    status, told = await outside.web.ask_json(claimed.app, url, headers=headers)
    if status != HTTPStatus.OK or told.get("client_id") != settings.client_id:
        raise unclear(HOST, f"status {status} of the token that it has just issued")
    return Vouched() if told.get("user_id") == claimed.external_id else None
