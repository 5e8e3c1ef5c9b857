import { errorFrom, GameServerError, NoAnswerError, noSession, SessionEndedError } from "./errors.js";

const ANSWER_SECONDS_MAX = 10;
const LONGEST_PAUSE_SECONDS = 30;
const HEARTBEAT_SECONDS = 30;

/**
 * A connection that stays open, on which messages arrive by themselves. It is opened again when it breaks, each time
 * after a longer pause; it ends with the session, or when a request for it is refused.
 */
export class Realtime {
  connectionId = "";
  #client;
  #settings;
  #told;
  #stop = new AbortController();
  #pauseSeconds = 0;

  constructor(client, settings, told) {
    this.#client = client;
    this.#settings = settings;
    this.#told = told;
    this.opened = new Promise((resolve, reject) => {
      this.#run(resolve).then(reject, reject);
    });
    this.opened.catch(() => {}); // who does not wait for it is told by onEnd
  }

  /** Disconnect. */
  close() {
    this.#stop.abort();
  }

  async #run(opened) {
    while (!this.#stop.signal.aborted) {
      try {
        await this.#connect(opened);
      } catch (error) {
        const isFinal = error instanceof GameServerError && !(error instanceof NoAnswerError);
        if (isFinal || this.#client.isClosed) {
          call(this.#told.onEnd, error);
          throw error;
        }
      } finally {
        this.connectionId = "";
      }
      await this.#rest();
    }
    throw new NoAnswerError("the connection was closed");
  }

  /** Stay connected until the connection breaks, or throw why there is none. */
  async #connect(opened) {
    const offered = await this.#client.rttRegistration.requestClientConnection();
    if (this.#stop.signal.aborted) return;
    const session = this.#client.session;
    if (!session) throw noSession("nobody is logged in");
    const socket = new this.#settings.WebSocket(address(offered));
    socket.binaryType = "arraybuffer";
    const stop = () => socket.close();
    const beat = () => socket.readyState === OPEN && socket.send(HEARTBEAT);
    this.#stop.signal.addEventListener("abort", stop);
    let timer = setTimeout(stop, 1000 * ANSWER_SECONDS_MAX);
    let end;
    try {
      await new Promise((resolve) => {
        socket.onopen = () => socket.send(hello(session, offered));
        socket.onclose = resolve;
        socket.onerror = resolve;
        socket.onmessage = ({ data }) => {
          const message = read(data);
          if (message?.service !== "rtt") {
            if (message && this.connectionId) call(this.#told.onMessage, message);
          } else if (message.operation === "CONNECT") {
            clearTimeout(timer);
            timer = setInterval(beat, 1000 * (message.data.heartbeatSeconds || HEARTBEAT_SECONDS));
            this.connectionId = message.data.cxId;
            this.#pauseSeconds = 0;
            opened(this.connectionId);
            call(this.#told.onConnect, this.connectionId);
          } else if (message.operation === "DISCONNECT") {
            end = message.data;
          }
        };
      });
    } finally {
      clearTimeout(timer);
      clearInterval(timer);
      this.#stop.signal.removeEventListener("abort", stop);
      socket.onmessage = null;
      socket.onerror = () => {}; // of one that is closed before it is open
      socket.close();
    }
    const why = errorFrom({ status: 403, reason_code: end?.reasonCode, status_message: end?.reason });
    if (why instanceof SessionEndedError) throw why;
  }

  /** Wait a little longer each time, and never as long as all others. */
  #rest() {
    this.#pauseSeconds = Math.min(this.#pauseSeconds * 2 || this.#settings.reconnectSeconds, LONGEST_PAUSE_SECONDS);
    const milliseconds = 1000 * this.#pauseSeconds * (0.5 + Math.random() / 2);
    const { signal } = this.#stop;
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const timer = setTimeout(resolve, milliseconds);
      return signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
  }
}

const OPEN = 1; // of the states of a WebSocket
const HEARTBEAT = JSON.stringify({ service: "rtt", operation: "HEARTBEAT", data: null });

function address({ endpoints, auth }) {
  const found = endpoints.find(({ protocol }) => protocol === "ws");
  if (!found) throw new Error("the server offers no WebSocket");
  const host = found.host.includes(":") ? `[${found.host}]` : found.host;
  return `${found.ssl ? "wss" : "ws"}://${host}:${found.port}/?${new URLSearchParams(auth)}`;
}

function hello(session, { auth }) {
  const data = { appId: session.appId, profileId: session.profileId, sessionId: session.id };
  Object.assign(data, { system: { protocol: "ws", platform: "WEB" }, auth });
  return JSON.stringify({ service: "rtt", operation: "CONNECT", data });
}

function read(frame) {
  try {
    return JSON.parse(typeof frame === "string" ? frame : new TextDecoder().decode(frame));
  } catch {
    return null; // what makes no sense is left alone
  }
}

/** Mistakes of the game stop nothing. */
export function call(listener, value) {
  try {
    listener?.(value);
  } catch (error) {
    console.error(error);
  }
}
