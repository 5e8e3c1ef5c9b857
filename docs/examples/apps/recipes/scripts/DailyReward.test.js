var player = bridge.getSessionForProfile(data.players[0]);
function run() {
  var ran = bridge.callAPIForSession(player, "script", "RUN", {scriptName: "DailyReward", scriptData: {}});
  if (!ran.data || !ran.data.success) throw new Error(JSON.stringify(ran));
  return ran.data.response.granted;
}
var gems = bridge.getVirtualCurrencyServiceProxy(player);
run() === 10 && run() === 0 && gems.getCurrency("gems").data.currencyMap.gems.balance === 10;
