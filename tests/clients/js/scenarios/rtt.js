const { expect, looked, player, text } = require("../helper");
const { enable, within } = require("../sockets");

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
