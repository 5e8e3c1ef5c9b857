const { expect, player, serverCall, text, time } = require("../helper");

module.exports = {
  async "a message lies in the boxes of both"() {
    const [ada, bob] = [await player(), await player()];
    await ada.playerState.updateUserName("Ada").gives({ playerName: "Ada" });
    const content = { subject: "s", text: "hi" };
    const { msgId } = await ada.messaging
      .sendMessage([bob.id, "nobody"], content)
      .gives({ requested: 2, actual: 1, msgId: text });
    const message = { from: { id: ada.id, name: "Ada" }, to: [bob.id], sentAt: time, content };
    const item = { msgId, msgbox: "inbox", mbVer: 1, mbCr: time, mbUp: time, read: false, message };
    await bob.messaging.getMessages("inbox", [msgId], false).gives({ requested: 1, actual: 1, items: [item] });
    await bob.messaging.getMessageCounts().gives({ inbox: { total: 1, unread: 1 }, sent: { total: 0, unread: 0 } });
    await bob.messaging.markMessagesRead("inbox", [msgId]).gives({ requested: 1, actual: 1 });
    await bob.messaging.getMessages("inbox", [msgId], true).gives({ items: [{ read: true, mbVer: 2 }] });
    await bob.messaging.deleteMessages("inbox", [msgId, "unknown"]).gives({ requested: 2, actual: 1 });
    await bob.messaging.getMessages("inbox", [msgId], false).refused(400, 40595);
    await ada.messaging.getMessages("sent", [msgId], false).gives({ items: [{ msgbox: "sent" }] });
    await ada.messaging.getMessageboxes().gives({ items: ["inbox", "sent"] });
    await ada.messaging.sendMessageSimple(["1", "2", "3", "4", "5", "6"], "too many").refused(400, 40621);
  },

  async "messages page by page"() {
    const ada = await player();
    for (const n of ["1", "2", "3"]) await ada.messaging.sendMessageSimple([ada.id], n).gives({ actual: 1 });
    const search = {
      pagination: { rowsPerPage: 2, pageNumber: 1 },
      searchCriteria: { msgbox: "inbox", read: false },
      sortCriteria: { mbCr: 1, mbUp: -1 },
    };
    const { context } = await ada.messaging
      .getMessagesPage(search)
      .gives({ context: text, results: { count: 3, page: 1, moreAfter: true, items: [{}, {}] } });
    await ada.messaging.getMessagesPageOffset(context, 1).gives({ results: { page: 2, items: [{ msgbox: "inbox" }] } });
    await ada.messaging.getMessagesPageOffset("no context", 1).refused(400, 40383);
  },

  async "the system writes to players"() {
    const ada = await player();
    const news = { toProfileIds: [ada.id], contentJson: { text: "news" }, fromJson: { id: null, name: "Admin" } };
    const { msgId } = await serverCall("messaging.SYS_SEND_MESSAGE", news);
    const { items } = await ada.messaging.getMessages("inbox", [msgId], false).gives({ actual: 1 });
    expect(items[0].message.from, { id: null, name: "Admin" }, "from");
  },
};
