const { player } = require("../helper");

module.exports = {
  async events() {
    const { dataStream } = await player();
    await dataStream.customPageEvent("Shop", { price: 9.5 }).gives(null);
    await dataStream.customScreenEvent("Map", {}).gives(null);
    await dataStream.customTrackEvent("Sold").gives(null);
    await dataStream.customTrackEvent("").refused(400, 40660);
  },

  async crashes() {
    const { dataStream } = await player();
    const log = "funcX(a,b,c)\ncalled by funcY(a,b,c)";
    await dataStream
      .submitCrashReport("unknown", "Divide by zero error", { dialog: 5 }, log, "", "", "", false)
      .gives(null);
    await dataStream
      .submitCrashReport("", "Divide by zero error", {}, log, "Ada", "ada@example.com", "It went dark.", true)
      .refused(400, 40660);
  },
};
