"""Chat and groups in the console: what was said, who is in what, and what staff put a stop to."""

import json
import re
from pathlib import Path

import pytest
from sqlalchemy import select

from gameserver.admin import actions
from gameserver.admin.common import Refused
from gameserver.admin.operators import staff_actions
from tests.conftest import APP_ID, APP_TOML, Game
from tests.console.conftest import Desk, hired


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """An app with a type of groups."""
    (apps_folder / "test" / "app.toml").write_text(f"{APP_TOML}[group.types.clan]\nmembers = 50\n")
    return apps_folder


async def test_a_line_is_deleted_with_a_reason(game: Game, desk: Desk) -> None:
    ada = await game.player()
    channel = f"{APP_ID}:dy:{game.unique('c')[:40]}"
    for text in ("hello", "a bad word"):
        await ada.call("chat", "POST_CHAT_MESSAGE_SIMPLE", channelId=channel, text=text)
    await desk.of_app("/social", kind="dy")
    assert channel.rpartition(":")[2] in desk.text
    await desk.of_app(f"/social/chat/{channel}")
    assert desk.text.index("a bad word") < desk.text.index("hello")
    await desk.of_app(f"/players/{ada.profile_id}/social")
    assert "a bad word" in desk.text
    lines = (await ada.call("chat", "GET_RECENT_CHAT_MESSAGES", channelId=channel, maxReturn=9))["messages"]
    path = f"/social/chat/{channel}/{lines[-1]['msgId']}/delete"
    await desk.act(path)
    assert (desk.status, "needs a reason" in desk.text) == (422, True)
    await desk.of_app(f"/social/chat/{channel}")
    await desk.act(path, reason="insults", back=f"/console/apps/{APP_ID}/social/chat/{channel}")
    assert "The line is deleted" in desk.text
    assert "a bad word" not in desk.text
    left = (await ada.call("chat", "GET_RECENT_CHAT_MESSAGES", channelId=channel, maxReturn=9))["messages"]
    assert [each["content"]["text"] for each in left] == ["hello"]
    async with game.core.database.read() as tx:
        [row] = await tx.all(select(staff_actions).where(staff_actions.c.profile_id == ada.profile_id))
    assert (row["action"], row["reason"]) == ("chat_delete", "insults")
    assert "a bad word" in json.loads(row["before"])["content"]
    await desk.act(path, reason="again")
    assert "no such line any more" in desk.text
    await desk.of_app("/social", kind="xx")
    assert desk.status == 422


async def test_a_group_is_found_and_goes_once_its_name_is_typed(game: Game, desk: Desk) -> None:
    ada, bob = await game.player(), await game.player()
    name = game.unique("Moon ")[:24]
    made = await ada.call("group", "CREATE_GROUP", name=name, groupType="clan", isOpenGroup=True)
    group = made["groupId"]
    await bob.call("group", "JOIN_GROUP", groupId=group)
    await desk.of_app("/social/groups", name=name[:12].lower())
    assert name in desk.text
    await desk.of_app(f"/players/{bob.profile_id}/social")
    assert name in desk.text
    await desk.of_app(f"/social/groups/{group}")
    assert ("OWNER" in desk.text, bob.profile_id in desk.text) == (True, True)
    await desk.act(f"/social/groups/{group}/members/{bob.profile_id}/remove", reason="insults")
    assert "Removed from the group" in desk.text
    assert bob.profile_id not in desk.text
    await desk.act(f"/social/groups/{group}/members/{ada.profile_id}/remove", reason="x")
    assert (desk.status, "owner" in desk.text) == (422, True)
    await desk.of_app(f"/social/groups/{group}")
    await desk.act(f"/social/groups/{group}/name", name="Sun", reason="a bad name")
    assert "The group is called Sun now" in desk.text
    assert (await ada.call("group", "READ_GROUP", groupId=group))["name"] == "Sun"
    await desk.act(f"/social/groups/{group}/name", name="", reason="x")
    assert desk.status == 422
    await desk.of_app(f"/social/groups/{group}")
    await desk.act(f"/social/groups/{group}/name", name=name, reason="undone")
    await desk.act(f"/social/groups/{group}/delete", reason="a gang", confirm="Moon")
    assert (desk.status, "not the group's name" in desk.text) == (422, True)
    await desk.of_app(f"/social/groups/{group}")
    await desk.act(f"/social/groups/{group}/delete", reason="a gang", confirm=name)
    assert f"{name} is deleted" in desk.text
    assert (await ada.refused("group", "READ_GROUP", groupId=group)).reason_code == 40345


async def test_groups_are_read_in_three_orders(game: Game) -> None:
    ada, mark = await game.player(), game.unique("aa")
    made = {}
    for name in ("b", "a", "C", "a"):
        group = await ada.call("group", "CREATE_GROUP", groupType="clan", name=f"{mark}{name}")
        made[group["groupId"]] = name
        game.clock.advance(1)

    async def read(sort: str, first: str) -> list[str]:
        found, after = [first], first
        for _ in range(20):  # other tests have made groups, too
            asked = {"app": APP_ID, "sort": sort, "limit": 500, "after": after}
            rows = await actions.run(game.server_app, "group_list", asked)
            found += [row["group_id"] for row in rows if row["group_id"] in made]
            if len(found) >= 4:
                break
            after = rows[-1]["group_id"]
        return [made[each] for each in found]

    b, _, c, again = made
    assert await read("oldest", b) == ["b", "a", "C", "a"]
    assert await read("newest", again) == ["a", "C", "a", "b"]
    assert await read("name", c) == ["C", "a", "a", "b"]
    with pytest.raises(Refused, match="sort is one of"):
        await actions.run(game.server_app, "group_list", {"app": APP_ID, "sort": "size"})


async def test_a_viewer_reads_and_no_more(game: Game) -> None:
    ada, bob = await game.player(), await hired(game, role="viewer", app=APP_ID)
    made = await ada.call("group", "CREATE_GROUP", name=game.unique("g")[:20], groupType="clan")
    await bob.of_app(f"/social/groups/{made['groupId']}")
    assert "Delete the group" not in bob.text
    await bob.go("/console/account")
    await bob.act(f"/social/groups/{made['groupId']}/delete", reason="x", confirm="x")
    assert bob.status == 403


async def test_entities_of_a_group_are_seen_edited_and_put_back(game: Game, desk: Desk) -> None:
    ada = await game.player()
    made = await ada.call("group", "CREATE_GROUP", name=game.unique("g")[:20], groupType="clan")
    group, acl = made["groupId"], {"member": 2, "other": 0}
    entities = [
        await ada.call(
            "group", "CREATE_GROUP_ENTITY", groupId=group, entityType="chest", acl=acl, data={"gold": n}
        )
        for n in (1, 2)
    ]
    one, read = entities[0]["entityId"], {"groupId": group, "entityId": entities[0]["entityId"]}
    await desk.of_app(f"/social/groups/{group}")
    assert "what the group keeps" in desk.text
    here = f"/social/groups/{group}/data"
    await desk.of_app(here)
    assert all(each["entityId"] in desk.text for each in entities)
    told = json.loads(await desk.of_app(here, **{"as": "json"}))
    assert sorted(row["data"]["gold"] for row in told["rows"]) == [1, 2]
    await desk.of_app(f"{here}/{one}/edit")
    await ada.call("group", "UPDATE_GROUP_ENTITY_DATA", **read, version=1, data={"gold": 5})
    await desk.act(f"{here}/{one}", data='{"gold": 1e16}', version="1", reason="lost")
    assert (desk.status, "Nothing was saved" in desk.text, '"gold": 5' in desk.text) == (409, True, True)
    await desk.act(f"{here}/{one}", data='{"gold": 1e16}', version="2", reason="lost")
    assert "Saved as version 3" in desk.text
    assert (await ada.call("group", "READ_GROUP_ENTITY", **read))["data"] == {"gold": 1e16}
    await desk.of_app(f"{here}/{one}")
    await desk.act(f"{here}/{one}/delete")
    assert "Deleted." in desk.text
    change = re.findall(r'name="change" value="([^"]+)"', desk.page)[0]
    await desk.act(f"{here}/{one}/undo", change=change)
    assert "as it was before" in desk.text, desk.text
    assert (await ada.call("group", "READ_GROUP_ENTITY", **read))["version"] == 3
    await desk.of_app(f"{here}/{one}")
    await desk.act(f"{here}/{one}/delete")
    change = re.findall(r'name="change" value="([^"]+)"', desk.page)[0]
    await ada.call("group", "DELETE_GROUP", groupId=group, version=-1)
    await desk.act(f"{here}/{one}/undo", change=change)
    assert (desk.status, "group is gone" in desk.text) == (422, True)
    await desk.of_app(here)
    assert "no such group" in desk.text
