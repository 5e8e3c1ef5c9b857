// Runs on the sample app that the first start writes, with every section that it may have.
const { empty, player, text } = require("../helper");

module.exports = {
  async "whoever has just started the server can try everything the sample app declares"() {
    const newcomer = await player();
    const {
      playerState,
      playerStatistics,
      playerStatisticsEvent,
      globalStatistics,
      virtualCurrency,
      socialLeaderboard,
      tournament,
      entity,
    } = newcomer;
    await playerState.updateUserName("Newcomer").gives({ playerName: "Newcomer" });
    await playerStatistics.incrementUserStats({ wins: 1, lives: -1 }, 0).gives({ statistics: { wins: 1, lives: 2 } });
    await playerStatistics
      .getNextExperienceLevel()
      .gives({ xp_level: { numericLevel: 1, experience: 100, statusTitle: text } });

    await virtualCurrency.awardCurrency("coins", 1000).refused(403, 40491); // coins have to be earned
    await playerStatisticsEvent.triggerStatsEvent("round_won", 1).gives({ rewards: { currency: { coins: 5 } } });
    await playerStatisticsEvent
      .triggerStatsEvent("round_won", 9)
      .gives({ rewards: { currency: { coins: 55 } }, currency: { coins: { balance: 60 } } });
    await globalStatistics.readAllGlobalStats().gives({ statistics: { rounds_played: 10 } });
    await playerState.readUserState().gives({ experienceLevel: 1, statistics: { wins: 11, lives: 3 } });

    await socialLeaderboard.postScoreToLeaderboard("high_scores", 1200, { level: "castle" }).gives(null);
    await socialLeaderboard
      .getGlobalLeaderboardPage("high_scores", "HIGH_TO_LOW", 0, 9)
      .gives({
        leaderboard: [{ name: "Newcomer", score: 1200, rank: 1, data: { level: "castle" } }],
        timeBeforeReset: Number.isInteger,
      });

    await tournament
      .getTournamentStatus("weekly_cup", -1)
      .gives({ enrolled: false, tournamentConfigs: [{ tournamentCode: "weekly_cup" }] });
    await tournament
      .joinTournament("weekly_cup", "weekly_cup", 0)
      .gives({ enrolled: true, balance: { currency: { coins: { balance: 50 } } } });
    await tournament.postTournamentScore("weekly_cup", 700, null, new Date()).gives({ score: 700 });
    await tournament
      .viewCurrentReward("weekly_cup")
      .gives({ tRank: 1, rewards: { currency: { coins: 100 }, experiencePoints: 50 } });

    await entity.createEntity("chest", { gold: 1 }, null).gives({ version: 1 });
    await newcomer.pushNotification.registerPushNotificationDeviceToken("WEB", "a device").gives(null);
    await playerState.resetUser().gives(null);
    await playerStatistics.readAllUserStats().gives({ statistics: { wins: 0, lives: 3 } });
    await tournament.getMyDivisions().gives({ ACTIVE: empty });
    await playerState.logout().gives(null);
  },
};
