// Runs where the clock stands still until it is moved.
const { empty, player } = require("../helper");

async function advance(seconds) {
  const body = JSON.stringify({ advance_seconds: seconds });
  const answer = await fetch(`${process.env.SERVER_URL}/_clock`, { method: "POST", body });
  if (!answer.ok) throw new Error(await answer.text());
}

module.exports = {
  async "the winner claims the prize, once"() {
    const [ada, bob] = [await player(), await player()];
    for (const [someone, score] of [
      [ada, 20],
      [bob, 10],
    ]) {
      await someone.virtualCurrency.awardCurrency("coins", 5).gives({});
      await someone.tournament.joinTournament("arena", "cup", 0).gives({ enrolled: true });
      const { server_time } = await someone.time.readServerTime().gives({});
      await someone.tournament.postTournamentScore("arena", score, null, new Date(server_time)).gives({ score });
    }
    const { versionId } = await ada.tournament.getTournamentStatus("arena", -1).gives({ enrolled: true });
    await ada.tournament.claimTournamentReward("arena", versionId).refused(400, 40517); // it goes on

    await advance(7 * 24 * 3600);
    for (const someone of [ada, bob]) await someone.wrapper.reconnect().gives({ newUser: "false" }); // nobody plays for a week
    const ended = async () =>
      (await ada.tournament.getTournamentStatus("arena", versionId).gives({ enrolled: true })).leaderboardEnrollment;
    while ((await ended()).tRank === 0); // results are made in the background
    await ada.tournament.viewReward("arena", versionId).gives({ tRank: 1, rewards: { currency: { gems: 7 } } });
    await ada.tournament
      .claimTournamentReward("arena", versionId)
      .gives({ rewards: { currency: { gems: 7 } }, currency: { gems: { balance: 7 } } });
    await ada.tournament.claimTournamentReward("arena", versionId).refused(400, 40523);
    await bob.tournament.viewReward("arena", -1).gives({ tRank: 2, rewards: empty });
    await bob.tournament.claimTournamentReward("arena", -1).gives({ rewards: empty, currency: { gems: { balance: 0 } } });
  },
};
