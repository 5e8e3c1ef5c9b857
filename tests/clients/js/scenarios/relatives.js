const { empty, expect, serverCall, speaker, text, unique } = require("../helper");

const [STUDIO, CHAPTER, ARCADE] = ["20010", "20011", "20012"];
const apps = {
  [STUDIO]: "a-secret-of-the-studio-for-its-clients",
  [CHAPTER]: "a-secret-of-the-chapter-for-its-clients",
  [ARCADE]: "a-secret-of-the-arcade-for-its-clients",
};

// A client that is logged in to an app, and has the secrets of the others.
async function at(app) {
  const made = speaker(undefined, { app, apps });
  made.id = (await made.wrapper.authenticateAnonymous().gives({ newUser: "true" })).profileId;
  made.session = made.core.getSessionId();
  return made;
}

// Where the client is, with the session it has had from the start.
function stands({ core, session }, app, profileId) {
  expect([core.getAppId(), core.getProfileId(), core.getSessionId()], [app, profileId, session], "the client");
}

module.exports = {
  async "a parent plays on as its children, and comes back, in one session"() {
    const ada = await at(STUDIO);
    const { identity, playerState, playerStatistics } = ada;
    await identity.switchToChildProfile(null, CHAPTER, false).refused(400, 40379);
    await identity.switchToChildProfile(null, ARCADE, true).refused(400, 40378);
    await identity.switchToParentProfile("Studio").refused(400, 40377);
    stands(ada, STUDIO, ada.id);

    const child = await identity
      .switchToChildProfile(null, CHAPTER, true)
      .gives({ newUser: true, loginCount: 1, switchToAppId: CHAPTER, parentProfileId: ada.id, sessionId: undefined });
    stands(ada, CHAPTER, child.profileId);
    await playerState.updateName("Child").gives({ playerName: "Child" });
    await playerStatistics.incrementUserStats({ wins: 2 }).gives({ statistics: { wins: 2 } });
    await playerState.readUserState().gives({ profileId: child.profileId, statistics: { wins: 2 } });
    await identity.switchToParentProfile("Galaxy").refused(400, 40377);

    await identity.switchToParentProfile("Studio").gives({ gameId: STUDIO, switchToAppId: STUDIO, profileId: ada.id });
    stands(ada, STUDIO, ada.id);
    await playerState.readUserState().gives({ profileId: ada.id, statistics: empty });
    await identity.getChildProfiles(false).gives({
      children: [{ appId: CHAPTER, profileId: child.profileId, profileName: "Child", summaryFriendData: null }],
    });

    await identity.switchToSingletonChildProfile(CHAPTER, true).gives({ newUser: false, profileId: child.profileId });
    await playerState.updateSummaryFriendData({ level: 3 }).gives(null);
    await playerStatistics.incrementUserStats({ wins: 1 }).gives({ statistics: { wins: 3 } });
    await identity.switchToParentProfile("Studio").gives({ profileId: ada.id });
    await identity.getChildProfiles(true).gives({ children: [{ summaryFriendData: { level: 3 } }] });
    const second = await identity.switchToChildProfile(null, CHAPTER, true).gives({ newUser: true });
    await identity.switchToParentProfile("Studio").gives({ profileId: ada.id });
    await identity.switchToSingletonChildProfile(CHAPTER, true).refused(400, 40382);
    await identity
      .switchToChildProfileInternal(second.profileId, CHAPTER, false, false)
      .gives({ newUser: false, loginCount: 2 });
    stands(ada, CHAPTER, second.profileId);

    await playerState.logout().gives(null);
    await playerState.readUserState().refused(403, 40304);
  },

  // The client takes the profile id of every answer of this service for its own. Its session stays the player's.
  async "a player gains a profile in the parent, pays there, and gives it up"() {
    const ada = await at(CHAPTER);
    const { identity, playerState, virtualCurrency } = ada;
    const name = unique("ada");
    await identity.detachParent().refused(400, 40380);
    await virtualCurrency.getParentCurrency("gems", "Studio").refused(400, 40380);
    await identity.attachParentWithIdentity(name, "secret", "Universal", null, false).refused(202, 40208);
    const parent = await identity
      .attachParentWithIdentity(name, "secret", "Universal", null, true)
      .gives({ newUser: true, profileId: text });
    await identity.attachParentWithIdentity(name, "secret", "Universal", null, true).refused(400, 40508);
    await playerState.readUserState().gives({ profileId: ada.id, parentProfileId: parent.profileId });

    const given = await serverCall("virtualCurrency.AWARD_PARENT_VC", { vcId: "gems", vcAmount: 5 }, ada.id, CHAPTER);
    expect(given, { currencyMap: { gems: { balance: 5, awarded: 5 } } }, "what a server gives");
    await virtualCurrency.getParentCurrency("gems", "Studio").gives({ currencyMap: { gems: { balance: 5 } } });
    await virtualCurrency.getParentCurrency(null, "Galaxy").refused(400, 40377);
    await virtualCurrency.getCurrency(null).gives({ parentCurrency: { Studio: { gems: { balance: 5 } } } });
    await playerState.readUserState().gives({ parentCurrency: { Studio: { gems: { balance: 5 } } } });

    await identity.switchToParentProfile("Studio").gives({ profileId: parent.profileId });
    stands(ada, STUDIO, parent.profileId);
    await virtualCurrency.getCurrency("gems").gives({ currencyMap: { gems: { balance: 5 } } });
    await identity.switchToChildProfile(ada.id, CHAPTER, false).gives({ parentProfileId: parent.profileId });
    stands(ada, CHAPTER, ada.id);
    await identity.detachParent().gives({ profileId: parent.profileId });
    await playerState.readUserState().gives({ profileId: ada.id, parentProfileId: null });
    await identity.switchToParentProfile("Studio").refused(400, 40380);
  },

  async "a player gains a profile in a peer, pays there, and gives it up"() {
    const ada = await at(CHAPTER);
    const { identity, playerState, virtualCurrency } = ada;
    const name = unique("ada");
    await identity.getPeerProfiles().gives(empty);
    await identity.attachPeerProfile("nowhere", name, "secret", "Universal", null, true).refused(400, 40492);
    await identity.detachPeer("arcade").refused(400, 40519);
    await virtualCurrency.getPeerCurrency("tickets", "arcade").refused(400, 40519);
    const { profileId: peer } = await identity
      .attachPeerProfile("arcade", name, "secret", "Universal", null, true)
      .gives({ newUser: true });
    await identity.attachPeerProfile("arcade", name, "secret", "Universal", null, true).refused(400, 40509);
    await identity.getPeerProfiles().gives({ arcade: { profileId: peer } });
    await playerState.readUserState().gives({ profileId: ada.id, peerProfileIds: { arcade: { profileId: peer } } });

    const award = { peer: "arcade", vcId: "tickets", vcAmount: 4 };
    await serverCall("virtualCurrency.AWARD_PEER_VC", award, ada.id, CHAPTER);
    await virtualCurrency.getPeerCurrency("tickets", "arcade").gives({ currencyMap: { tickets: { balance: 4 } } });
    await virtualCurrency.getCurrency(null).gives({ peerCurrency: { arcade: { tickets: { balance: 4 } } } });

    await identity.detachPeer("arcade").gives({ profileId: peer });
    await identity.getPeerProfiles().gives(empty);
    await speaker(undefined, { app: ARCADE, apps })
      .wrapper.authenticateUniversal(name, "secret", false)
      .gives({ profileId: peer, newUser: "false" });
  },
};
