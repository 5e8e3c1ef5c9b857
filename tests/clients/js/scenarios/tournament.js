const { empty, expect, player, serverCall, text, time, unique } = require("../helper");

const HIGH_TO_LOW = "HIGH_TO_LOW";

module.exports = {
  async "a tournament, from entering to leaving"() {
    const { tournament, virtualCurrency } = await player();
    await tournament.joinTournament("arena", "cup", 0).refused(400, 40507); // cannot pay
    await virtualCurrency.awardCurrency("coins", 10).gives({ currencyMap: { coins: { balance: 10 } } });
    await tournament
      .getTournamentStatus("arena", -1)
      .gives({ enrolled: false, versionId: Number.isInteger, server_time: time });
    await tournament
      .joinTournament("arena", "cup", 0)
      .gives({ enrolled: true, entryFee: { currency: { coins: 5 } }, balance: { currency: { coins: { balance: 5 } } } });
    const began = new Date();
    await tournament
      .postTournamentScore("arena", 1_000_001, { lap: 1 }, began)
      .gives({ leaderboardId: "arena", score: 1_000_001, previousScore: 0 });
    await tournament
      .postTournamentScoreUTC("arena", 1_000_002, null, began)
      .gives({ score: 1_000_002, previousScore: 1_000_001 });
    const posted = { postScore: { score: 1_000_003, rank: 1, previousLeaderboard: { rank: 1 } }, scores: [{ score: 1_000_003, tCode: "cup" }] };
    await tournament
      .postTournamentScoreWithResults("arena", 1_000_003, { lap: 2 }, began, HIGH_TO_LOW, 0, 0, 0)
      .gives(posted);
    await tournament.postTournamentScoreWithResultsUTC("arena", 1_000_002, null, began, HIGH_TO_LOW, 0, 0, 0).gives(posted);
    await tournament.getTournamentStatus("arena", -1).gives({ enrolled: true, leaderboardEnrollment: { score: 1_000_003 } });
    await tournament.viewCurrentReward("arena").gives({ tRank: 1, rewards: { currency: { gems: 7 } } });
    await tournament.viewReward("arena", -1).refused(400, 40505);
    await tournament.claimTournamentReward("arena", -1).refused(400, 40505);
    await tournament.leaveTournament("arena").gives({ numScoresRemoved: 1 });
    await tournament.postTournamentScore("arena", 1, null, began).refused(400, 40505);
  },

  async divisions() {
    const { tournament, virtualCurrency } = await player();
    const divSetId = unique("gold");
    await tournament.getDivisionInfo(divSetId).refused(400, 40625);
    await serverCall("tournament.SYS_CREATE_DIVISION_SET_CONFIG", {
      divSetId,
      configJson: { templateLeaderboardId: "model", maxPlayers: 2 },
    });
    await virtualCurrency.awardCurrency("coins", 5).gives({});
    await tournament.getDivisionInfo(divSetId).gives({ enrolled: false, tournamentConfigs: [{ tournamentCode: "cup" }] });
    const { leaderboardId } = await tournament
      .joinDivision(divSetId, "cup", 3)
      .gives({ enrolled: true, leaderboardId: text });
    await tournament.getDivisionInfo(divSetId).gives({ enrolled: true, leaderboardEnrollment: { score: 3 } });
    await tournament.getMyDivisions().gives({ ACTIVE: { [divSetId]: [leaderboardId] }, COMPLETE: empty });
    await tournament.leaveDivisionInstance(leaderboardId).gives({ numScoresRemoved: 1 });
    await tournament.getMyDivisions().gives({ ACTIVE: empty });
    await tournament.leaveDivisionInstance("arena").refused(400, 40632);
  },

  // The client has no methods for groups in tournaments: it sends what its general method is given.
  async "a group in a tournament and in a division"() {
    const [ada, bob] = [await player(), await player()];
    const { groupId } = await ada.group.createGroup("Crew", "crew", true, null, null, null, null).gives({});
    const sent = (who, operation, data) => who.raw("tournament", operation, { groupId, ...data });
    const crews = { leaderboardId: "crews" };
    const join = { ...crews, tournamentCode: "crews", initialScore: 1 };
    await sent(bob, "JOIN_GROUP_TOURNAMENT", join).refused(400, 40453);
    await sent(ada, "JOIN_GROUP_TOURNAMENT", join).gives({ enrolled: true });
    await sent(ada, "JOIN_GROUP_TOURNAMENT", join).refused(400, 40497);
    await bob.group.joinGroup(groupId).gives(null);
    await sent(bob, "POST_GROUP_TOURNAMENT_SCORE", { ...crews, score: 5 }).gives({ groupId, score: 5, previousScore: 1 });
    const around = { sort: HIGH_TO_LOW, beforeCount: 0, afterCount: 0 };
    await sent(bob, "POST_GROUP_TOURNAMENT_SCORE_WITH_RESULTS", { ...crews, ...around, score: 6 }).gives({
      postScore: { groupId, score: 6 },
      scores: [{ groupId, groupName: "Crew", score: 6, tCode: "crews" }],
    });
    const part = { score: 6, tNotifiedAt: 0 };
    await sent(ada, "GET_GROUP_TOURNAMENT_STATUS", { ...crews, versionId: -1 }).gives({ leaderboardEnrollment: part });
    await sent(ada, "LEAVE_GROUP_TOURNAMENT", crews).gives({ numScoresRemoved: 1 });

    const divSetId = unique("crews");
    await serverCall("tournament.SYS_CREATE_DIVISION_SET_CONFIG", {
      divSetId,
      configJson: { templateLeaderboardId: "crews", entryType: "GROUP", maxGroups: 2 },
    });
    const entering = { divSetId, tournamentCode: "crews", initialScore: 0 };
    const { leaderboardId } = await sent(ada, "JOIN_GROUP_DIVISION", entering).gives({ enrolled: true });
    await sent(bob, "GET_GROUP_DIVISION_INFO", { divSetId }).gives({ enrolled: true });
    await sent(bob, "GET_GROUP_DIVISIONS", {}).gives({ ACTIVE: { [divSetId]: [leaderboardId] } });
    await sent(bob, "LEAVE_GROUP_DIVISION_INSTANCE", { leaderboardId }).gives({ numScoresRemoved: 1 });
    await ada.group.deleteGroup(groupId, -1).gives(null);
    await sent(ada, "GET_GROUP_DIVISIONS", {}).refused(400, 40345);
  },
};
