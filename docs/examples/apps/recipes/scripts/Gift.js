// Takes gems from one player and gives them to another: each side once, whatever happens in between.
function main() {
  var amount = data.amount;
  if (!(amount > 0 && amount <= 100 && amount === Math.floor(amount)) || data.to === bridge.getProfileId()) {
    return {sent: false, why: "what is sent is 1 to 100 gems, to somebody else"};
  }
  var receiver;
  try {
    receiver = bridge.getSessionForProfile(data.to);
  } catch (unknown) {
    return {sent: false, why: "there is no such player"};
  }
  var taken = bridge.getVirtualCurrencyServiceProxy().consumeCurrency("gems", amount);
  if (taken.status != 200) {
    return {sent: false, why: "not enough gems"};
  }
  bridge.getVirtualCurrencyServiceProxy(receiver).awardCurrency("gems", amount);
  bridge.getEventServiceProxy().sendEvent(data.to, "gift", {gems: amount});
  return {sent: true};
}
main();
