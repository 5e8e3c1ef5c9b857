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
};
