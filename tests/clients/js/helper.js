// How scenarios speak: every method of the client returns a call, and a call's answer has to be looked at.
//
//   const ada = await player();
//   const made = await ada.entity.createEntity("chest", { gold: 1 }, null).gives({ version: 1 });
//   await ada.entity.getEntity("unknown").refused(400, 40345);
//
// Arguments that are left out are undefined, and the callback is added behind them.
const { execFile } = require("child_process");
const { randomUUID } = require("crypto");
const { promisify } = require("util");
const { client, answer } = require("./environment");

const looked = new Set(); // names such as "entity.createEntity" of methods whose answers were looked at

class Call {
  constructor(name, promise) {
    this.name = name;
    this.promise = promise;
  }

  // What the callback was given.
  async answer() {
    const answer = await this.promise;
    looked.add(this.name);
    return answer;
  }

  // The call succeeds, and its data holds what is expected: returns the data.
  async gives(expected) {
    const { status, data, ...rest } = await this.answer();
    if (status !== 200) throw new Error(`${this.name} was refused: ${JSON.stringify({ status, ...rest })}`);
    expect(data, expected, this.name);
    return data;
  }

  // The call fails with this status and reason, and says why in words.
  async refused(status, reason_code) {
    const refusal = await this.answer();
    expect(refusal, { status, reason_code, status_message: text, severity: "ERROR" }, this.name);
    return refusal;
  }
}

// What a value has to be: a function that tells, an array with as many elements, an object with at least these
// keys, or the value itself. An expected `undefined` means that the key is absent.
function expect(actual, expected, path) {
  const fail = () => {
    throw new Error(
      `${path}: expected ${expected && (expected.name || JSON.stringify(expected))}, got ${JSON.stringify(actual)}`,
    );
  };
  if (typeof expected === "function") {
    if (!expected(actual)) fail();
  } else if (Array.isArray(expected)) {
    if (!Array.isArray(actual) || actual.length !== expected.length) fail();
    expected.forEach((value, index) => expect(actual[index], value, `${path}[${index}]`));
  } else if (expected !== null && typeof expected === "object") {
    if (actual === null || typeof actual !== "object") fail();
    for (const key of Object.keys(expected)) expect(actual[key], expected[key], `${path}.${key}`);
  } else if (!Object.is(actual, expected)) fail();
}

const text = (value) => typeof value === "string" && value !== "";
const time = (value) => Number.isInteger(value) && value > 1_600_000_000_000;
const empty = (value) => value !== null && typeof value === "object" && Object.keys(value).length === 0;

const calls = (service, methods) =>
  new Proxy(methods, {
    get: (_, method) => {
      if (typeof methods[method] !== "function") return methods[method];
      return (...values) => {
        const most = methods[method].length - 1;
        if (values.length > most) throw new Error(`${service}.${method} takes ${most} values and a callback`);
        values.length = most;
        return new Call(
          `${service}.${method}`,
          answer((done) => methods[method](...values, done)),
        );
      };
    },
  });

// The services of a client, by the names it gives them.
const services = (core) =>
  Object.entries(core).filter(
    ([name, value]) => value && typeof value === "object" && !name.startsWith("brainCloud") && Object.keys(value).length,
  );

// A client that speaks as described above; `wrapper` and `core` are what it is made of, `stored` is the wrapper for what it stores.
function speaker(name = randomUUID(), options = {}) {
  const wrapper = client(name, options);
  const core = wrapper.brainCloudClient;
  const spoken = Object.fromEntries(services(core).map(([service, methods]) => [service, calls(service, methods)]));
  const raw = (service, operation, data) =>
    new Call(
      `${service}.${operation}`,
      answer((callback) => core.brainCloudManager.sendRequest({ service, operation, data, callback })),
    );
  return { ...spoken, wrapper: calls("wrapper", wrapper), stored: wrapper, core, raw };
}

// A client that is logged in as a new player.
async function player(name) {
  const made = speaker(name);
  made.login = await made.wrapper.authenticateAnonymous().gives({ newUser: "true" });
  made.id = made.login.profileId;
  return made;
}

// Run an operation with the authority of a server, on behalf of a player if one is named.
async function serverCall(operation, data, profileId, app = process.env.APP_ID) {
  const [program, ...words] = JSON.parse(process.env.GAMESERVER_CALL);
  const named = profileId ? ["--profile", profileId] : [];
  const done = await promisify(execFile)(program, [...words, app, operation, JSON.stringify(data), ...named]);
  return JSON.parse(done.stdout);
}

// Texts that no other test uses: tests of a run may share a database.
const unique = (name) => `${name}-${randomUUID()}`;

module.exports = { empty, expect, looked, player, serverCall, services, speaker, text, time, unique };
