const { expect, looked, player, unique } = require("../helper");
const { enable, within } = require("../sockets");

module.exports = {
  async "friends hear of each other"() {
    const [ada, bob] = [await player(), await player()];
    await ada.friend.addFriends([bob.id]).gives(null);
    await within(10, enable(ada.core), "a connection");
    const heard = [];
    let hear = () => {};
    ada.core.rttService.registerRTTPresenceCallback((message) => (heard.push(message), hear()));
    looked.add("rttService.registerRTTPresenceCallback");
    const next = () => new Promise((resolve) => (hear = resolve));
    await ada.presence.registerListenersForFriends("all", true).gives({ presence: [] });
    const comes = next();
    await within(10, enable(bob.core), "a connection");
    await within(10, comes, "news of bob");
    const cxs = [bob.core.rttService.getRTTConnectionId()];
    expect(heard[0], { service: "presence", operation: "INCOMING", data: { from: { id: bob.id, cxs }, online: true } }, "news");
    const acts = next();
    await bob.presence.updateActivity({ at: "table 7" }).gives(null);
    await within(10, acts, "news of bob's activity");
    const shown = { user: { id: bob.id, cxs }, online: true, activity: { at: "table 7" } };
    expect(heard[1].data, { activity: { at: "table 7" } }, "activity");
    await ada.presence.getPresenceOfFriends("brainCloud", false).gives({ presence: [shown] });
    await ada.presence.getPresenceOfUsers([bob.id], false).gives({ presence: [shown] });
    await ada.presence.registerListenersForProfiles([bob.id], false).gives({ presence: [shown] });
    const hides = next();
    await bob.presence.setVisibility(false).gives(null);
    await within(10, hides, "news of bob's going");
    expect(heard[2].data, { online: false, activity: {} }, "hiding");
    await ada.presence.getPresenceOfUsers([bob.id], true).gives({ presence: [{ online: false }] });
    await ada.presence.stopListening().gives(null);
    await bob.presence.forcePush().gives(null);
    await ada.presence.getPresenceOfFriends("Orkut", false).refused(400, 40462);
    ada.core.rttService.disableRTT();
    bob.core.rttService.disableRTT();
  },

  async "members of a group"() {
    const ada = await player();
    const { groupId } = await ada.group
      .createGroup(unique("group"), "team", true, null, {}, {}, {})
      .gives({ memberCount: 1 });
    await within(10, enable(ada.core), "a connection");
    await ada.presence.getPresenceOfGroup(groupId, true).gives({ presence: [{ user: { id: ada.id }, online: true }] });
    await ada.presence.registerListenersForGroup(groupId, false).gives({ presence: [{ user: { id: ada.id } }] });
    await ada.presence.getPresenceOfGroup("nowhere", true).refused(400, 40462);
    ada.core.rttService.disableRTT();
  },
};
