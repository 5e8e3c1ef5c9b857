const { player } = require("../helper");

const TEXT = "Scunthorpe is sh1t, f u c k it";

module.exports = {
  async "words that nobody wants to read"() {
    const { profanity } = await player();
    await profanity.profanityCheck(TEXT, "en", false, false, false).gives({ foundCount: "2" });
    await profanity
      .profanityIdentifyBadWords(TEXT, "en,fr", false, false, false)
      .gives({ foundCount: "2", foundList: ["sh1t", "f u c k"] });
    await profanity
      .profanityReplaceText(TEXT, "*", null, false, false, false)
      .gives({ foundCount: "2", replacedString: "Scunthorpe is ****, * * * * it" });
    await profanity.profanityCheck("me@example.com", "en", true, false, false).gives({ foundCount: "1" });
    await profanity.profanityCheck(TEXT, "xx", false, false, false).refused(400, 40421);
  },
};
