const { player, unique } = require("../helper");

const ALERT = { title: "Hello", body: "Hello world" };
const RAW = [
  { notification: ALERT, data: { level: "7" }, priority: "normal" },
  { aps: { alert: ALERT, badge: 0, sound: "ping" } },
  { template: "Hello world" },
];

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

  async sending() {
    const { pushNotification, id: profileId } = await player();
    const values = { 0: "Ada" };
    await pushNotification.registerPushNotificationDeviceToken("IOS", unique("device")).gives(null);
    await pushNotification.sendSimplePushNotification(profileId, "Hello world").gives(null);
    await pushNotification.sendSimplePushNotification("nobody", "Hello world").refused(400, 40374);
    await pushNotification.sendNormalizedPushNotification(profileId, ALERT, { level: 7 }).gives(null);
    await pushNotification.sendNormalizedPushNotificationBatch([profileId], ALERT, null).gives(null);
    await pushNotification.sendRawPushNotification(profileId, ...RAW).gives(null);
    await pushNotification.sendRawPushNotificationBatch([profileId], ...RAW).gives(null);
    await pushNotification.sendRichPushNotification(profileId, 1).gives(null);
    await pushNotification.sendRichPushNotificationWithParams(profileId, 1, values).gives(null);
    await pushNotification.sendRichPushNotification(profileId, 99).refused(400, 40375);
    await pushNotification.sendNormalizedPushNotificationToGroup("none", ALERT, {}).refused(400, 40345);
    await pushNotification.sendRawPushNotificationToGroup("none", ...RAW).refused(400, 40345);
    await pushNotification.sendTemplatedPushNotificationToGroup("none", 1, values).refused(400, 40345);
  },

  async scheduling() {
    const { pushNotification, id: profileId } = await player();
    const at = Date.now() + 60_000;
    await pushNotification.scheduleNormalizedPushNotificationUTC(profileId, ALERT, {}, at).gives(null);
    await pushNotification.scheduleNormalizedPushNotificationMinutes(profileId, ALERT, {}, 5).gives(null);
    await pushNotification.scheduleRawPushNotificationUTC(profileId, ...RAW, at).gives(null);
    await pushNotification.scheduleRawPushNotificationMinutes(profileId, ...RAW, 5).gives(null);
    await pushNotification.scheduleRichPushNotificationUTC(profileId, 1, { 0: "Ada" }, at).gives(null);
    await pushNotification.scheduleRichPushNotificationMinutes(profileId, 1, null, 5).gives(null);
    await pushNotification.scheduleRichPushNotificationMinutes("nobody", 1, null, 5).refused(400, 40374);
  },
};
