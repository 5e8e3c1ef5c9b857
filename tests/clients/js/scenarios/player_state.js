const { empty, expect, player, text, time } = require("../helper");

module.exports = {
  async "the profile"() {
    const ada = await player();
    const { playerState } = ada;
    await playerState.updateUserName("Ada 🚀 \\").gives({ playerName: "Ada 🚀 \\" });
    await playerState.updateName("Ada").gives({ playerName: "Ada" });
    await playerState
      .updateUserPictureUrl("https://example.com/ada.png")
      .gives({ playerPictureUrl: "https://example.com/ada.png" });
    await playerState.updateContactEmail("ada@example.com").gives({ contactEmail: "ada@example.com" });
    await playerState.updateLanguageCode("fr").gives({ languageCode: "fr" });
    await playerState.updateTimeZoneOffset(5.5).gives({ timeZoneOffset: 5.5 });
    await playerState.updateSummaryFriendData({ badge: "gold" }).gives(null);
    await playerState.readUserState().gives({
      profileId: ada.id,
      playerName: "Ada",
      pictureUrl: "https://example.com/ada.png",
      emailAddress: "ada@example.com",
      languageCode: "fr",
      timeZoneOffset: 5.5,
      summaryFriendData: { badge: "gold" },
      createdAt: time,
    });
    await playerState.updateContactEmail("no address").refused(400, 40221);
  },

  async attributes() {
    const { playerState } = await player();
    await playerState.updateAttributes({ colour: "blue", size: 4 }, false).gives(null);
    await playerState.updateAttributes({ colour: "red" }, false).gives(null);
    await playerState.getAttributes().gives({ attributes: { colour: "red", size: "4" } });
    await playerState.removeAttributes(["size"]).gives(null);
    await playerState.getAttributes().gives({ attributes: { colour: "red", size: undefined } });
    await playerState.updateAttributes({ nested: {} }, true).refused(400, 40351);
  },

  async statuses() {
    const { playerState } = await player();
    await playerState.setUserStatus("boost", 60, { power: 2 }).gives({ boost: { details: { power: 2 } } });
    await playerState.extendUserStatus("boost", 60, { speed: 3 }).gives({ details: { power: 2, speed: 3 } });
    await playerState.getUserStatus("boost").gives({ boost: { details: { power: 2, speed: 3 } } });
    await playerState.clearUserStatus("boost").gives(null);
    await playerState.getUserStatus("boost").gives({ boost: undefined });
    await playerState.setUserStatus("boost", -1, {}).refused(400, 40660);
  },

  async "a reset takes the game data, the player stays"() {
    const { playerState, entity, id } = await player();
    await entity.createEntity("chest", {}, null).gives({ version: 1 });
    await playerState.updateAttributes({ colour: "blue" }, false).gives(null);
    await playerState.resetUser().gives(null);
    await playerState.getAttributes().gives({ attributes: empty });
    await entity.getListCount({}).gives({ entityListCount: 0 });
    await playerState.readUserState().gives({ profileId: id });
  },

  async "a player who is deleted is gone, whichever of its two names the call has"() {
    for (const method of ["deleteUser", "userPlayer"]) {
      const gone = await player();
      await gone.playerState[method]().gives(null);
      await gone.playerState.readUserState().refused(403, 40304);
      await gone.wrapper.reconnect().refused(202, 40206);
    }
  },

  async "logging out"() {
    const ada = await player();
    await ada.playerState.logout().gives(null);
    expect(ada.core.isAuthenticated(), false, "authenticated");
    await ada.playerState.readUserState().refused(403, 40304);
    const again = await ada.wrapper.reconnect().gives({ profileId: ada.id, newUser: "false", sessionId: text });
    expect(again.sessionId === ada.login.sessionId, false, "the same session");
  },
};
