// Before leaderboard.POST_SCORE: data.message is what the client has sent, data.parms what the app says.
function main() {
  var wins = bridge.getPlayerStatisticsServiceProxy().readAllUserStats().data.statistics.wins || 0;
  if (data.message.score > data.parms.most) {
    return {status: 403, reasonCode: 50001, errorMessage: "nobody is that fast"};
  }
  if (wins === 0) {
    return {status: 403, reasonCode: 50002, errorMessage: "win a race first"};
  }
  return {status: 200};
}
main();
