// Real-time connections, as a game for Node opens them.
globalThis.WebSocket = require("ws");
navigator.userAgent = "node"; // the client asks which browser it is

// Connect; returns what the client was told, and a promise of why the connection ended.
function enable(core) {
  let ended;
  const end = new Promise((resolve) => (ended = resolve));
  return new Promise((resolve, reject) => {
    core.rttService.enableRTT(
      (answer) => resolve({ answer, end }),
      (why) => (ended(why), reject(why)),
    );
  });
}

const within = (seconds, promise, what) =>
  Promise.race([
    promise,
    new Promise((_, reject) => setTimeout(() => reject(new Error(`${what}: not within ${seconds} s`)), 1000 * seconds)),
  ]);

module.exports = { enable, within };
