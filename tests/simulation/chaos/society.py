"""What the players of a run have with each other, and what must have come of it: groups, friends, messages.

Each player makes a group that is open to all, with a well in it: an entity that members add to. The others
come and go, and nobody else takes them in or out. So each knows whether they are in, and what must be
answered to them; where the outcome of a packet is not known, both is allowed, but never counts that differ
from the rows, or somebody who is there twice. Into a second group, a club, players are invited, and
nobody answers.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.simulation.chaos.ears import Ears, channel_of
from tests.simulation.chaos.fleet import APP_ID

if TYPE_CHECKING:  # a player has a citizen, and a citizen is a player's
    from tests.simulation.chaos.players import Player

NOT_GROUP_MEMBER, NOT_ALLOWED = 40453, 40346
MEMBER, OUTSIDER, UNKNOWN = "member", "outsider", "unknown"
PAGE = 500
TOWN, CLUB = "town", "club"

Message = tuple[str, str, dict[str, Any]]


@dataclass
class Town:
    """A player's group, as all know of it."""

    group_id: str
    well_id: str = ""


@dataclass
class Society:
    """All players by their profiles, their groups by their ids, and their connections."""

    ears: Ears
    profiles: dict[str, "Citizen"] = field(default_factory=dict)
    towns: dict[str, Town] = field(default_factory=dict)


@dataclass
class Act:
    """A message, and what is known when it was answered, or when that cannot be told."""

    message: Message
    done: Callable[[Any], None]
    in_doubt: Callable[[], None]


class Citizen:
    """What one player has with the others."""

    def __init__(self, player: "Player", society: Society) -> None:
        self.player = player
        self.society = society
        self.chance = player.chance
        self.town: Town | None = None
        self.club_id = ""
        self.made: Counter[str] = Counter()  # groups, by name
        self.made_in_doubt: Counter[str] = Counter()
        self.seats: dict[str, str] = {}  # by group; nobody is in one to begin with
        self.drops: Counter[str] = Counter()  # by group: what was added to its well
        self.drops_in_doubt: Counter[str] = Counter()
        self.invited: set[str] = set()
        self.invited_in_doubt: set[str] = set()
        self.friends: set[str] = set()
        self.friends_in_doubt: set[str] = set()
        self.written: Counter[tuple[str, str]] = Counter()  # receiver and text, each once
        self.written_in_doubt: set[tuple[str, str]] = set()
        self.said: Counter[str] = Counter()  # lines in the player's channel of the chat
        self.said_in_doubt: set[str] = set()
        self._texts = 0

    # What they do

    async def settle(self) -> None:
        """Let the others know of the player, and see to it that there is a town; after a login."""
        self.society.profiles[self.player.profile_id] = self
        if self.town is None and (group_id := await self._find_or_make(TOWN, is_open=True)):
            self.town = Town(group_id)
        if self.town is not None and not self.town.well_id:
            self.town.well_id = await self._find_well(self.town) or await self._make_well(self.town)
        if self.town is not None and self.town.well_id:
            self.society.towns[self.town.group_id] = self.town
        if not self.club_id:
            self.club_id = await self._find_or_make(CLUB, is_open=False)
        if self.chance.random() < 0.7:
            others = [each.player for each in self.society.profiles.values()]
            talkers = {self.player.name: self.player} | {
                each.name: each for each in self.chance.sample(others, min(3, len(others)))
            }
            await self.society.ears.listen(self.player, [channel_of(each) for each in talkers.values()])

    async def _find_or_make(self, name: str, *, is_open: bool) -> str:
        """Return the player's own group of a name; empty where that cannot be told."""
        answers = await self.player.call(("group", "GET_MY_GROUPS", {}))
        if answers is None:
            return ""
        if mine := self._own(answers[0], name):
            return mine[0]
        data = {"name": name, "groupType": "town", "isOpenGroup": is_open}
        answers = await self.player.call(("group", "CREATE_GROUP", data))
        if answers is None:
            self.made_in_doubt[name] += not self.player.has_no_effect
            return ""
        self.made[name] += 1
        return str(answers[0]["groupId"])

    def _own(self, answer: Any, name: str) -> list[str]:
        me = self.player.profile_id
        return [g["groupId"] for g in answer["groups"] if g["ownerId"] == me and g["name"] == name]

    async def _find_well(self, town: Town) -> str:
        context = {"searchCriteria": {"groupId": town.group_id, "entityType": "well"}}
        answers = await self.player.call(("group", "READ_GROUP_ENTITIES_PAGE", {"context": context}))
        found = [] if answers is None else answers[0]["results"]["items"]
        return str(found[0]["entityId"]) if found else ""

    async def _make_well(self, town: Town) -> str:
        data = {"groupId": town.group_id, "entityType": "well", "data": {"drops": 0}}
        answers = await self.player.call(("group", "CREATE_GROUP_ENTITY", data))
        return "" if answers is None else str(answers[0]["entityId"])

    async def act(self) -> bool:
        """Do something with others. False when the session is gone."""
        if self.chance.random() < 0.15 and (outside := self._towns(OUTSIDER)):
            return await self._peep(self.chance.choice(outside))
        # Who leaves does so last.
        kinds = [self._write, self._say, self._befriend, self._invite, self._drop, self._move]
        acts = [act for kind in kinds if self.chance.random() < 0.5 and (act := kind()) is not None]
        if not acts:
            return True
        answers = await self.player.call(*(act.message for act in acts))
        if answers is None:
            if not self.player.has_no_effect:
                for act in acts:
                    act.in_doubt()
            return False
        for act, answer in zip(acts, answers, strict=True):
            act.done(answer)
        return True

    def _towns(self, seat: str) -> list[Town]:
        """Return the towns of others in which the player is."""
        others = (town for town in self.society.towns.values() if town is not self.town)
        return [town for town in others if self.seats.get(town.group_id, OUTSIDER) == seat]

    def _somebody(self) -> str | None:
        others = sorted(self.society.profiles.keys() - {self.player.profile_id})
        return self.chance.choice(others) if others else None

    def _write(self) -> Act | None:
        to = self._somebody()
        if to is None:
            return None
        self._texts += 1
        text = f"{self.player.name}: {self._texts}"

        def done(answer: Any) -> None:
            self.written[to, text] += 1
            if answer["actual"] != 1:
                self.player.ledger.violation(f"{self.player.name} wrote to nobody: {answer}")

        data = {"toProfileIds": [to], "text": text}
        message = ("messaging", "SEND_MESSAGE_SIMPLE", data)
        return Act(message, done, lambda: self.written_in_doubt.add((to, text)))

    def _say(self) -> Act | None:
        """Post a line to the channel that the player alone posts to."""
        self._texts += 1
        text = f"{self.player.name}: {self._texts}"
        data = {"channelId": channel_of(self.player), "text": text}
        message = ("chat", "POST_CHAT_MESSAGE_SIMPLE", data)
        return Act(message, lambda _: self.said.update([text]), lambda: self.said_in_doubt.add(text))

    def _befriend(self) -> Act | None:
        other = self._somebody()
        if other is None:
            return None
        message = ("friend", "ADD_FRIENDS", {"profileIds": [other]})
        return Act(message, lambda _: self.friends.add(other), lambda: self.friends_in_doubt.add(other))

    def _invite(self) -> Act | None:
        other = self._somebody()
        if other is None or not self.club_id:
            return None
        data = {"groupId": self.club_id, "profileId": other, "role": "MEMBER", "attributes": {}}
        message = ("group", "INVITE_MEMBER_TO_GROUP", data)
        return Act(message, lambda _: self.invited.add(other), lambda: self.invited_in_doubt.add(other))

    def _drop(self) -> Act | None:
        mine = [self.town] if self.town is not None and self.town.well_id else []
        towns = [*self._towns(MEMBER), *mine]
        if not towns:
            return None
        town = self.chance.choice(towns)
        ids = {"groupId": town.group_id, "entityId": town.well_id}
        message = ("group", "INCREMENT_GROUP_ENTITY_DATA", {**ids, "data": {"drops": 1}})

        def count(drops: Counter[str]) -> None:
            drops[town.group_id] += 1

        return Act(message, lambda _: count(self.drops), lambda: count(self.drops_in_doubt))

    def _move(self) -> Act | None:
        towns = [*self._towns(MEMBER), *self._towns(OUTSIDER)]
        if not towns:
            return None
        group_id = self.chance.choice(towns).group_id
        leaves = self.seats.get(group_id) == MEMBER
        message = ("group", "LEAVE_GROUP" if leaves else "JOIN_MEMBER_TO_GROUP", {"groupId": group_id})

        def sit(seat: str) -> None:
            self.seats[group_id] = seat

        return Act(message, lambda _: sit(OUTSIDER if leaves else MEMBER), lambda: sit(UNKNOWN))

    async def _peep(self, town: Town) -> bool:
        """Try to read the well of a group that the player is not in, or its channel of the chat."""
        ids = {"groupId": town.group_id, "entityId": town.well_id}
        message: Message = ("group", "READ_GROUP_ENTITY", ids)
        refusal = NOT_GROUP_MEMBER
        if self.chance.random() < 0.5:
            channel = {"channelId": f"{APP_ID}:gr:{town.group_id}", "maxReturn": 1}
            message, refusal = ("chat", "GET_RECENT_MESSAGES", channel), NOT_ALLOWED
        answers = await self.player.call(message, may_be_refused=0)
        if answers is None:
            return False
        self.player.ledger.counts["peeps"] += 1
        if getattr(answers[0], "reason_code", None) != refusal:
            self.player.ledger.violation(f"{self.player.name} looked into a group of others: {answers[0]}")
        return True

    # What must be true

    async def verify(self) -> None:
        """Compare what the player finds with what was answered to everybody."""
        me, name, ledger = self.player.profile_id, self.player.name, self.player.ledger
        citizens = self.society.profiles.values()
        answers = await self.player.call(
            ("group", "GET_MY_GROUPS", {}),
            ("friend", "LIST_FRIENDS", {"friendPlatform": "brainCloud", "includeSummaryData": False}),
        )
        if answers is None:
            ledger.violation(f"{name} cannot read groups and friends")
            return
        groups = [group["groupId"] for group in answers[0]["groups"]]
        own = {name: self._own(answers[0], name) for name in (TOWN, CLUB)}
        for kind, ids in own.items():
            least = self.made[kind]
            if not least <= len(ids) <= least + self.made_in_doubt[kind]:
                ledger.violation(f"{name} has {len(ids)} groups named {kind}, expected {least} at least")
        for group_id in self.society.towns:
            seat = self.seats.get(group_id, OUTSIDER) if group_id not in own[TOWN] else MEMBER
            count = groups.count(group_id)
            if seat != UNKNOWN and count != (seat == MEMBER):
                ledger.violation(f"{name} is listed {count} times in {group_id}, as {seat}")
        friends = [friend["playerId"] for friend in answers[1]["friends"]]
        sure = self.friends | {at(each) for each in citizens if me in each.friends}
        maybe = self.friends_in_doubt | {at(each) for each in citizens if me in each.friends_in_doubt}
        if len(friends) != len(set(friends)) or not sure <= set(friends) <= sure | maybe:
            ledger.violation(f"{name} has the friends {friends}, expected {sure}, and maybe {maybe}")
        await self._verify_inbox(me)
        invitations = [group["groupId"] for group in answers[0]["invited"]]
        for each in citizens:
            count = invitations.count(each.club_id)
            if not (me in each.invited) <= count <= (me in each.invited | each.invited_in_doubt):
                ledger.violation(f"{name} is invited {count} times by {each.player.name}")
        if self.club_id:
            await self._verify_club()
        await self._verify_chat()
        if self.town is not None and self.town.well_id:
            await self._verify_town(self.town)

    async def _verify_inbox(self, me: str) -> None:
        citizens = self.society.profiles.values()
        sure = Counter(text for each in citizens for to, text in each.written if to == me)
        maybe = {text for each in citizens for to, text in each.written_in_doubt if to == me}
        found: Counter[str] = Counter()
        number = 0
        while True:
            number += 1
            pagination = {"rowsPerPage": PAGE, "pageNumber": number}
            context = {"pagination": pagination, "searchCriteria": {"msgbox": "inbox"}}
            answers = await self.player.call(("messaging", "GET_MESSAGES_PAGE", {"context": context}))
            if answers is None:
                self.player.ledger.violation(f"{self.player.name} cannot read messages")
                return
            found.update(item["message"]["content"]["text"] for item in answers[0]["results"]["items"])
            if not answers[0]["results"]["moreAfter"]:
                break
        if twice := [text for text, count in found.items() if count > 1]:
            self.player.ledger.violation(f"{self.player.name} has got twice: {twice}")
        if wrong := [*(sure.keys() - found.keys()), *(found.keys() - sure.keys() - maybe)]:
            self.player.ledger.violation(f"{self.player.name} has lost or invented messages: {wrong}")
        self.player.ledger.counts["messages"] += found.total()

    async def _verify_club(self) -> None:
        name, ledger = self.player.name, self.player.ledger
        answers = await self.player.call(("group", "READ_GROUP", {"groupId": self.club_id}))
        if answers is None:
            ledger.violation(f"{name} cannot read the own club")
            return
        pending, count = answers[0]["pendingMembers"].keys(), answers[0]["invitedPendingMemberCount"]
        ledger.counts["invitations"] += count
        if count != len(pending) or not self.invited <= pending <= self.invited | self.invited_in_doubt:
            ledger.violation(f"the club of {name} counts {count}, has {pending}, expected {self.invited}")

    async def _verify_chat(self) -> None:
        """Each line that was answered is there once, in one order; of very many the last ones."""
        data = {"channelId": channel_of(self.player), "maxReturn": PAGE}
        answers = await self.player.call(("chat", "GET_RECENT_MESSAGES", data))
        if answers is None:
            self.player.ledger.violation(f"{self.player.name} cannot read the chat")
            return
        lines = answers[0]["messages"]
        found, numbers = [line["content"]["text"] for line in lines], [int(line["msgId"]) for line in lines]
        lost = self.said.keys() - set(found) if len(lines) < PAGE else set()
        invented = set(found) - self.said.keys() - self.said_in_doubt
        if len(lines) < PAGE:
            invented |= self.society.ears.said(channel_of(self.player)) - set(found)  # told, and not there
        if lost or invented or len(found) != len(set(found)) or numbers != sorted(set(numbers)):
            self.player.ledger.violation(f"the chat of {self.player.name} lacks {lost}, or has {found}")
        self.player.ledger.counts["lines"] += len(lines)

    async def _verify_town(self, town: Town) -> None:
        name, ledger, citizens = self.player.name, self.player.ledger, self.society.profiles.values()
        ids = {"groupId": town.group_id}
        answers = await self.player.call(
            ("group", "READ_GROUP", ids),
            ("group", "READ_GROUP_ENTITY", {**ids, "entityId": town.well_id}),
        )
        if answers is None:
            ledger.violation(f"{name} cannot read the own group")
            return
        members, count = set(answers[0]["members"]), answers[0]["memberCount"]
        ledger.counts["members"] += count
        if count != len(members):
            ledger.violation(f"the group of {name} counts {count} members and has {len(members)}")
        for each in citizens:
            seat = MEMBER if each is self else each.seats.get(town.group_id, OUTSIDER)
            if seat != UNKNOWN and (at(each) in members) != (seat == MEMBER):
                ledger.violation(
                    f"{each.player.name} is {seat} in the group of {name}, which tells otherwise"
                )
        drops = answers[1]["data"]["drops"]
        least = sum(each.drops[town.group_id] for each in citizens)
        most = least + sum(each.drops_in_doubt[town.group_id] for each in citizens)
        ledger.counts["drops"] += drops
        if not least <= drops <= most:
            ledger.violation(f"the well of {name} has {drops} drops, expected {least} to {most}")


def at(citizen: Citizen) -> str:
    """Return whose citizen it is."""
    return citizen.player.profile_id
