// What the client expects of a browser, for Node.
const { XMLHttpRequest } = require("xmlhttprequest");
Object.assign(XMLHttpRequest, { UNSENT: 0, OPENED: 1, HEADERS_RECEIVED: 2, LOADING: 3, DONE: 4 });

const stored = new Map();
globalThis.XMLHttpRequest = XMLHttpRequest;
globalThis.window = globalThis;
globalThis.localStorage = {
  getItem: (key) => (stored.has(key) ? stored.get(key) : null),
  setItem: (key, value) => stored.set(key, String(value)),
  removeItem: (key) => stored.delete(key),
};

const { BrainCloudWrapper } = require("braincloud");

// Make a client for the server under test. What it stores, it stores under `name`. `app` is the one to begin with
// of several `apps`, which are their secrets by id.
exports.client = function client(name, { id = process.env.APP_ID, secret = process.env.APP_SECRET, app, apps } = {}) {
  const wrapper = new BrainCloudWrapper(name);
  if (apps) wrapper.initializeWithApps(app, apps, "1.0.0");
  else wrapper.initialize(id, secret, "1.0.0");
  const core = wrapper.brainCloudClient;
  core.setServerUrl(process.env.SERVER_URL);
  core.enableLogging(process.env.DEBUG === "1");
  return wrapper;
};

// Turn a call with a callback into a promise of its answer.
exports.answer = (call) => new Promise((resolve) => call(resolve));
