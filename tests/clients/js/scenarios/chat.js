const { expect, player, serverCall, text, time, unique } = require("../helper");
const { enable, within } = require("../sockets");

// Connect, and return a function that waits for the next frame of the chat.
async function listen(core) {
  const frames = [];
  let wake = () => {};
  core.rttService.registerRTTChatCallback((frame) => (frames.push(frame), wake()));
  await within(10, enable(core), "a connection");
  return async () => {
    if (!frames.length) await within(10, new Promise((resolve) => (wake = resolve)), "a frame");
    return frames.shift();
  };
}

module.exports = {
  async "a line reaches all who listen"() {
    const [ada, bob] = [await player(), await player()];
    await ada.playerState.updateUserName("Ada").gives({ playerName: "Ada" });
    const { channelId } = await ada.chat.getChannelId("dy", unique("room")).gives({ channelId: text });
    const heard = await listen(bob.core);
    await bob.chat.channelConnect(channelId, 25).gives({ messages: [] });
    const content = { text: "hi", custom: { x: 1 } };
    const { msgId } = await ada.chat.postChatMessage(channelId, content, true).gives({ msgId: text });
    const line = { chId: channelId, msgId, ver: 1, date: time, from: { id: ada.id, name: "Ada", pic: null }, content };
    expect(await heard(), { service: "chat", operation: "INCOMING", data: line }, "INCOMING");
    await bob.chat.getRecentChatMessages(channelId, 25).gives({ messages: [line] });
    await bob.chat.getChatMessage(channelId, msgId).gives(line);
    await bob.chat.updateChatMessage(channelId, msgId, 1, content).refused(403, 40346);
    await ada.chat.updateChatMessage(channelId, msgId, 1, { text: "ho" }).gives({});
    await ada.chat.updateChatMessage(channelId, msgId, 1, { text: "hm" }).refused(400, 40598);
    expect(await heard(), { operation: "UPDATE", data: { msgId, ver: 2, content: { text: "ho" } } }, "UPDATE");
    await ada.chat.deleteChatMessage(channelId, msgId, 2).gives({ deleted: 1 });
    expect(await heard(), { operation: "DELETE", data: { msgId } }, "DELETE");
    await bob.chat.channelDisconnect(channelId).gives({});
    await ada.chat.postChatMessageSimple(channelId, "nobody hears this", true).gives({ msgId: text });
    await bob.chat.channelConnect(channelId, 1).gives({ messages: [{ content: { text: "nobody hears this" } }] });
    await ada.chat.postChatMessage(channelId, { text: "not kept" }, false).gives({ msgId: text });
    expect(await heard(), { operation: "INCOMING", data: { content: { text: "not kept" } } }, "not kept");
    bob.core.rttService.disableRTT();
  },

  async "channels of the app"() {
    const ada = await player();
    const { channelId } = await ada.chat.getChannelId("gl", "main").gives({ channelId: text });
    const main = { id: channelId, type: "gl", code: "main", name: "Main", desc: "Talk.", stats: {} };
    await ada.chat.getSubscribedChannels("gl").gives({ channels: [main] });
    await ada.chat.getChannelInfo(channelId).gives(main);
    await ada.chat.getChannelId("gl", "none").refused(400, 40603);
    await ada.chat.channelConnect("none", 1).refused(400, 40603);
  },

  async "the system posts and moderates"() {
    const ada = await player();
    const made = { channelType: "dy", channelSubId: unique("room") };
    const { channelId } = await serverCall("chat.SYS_CREATE_CHANNEL", made);
    const line = { channelId, text: "news", from: { name: "Admin" } };
    const { msgId } = await serverCall("chat.SYS_POST_CHAT_MESSAGE_SIMPLE", line);
    await ada.chat.getChatMessage(channelId, msgId).gives({ from: { id: null, name: "Admin" } });
    await serverCall("chat.SYS_DELETE_CHAT_MESSAGE", { channelId, msgId, version: -1 });
    await ada.chat.getRecentChatMessages(channelId, 9).gives({ messages: [] });
  },
};
