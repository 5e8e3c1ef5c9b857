import { defaultStore, randomId } from "./identity.js";
import { Packets } from "./packets.js";
import { call, Realtime } from "./realtime.js";
import { SERVICES } from "./services/index.js";

export * from "./errors.js";
export { BrowserStore, MemoryStore } from "./identity.js";

const VERSION = "0.1.0";
const DEFAULTS = {
  secrets: {},
  gameVersion: "1.0.0",
  platform: "WEB",
  languageCode: "en",
  countryCode: "",
  timeoutsSeconds: [15, 20, 35, 50],
  firstPauseSeconds: 0.5,
  longestPauseSeconds: 8,
  heartbeats: true,
  reconnectSeconds: 1,
};

/** A player's connection to the server. */
export class GameClient {
  #settings;
  #store;
  #packets;
  #listeners = new Set();
  #isClosed = false;

  constructor(url, appId, secret = "", options = {}) {
    const base = url.replace(/\/+$/, "");
    this.#settings = {
      ...DEFAULTS,
      fetch: (...request) => globalThis.fetch(...request),
      WebSocket: globalThis.WebSocket,
      ...options,
      url: base.endsWith("/dispatcher") ? base : `${base}/dispatcher`,
      appId,
      secret,
    };
    this.#store = options.store ?? defaultStore(appId);
    const tell = (events) => {
      for (const event of events) for (const listener of [...this.#listeners]) call(listener, event);
    };
    this.#packets = new Packets(this.#settings, tell, (profileId) => this.#keepProfile(profileId));
    for (const [service, operations] of Object.entries(SERVICES)) {
      this[service] = {};
      for (const [method, operation] of Object.entries(operations)) {
        this[service][method] = (parameters) => this.call(service, operation, parameters);
      }
    }
  }

  get session() {
    return this.#packets.session;
  }

  get isClosed() {
    return this.#isClosed;
  }

  async call(service, operation, data = {}) {
    return this.#packets.add([{ service, operation, data }])[0];
  }

  send(calls) {
    return this.#packets.add(calls);
  }

  async authenticateAnonymous({ forceCreate = true } = {}) {
    let identity = await this.#store.load();
    if (!identity.profileId) {
      identity = { anonymousId: randomId(), profileId: "" }; // the server wants both of a player whom it knows
      await this.#store.save(identity);
    }
    const { anonymousId: externalId, profileId } = identity;
    return this.authenticate({ authenticationType: "Anonymous", externalId, forceCreate, profileId });
  }

  async authenticateUniversal(userId, password, { forceCreate = true } = {}) {
    return this.authenticate({ authenticationType: "Universal", externalId: userId, token: password, forceCreate });
  }

  async authenticateEmail(email, password, { forceCreate = true } = {}) {
    return this.authenticate({ authenticationType: "Email", externalId: email, token: password, forceCreate });
  }

  async reconnect() {
    return this.authenticateAnonymous({ forceCreate: false });
  }

  async authenticate({ authenticationType, externalId, token = "", forceCreate = true, profileId = "", extra = {} }) {
    const { appId, platform, gameVersion, languageCode, countryCode } = this.#settings;
    return this.call("authenticationV2", "AUTHENTICATE", {
      gameId: appId,
      externalId,
      authenticationToken: token,
      authenticationType,
      forceCreate,
      profileId,
      anonymousId: await this.#anonymousId(),
      releasePlatform: platform,
      gameVersion,
      clientLib: "js",
      clientLibVersion: VERSION,
      timeZoneOffset: -new Date().getTimezoneOffset() / 60,
      languageCode,
      ...(countryCode && { countryCode }),
      compressResponses: true,
      ...extra,
    });
  }

  async logOut({ forgetUser = false } = {}) {
    if (forgetUser) await this.#store.save({ anonymousId: "", profileId: "" });
    return this.call("playerState", "LOGOUT");
  }

  onEvent(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  realtime(told = {}) {
    if (!this.#settings.WebSocket) throw new TypeError("there is no WebSocket here: give one to the client");
    return new Realtime(this, this.#settings, told);
  }

  resetKillSwitch() {
    this.#packets.resetKillSwitch();
  }

  close() {
    this.#isClosed = true;
    this.#packets.close();
  }

  async #anonymousId() {
    const identity = await this.#store.load();
    if (identity.anonymousId) return identity.anonymousId;
    const made = { ...identity, anonymousId: randomId() };
    await this.#store.save(made);
    return made.anonymousId;
  }

  async #keepProfile(profileId) {
    try {
      const identity = await this.#store.load();
      if (identity.profileId !== profileId) await this.#store.save({ ...identity, profileId });
    } catch (error) {
      console.error(error); // a full disk is no reason to lose the answer
    }
  }
}
