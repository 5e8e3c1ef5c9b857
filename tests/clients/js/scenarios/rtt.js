const WebSocket = require("ws");
const { expect, looked, player, text } = require("../helper");

// As a game for Node does.
globalThis.WebSocket = WebSocket;
navigator.userAgent = "node"; // the client asks which browser it is

// Connect; returns what the client was told, and a promise of why the connection ended.
function enable(core) {
  let ended;
  const end = new Promise((resolve) => (ended = resolve));
  return new Promise((resolve, reject) => {
    core.rttService.enableRTT(
      (answer) => resolve({ answer, end }),
      (why) => (ended(why), reject(why)),
    );
  });
}

const within = (seconds, promise, what) =>
  Promise.race([
    promise,
    new Promise((_, reject) => setTimeout(() => reject(new Error(`${what}: not within ${seconds} s`)), 1000 * seconds)),
  ]);

module.exports = {
  async request() {
    const { rttService, core } = await player();
    const offered = await rttService.requestClientConnection().gives({ auth: { "X-RTT-SECRET": text } });
    expect(offered.endpoints[0], { protocol: "ws", host: text, port: Number.isInteger, ssl: false }, "the first endpoint");
    expect(offered.auth, { "X-APPID": core.getAppId() }, "auth");
  },

  async connect() {
    const { core, id } = await player();
    const { answer } = await within(10, enable(core), "a connection");
    expect(answer, { service: "rtt", operation: "CONNECT", data: { heartbeatSeconds: 30 } }, "CONNECT");
    looked.add("rttService.enableRTT"); // whose answer comes through the connection
    expect(core.rttService.getRTTConnectionId().split(":").slice(0, 2), [core.getAppId(), id], "cxId");
    expect(core.rttService.isRTTEnabled(), true, "isRTTEnabled");
    core.rttService.disableRTT();
    expect(core.rttService.isRTTEnabled(), false, "isRTTEnabled");
    await within(10, enable(core), "a second connection");
    core.rttService.disableRTT();
  },

  async logout() {
    const { core, playerState } = await player();
    const { end } = await within(10, enable(core), "a connection");
    await playerState.logout().gives(null);
    expect(await within(2, end, "the end of the connection"), "close", "why");
    expect(core.rttService.isRTTEnabled(), false, "isRTTEnabled");
  },
};
