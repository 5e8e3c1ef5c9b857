// One client for each device; every promise of it becomes what it resolved to, or the error it was refused with.
const Backendless = require("backendless");

const { SERVER_URL, APPLICATION_ID, JS_KEY, SERVER_KEY } = process.env;

function device(apiKey) {
  const app = Backendless.initApp({ appId: APPLICATION_ID, apiKey, serverURL: SERVER_URL, standalone: true });
  // Node has no localStorage: without this, all devices would be one.
  const stored = new Map();
  app.LocalCache.storage = {
    get: (key) => stored.get(key),
    set: (key, value) => stored.set(key, value),
    remove: (key) => stored.delete(key),
  };
  return app;
}

exports.client = () => device(JS_KEY);
exports.server = () => device(SERVER_KEY);

// A device whose program was closed and started again: it knows what it had stored, and nothing else.
exports.restarted = (before) => {
  const app = device(JS_KEY);
  app.LocalCache.storage = before.LocalCache.storage;
  return app;
};

exports.told = (promise) =>
  promise.then(
    (result) => ({ result: result === undefined ? null : result }),
    (error) => ({ code: error.code, status: error.status, message: error.message }),
  );

let users = 0;
exports.somebody = () => ({ email: `user${Date.now()}-${process.pid}-${(users += 1)}@example.com`, password: "qwerty" });
