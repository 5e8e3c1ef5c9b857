import type { Services } from "./services/index.js";

export type { Services } from "./services/index.js";

/** A player's connection to the server. Calls of the same moment travel in one packet. */
export class GameClient {
  /**
   * Nobody is logged in yet.
   * @param url Where the server is, such as https://game.example.com.
   * @param appId The id of the app.
   * @param secret What packets are signed with; "" where the app takes them unsigned.
   */
  constructor(url: string, appId: string, secret?: string, options?: Options);

  /** Who is logged in; null for nobody. */
  readonly session: Session | null;

  /** Whether `close` was called. */
  readonly isClosed: boolean;

  /**
   * Run an operation. The typed ones are easier: `client.leaderboard.postScore({ leaderboardId: "main", score: 42 })`.
   * Ends with the data of the answer, or with a `GameServerError`.
   */
  call(service: string, operation: string, data?: object): Promise<Record<string, any>>;

  /** Run operations in one packet, in this order. They share a trip, not a fate: each has an answer of its own. */
  send(calls: ReadonlyArray<Call>): Array<Promise<Record<string, any>>>;

  /** Log in as this installation. Ids that are not kept yet are made and kept first. */
  authenticateAnonymous(options?: { forceCreate?: boolean }): Promise<Login>;

  /** Log in with a name and a password. */
  authenticateUniversal(userId: string, password: string, options?: { forceCreate?: boolean }): Promise<Login>;

  /** Log in with an e-mail address and a password. */
  authenticateEmail(email: string, password: string, options?: { forceCreate?: boolean }): Promise<Login>;

  /** Log in as the player of before, on this installation. Never makes a player. */
  reconnect(): Promise<Login>;

  /**
   * Log in in any way that the server knows, such as "Steam" with an id and a ticket. With a `profileId` the login is
   * refused when it is another player's. It goes ahead of calls that wait, in a packet of its own.
   */
  authenticate(login: {
    authenticationType: string;
    externalId: string;
    token?: string;
    forceCreate?: boolean;
    profileId?: string;
    extra?: Record<string, any>;
  }): Promise<Login>;

  /** End the session, everywhere and at once. With `forgetUser` the next anonymous login is a new player's. */
  logOut(options?: { forgetUser?: boolean }): Promise<Record<string, any>>;

  /** Have a function told of each event that comes with an answer. Returns a function that ends it. */
  onEvent(listener: (event: GameEvent) => void): () => void;

  /** Open a connection on which messages arrive by themselves. It needs a session, and ends with it. */
  realtime(told?: {
    /** Told of each message. */
    onMessage?: (message: Message) => void;
    /** Told of the id of each connection, also after a break: the moment to join channels, and to read what was missed. */
    onConnect?: (connectionId: string) => void;
    /** Told why there will be no connection any more, unless `close` was called. */
    onEnd?: (error: GameServerError) => void;
  }): Realtime;

  /** Send again after a `KillSwitchError`. */
  resetKillSwitch(): void;

  /** Send nothing more. What waits ends with a `NoAnswerError`; the session goes on. */
  close(): void;
}

export interface GameClient extends Services {}

/** What may differ between games. */
export interface Options {
  /** Secrets of other apps, by id, for sessions that switch to them. */
  secrets?: Record<string, string>;
  /** The version of the game, which the server may refuse as too old. "1.0.0" unless told otherwise. */
  gameVersion?: string;
  /** The platform that a login names: "WEB". */
  platform?: string;
  /** The language of the player, in two letters: "en". */
  languageCode?: string;
  /** The country of the player, in two letters; "" says nothing. */
  countryCode?: string;
  /** How long each try of a packet waits for its answer. After the last one, or their sum, it is given up. */
  timeoutsSeconds?: ReadonlyArray<number>;
  /** The pause after a first quick failure, such as a refused connection: 0.5. It doubles … */
  firstPauseSeconds?: number;
  /** … up to this: 8. */
  longestPauseSeconds?: number;
  /** Whether the client keeps the session alive while the game sends nothing: true. */
  heartbeats?: boolean;
  /** The pause before a real-time connection that broke is opened again: 1. It doubles up to 30. */
  reconnectSeconds?: number;
  /** Who this installation is. In pages it is kept by localStorage, elsewhere only as long as the program runs. */
  store?: IdentityStore;
  /** What posts; the one of the platform unless told otherwise. */
  fetch?: typeof globalThis.fetch;
  /** What opens connections, for `realtime`: Node has none before version 22, the package `ws` has one. */
  WebSocket?: new (url: string) => any;
}

/** Who is logged in, where, and how long the server keeps it without a packet. */
export interface Session {
  /** The id of the session: a secret. */
  readonly id: string;
  readonly profileId: string;
  /** The app; another one than that of the client after a switch. */
  readonly appId: string;
  readonly expirySeconds: number;
}

/** What a login is answered with: the player's state. */
export interface Login {
  sessionId: string;
  profileId: string;
  /** "true" or "false". */
  newUser: string;
  [member: string]: any;
}

/** One operation to run. */
export interface Call {
  service: string;
  operation: string;
  data?: object;
}

/** What happened to the player since the last answer. */
export interface GameEvent {
  evId: string;
  eventType: string;
  eventData: any;
  createdAt: number;
  fromPlayerId: string;
  toPlayerId: string;
  [member: string]: any;
}

/** What arrives by itself. */
export interface Message {
  service: string;
  operation: string;
  data: any;
}

/** A connection that stays open. When it breaks it is opened again, each time after a longer pause. */
export interface Realtime {
  /** The id of the connection; "" while there is none. */
  readonly connectionId: string;
  /** Ends with the id of the first connection, or with why there will be none. */
  readonly opened: Promise<string>;
  /** Disconnect. */
  close(): void;
}

/** Ids of an installation; "" for what is not known. The anonymous id is a secret: who has it logs in as the player. */
export interface Identity {
  anonymousId: string;
  profileId: string;
}

/** Keeps the identity from one start to the next. What `save` throws, the login throws. */
export interface IdentityStore {
  load(): Identity | Promise<Identity>;
  save(identity: Identity): void | Promise<void>;
}

/** Keeps the identity as long as the page or the program runs. */
export class MemoryStore implements IdentityStore {
  load(): Identity;
  save(identity: Identity): void;
}

/** Keeps the identity in the browser, under a name of its own for each app. */
export class BrowserStore implements IdentityStore {
  constructor(appId: string);
  load(): Identity;
  save(identity: Identity): void;
}

/** A call was refused, or its answer never arrived. */
export class GameServerError extends Error {
  /** The status of the refusal: 400, 403, … or 900 for what this client refuses itself. */
  readonly status: number;
  /** The reason, a number of the protocol. */
  readonly reasonCode: number;
  /** The whole refusal: some carry more. */
  readonly raw: Record<string, any>;
}

/** Nobody is logged in: the session expired (40303), is missing (40304) or was replaced (40356). */
export class SessionEndedError extends GameServerError {}

/** Every try went without a usable answer. The call may have run on the server, or not. */
export class NoAnswerError extends GameServerError {}

/** One operation failed so often in a row that the client has stopped sending anything. */
export class KillSwitchError extends GameServerError {}
