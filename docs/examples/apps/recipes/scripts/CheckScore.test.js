// A script that calls an operation runs its hooks, as a client does.
var player = bridge.getSessionForProfile(data.players[0]);
var boards = bridge.getLeaderboardServiceProxy(player);
var early = boards.postScoreToLeaderboard("race", 10, null);
if (early.reasonCode !== 50002) throw new Error(JSON.stringify(early));
bridge.getPlayerStatisticsServiceProxy(player).incrementUserStats({wins: 1});
var wild = boards.postScoreToLeaderboard("race", 5000, null);
if (wild.reasonCode !== 50001) throw new Error(JSON.stringify(wild));
boards.postScoreToLeaderboard("race", 10, null).status === 200;
