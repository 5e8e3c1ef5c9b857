const { createHmac } = require("crypto");
const { expect, player, serverCall, speaker, text, time, unique } = require("../helper");

// A token of the studio's own identity provider.
function studioToken(sub) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ iss: "https://id.example.com", aud: "game", sub, exp: now + 600 })}`;
  return `${signed}.${createHmac("sha256", "a-key-for-tokens-of-the-studio-0123456789").update(signed).digest("base64url")}`;
}

module.exports = {
  async "anonymous players come back"() {
    const { wrapper, playerState } = speaker();
    const login = await wrapper
      .authenticateAnonymous()
      .gives({ newUser: "true", sessionId: text, playerSessionExpiry: 1200, server_time: time });
    await playerState.logout().gives(null);
    await wrapper.authenticateAnonymous().gives({ newUser: "false", profileId: login.profileId, loginCount: 2 });
    await wrapper.reconnect().gives({ profileId: login.profileId, loginCount: 3 });
  },

  async "names and passwords"() {
    const { wrapper, playerState } = speaker();
    const ada = unique("ada");
    await wrapper.authenticateUniversal(ada, "secret", false).refused(202, 40208);
    const { profileId } = await wrapper.authenticateUniversal(ada, "secret", true).gives({ newUser: "true" });
    await playerState.updateUserName("Ada 🚀 \\").gives({ playerName: "Ada 🚀 \\" });
    await playerState.logout().gives(null);
    await wrapper.authenticateUniversal(ada, "guess", false).refused(403, 40307);
    await wrapper
      .authenticateUniversal(ada, "secret", false)
      .gives({ newUser: "false", profileId, playerName: "Ada 🚀 \\" });
  },

  async "e-mail addresses"() {
    const { wrapper } = speaker();
    const address = `${unique("ada")}@example.com`;
    await wrapper.authenticateEmailPassword(address, "secret", true).gives({ newUser: "true", emailAddress: address });
    // What is no address makes no player.
    await wrapper.authenticateEmailPassword(unique("no address"), "secret", true).refused(400, 40221);
  },

  async "every way to log in that the client has"() {
    const { authentication, core } = speaker();
    const { initialize, generateAnonymousId, clearSavedProfileId } = core.authentication;
    initialize("", generateAnonymousId());
    const { profileId } = await authentication.authenticateAnonymous(true).gives({ newUser: "true" });
    await authentication.authenticateAnonymous(false).gives({ profileId });
    await authentication.retryPreviousAuthenticate().gives({ profileId, loginCount: 3 });

    const [ada, bob, eve] = [unique("ada"), unique("bob"), unique("eve")];
    const types = [
      ["authenticateUniversal", ada, "secret", true],
      ["authenticateEmailPassword", `${ada}@example.com`, "secret", true],
      ["authenticateExternal", bob, studioToken(bob), "studio", true],
      ["authenticateAdvanced", "Universal", { externalId: eve, authenticationToken: "secret" }, true, { from: "scenario" }],
      ["authenticate", unique("zoe"), "secret", "Universal", null, true, null],
    ];
    for (const [method, ...values] of types) {
      clearSavedProfileId();
      const made = await authentication[method](...values).gives({ newUser: "true", sessionId: text });
      expect(core.getProfileId(), made.profileId, `the profile after ${method}`);
      expect(core.getSessionId(), made.sessionId, `the session after ${method}`);
    }
    clearSavedProfileId();
    await authentication.authenticateExternal(bob, studioToken(eve), "studio", true).refused(403, 40307);
  },

  // The server cannot ask those companies, so it believes nobody.
  async "logins of other companies"() {
    for (const [method, ...values] of [
      ["authenticateFacebook", "ada", "token", true],
      ["authenticateFacebookLimited", "ada", "token", true],
      ["authenticateApple", "ada", "token", true],
      ["authenticateGoogle", "ada", "token", true],
      ["authenticateGoogleOpenId", "ada", "token", true],
      ["authenticateUltra", "ada", "token", true],
      ["authenticateSteam", "ada", "ticket", true],
      ["authenticateTwitter", "ada", "token", "secret", true],
      ["authenticateGameCenter", "ada", true],
    ]) {
      await speaker()
        .authentication[method](...values)
        .refused(403, 40302);
    }
    await speaker().authentication.authenticateParse("ada", "token", true).refused(403, 40307);
  },

  async "handing a login on to another device"() {
    const ada = await player();
    const { handoffId, securityToken } = await serverCall("identity.CREATE_HANDOFF_ID", {}, ada.id);
    const tablet = speaker();
    await tablet.authentication.authenticateHandoff(handoffId, "not the token").refused(403, 40307);
    await tablet.authentication.authenticateHandoff(handoffId, securityToken).gives({ profileId: ada.id, newUser: "false" });
    await tablet.playerState.readUserState().gives({ profileId: ada.id });

    const { handoffCode } = await serverCall(
      "identity.CREATE_HANDOFF_ID",
      { numChars: 8, handoffJson: { room: 7 } },
      ada.id,
    );
    const television = speaker();
    await television.authentication
      .authenticateSettopHandoff(handoffCode)
      .gives({ profileId: ada.id, handoffJson: { room: 7 } });
    await speaker().authentication.authenticateSettopHandoff(handoffCode).refused(403, 40307); // works once
  },

  async "mails that lead to a new password"() {
    const { authentication, wrapper } = speaker();
    const [address, name] = [`${unique("ada")}@example.com`, unique("ada")];
    const mail = { fromAddress: "game@example.com", subject: "New password" };
    // No session is needed, nor an account.
    await authentication.resetEmailPassword(address).gives(null);
    await authentication.resetEmailPasswordAdvanced(address, mail).gives(null);
    await authentication.resetEmailPasswordAdvanced(address, { ...mail, fromAddress: "no address" }).refused(400, 40485);
    await wrapper.authenticateUniversal(name, "secret", true).gives({ newUser: "true" });
    await authentication.resetEmailPasswordWithExpiry(address, 5).gives(null);
    await authentication.resetEmailPasswordAdvancedWithExpiry(address, mail, 5).gives(null);
    await authentication.resetUniversalIdPassword(name).gives(null);
    await authentication.resetUniversalIdPasswordAdvanced(name, mail).gives(null);
    await authentication.resetUniversalIdPasswordWithExpiry(name, 5).gives(null);
    await authentication.resetUniversalIdPasswordAdvancedWithExpiry(name, mail, 5).gives(null);
    await wrapper.authenticateUniversal(name, "secret", false).gives({ newUser: "false" }); // still the password
  },

  async "all calls of one tick travel as one packet, the login among them"() {
    const { wrapper, playerState, time: clock, core } = speaker();
    const before = core.brainCloudManager._packetId;
    await Promise.all([
      wrapper.authenticateAnonymous().gives({ newUser: "true" }),
      playerState.updateUserName("Bundle").gives({ playerName: "Bundle" }),
      playerState.updateAttributes({ colour: "blue" }, false).gives(null),
      playerState.getAttributes().gives({ attributes: { colour: "blue" } }),
      playerState.updateContactEmail("no address").refused(400, 40221), // takes nothing else along
      clock.readServerTime().gives({ server_time: time }),
      playerState.readUserState().gives({ playerName: "Bundle" }),
    ]);
    expect(core.brainCloudManager._packetId, before + 1, "packets");
  },

  async "a page that is loaded again restores its session"() {
    const name = unique("page");
    const before = await player(name);
    const { wrapper, playerState } = speaker(name);
    await wrapper.restoreSession().gives({ profileId: before.id });
    await playerState.logout().gives(null);
    await speaker(name).wrapper.restoreSession().refused(403, 40304);
  },

  async "a guest switches to an account"() {
    const guest = await player();
    const account = await guest.wrapper
      .smartSwitchAuthenticateUniversal(unique("ada"), "secret", true)
      .gives({ newUser: "true" });
    expect(account.profileId === guest.id, false, "the guest's profile");
    await guest.playerState.readUserState().gives({ profileId: account.profileId });
  },

  async "a second login ends the first"() {
    const [first, second, eve] = [speaker(), speaker(), unique("eve")];
    await first.wrapper.authenticateUniversal(eve, "secret", true).gives({ newUser: "true" });
    await second.wrapper.authenticateUniversal(eve, "secret", true).gives({ newUser: "false" });
    await first.playerState.readUserState().refused(403, 40356);
    await first.time.readServerTime().refused(403, 40356); // the client remembers
  },

  async "a wrong secret is told as such"() {
    await speaker(undefined, { secret: "not-the-secret-of-this-app" }).wrapper.authenticateAnonymous().refused(403, 40301);
  },

  // After as many refusals of one call in a row as the login allowed, the client refuses by itself.
  async "the kill switch engages as announced"() {
    const { login, playerState, time: clock } = await player();
    const fail = async () => (await playerState.updateTimeZoneOffset("no number").answer()).status;
    for (let i = 0; i < 3; i++) expect(await fail(), 400, `refusal ${i}`);
    await clock.readServerTime().gives({}); // a success in between starts the count again
    for (let i = 0; i < login.maxKillCount; i++) expect(await fail(), 400, `refusal ${i}`);
    expect(await fail(), 900, "one more");
    await clock.readServerTime().refused(900, 90200);
  },
};
