const { empty, expect, player } = require("../helper");

module.exports = {
  async "events, and what they bring, which the reward callback is told too"() {
    const { playerStatisticsEvent, playerState, core } = await player();
    const told = [];
    core.registerRewardCallback((data) => told.push(data));
    await playerStatisticsEvent.triggerStatsEvent("won", 1).gives({ rewards: empty });
    await playerStatisticsEvent
      .triggerUserStatsEvent("found", 2)
      .gives({ rewards: { currency: { gems: 4 } }, currency: { gems: { balance: 4, awarded: 4 } } });
    await playerStatisticsEvent
      .triggerStatsEvents([
        { eventName: "won", eventMultiplier: 1 },
        { eventName: "found", eventMultiplier: 1 },
      ])
      .gives({ rewards: { currency: { gems: 2, coins: 10 } } });
    await playerStatisticsEvent
      .triggerUserStatsEvents([{ eventName: "won", eventMultiplier: 2 }])
      .gives({ rewardDetails: {} });
    expect(
      told,
      [
        { rewards: empty },
        { rewards: { currency: { gems: 4 } } },
        { rewards: { currency: { gems: 2, coins: 10 } } },
        { rewards: empty },
      ],
      "told",
    );
    await playerState
      .readUserState()
      .gives({ statistics: { wins: 4 }, experiencePoints: 240, currency: { gems: { balance: 6 } } });
    await playerStatisticsEvent.triggerStatsEvent("unheard of", 1).refused(400, 40321);
  },
};
