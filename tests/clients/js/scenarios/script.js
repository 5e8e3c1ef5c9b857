const { expect, player, speaker, text, time } = require("../helper");

const [CHAPTER, ARCADE] = ["20011", "20012"];
const apps = { [CHAPTER]: "a-secret-of-the-chapter-for-its-clients", [ARCADE]: "a-secret-of-the-arcade-for-its-clients" };

module.exports = {
  async "a script's last expression is its result"() {
    const ada = await player();
    await ada.script.runScript("sum", { a: 1, b: 2 }).gives({ response: { sum: 3, app: text }, success: true });
    await ada.script.runScript("sum", { fail: true }).gives({ success: false, reasonCode: 40911, errorMessage: text });
    await ada.script.runScript("nowhere", {}).refused(400, 40363);
    await ada.script.runParentScript("sum", {}, "Nowhere").refused(400, 40377);
  },

  async "scripts of a peer"() {
    const made = speaker(undefined, { app: CHAPTER, apps });
    await made.wrapper.authenticateAnonymous().gives({ newUser: "true" });
    const data = { a: 1, b: 1 };
    await made.script.runPeerScript("sum", data, "arcade").gives({ response: { sum: 2, app: ARCADE }, success: true });
    await made.script.runPeerScriptAsync("sum", data, "arcade").gives({ jobId: text, runState: "Queued", parameters: data });
    await made.script.runPeerScript("sum", data, "circus").refused(400, 40492);
    await made.script.runParentScript("sum", data, "Studio").refused(400, 40380);
  },

  async "scripts run later, and are cancelled"() {
    const ada = await player();
    const job = { jobType: "CloudCode", scriptName: "sum", runState: "Scheduled", createdAt: time, parameters: { a: 1 } };
    const soon = await ada.script.scheduleRunScriptMinutes("sum", { a: 1 }, 60).gives(job);
    const at = new Date(Date.now() + 3_600_000);
    const until = soon.scheduledStartTime;
    const later = await ada.script.scheduleRunScriptMillisUTC("sum", { a: 1 }, at.getTime() + 3_600_000).gives(job);
    await ada.script.getScheduledCloudScripts(new Date(until)).gives({ scheduledJobs: [{ jobId: soon.jobId }] });
    await ada.script.getRunningOrQueuedCloudScripts().gives({ runningOrQueuedJobs: [] });
    await ada.script.cancelScheduledScript(soon.jobId).gives({ jobId: soon.jobId, runState: "Cancelled" });
    await ada.script.cancelScheduledScript(soon.jobId).refused(400, 40466);
    await ada.script.cancelScheduledScript("unknown").refused(400, 40465);
    const last = await ada.script.scheduleRunScriptUTC("sum", { a: 1 }, at).gives({ ...job, scheduledStartTime: at.getTime() });
    await ada.script.cancelScheduledScript(last.jobId).gives({ runState: "Cancelled" });
    await ada.script.cancelScheduledScript(later.jobId).gives({ runState: "Cancelled" });
    expect(typeof later.scheduledStartTime, "number", "the time");
  },
};
