const { empty, expect, player } = require("../helper");

module.exports = {
  async statistics() {
    const { playerStatistics } = await player();
    await playerStatistics.readAllUserStats().gives({ statistics: { wins: 0, lives: 3 } });
    await playerStatistics
      .incrementUserStats({ wins: 2, lives: "INC_TO_LIMIT#9#5" }, 40)
      .gives({ statistics: { wins: 2, lives: 5 }, experiencePoints: 40, experienceLevel: 0, rewards: empty });
    await playerStatistics
      .processStatistics({ lives: "SET#20" })
      .gives({ statistics: { lives: 9 }, statisticsExceptions: { lives: (text) => text } });
    await playerStatistics
      .readUserStatsSubset(["wins", "none"])
      .gives({ statistics: { wins: 2, lives: undefined, none: undefined } });
    await playerStatistics.readUserStatsForCategory("round").gives({ statistics: { lives: 9, wins: undefined } });
    await playerStatistics.resetAllUserStats().gives({ statistics: { wins: 0, lives: 3 }, experiencePoints: 40 });
    await playerStatistics.incrementUserStats({ typos: 1 }, 0).refused(400, 40369);
  },

  async "experience, and the reward for a level, which the reward callback is told too"() {
    const { playerStatistics, core } = await player();
    const told = [];
    core.registerRewardCallback((data) => told.push(data));
    await playerStatistics
      .getNextExperienceLevel()
      .gives({ xp_level: { numericLevel: 1, experience: 100, statusTitle: "Squire" } });
    await playerStatistics.incrementExperiencePoints(30).gives({ experiencePoints: 30, experienceLevel: 0 });
    await playerStatistics
      .incrementExperiencePoints(70)
      .gives({
        experiencePoints: 100,
        experienceLevel: 1,
        rewards: { currency: { coins: 10 } },
        currency: { coins: { balance: 10 } },
      });
    expect(
      told,
      [
        { rewards: empty },
        { rewards: { currency: { coins: 10 } }, rewardDetails: { xp: { experienceLevels: [{ level: 1 }] } } },
      ],
      "told",
    );
    core.deregisterRewardCallback();

    await playerStatistics.getNextExperienceLevel().gives({ xp_level: { numericLevel: 2, statusTitle: "Knight" } });
    await playerStatistics.setExperiencePoints(250).gives(null);
    await playerStatistics.getNextExperienceLevel().gives({ xp_level: null });
    await playerStatistics.incrementExperiencePoints(-1).refused(400, 40660);
    expect(told.length, 2, "told after the callback was taken back");
  },
};
