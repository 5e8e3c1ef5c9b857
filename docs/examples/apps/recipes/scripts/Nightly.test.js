var ran = bridge.callScript("Nightly", {});
if (!ran.data.success || ran.data.response.kept !== 200) throw new Error(JSON.stringify(ran));
ran.data.response.winners.length === 0;
