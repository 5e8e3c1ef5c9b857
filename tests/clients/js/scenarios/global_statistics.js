const { player } = require("../helper");

module.exports = {
  async "statistics that all players share"() {
    const [ada, bob] = [await player(), await player()];
    const { statistics } = await ada.globalStatistics.readAllGlobalStats().gives({ statistics: {} });
    const [rounds, monsters] = [statistics.rounds + 2, statistics.monsters + 5];
    await ada.globalStatistics.incrementGlobalStats({ rounds: 2 }).gives({ statistics: { rounds } });
    await bob.globalStatistics.processStatistics({ monsters: "INC#5" }).gives({ statistics: { monsters } });
    await ada.globalStatistics.readGlobalStatsSubset(["monsters"]).gives({ statistics: { monsters, rounds: undefined } });
    await bob.globalStatistics.readGlobalStatsForCategory("rounds").gives({ statistics: { rounds, monsters: undefined } });
    await bob.globalStatistics.readAllGlobalStats().gives({ statistics: { rounds, monsters } });
    await ada.globalStatistics.incrementGlobalStats({ typos: 1 }).refused(400, 40369);
  },
};
