import { errorFrom, KillSwitchError, NoAnswerError, noSession, SessionEndedError } from "./errors.js";
import { md5 } from "./md5.js";
import { OPEN_OPERATIONS } from "./services/index.js";

const AUTHENTICATE = "authenticationV2.AUTHENTICATE";
const LOG_OUT = "playerState.LOGOUT";
const DELETE_PLAYER = "playerState.FULL_PLAYER_RESET";
const MERGE = "identity.MERGE";
const CHANGES_SESSION = new Set(["identity", "authenticationV2"]);
const HEARTBEAT_SHARE = 0.85; // of the session's life
const UNNUMBERED = -1; // the packetId of an answer to what the server could not read
const TRY_LATER = new Set([429, 502, 503, 504]);

/**
 * Sends calls in numbered packets, one at a time. A packet keeps its number and its bytes until it is answered or
 * given up: so the server can tell a repeated packet from a new one, and runs it once.
 */
export class Packets {
  session = null;
  #settings;
  #onEvents;
  #keepProfile;
  #waiting = []; // lists of calls, each of which travels in one packet
  #isSending = false;
  #closed = new AbortController();
  #nextId = 0;
  #maxBundle = 10;
  #maxKillCount = 11;
  #failing = "";
  #failures = 0;
  #lastSent = 0;
  #heartbeat = null;
  #noSession = noSession("log in first");

  constructor(settings, onEvents, keepProfile) {
    this.#settings = settings;
    this.#onEvents = onEvents;
    this.#keepProfile = keepProfile;
  }

  /** Queue calls that travel in one packet; returns a promise for each. */
  add(calls) {
    if (this.#closed.signal.aborted) throw new NoAnswerError("the client was closed");
    const group = calls.map(pending);
    if (group.length > this.#maxBundle) throw new RangeError(`the server takes ${this.#maxBundle} calls in one packet`);
    if (group.length > 1 && group.some((call) => call.name === AUTHENTICATE)) {
      throw new RangeError("AUTHENTICATE travels alone");
    }
    if (group.length > 0) {
      this.#waiting.push(group);
      this.#start();
    }
    return group.map((call) => call.done);
  }

  resetKillSwitch() {
    this.#failing = "";
    this.#failures = 0;
  }

  close() {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort();
    clearTimeout(this.#heartbeat);
    this.session = null;
    const left = this.#waiting.splice(0).flat();
    for (const call of left) call.refuse(new NoAnswerError("the client was closed"));
  }

  // Sending

  #start() {
    if (this.#isSending) return;
    this.#isSending = true;
    queueMicrotask(() => this.#sendAll()); // what is called at the same moment travels together
  }

  async #sendAll() {
    for (let packet = this.#next(); packet; packet = this.#next()) await this.#send(packet);
    this.#isSending = false;
    this.#beatLater();
  }

  #next() {
    let calls = [];
    const login = this.#waiting.findIndex(([first]) => first.name === AUTHENTICATE);
    if (login >= 0 && this.#failures < this.#maxKillCount) {
      calls = this.#waiting.splice(login, 1)[0];
    } else {
      this.#refuseWhatCannotGo();
      const fits = (group) => calls.length === 0 || calls.length + group.length <= this.#maxBundle;
      while (this.#waiting.length > 0 && fits(this.#waiting[0])) calls.push(...this.#waiting.shift());
    }
    if (calls.length === 0) return null;
    this.#lastSent = Date.now();
    return this.#seal(calls, calls[0].name === AUTHENTICATE ? null : this.session);
  }

  #refuseWhatCannotGo() {
    for (const group of this.#waiting.splice(0)) {
      const passed = [];
      for (const call of group) {
        const obstacle = this.#obstacle(call);
        if (obstacle) call.refuse(obstacle);
        else passed.push(call);
      }
      if (passed.length > 0) this.#waiting.push(passed);
    }
  }

  #obstacle(call) {
    if (this.#failures >= this.#maxKillCount) {
      return new KillSwitchError(`${this.#failing} failed ${this.#failures} times in a row`);
    }
    return this.session || OPEN_OPERATIONS.has(call.name) || call.name === AUTHENTICATE ? null : this.#noSession;
  }

  #seal(calls, session) {
    const { appId, secret, secrets } = this.#settings;
    const packet = { id: this.#nextId++, calls, headers: { "Content-Type": "application/json" } };
    const gameId = session?.appId ?? appId;
    const head = JSON.stringify({ packetId: packet.id, sessionId: session?.id ?? "", gameId });
    packet.body = `${head.slice(0, -1)},"messages":[${calls.map((call) => call.message).join(",")}]}`;
    const key = gameId === appId ? secret : (secrets[gameId] ?? secret);
    if (key) packet.headers["X-SIG"] = md5(new TextEncoder().encode(packet.body + key));
    packet.headers["X-APPID"] = gameId;
    return packet;
  }

  async #send(packet) {
    const { timeoutsSeconds, firstPauseSeconds, longestPauseSeconds } = this.#settings;
    const deadline = Date.now() + 1000 * timeoutsSeconds.reduce((sum, one) => sum + one, 0);
    let useless = 0; // tries that timed out, or were answered with something unreadable
    for (let quick = 0; ; ) {
      let trouble;
      let pause = 0;
      const { status, text, error, isLate } = await this.#post(packet, timeoutsSeconds[useless], deadline);
      if (this.#closed.signal.aborted) return giveUp(packet, "the client was closed");
      if (status === 200) {
        trouble = this.#take(packet, text);
        if (!trouble) return undefined;
      } else if (status !== undefined) {
        trouble = `HTTP ${status}`;
        if (!TRY_LATER.has(status)) return giveUp(packet, `${trouble} from the server's address`);
      } else {
        trouble = error;
      }
      if (status === 200 || isLate) useless += 1;
      if (!isLate) {
        const seconds = Math.min(longestPauseSeconds, firstPauseSeconds * 2 ** Math.min(quick++, 30));
        pause = 1000 * seconds * (0.5 + Math.random() / 2);
      }
      if (useless >= timeoutsSeconds.length || Date.now() + pause >= deadline) return giveUp(packet, trouble);
      await this.#rest(pause);
    }
  }

  /** Send once. A try that took too long is aborted: the server answers the newest connection. */
  async #post(packet, seconds, deadline) {
    const left = deadline - Date.now();
    const attempt = new AbortController();
    let isLate = false;
    const stop = () => attempt.abort();
    const patience = left > 0 ? Math.min(left, 1000 * seconds) : 1000 * seconds;
    const timer = setTimeout(() => ((isLate = true), stop()), patience);
    this.#closed.signal.addEventListener("abort", stop);
    try {
      const { fetch, url } = this.#settings;
      const answer = await fetch(url, {
        method: "POST",
        body: packet.body,
        headers: packet.headers,
        credentials: "omit",
        redirect: "manual",
        signal: attempt.signal,
      });
      return { status: answer.status, text: await answer.text() };
    } catch (error) {
      return { error: isLate ? "no answer in time" : String(error?.cause?.message ?? error?.message ?? error), isLate };
    } finally {
      clearTimeout(timer);
      this.#closed.signal.removeEventListener("abort", stop);
    }
  }

  #rest(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(done, milliseconds);
      const { signal } = this.#closed;
      function done() {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      }
      signal.addEventListener("abort", done);
    });
  }

  // Answers

  /** Settle the calls of a packet. Returns what is wrong with an answer that is none; nothing where all is well. */
  #take(packet, text) {
    let read;
    try {
      read = readAnswer(packet, JSON.parse(text));
    } catch (error) {
      return String(error.message);
    }
    packet.calls.forEach((call, i) => this.#settle(call, read.answers[i]));
    this.#onEvents(read.events);
    return undefined;
  }

  #settle(call, answer) {
    if (answer.status === 200) {
      this.resetKillSwitch();
      const data = answer.data ?? {};
      const kept = this.#noteSuccess(call, data);
      call.resolve(kept ? kept.then(() => data) : data);
      return;
    }
    const error = errorFrom(answer);
    if (error instanceof SessionEndedError) this.#endSession(error);
    if (!call.isHeartbeat) {
      this.#failures = this.#failing === call.name ? this.#failures + 1 : 1;
      this.#failing = call.name;
    }
    call.refuse(error);
  }

  /** Change the session as a call has changed it. Returns a promise where who comes back has to be kept first. */
  #noteSuccess(call, data) {
    if (call.name === AUTHENTICATE) {
      this.session = {
        id: data.sessionId,
        profileId: data.profileId,
        appId: data.switchToAppId || this.#settings.appId,
        expirySeconds: aboveZero(data.playerSessionExpiry, 300),
      };
      this.#maxBundle = aboveZero(data.maxBundleMsgs, this.#maxBundle);
      this.#maxKillCount = aboveZero(data.maxKillCount, this.#maxKillCount);
      return this.#keepProfile(data.profileId);
    }
    if (call.name === LOG_OUT || call.name === DELETE_PLAYER) {
      this.#endSession(noSession("logged out"));
      return call.name === DELETE_PLAYER ? this.#keepProfile("") : null;
    }
    if (this.session && CHANGES_SESSION.has(call.service)) {
      this.session = {
        ...this.session,
        id: data.sessionId || this.session.id,
        profileId: data.profileId || this.session.profileId,
        appId: data.switchToAppId || this.session.appId,
      };
      if (call.name === MERGE) return this.#keepProfile(this.session.profileId); // who stays is who comes back
    }
    return null;
  }

  #endSession(why) {
    this.session = null;
    this.#noSession = why;
  }

  // Keeping the session alive

  #beatLater() {
    clearTimeout(this.#heartbeat);
    if (!this.session || !this.#settings.heartbeats) return;
    const due = this.#lastSent + 1000 * HEARTBEAT_SHARE * this.session.expirySeconds;
    this.#heartbeat = setTimeout(() => this.#beat(), Math.max(0, due - Date.now()));
    this.#heartbeat.unref?.(); // under Node, which ends when nothing else is left to do
  }

  #beat() {
    if (this.session && !this.#isSending) {
      this.#waiting.push([pending({ service: "heartbeat", operation: "READ" }, true)]);
      this.#start();
    }
  }
}

/** Make a call that waits for its answer. Its data are read now, whatever the game does with them afterwards. */
function pending({ service, operation, data }, isHeartbeat = false) {
  const call = { service, name: `${service}.${operation}`, isHeartbeat };
  call.message = JSON.stringify({ service, operation, data: data ?? {} });
  call.done = new Promise((resolve, reject) => Object.assign(call, { resolve, refuse: reject }));
  if (isHeartbeat) call.done.catch(() => {}); // nobody waits for it
  return call;
}

function giveUp(packet, trouble) {
  for (const call of packet.calls) {
    call.refuse(new NoAnswerError(`packet ${packet.id} was not answered: ${trouble}`));
  }
}

/** Return the answers in the order of the calls, and events. Throws for what is no answer to this packet. */
function readAnswer(packet, document) {
  const { packetId, responses, events } = document ?? {};
  if (!Array.isArray(responses) || (packetId !== packet.id && packetId !== UNNUMBERED)) {
    throw new Error(`the answer does not belong to packet ${packet.id}`);
  }
  const isForAll = packetId === UNNUMBERED && responses.length === 1; // the server could not count the calls
  const answers = isForAll ? packet.calls.map(() => responses[0]) : responses;
  if (answers.length !== packet.calls.length) {
    throw new Error(`${answers.length} answers to ${packet.calls.length} calls`);
  }
  packet.calls.forEach((call, i) => {
    if (!makesSense(call, answers[i])) throw new Error(`an answer to ${call.name} that makes no sense`);
  });
  return { answers, events: Array.isArray(events) ? events.filter(isObject) : [] };
}

function makesSense(call, answer) {
  if (!isObject(answer) || typeof answer.status !== "number") return false;
  if (answer.status !== 200) return true;
  const data = answer.data ?? {};
  return isObject(data) && (call.name !== AUTHENTICATE || Boolean(data.sessionId && data.profileId));
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function aboveZero(value, otherwise) {
  return typeof value === "number" && value > 0 ? value : otherwise;
}
