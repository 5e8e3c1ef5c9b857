const { player, unique } = require("../helper");

module.exports = {
  async devices() {
    const { pushNotification } = await player();
    const device = unique("device");
    await pushNotification.registerPushNotificationDeviceToken("IOS", device).gives(null);
    await pushNotification.registerPushNotificationDeviceToken("WEB", unique("device")).gives(null);
    await pushNotification.deregisterPushNotificationDeviceToken("IOS", device).gives(null);
    await pushNotification.deregisterAllPushNotificationDeviceTokens().gives(null);
    await pushNotification.registerPushNotificationDeviceToken("IOS", "").refused(400, 40419);
  },
};
