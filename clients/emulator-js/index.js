"use strict";

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");

const START_MS_MAX = 60_000;
const STOP_MS_MAX = 30_000;
const SAID_MAX = 100_000; // characters of the server's log that are kept

/** A server that is running, and may be put back. `startEmulator` makes it. */
class Emulator {
  #process;
  #ended;
  #folder;

  constructor(url, appId, secret, process, ended, folder) {
    this.url = url;
    this.appId = appId;
    this.secret = secret;
    this.#process = process;
    this.#ended = ended;
    this.#folder = folder;
  }

  async reset() {
    await this.#post("reset");
  }

  async seed(lines) {
    const text = typeof lines === "string" ? lines : lines.map((line) => JSON.stringify(line)).join("\n");
    return (await this.#post("seed", text)).taken;
  }

  async snapshot(name) {
    await this.#post("snapshot", JSON.stringify({ name }));
  }

  async restore(name) {
    await this.#post("restore", JSON.stringify({ name }));
  }

  async forget(name) {
    await this.#post("forget", JSON.stringify({ name }));
  }

  async advance(seconds) {
    return (await this.#post("clock", JSON.stringify({ advanceSeconds: seconds }))).now;
  }

  async now() {
    return (await (await fetch(`${this.url}/emulator`)).json()).now;
  }

  async stop() {
    await stop(this.#process, this.#ended);
    fs.rmSync(this.#folder, { recursive: true, force: true });
  }

  async #post(what, body = "{}") {
    const answer = await fetch(`${this.url}/emulator/${what}`, { method: "POST", body });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.status_message);
    return told;
  }
}

/** Starts a server on a free port. */
async function startEmulator({ apps, options = [], command = ["gameserver"] } = {}) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "gameserver-emulator-"));
  const [program, ...words] = typeof command === "string" ? [command] : command;
  const where = apps ?? path.join(folder, "apps");
  const child = spawn(
    program,
    [...words, "serve", "--ephemeral", "--until-eof", "--port", "0", "--apps", where, ...options],
    { stdio: ["pipe", "pipe", "pipe"] },
  );
  const ended = new Promise((resolve) => {
    child.once("close", resolve);
    child.once("error", resolve);
  });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text) => {
    log = (log + text).slice(0, SAID_MAX);
  });
  try {
    const url = await ready(child, ended, program, () => log);
    const [, appId = "", secret = ""] = /^ +app id +(\S+)\n +secret +(\S+)$/m.exec(log) ?? [];
    for (const one of [child, child.stdin, child.stdout, child.stderr]) one.unref(); // keeps nobody from ending
    return new Emulator(url, appId, secret, child, ended, folder);
  } catch (error) {
    await stop(child, ended);
    fs.rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Waits for the line that says where the server listens. */
function ready(child, ended, program, log) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => finish(reject, new Error(`the server is not ready: ${log()}`)), START_MS_MAX);
    function finish(settle, value) {
      clearTimeout(late);
      settle(value);
    }
    child.once("error", (error) => {
      const advice = error.code === "ENOENT" ? "; is it installed? `command` says how it is started" : "";
      finish(reject, new Error(`${program} cannot be started: ${error.message}${advice}`));
    });
    ended.then(() => finish(reject, new Error(`the server has not started: ${log().trim()}`)));
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      if (said.length < SAID_MAX) said += text;
      const found = /^ready (\S+)$/m.exec(said);
      if (found) finish(resolve, found[1]);
    });
  });
}

async function stop(child, ended) {
  if (child.pid === undefined) return;
  child.ref();
  child.stdin.on("error", () => {}); // it may have ended by itself
  child.stdin.end();
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
  await ended;
  clearTimeout(late);
}

module.exports = { Emulator, startEmulator };
