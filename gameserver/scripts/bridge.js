(function () {
  "use strict";
  // Time and chance, what Rhino's errors have, and the bridge: each for scripts that name it. The sections that a script
  // does not need are left out; the first and the last are always there. What it uses later it keeps in constants: a script
  // may change every global and every prototype, and these functions must go on. So nothing here iterates, spreads or calls
  // methods by name later. The way out to the process is `ask`: its properties, by what is asked, are the answers; undefined
  // where it refuses, for the reason that is its property `refusal`. The lines are joined before they are read: what starts
  // with two slashes is left out, and each statement has its semicolon.
  const G = globalThis, ask = G.__ask, E = Error, X = Proxy, stringify = JSON.stringify, define = Object.defineProperty;
  delete G.__ask;
  const hide = (where, name, value) => define(where, name, { __proto__: null, value, writable: true, configurable: true });

  // section: time
  // Time and chance, which a second run of the same packet is given again.
  const D = Date, construct = Reflect.construct, now = () => ask.now;
  const Clock = new X(D, {
    __proto__: null,
    construct: (_, given, target) => construct(D, given.length ? given : [now()], target === Clock ? D : target),
    apply: () => "" + new D(now()),
  });
  D.now = now;
  Math.random = () => ask.random;
  hide(G, "Date", Clock);
  hide(D.prototype, "constructor", Clock);

  // section: errors
  // What Rhino's errors have.
  const place = (e, what) => {
    try { return ask["place" + stringify("" + e.stack)][what]; } catch { return undefined; }
  };
  const shown = (name, get) => define(E.prototype, name, {
    __proto__: null,
    get,
    set(value) { define(this, name, { __proto__: null, value, writable: true, configurable: true, enumerable: true }); },
    configurable: true,
  });
  shown("fileName", function () { return place(this, 0); });
  shown("lineNumber", function () { return place(this, 1); });
  shown("columnNumber", function () { return place(this, 2); });
  hide(E.prototype, "toJSON", function () {
    return { name: this.name, message: this.message, fileName: this.fileName, lineNumber: this.lineNumber, ...this };
  });

  // section: bridge
  // Names are looked up where they are used, in any case of letters.
  const get = Reflect.get, want = (text) => {
    const answer = ask[text];
    if (answer === undefined) throw new E(ask.refusal);
    return answer;
  };
  const wantCall = (name, given, session) => want("call" + name + "\n" + stringify(given) + "\n" + session);
  const quiet = { __proto__: null, then: 1, toJSON: 1, constructor: 1, prototype: 1 };
  const named = (known, make) => {
    const made = { __proto__: null };
    return new X({}, {
      __proto__: null,
      get(target, key, self) {
        if (typeof key !== "string" || key in quiet) return get(target, key, self);
        return made[key] ??= make(known(key), key);
      },
      has: (_, key) => { try { return typeof key === "string" && !!known(key); } catch { return false; } },
      set: (_, key, value) => { made[key] = value; return true; },
    });
  };
  const proxyOf = (service, args) => {
    let session = "";
    if (args.length) {
      if (args[0] === undefined || args[0] === null) throw new E("a proxy was asked for with a session that is " + args[0]);
      session = stringify(args[0]) || "";
    }
    return named(
      (key) => want("method" + service + "\n" + stringify(key)),
      (name) => (...given) => wantCall(name, given, session),
    );
  };
  const bridge = named(
    (key) => want("getter" + stringify(key)),
    (found) => {
      const name = found[1];
      if (found[0]) return (...given) => proxyOf(name, given);
      if (name === "bridge.include") return () => undefined;
      return (...given) => wantCall(name, given, "");
    },
  );
  G.bridge = bridge;
  // section: end
})()
