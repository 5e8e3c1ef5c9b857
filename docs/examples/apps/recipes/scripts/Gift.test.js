var giver = bridge.getSessionForProfile(data.players[0]);
var receiver = bridge.getSessionForProfile(data.players[1]);
function give(to, amount) {
  var ran = bridge.callAPIForSession(giver, "script", "RUN", {scriptName: "Gift", scriptData: {to: to, amount: amount}});
  if (!ran.data || !ran.data.success) throw new Error(JSON.stringify(ran));
  return ran.data.response;
}
function gems(session) {
  return bridge.getVirtualCurrencyServiceProxy(session).getCurrency("gems").data.currencyMap.gems.balance;
}
if (give(data.players[1], 5).why !== "not enough gems") throw new Error("nobody has gems yet");
bridge.getVirtualCurrencyServiceProxy(giver).awardCurrency("gems", 8);
if (give("00000000-0000-0000-0000-000000000000", 5).why !== "there is no such player") throw new Error("unknown");
if (give(data.players[0], 5).sent || give(data.players[1], 0.5).sent) throw new Error("these are no gifts");
if (!give(data.players[1], 5).sent) throw new Error("it was not sent");
gems(giver) === 3 && gems(receiver) === 5;
