const { expect, player, serverCall, time, unique } = require("../helper");

const VERSION = 1;

module.exports = {
  async "posting to a board that is declared, and reading it"() {
    const [ada, bob] = [await player(), await player()];
    const board = ada.socialLeaderboard;
    await ada.playerState.updateUserName("Ada").gives({ playerName: "Ada" });
    await board.postScoreToLeaderboard("best", 1_000_000, { car: "red" }).gives(null);
    await board.postScoreToLeaderboard("best", 5, null).gives(null); // the board keeps the best
    await bob.socialLeaderboard.postScoreToLeaderboard("best", 999_999, null).gives(null);

    const adas = {
      playerId: ada.id,
      score: 1_000_000,
      index: 0,
      rank: 1,
      data: { car: "red" },
      name: "Ada",
      updatedAt: time,
    };
    const bobs = { playerId: bob.id, score: 999_999, index: 1, rank: 2 };
    const both = { leaderboardId: "best", leaderboard: [adas, bobs], moreBefore: false, server_time: time };
    await board.getGlobalLeaderboardPage("best", board.sortOrder.HIGH_TO_LOW, 0, 1).gives(both);
    await board.getGlobalLeaderboardPageByVersion("best", board.sortOrder.HIGH_TO_LOW, 0, 1, VERSION).gives(both);
    await board.getGlobalLeaderboardView("best", board.sortOrder.HIGH_TO_LOW, 3, 1).gives({ leaderboard: [adas, bobs] });
    await bob.socialLeaderboard
      .getGlobalLeaderboardViewByVersion("best", board.sortOrder.LOW_TO_HIGH, 0, 1, VERSION)
      .gives({ versionId: VERSION, leaderboard: [{ playerId: bob.id }, { playerId: ada.id }] });
    await board.getGlobalLeaderboardEntryCount("best").gives({ entryCount: 2 });
    await board.getGlobalLeaderboardEntryCountByVersion("best", VERSION).gives({ entryCount: 2 });
    await board.getGlobalLeaderboardVersions("best").gives({ leaderboardId: "best", versions: [{ versionId: VERSION }] });
    const { leaderboardList } = await board.listAllLeaderboards().gives({ leaderboardList: Array.isArray });
    expect(
      leaderboardList.find((found) => found.leaderboardId === "best"),
      { leaderboardType: "HIGH_VALUE" },
      "listed",
    );

    await board
      .getPlayerScore("best", -1)
      .gives({ score: { score: 1_000_000, leaderboardId: "best", data: { car: "red" } } });
    await board
      .getPlayerScoresFromLeaderboards(["best", "none"])
      .gives({ scores: [{ leaderboardId: "best", score: 1_000_000 }] });
    await board.removePlayerScore("best", -1).gives({ numScoresRemoved: 1 });
    await board.getPlayerScore("best", -1).refused(400, 40528);
    await bob.socialLeaderboard.removePlayerScore("best", VERSION).gives({ numScoresRemoved: 1 });
  },

  async "boards among friends and among players by name"() {
    const [ada, bob] = [await player(), await player()];
    const board = ada.socialLeaderboard;
    await board.postScoreToLeaderboard("best", 10, null).gives(null);
    await bob.socialLeaderboard.postScoreToLeaderboard("best", 20, null).gives(null);

    const alone = { social_leaderboard: [{ playerId: ada.id, name: "You", score: 10 }] };
    await board.getSocialLeaderboard("best", true).gives(alone);
    await board.getSocialLeaderboardByVersion("best", true, VERSION).gives(alone);
    await board
      .getMultiSocialLeaderboard(["best", "none"], 5, false)
      .gives({ leaderboards: [{ leaderboardId: "best", selfIndex: 0, self: { score: 10 } }] });
    const both = {
      leaderboard: [
        { playerId: bob.id, score: 20 },
        { playerId: ada.id, score: 10 },
      ],
    };
    await board.getPlayersSocialLeaderboard("best", [ada.id, bob.id, "nobody"]).gives(both);
    await board.getPlayersSocialLeaderboardByVersion("best", [ada.id, bob.id], VERSION).gives(both);
    await board.getSocialLeaderboard("none", true).refused(500, 40499);
  },

  async "a pacer stands among friends"() {
    const ada = await player();
    const rollo = { playerId: "rollo", externalId: "rollo", name: "Rollo", score: 100, createdAt: null };
    const tags = { pacerTag: null, pacerLeaderboardTag: {} };
    await ada.socialLeaderboard.getSocialLeaderboard("paced", true).gives({
      social_leaderboard: [{ ...rollo, otherData: tags }, { name: "You", score: null }],
    });
    await ada.socialLeaderboard.postScoreToLeaderboard("paced", 101, null).gives(null);
    await ada.socialLeaderboard.getMultiSocialLeaderboard(["paced"], 5, true).gives({
      leaderboards: [{ leaderboard: [{ name: "You" }, { ...rollo, data: tags }], self: { score: 101 }, selfIndex: 0 }],
    });
  },

  async "boards that the first score makes"() {
    const { socialLeaderboard: board } = await player();
    const { CUMULATIVE, LOW_VALUE } = board.leaderboardType;
    const reset = new Date(Date.now() + 3_600_000);
    const made = [
      [
        "postScoreToDynamicLeaderboard",
        LOW_VALUE,
        ["WEEKLY", reset, 2],
        { rotationType: "WEEKLY", resetAt: reset.getTime() },
      ],
      ["postScoreToDynamicLeaderboardUTC", CUMULATIVE, ["NEVER", reset, 1], { rotationType: "NEVER" }],
      ["postScoreToDynamicLeaderboardDays", LOW_VALUE, [reset, 2, 3], { rotationType: "DAYS", resetAt: reset.getTime() }],
      ["postScoreToDynamicLeaderboardDaysUTC", CUMULATIVE, [reset, 2, 5], { rotationType: "DAYS", maxRetainedCount: 2 }],
    ];
    for (const [method, leaderboardType, how, expected] of made) {
      const id = unique("dynamic");
      for (const score of [7, 4]) await board[method](id, score, { lap: 1 }, leaderboardType, ...how).gives(null);
      const score = leaderboardType === LOW_VALUE ? 4 : 11;
      await board.getPlayerScore(id, -1).gives({ score: { score, data: { lap: 1 } } });
      const { leaderboardList } = await board.listAllLeaderboards().gives({});
      expect(
        leaderboardList.find((found) => found.leaderboardId === id),
        { leaderboardType, ...expected },
        method,
      );
    }
    await board
      .postScoreToDynamicLeaderboard(unique("dynamic"), 1, null, "SIDEWAYS", "WEEKLY", reset, 2)
      .refused(400, 40660);
  },

  async "an arcade board keeps all scores"() {
    const { socialLeaderboard: board } = await player();
    for (const score of [3, 9, 6]) await board.postScoreToLeaderboard("arcade", score, null).gives(null);
    await board.getPlayerScores("arcade", -1, 2).gives({ leaderboardId: "arcade", scores: [{ score: 9 }, { score: 6 }] });
    await board.postScoreToLeaderboard("none", 1, null).refused(500, 40499);
  },

  async "boards of groups"() {
    const [ada, bob] = [await player(), await player()];
    const { socialLeaderboard: board } = ada;
    const { HIGH_VALUE } = board.leaderboardType;
    const reset = new Date();
    const made = ada.group.createGroupWithSummaryData("Reds", "crew", true, null, null, null, null, { flag: "red" });
    const { groupId } = await made.gives({});
    const entry = { groupId, groupName: "Reds", groupSummaryData: { flag: "red" } };
    await board.postScoreToGroupLeaderboard("teams", groupId, 5, { a: 1 }).gives(null);
    await board.getGroupLeaderboardView("teams", groupId, "HIGH_TO_LOW", 0, 0).gives({
      leaderboard: [{ ...entry, score: 5, data: { a: 1 } }],
    });
    await board
      .getGroupLeaderboardViewByVersion("teams", groupId, VERSION, "HIGH_TO_LOW", 0, 0)
      .gives({ leaderboard: [{ ...entry, rank: (rank) => rank > 0 }] });
    const [weekly, utc, days] = [unique("clans"), unique("clans"), unique("clans")];
    const time = reset.getTime();
    await board
      .postScoreToDynamicGroupLeaderboard(weekly, groupId, 1, null, HIGH_VALUE, "WEEKLY", time, 2)
      .gives(null);
    await board
      .postScoreToDynamicGroupLeaderboardUTC(utc, groupId, 1, null, HIGH_VALUE, "WEEKLY", time, 2)
      .gives(null);
    await board
      .postScoreToDynamicGroupLeaderboardDaysUTC(days, groupId, 1, null, HIGH_VALUE, reset, 2, 3)
      .gives(null);
    await board.postScoreToLeaderboard("best", 8, null).gives(null);
    await board
      .getGroupSocialLeaderboard("best", groupId)
      .gives({ leaderboard: [{ playerId: ada.id, score: 8 }] });
    await board
      .getGroupSocialLeaderboardByVersion("best", groupId, VERSION)
      .gives({ leaderboard: [{ playerId: ada.id }] });

    const others = bob.socialLeaderboard;
    await others.postScoreToGroupLeaderboard("teams", groupId, 9, null).refused(400, 40453);
    await others.removeGroupScore("teams", groupId, -1).refused(400, 40453);
    await others.postScoreToGroupLeaderboard("teams", "no group", 1, null).refused(400, 40345);
    await board.removeGroupScore("teams", groupId, -1).gives({ numScoresRemoved: 1 });
    await board.postScoreToGroupLeaderboard("teams", groupId, 5, null).gives(null);
    await ada.group.deleteGroup(groupId, -1).gives(null);
    await board.getGroupLeaderboardView("teams", groupId, "HIGH_TO_LOW", 0, 0).refused(400, 40345);
    const page = { leaderboardId: "teams", sort: "HIGH_TO_LOW", startIndex: 0, endIndex: 99 };
    const found = await serverCall("leaderboard.GET_GLOBAL_LEADERBOARD_PAGE", page);
    expect(found.leaderboard.filter((entry) => entry.groupId === groupId), [], "scores of a group that is gone");
  },
};
