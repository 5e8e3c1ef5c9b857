import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { after, before, beforeEach, test } from "node:test";

import { startEmulator } from "../index.js";

const HERE = fileURLToPath(new URL("..", import.meta.url));

let emulator;
before(async () => {
  emulator = await startEmulator();
});
beforeEach(() => emulator.reset());
after(() => emulator.stop());

async function call(sessionId, packetId, service, operation, data = {}) {
  const packet = { packetId, sessionId, gameId: emulator.appId, messages: [{ service, operation, data }] };
  const answer = await fetch(`${emulator.url}/dispatcher`, { method: "POST", body: JSON.stringify(packet) });
  return (await answer.json()).responses[0];
}

async function login(externalId = "ada") {
  const data = { authenticationType: "Anonymous", externalId, authenticationToken: "", forceCreate: true };
  return (await call("", 0, "authenticationV2", "AUTHENTICATE", data)).data;
}

test("a player is new in each test", async () => {
  assert.equal((await login()).newUser, "true");
  assert.equal((await login()).newUser, "false");
});

test("and so is the same player in the next one, and sessions are gone", async () => {
  const { newUser, sessionId } = await login();
  assert.equal(newUser, "true");
  await emulator.reset();
  assert.equal((await call(sessionId, 1, "playerState", "READ")).reason_code, 40304);
});

test("a snapshot is restored, as often as wanted", async () => {
  await login();
  await emulator.snapshot("with ada");
  await emulator.reset();
  for (let time = 0; time < 2; time += 1) {
    await emulator.restore("with ada");
    assert.equal((await login()).loginCount, 2);
  }
  await emulator.forget("with ada");
  await assert.rejects(emulator.restore("with ada"), /there is no snapshot 'with ada'/);
});

test("a seed is what there is from then on", async () => {
  const player = { type: "player", profileId: "p1", playerName: "Ada" };
  const identities = [{ authenticationType: "Anonymous", externalId: "ada" }];
  assert.deepEqual(await emulator.seed([{ ...player, identities }]), { player: 1 });
  for (let time = 0; time < 2; time += 1) {
    assert.equal((await login()).playerName, "Ada");
    await emulator.reset();
  }
  await assert.rejects(emulator.seed('{"type":"player"}'), /line 1: profileId: required/);
  assert.equal((await login()).profileId, "p1");
  assert.deepEqual(await emulator.seed(""), {});
  assert.equal((await login()).newUser, "true");
});

test("time passes when it is told to", async () => {
  const { sessionId } = await login();
  const before = await emulator.now();
  assert.equal(await emulator.advance(1201), before + 1_201_000);
  assert.equal((await call(sessionId, 1, "playerState", "READ")).reason_code, 40303);
});

test("the sample app has an id and a secret", () => {
  assert.equal(emulator.appId, "10001");
  assert.match(emulator.secret, /^\S{20,}$/);
});

test("a server that does not start says why", async () => {
  await assert.rejects(startEmulator({ options: ["--seed", "x"] }), /Invalid value for '--seed'/);
  await assert.rejects(startEmulator({ command: "no-such-program" }), /cannot be started: .*is it installed/);
});

test("who forgets to stop it ends nevertheless, and the server with it", async () => {
  const program = `require(".").startEmulator().then((emulator) => console.log(emulator.url))`;
  const done = spawnSync(process.execPath, ["-e", program], { cwd: HERE, encoding: "utf8", timeout: 60_000 });
  assert.equal(done.status, 0, done.stderr);
  const url = done.stdout.trim();
  for (let patience = 300; ; patience -= 1) {
    try {
      await fetch(`${url}/healthz`);
    } catch {
      break; // nobody listens
    }
    assert.ok(patience, "the server goes on");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});
