// Who this installation is, from one start to the next.

/** Keeps the identity as long as the page or the program runs. */
export class MemoryStore {
  #kept = { anonymousId: "", profileId: "" };

  load() {
    return this.#kept;
  }

  save(identity) {
    this.#kept = identity;
  }
}

/** Keeps the identity in the browser, under a name of its own for each app. */
export class BrowserStore {
  #key;

  constructor(appId) {
    this.#key = `gameserver.${appId}`;
  }

  load() {
    try {
      const { anonymousId = "", profileId = "" } = JSON.parse(localStorage.getItem(this.#key) ?? "{}");
      return { anonymousId: String(anonymousId), profileId: String(profileId) };
    } catch {
      return { anonymousId: "", profileId: "" }; // not ours, or nothing may be read here
    }
  }

  save(identity) {
    localStorage.setItem(this.#key, JSON.stringify(identity));
  }
}

/** Return the store for where this runs. */
export function defaultStore(appId) {
  const isPage = typeof window !== "undefined" && typeof localStorage !== "undefined";
  return isPage ? new BrowserStore(appId) : new MemoryStore();
}

/** Make a random id (pages without TLS do not have crypto.randomUUID). */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
