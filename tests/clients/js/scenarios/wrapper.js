const { createHmac } = require("crypto");
const { expect, player, serverCall, speaker, unique } = require("../helper");

// A token of the studio's own identity provider.
function studioToken(sub) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ iss: "https://id.example.com", aud: "game", sub, exp: now + 600 })}`;
  return `${signed}.${createHmac("sha256", "a-key-for-tokens-of-the-studio-0123456789").update(signed).digest("base64url")}`;
}

const logins = (name) => ({
  universal: ["authenticateUniversal", name, "secret", true],
  email: ["authenticateEmailPassword", `${name}@example.com`, "secret", true],
  external: ["authenticateExternal", name, studioToken(name), "studio", true],
});

// Those that the wrapper can switch to: it loses the callback of external logins.
const switches = (name) => ["universal", "email"].map((type) => logins(name)[type]);

module.exports = {
  // What the wrapper stores is a device's id and the profile: the pair is enough to come back.
  async "every login is reconnected to, also by an app that was started anew"() {
    const guest = ["authenticateAnonymous"];
    const platform = ["authenticateAdvanced", "Oculus", { externalId: "70", authenticationToken: "a-nonce-for-tests" }, true, {}];
    for (const [method, ...values] of [guest, platform, ...Object.values(logins(unique("ada")))]) {
      const name = unique("device");
      const first = speaker(name);
      const { profileId } = await first.wrapper[method](...values).gives({});
      await first.playerState.logout().gives(null);
      await first.wrapper.reconnect().gives({ profileId, newUser: "false" });
      await first.playerState.logout().gives(null);
      const again = speaker(name);
      await again.wrapper.reconnect().gives({ profileId, newUser: "false" });
      await again.playerState.readUserState().gives({ profileId });
    }
  },

  // Nobody could reach the guest any more, so the client deletes them before it switches.
  async "a smart switch from a guest leaves no guest behind"() {
    for (const [method, ...values] of switches(unique("bob"))) {
      const guest = await player();
      const smart = method.replace("authenticate", "smartSwitchAuthenticate");
      const account = await guest.wrapper[smart](...values).gives({ newUser: "true" });
      expect(account.profileId === guest.id, false, "the guest's profile");
      await guest.playerState.readUserState().gives({ profileId: account.profileId });
      const gone = await serverCall("user.SYS_GET_PAGE", { context: { searchCriteria: { profileId: guest.id } } });
      expect((gone.data || gone).results.items, [], "the guest");
    }
  },

  async "a smart switch from an account leaves the account"() {
    const ways = switches(unique("eve"));
    for (const [index, [method, ...values]] of ways.entries()) {
      const client = speaker();
      const { profileId } = await client.wrapper[method](...values).gives({});
      const [other, ...others] = switches(unique("zoe"))[(index + 1) % ways.length];
      const smart = other.replace("authenticate", "smartSwitchAuthenticate");
      const account = await client.wrapper[smart](...others).gives({ newUser: "true" });
      expect(account.profileId === profileId, false, "the account");
      await speaker()
        .wrapper[method](...values)
        .gives({ profileId, newUser: "false" });
    }
  },

  // Without a stored profile the wrapper makes itself a new device's id.
  async "a stored profile that was reset is forgotten by the device, not by the server"() {
    const client = speaker();
    const name = unique("ada");
    const { profileId } = await client.wrapper.authenticateUniversal(name, "secret", true).gives({ newUser: "true" });
    await client.playerState.logout().gives(null);
    client.stored.resetStoredProfileId();
    const guest = await client.wrapper.authenticateAnonymous().gives({ newUser: "true" });
    expect(guest.profileId === profileId, false, "the profile that was forgotten");
    await client.playerState.logout().gives(null);
    await client.wrapper.authenticateUniversal(name, "secret", false).gives({ profileId, newUser: "false" });
  },

  async "a redirect is followed"() {
    const name = unique("ada");
    const client = speaker(unique("device"), { id: process.env.MOVED_APP_ID });
    const { profileId } = await client.wrapper.authenticateUniversal(name, "secret", true).gives({ newUser: "true" });
    expect(client.core.getAppId(), process.env.APP_ID, "the app");
    await client.playerState.readUserState().gives({ profileId });
    await speaker().wrapper.authenticateUniversal(name, "secret", false).gives({ profileId });
  },

  async "a player whom a server has made logs in, and is reconnected to"() {
    const name = unique("bruce");
    const made = await serverCall("user.SYS_CREATE_USER_UNIVERSAL_ID", { externalId: name, password: "secret", userName: "Bats" });
    const { profileId } = made.data || made;
    const { wrapper, playerState } = speaker();
    await wrapper.authenticateUniversal(name, "secret", false).gives({ profileId, newUser: "false", playerName: "Bats" });
    await playerState.logout().gives(null);
    await wrapper.reconnect().gives({ profileId });
  },
};
