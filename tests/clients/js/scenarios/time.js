const { expect, player, time } = require("../helper");

module.exports = {
  async "the server's time"() {
    const { time: service } = await player();
    const { server_time } = await service.readServerTime().gives({ server_time: time });
    expect(Math.abs(server_time - Date.now()) < 60_000, true, "the clocks of one machine agree");
  },

  async "heartbeats, also those that the client sends by itself"() {
    const { core, raw } = await player();
    const beat = await new Promise((resolve) => core.heartbeat(resolve));
    expect(beat, { status: 200, data: null }, "heartbeat");
    const { sendRequest } = core.brainCloudManager;
    const sent = new Promise((resolve) => {
      core.brainCloudManager.sendRequest = (request) => sendRequest({ ...request, callback: resolve });
    });
    core.brainCloudManager._idleTimeout = 0.001; // seconds; the login said 85 % of the session's life
    core.startHeartBeat();
    expect(await sent, { status: 200, data: null }, "by itself");
    core.stopHeartBeat();
    core.brainCloudManager.sendRequest = sendRequest;
    await raw("heartbeat", "BEAT", {}).refused(400, 40333);
  },

  async "nothing without a session"() {
    const { time: service, playerState } = await player();
    await playerState.logout().gives(null);
    await service.readServerTime().refused(403, 40304);
  },
};
