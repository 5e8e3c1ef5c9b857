const { player } = require("../helper");

// Clients do not ask for segments: scripts do, which clients run.
module.exports = {
  async "a script tells a player's segments"() {
    const ada = await player();
    const everybody = { segmentId: 1, name: "everybody" };
    await ada.script.runScript("segments", {}).gives({ success: true, response: { mine: [everybody], all: 2 } });
    await ada.playerStatistics.incrementUserStats({ wins: 5 }).gives({});
    const both = [everybody, { segmentId: 2, name: "winners" }];
    await ada.script.runScript("segments", {}).gives({ success: true, response: { mine: both, all: 2 } });
  },
};
