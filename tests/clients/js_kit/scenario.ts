// Says, a line each, what happened: the test reads it. Compiling it shows that the types fit what the server answers.
import { GameClient, GameServerError, MemoryStore, NoAnswerError, SessionEndedError } from "gameserver-client";
import type { GameEvent, IdentityStore, Message, Options } from "gameserver-client";
import type { Entry } from "gameserver-client/services/leaderboard";

declare const process: { env: Record<string, string>; argv: string[]; exit(code: number): never };
const WebSocket = (await import("ws" as string)).default;
const { SERVER_URL: url, APP_ID: appId, APP_SECRET: secret } = process.env;

async function tell(name: string, work: () => unknown): Promise<void> {
  let told: unknown;
  try {
    told = await work();
  } catch (error) {
    if (!(error instanceof GameServerError)) throw error;
    told = `${error.name} ${error.status}/${error.reasonCode}`;
  }
  console.log(`${name}=${JSON.stringify(told)}`);
}

function newClient(store?: IdentityStore, options: Options = {}): GameClient {
  return new GameClient(url, appId, secret, { firstPauseSeconds: 0.01, store, ...options });
}

const text = 'Zoë "the" 🙂\n';

async function play(): Promise<void> {
  const store = new MemoryStore();
  const client = newClient(store);
  await tell("before", () => client.entity.readByType({ entityType: "knight" }));
  await tell("open", () => client.authenticateUniversal("nobody", "wrong", { forceCreate: false }));
  await tell("login", async () => (await client.authenticateAnonymous()).newUser);
  const player = client.session!.profileId;
  await tell("kept", () => store.load().profileId === player);
  await tell("entity", async () => {
    const made = await client.entity.create({ entityType: "knight", data: { name: text, list: [1, 2.5, null, true] } });
    const { entities } = await client.entity.readByType({ entityType: "knight" });
    return [made.version, entities.length, entities[0].entityId === made.entityId, entities[0].data];
  });
  await tell("score", async () => {
    await client.leaderboard.postScore({ leaderboardId: "best", score: 42, data: { text: text.repeat(40) } });
    const page = await client.leaderboard.getGlobalLeaderboardPage({
      leaderboardId: "best",
      sort: "HIGH_TO_LOW",
      startIndex: 0,
      endIndex: 99,
    });
    const mine: Entry | undefined = page.leaderboard.find(({ playerId }) => playerId === player);
    return [mine?.score, mine?.data.text === text.repeat(40)];
  });
  await tell("together", async () => {
    const read = { service: "time", operation: "READ" };
    const ends = await Promise.allSettled(client.send([read, { service: "entity", operation: "READ" }, read]));
    return ends.map((end) => (end.status === "rejected" ? end.reason.reasonCode : end.value.server_time > 0));
  });
  await tell("event", async () => {
    client.onEvent(() => {
      throw new Error("a mistake of the game");
    });
    const heard = new Promise<GameEvent>((resolve) => client.onEvent(resolve));
    await client.event.send({ toId: player, eventType: "hello", eventData: {} });
    return (await heard).eventType;
  });
  await tell("logout", async () => Object.keys(await client.logOut()).length);
  await tell("after", () => client.time.read());
  await tell("again", async () => {
    await client.reconnect();
    return client.session?.profileId === player;
  });
  const other = newClient(store);
  await tell("replaced", async () => {
    await other.reconnect();
    return client.time.read();
  });
  await tell("killed", async () => {
    for (let i = 0; i < 11; i++) await other.entity.read({ entityId: "nothing" }).catch(() => {});
    return other.time.read();
  });
  await tell("revived", async () => {
    other.resetKillSwitch();
    return (await other.time.read()).server_time > 0;
  });
  other.close();
  await tell("closed", () => other.time.read());
  const fullDisk: IdentityStore = {
    load: () => ({ anonymousId: "an-id-of-before", profileId: "" }),
    save: () => Promise.reject(new Error("no space left")),
  };
  await tell("full disk", async () => (await newClient(fullDisk).authenticateUniversal("js-third", "a password")).newUser);
}

async function listen(): Promise<void> {
  const sockets: any[] = [];
  class Noted extends WebSocket {
    constructor(address: string) {
      super(address);
      sockets.push(this);
    }
  }
  const store = new MemoryStore();
  const client = newClient(store, { WebSocket: Noted as any, reconnectSeconds: 0.01 });
  await tell("too early", () => client.realtime().opened);
  await client.authenticateAnonymous();
  let heard: (message: Message) => void;
  let connected: (id: string) => void;
  let ended: (error: GameServerError) => void;
  const live = client.realtime({
    onConnect: (id) => connected?.(id),
    onMessage: (message) => heard(message),
    onEnd: (error) => ended(error),
  });
  const channelId = `${appId}:gl:main`;
  const say = async () => {
    await client.chat.channelConnect({ channelId, maxReturn: 0 });
    const message = new Promise<Message>((resolve) => (heard = resolve));
    await client.chat.postChatMessageSimple({ channelId, text, recordInHistory: false });
    const { service, operation, data } = await message;
    return `${service} ${operation} ${data.content.text === text}`;
  };
  const first = await live.opened;
  await tell("opened", () => live.connectionId === first && first.startsWith(`${appId}:${client.session!.profileId}:`));
  await tell("heard", say);
  const second = new Promise<string>((resolve) => (connected = resolve));
  sockets[0].terminate();
  await tell("connected again", async () => (await second) !== first);
  await tell("heard again", say);
  const end = new Promise<GameServerError>((resolve) => (ended = resolve));
  await newClient(store).reconnect();
  await tell("replaced", async () => {
    throw await end;
  });
  await client.reconnect();
  const brief = client.realtime({ onEnd: () => console.log('onEnd="of a connection that the game has closed"') });
  await brief.opened;
  brief.close();
  await tell("sockets", () => sockets.length);
  client.close();
}

/** Behind something that loses answers. */
async function lose(): Promise<void> {
  const client = newClient(undefined, { timeoutsSeconds: [1, 20, 35, 50] });
  await client.authenticateAnonymous();
  await tell("wins", async () => {
    await client.playerStatistics.update({ statistics: { wins: 1 } });
    return (await client.playerStatistics.read()).statistics.wins;
  });
  await tell("refused", () => client.call("time", "READ"));
  const hasty = newClient(undefined, { timeoutsSeconds: [0.2, 0.2] });
  await tell("given up", async () => {
    try {
      return await hasty.authenticateAnonymous();
    } catch (error) {
      return error instanceof NoAnswerError && !(error instanceof SessionEndedError) && error.message;
    }
  });
}

/** Without a server: sessions of a tenth of a second. */
async function beat(): Promise<void> {
  const login = { sessionId: "s", profileId: "p", newUser: "true", playerSessionExpiry: 0.1 };
  let beaten: () => void;
  const done = new Promise<void>((resolve) => (beaten = resolve));
  const asked: string[] = [];
  const fetch = async (_: unknown, request?: RequestInit) => {
    const { packetId, messages } = JSON.parse(String(request!.body));
    asked.push(`${messages[0].service} ${messages[0].operation}`);
    if (asked.length === 3) beaten();
    return new Response(JSON.stringify({ packetId, responses: [{ status: 200, data: packetId ? null : login }] }));
  };
  const client = newClient(undefined, { fetch });
  await client.authenticateAnonymous();
  const awake = setTimeout(() => {}, 10_000); // heartbeats alone keep no program running
  await done;
  clearTimeout(awake);
  client.close();
  await tell("asked", () => asked);
}

const parts: Record<string, () => Promise<void>> = { play, listen, lose, beat };
await parts[process.argv[2]]();
