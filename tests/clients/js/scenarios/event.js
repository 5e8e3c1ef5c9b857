const { expect, player, serverCall, text, time } = require("../helper");

// What the client hands to its event callback: once for each event of an answer, with all of them.
function listen(client) {
  const heard = [];
  client.core.registerEventCallback((told) => heard.push(...told.events));
  return heard;
}

module.exports = {
  async "an event to oneself comes with that very answer"() {
    const ada = await player();
    const heard = listen(ada);
    const { evId } = await ada.event.sendEvent(ada.id, "note", { n: 1 }).gives({ evId: text });
    const event = { evId, eventType: "note", fromPlayerId: ada.id, toPlayerId: ada.id, createdAt: time };
    expect(heard, [{ ...event, eventData: { n: 1 } }], "events");
    await ada.event.getEvents().gives({ incoming_events: [{ ...event, eventData: { n: 1 } }] });
    expect(heard.length, 1, "events");
  },

  async "events of others come one with each answer"() {
    const [ada, bob] = [await player(), await player()];
    const heard = listen(bob);
    for (const n of [1, 2]) await ada.event.sendEvent(bob.id, "ping", { n }).gives({ evId: text });
    for (const n of [1, 2, 2]) {
      await bob.time.readServerTime().gives({ server_time: time });
      expect(heard.map((event) => event.eventData.n), n === 1 ? [1] : [1, 2], "events");
    }
    await serverCall("event.SYS_SEND_EVENT_TO_PROFILES", { toIds: [bob.id], eventType: "all", eventData: {} });
    await bob.time.readServerTime().gives({ server_time: time });
    expect(heard[2], { eventType: "all", fromPlayerId: "" }, "the system's event");
  },

  async "events wait until they are deleted"() {
    const [ada, bob] = [await player(), await player()];
    const sent = [];
    for (const n of [1, 2, 3, 4]) sent.push((await ada.event.sendEvent(bob.id, n < 3 ? "a" : "b", { n }).gives({ evId: text })).evId);
    await bob.event.updateIncomingEventData(sent[0], { n: 9 }).gives(null);
    await bob.event.updateIncomingEventData("unknown", {}).refused(400, 40539);
    const { incoming_events } = await bob.event.getEvents().gives({ incoming_events: [{ eventData: { n: 9 } }, {}, {}, {}] });
    await bob.event.deleteIncomingEvent(sent[0]).gives(null);
    await bob.event.deleteIncomingEvent(sent[0]).refused(400, 40539);
    await bob.event.deleteIncomingEvents([sent[1], "unknown"]).gives({ deleted: true, deletedCount: 1 });
    const later = incoming_events[3].createdAt + 1;
    await bob.event.DeleteIncomingEventsByTypeOlderThan("a", later).gives({ deleted: false, deletedCount: 0 });
    await bob.event.deleteIncomingEventsOlderThan(later).gives({ deleted: true, deletedCount: 2 });
    await bob.event.getEvents().gives({ incoming_events: [] });
    await ada.event.sendEvent("nobody", "ping", {}).refused(400, 40374);
  },
};
