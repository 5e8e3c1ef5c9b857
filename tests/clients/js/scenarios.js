// Each scenario prints one JSON object of what the client was told; the test suite judges it.
const { client, answer } = require("./environment");

// Tests of a run may share a database.
const unique = (name) => `${process.env.UNIQUE}-${name}`;

const scenarios = {
  async anonymous() {
    const wrapper = client();
    const login = await answer((done) => wrapper.authenticateAnonymous(done));
    const state = await answer((done) => wrapper.playerState.readUserState(done));
    const logout = await answer((done) => wrapper.playerState.logout(done));
    const after = await answer((done) => wrapper.playerState.readUserState(done));
    const again = await answer((done) => wrapper.authenticateAnonymous(done));
    return { login, state, logout, after, again };
  },

  async universal() {
    const wrapper = client();
    const missing = await answer((done) => wrapper.authenticateUniversal(unique("ada"), "secret", false, done));
    const created = await answer((done) => wrapper.authenticateUniversal(unique("ada"), "secret", true, done));
    const named = await answer((done) => wrapper.playerState.updateUserName("Ada 🚀 \\", done));
    await answer((done) => wrapper.playerState.logout(done));
    const wrong = await answer((done) => wrapper.authenticateUniversal(unique("ada"), "guess", false, done));
    const known = await answer((done) => wrapper.authenticateUniversal(unique("ada"), "secret", false, done));
    return { missing, created, named, wrong, known };
  },

  async email() {
    const wrapper = client();
    const created = await answer((done) => wrapper.authenticateEmailPassword(unique("ada@example.com"), "secret", true, done));
    const reset = await answer((done) => wrapper.resetEmailPassword(unique("ada@example.com"), done));
    const invalid = await answer((done) => wrapper.authenticateEmailPassword("no address", "secret", true, done));
    return { created, reset, invalid };
  },

  // All calls of one tick travel as one packet, the login among them.
  async bundle() {
    const wrapper = client();
    const answers = await Promise.all([
      answer((done) => wrapper.authenticateAnonymous(done)),
      answer((done) => wrapper.playerState.updateUserName("Bundle", done)),
      answer((done) => wrapper.playerState.updateAttributes({ colour: "blue" }, false, done)),
      answer((done) => wrapper.playerState.getAttributes(done)),
      answer((done) => wrapper.time.readServerTime(done)),
      answer((done) => wrapper.playerState.readUserState(done)),
    ]);
    return { answers };
  },

  async heartbeat() {
    const wrapper = client();
    await answer((done) => wrapper.authenticateAnonymous(done));
    const beat = await answer((done) =>
      wrapper.brainCloudClient.brainCloudManager.sendRequest({ service: "heartbeat", operation: "READ", callback: done }),
    );
    return { beat };
  },

  // After as many refusals of one call as the server allows, the client refuses by itself; a success before resets.
  async kill_switch() {
    const wrapper = client();
    await answer((done) => wrapper.authenticateAnonymous(done));
    const fail = () =>
      answer((done) =>
        wrapper.brainCloudClient.brainCloudManager.sendRequest({
          service: "playerState",
          operation: "UPDATE_TIMEZONE_OFFSET",
          data: { timeZoneOffset: "no number" },
          callback: done,
        }),
      );
    const statuses = [];
    for (let i = 0; i < 3; i++) statuses.push((await fail()).status);
    const success = await answer((done) => wrapper.time.readServerTime(done));
    for (let i = 0; i < 13; i++) statuses.push((await fail()).status);
    return { statuses, success };
  },

  async other_login() {
    const first = client("first");
    const second = client("second");
    await answer((done) => first.authenticateUniversal(unique("eve"), "secret", true, done));
    await answer((done) => second.authenticateUniversal(unique("eve"), "secret", true, done));
    const replaced = await answer((done) => first.playerState.readUserState(done));
    return { replaced };
  },

  async wrong_secret() {
    process.env.APP_SECRET = "not-the-secret-of-this-app";
    const wrapper = client();
    const login = await answer((done) => wrapper.authenticateAnonymous(done));
    return { login };
  },
};

scenarios[process.argv[2]]().then(
  (result) => {
    console.log(JSON.stringify(result));
    process.exit(0);
  },
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
