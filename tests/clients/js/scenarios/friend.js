const { expect, player, text, time, unique } = require("../helper");

const names = (found) => found.matches.map((match) => match.profileName);

module.exports = {
  async "friends are linked both ways"() {
    const [ada, bob] = [await player(), await player()];
    await bob.playerState.updateUserName("Bob").gives({ playerName: "Bob" });
    await bob.playerState.updateSummaryFriendData({ level: 7 }).gives(null);
    await ada.friend.readFriendUserState(bob.id).refused(400, 40310);
    await ada.friend.addFriends([bob.id]).gives(null);
    await ada.friend.addFriends([ada.id]).refused(400, 40448);
    await ada.friend.addFriends(["nobody"]).refused(400, 40374);
    const friend = { playerId: bob.id, name: "Bob", friendPlatforms: ["brainCloud"], isOnline: true };
    await ada.friend
      .listFriends("brainCloud", true)
      .gives({ server_time: time, friends: [{ ...friend, summaryFriendData: { level: 7 } }] });
    await bob.friend.listFriends("All", false).gives({ friends: [{ playerId: ada.id, summaryFriendData: undefined }] });
    await bob.friend.listFriends("nothing", false).refused(400, 500020);
    await ada.friend.readFriendUserState(bob.id).gives({ playerName: "Bob", profileId: bob.id, emailAddress: undefined });
    await ada.friend.readFriendPlayerState(bob.id).gives({ playerName: "Bob", entities: [] });
    await ada.friend.getMySocialInfo("All", true).gives({ playerId: ada.id, externalData: { brainCloud: {} } });
    await ada.friend.removeFriends([bob.id]).gives(null);
    await bob.friend.listFriends("All", false).gives({ friends: [] });
  },

  async "friends share entities"() {
    const [ada, bob] = [await player(), await player()];
    await ada.friend.addFriends([bob.id]).gives(null);
    const { entityId } = await bob.entity.createEntity("card", { suit: "hearts" }, { other: 1 }).gives({ version: 1 });
    await ada.friend
      .readFriendsEntities("card")
      .gives({ results: [{ userId: bob.id, entities: [{ entityId, data: { suit: "hearts" } }] }] });
    await ada.friend.readFriendEntity(bob.id, entityId).gives({ entityId, acl: { other: 1 } });
    await ada.friend.readFriendEntity(bob.id, "unknown").refused(400, 40345);
  },

  async "a platform's list"() {
    const ada = await player();
    const stranger = unique("facebook");
    await ada.friend
      .addFriendsFromPlatform("Facebook", "ADD", [stranger])
      .gives({ rejected: [stranger], numRejected: 1, numNewAdded: 0, numExisting: 0, numDeleted: 0, server_time: time });
    await ada.friend.addFriendsFromPlatform("Steam", "SYNC", []).gives({ numRejected: 0 });
  },

  async "players are found by what they are called"() {
    const [ada, bob] = [await player(), await player()];
    const [name, universal] = [unique("Ada"), unique("universal")];
    await ada.playerState.updateUserName(name).gives({ playerName: name });
    await ada.identity.attachUniversalIdentity(universal, "secret").gives(null);
    expect(names(await bob.friend.findUsersByExactName(name, 5).gives({ matchedCount: 1 })), [name], "exact");
    expect(names(await bob.friend.findUsersByNameStartingWith(name.slice(0, -3), 5).gives({})), [name], "start");
    expect(names(await bob.friend.findUsersBySubstrName(name.slice(2, -2), 5).gives({})), [name], "part");
    await bob.friend.findUsersBySubstrName("ab", 5).refused(400, 40376);
    const found = { matchedCount: 1, matches: [{ profileId: ada.id, profileName: name, pictureUrl: null }] };
    await bob.friend.findUserByExactUniversalId(universal).gives(found);
    await bob.friend.findUsersByUniversalIdStartingWith(universal.slice(0, -3), 5).gives(found);
    const profile = { playerName: name, email: null };
    await bob.friend.getProfileInfoForCredential(universal, "Universal").gives({ ...profile, profileId: ada.id });
    await bob.friend.getProfileInfoForCredential("nobody", "Universal").refused(400, 40374);
    await bob.friend.getProfileInfoForExternalAuthId("nobody", "studio").refused(400, 40374);
    await bob.friend.getProfileInfoForExternalAuthId("nobody", "unknown").refused(400, 40684);
    await bob.friend.getExternalIdForProfileId(ada.id, "Universal").gives({ externalId: universal });
    await bob.friend.getExternalIdForProfileId(ada.id, "Anonymous").refused(400, 40345);
    await bob.friend.getSummaryDataForProfileId(ada.id).gives({ profileName: name, email: null, profileId: text });
    await bob.friend
      .getUsersOnlineStatus([ada.id, "nobody"])
      .gives({ onlineStatus: [{ isOnline: true, userValid: true }, { isOnline: false, userValid: false }] });
  },
};
