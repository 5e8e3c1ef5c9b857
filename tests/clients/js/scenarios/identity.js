const { createHmac } = require("crypto");
const { empty, expect, player, serverCall, speaker, unique } = require("../helper");

const address = () => `${unique("ada")}@example.com`;

// A token of the studio's own identity provider.
function studioToken(sub) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ iss: "https://id.example.com", aud: "game", sub, exp: now + 600 })}`;
  return `${signed}.${createHmac("sha256", "a-key-for-tokens-of-the-studio-0123456789").update(signed).digest("base64url")}`;
}

module.exports = {
  async "an anonymous player gains an address and a name, and gives them up"() {
    const { identity, id } = await player();
    const [email, name] = [address(), unique("ada")];
    await identity.getIdentities().gives({ identities: empty });
    await identity.attachEmailIdentity(email, "secret").gives(null);
    await identity.attachEmailIdentity(address(), "secret").refused(202, 40211);
    await identity.attachUniversalIdentity(name, "secret").gives(null);
    await identity.getIdentities().gives({ identities: { Email: email, Universal: name } });
    for (const [method, who] of [["authenticateEmailPassword", email], ["authenticateUniversal", name]])
      await speaker().wrapper[method](who, "secret", false).gives({ profileId: id, newUser: "false" });

    const again = await player();
    await again.identity.attachUniversalIdentity(name, "secret").refused(202, 40212);
    await again.identity.attachUniversalIdentity(name, "guess").refused(403, 40307);
    await again.identity.attachEmailIdentity("no address", "secret").refused(400, 40221);
    await again.identity.detachUniversalIdentity(name, true).refused(202, 40209);
    await again.identity.detachEmailIdentity(address(), true).refused(202, 40206);
  },

  async "the last identity goes only when that is wanted"() {
    const { wrapper, identity, id } = await player();
    const [email, name] = [address(), unique("ada")];
    await identity.attachEmailIdentity(email, "secret").gives(null);
    await identity.attachIdentity(name, "secret", "Universal").gives(null);
    await identity.detachEmailIdentity(email, false).gives(null);
    await identity.detachUniversalIdentity(name, false).refused(202, 40210);
    await identity.detachIdentity(name, "Universal", true).gives(null);
    await identity.attachUniversalIdentity(name, "secret").gives(null);
    await identity.detachAdvancedIdentity("Universal", name, true, { from: "scenario" }).gives(null);
    await identity.getIdentities().gives({ identities: empty });
    await wrapper.reconnect().gives({ profileId: id, newUser: "false" });
  },

  async "two players become one, and the client goes on as the one who stays"() {
    for (const [method, login, who] of [
      ["mergeEmailIdentity", "authenticateEmailPassword", address()],
      ["mergeUniversalIdentity", "authenticateUniversal", unique("ada")],
    ]) {
      for (const [mine, theirs] of [[0, 30], [0, 0]]) {
        const name = `${theirs}${who}`;
        const other = speaker();
        const { profileId } = await other.wrapper[login](name, "secret", true).gives({ newUser: "true" });
        if (theirs) await serverCall("playerStatistics.UPDATE", { statistics: {}, xp_points: theirs }, profileId);
        const { core, identity, playerState, id } = await player();
        await identity[method](name, "guess").refused(403, 40307);
        await identity[method](`${name}x`, "secret").refused(202, 40206);
        const stays = theirs > mine ? profileId : id;
        await identity[method](name, "secret").gives({ profileId: stays });
        expect(core.getProfileId(), stays, "the client's profile");
        await playerState.readUserState().gives({ profileId: stays, experiencePoints: mine + theirs });
        await identity[method](name, "secret").refused(202, 40211);
        await speaker().wrapper[login](name, "secret", false).gives({ profileId: stays });
      }
    }
    const { identity, id } = await player();
    const name = unique("eve");
    await speaker().wrapper.authenticateUniversal(name, "secret", true).gives({ newUser: "true" });
    await identity.mergeIdentity(name, "secret", "Universal").gives({ profileId: id });
  },

  async "the wrapper switches to another player, and leaves nobody behind whom it could not reach again"() {
    const [name, email] = [unique("ada"), address()];
    const ada = await speaker().wrapper.authenticateUniversal(name, "secret", true).gives({ newUser: "true" });
    const bob = await speaker().wrapper.authenticateEmailPassword(email, "secret", true).gives({ newUser: "true" });
    const { identity, playerState, wrapper, id } = await player();
    await wrapper.smartSwitchAuthenticateUniversal(name, "secret", false).gives({ profileId: ada.profileId });
    await playerState.readUserState().gives({ profileId: ada.profileId });
    await identity.getIdentities().gives({ identities: { Universal: name } });
    await wrapper.smartSwitchAuthenticateEmailPassword(email, "secret", false).gives({ profileId: bob.profileId });
    await speaker().wrapper.authenticateUniversal(name, "secret", false).gives({ profileId: ada.profileId });
    const gone = await serverCall("identity.GET_IDENTITIES", {}, id).catch((error) => error.message);
    expect(gone.includes(`has no player ${id}`), true, "the player whom only a device knew is gone");
  },

  async "names that nobody logs in with"() {
    const [ada, bob] = [await player(), await player()];
    const [name, other] = [unique("ada"), unique("bob")];
    await bob.identity.updateUniversalIdLogin(other).refused(202, 40206);
    await ada.identity.attachNonLoginUniversalId(name).gives(null);
    await ada.identity.attachNonLoginUniversalId(other).refused(202, 40211);
    await bob.identity.attachNonLoginUniversalId(name).refused(400, 40583);
    await ada.identity.updateUniversalIdLogin(other).gives(null);
    await ada.identity.getIdentities().gives({ identities: { Universal: other } });
    await bob.identity.attachNonLoginUniversalId(name).gives(null);
    await bob.identity.updateUniversalIdLogin(other).refused(400, 40583);
    await speaker().wrapper.authenticateUniversal(other, "", true).refused(403, 40307);
  },

  async "an address changes"() {
    const { identity, playerState, wrapper, id } = await player();
    const [old, fresh] = [address(), address()];
    await identity.attachEmailIdentity(old, "secret").gives(null);
    await identity.changeEmailIdentity(address(), "secret", fresh, true).refused(400, 40584);
    await identity.changeEmailIdentity(old, "guess", fresh, true).refused(403, 40307);
    await identity.changeEmailIdentity(old, "secret", fresh, true).gives({});
    await playerState.readUserState().gives({ emailAddress: fresh });
    await wrapper.authenticateEmailPassword(fresh, "secret", false).gives({ profileId: id });
  },

  async "tokens that expire"() {
    const ada = speaker();
    const name = unique("ada");
    await ada.wrapper.authenticateExternal(name, studioToken(name), "studio", true).gives({ newUser: "true" });
    await ada.identity.getIdentities().gives({ identities: { External: name } });
    await ada.identity.getExpiredIdentities().gives({ identities: empty });
    await ada.identity
      .refreshIdentity(name, studioToken(name), "External")
      .gives({ externalId: name, authenticationType: "External" });
    await ada.identity.refreshIdentity(name, studioToken(unique("eve")), "External").refused(403, 40307);
    await ada.identity.refreshIdentity(name, "secret", "Universal").refused(400, 40464);
    await ada
      .raw("identity", "GET_IDENTITY_STATUS", { authenticationType: "External", externalAuthName: "studio" })
      .gives({ identities: { External: { tokenExpired: false, externalId: name, loginAuthType: null } } });
  },

  async "keys of blockchains"() {
    const { identity } = await player();
    const key = unique("key");
    await identity.detachBlockchainIdentity("main").refused(202, 40206);
    await identity.attachBlockchainIdentity("nowhere", key).refused(400, 40678);
    await identity.attachBlockchainIdentity("main", key).gives(null);
    await identity.getIdentities().gives({ identities: { Blockchain: key } });
    await identity.detachBlockchainIdentity("main").gives(null);
  },

  // The app names no company that would vouch for players.
  async "identities of other companies"() {
    const companies = [
      "Facebook",
      "FacebookLimited",
      "Ultra",
      "Steam",
      "Google",
      "GoogleOpenId",
      "Apple",
      "Twitter",
      "Parse",
    ];
    for (const company of companies) {
      const { identity } = await player();
      const token = company === "Twitter" ? ["token", "secret"] : ["token"];
      const reason = company === "Parse" ? 40307 : 40302;
      await identity[`attach${company}Identity`]("ada", ...token).refused(403, reason);
      await identity[`merge${company}Identity`]("ada", ...token).refused(403, reason);
      if (company !== "FacebookLimited") await identity[`detach${company}Identity`]("ada", true).refused(202, 40206);
    }
    const { identity } = await player();
    await identity.detachGameCenterIdentity("ada", true).refused(202, 40206);
  },
};
