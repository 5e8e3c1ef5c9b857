const { empty, player, unique } = require("../helper");

module.exports = {
  async mail() {
    const { mail, playerState, id } = await player();
    const address = `${unique("me")}@example.com`;
    const params = { subject: "Hello", body: "Hello :name", substitutions: { ":name": "Ada" } };
    await playerState.updateContactEmail(address).gives({ contactEmail: address });
    await mail.sendBasicEmail(id, "Hello", "Hello Ada").gives(empty);
    await mail.sendBasicEmail("nobody", "Hello", "Hello Ada").refused(400, 40374);
    await mail.sendAdvancedEmail(id, params).gives(empty);
    await mail.sendAdvancedEmail(id, { templateId: "unheard of" }).refused(400, 40375);
    await mail.sendAdvancedEmailByAddress(address, params).gives(empty);
    await mail.sendAdvancedEmailByAddress("no address", params).refused(400, 40221);
  },
};
