const { player } = require("../helper");

module.exports = {
  async currencies() {
    const { virtualCurrency, playerState } = await player();
    await virtualCurrency
      .awardCurrency("coins", 30)
      .gives({ currencyMap: { coins: { balance: 30, awarded: 30 }, gems: { balance: 0 } } });
    await virtualCurrency.consumeCurrency("coins", 12).gives({ currencyMap: { coins: { balance: 18, consumed: 12 } } });
    await virtualCurrency.consumeCurrency("coins", 19).refused(400, 40660);
    await virtualCurrency.getCurrency("coins").gives({ currencyMap: { coins: { balance: 18 }, gems: undefined } });
    await virtualCurrency.getCurrency(null).gives({ currencyMap: { coins: { balance: 18 }, gems: { balance: 0 } } });
    await playerState.readUserState().gives({ currency: { coins: { balance: 18 } } });
    await virtualCurrency.resetCurrency().gives(null);
    await virtualCurrency.getCurrency("coins").gives({ currencyMap: { coins: { balance: 0 } } });
    await virtualCurrency.awardCurrency("shells", 1).refused(400, 40546);
    // This app has no parent and no peers.
    await virtualCurrency.getParentCurrency("coins", "Master").refused(400, 40380);
    await virtualCurrency.getPeerCurrency("coins", "peer").refused(400, 40519);
  },
};
