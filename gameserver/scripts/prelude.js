(function () {
  "use strict";
  // Runs before each script, in its context. What it uses later it keeps in constants: a script may change every global
  // and every prototype, and these functions must go on. So nothing here iterates, spreads or calls methods by name later.
  // `ask` is the way out to the process, whose answer is a list of [0, value], or [1, message] for an error to throw.
  // The lines are joined before they are read: what starts with two slashes is left out, and each statement has its semicolon.
  const G = globalThis, ask = G.__ask, D = Date, E = Error, P = Promise, X = Proxy, evaluate = eval;
  const stringify = JSON.stringify, construct = Reflect.construct, define = Object.defineProperty, get = Reflect.get;
  const call = Function.prototype.call, then = call.bind(P.prototype.then), cut = call.bind(String.prototype.slice);
  delete G.performance;

  const want = (kind, text, more, session) => {
    const answer = ask(kind, text, more || "", session || "");
    if (answer === null) throw new E("out of memory");
    if (answer[0]) throw new E(answer[1]);
    return answer[1];
  };
  const hide = (where, name, value) => define(where, name, { __proto__: null, value, writable: true, configurable: true });

  // Time and chance, which a second run of the same packet is given again.
  const now = () => ask("now");
  const Clock = new X(D, {
    __proto__: null,
    construct: (_, given, target) => construct(D, given.length ? given : [now()], target === Clock ? D : target),
    apply: () => "" + new D(now()),
  });
  D.now = now;
  Math.random = () => ask("random");
  hide(G, "Date", Clock);
  hide(D.prototype, "constructor", Clock);

  // What Rhino's errors have.
  const place = (e, what) => {
    try { return ask("place", stringify("" + e.stack))[1][what]; } catch { return undefined; }
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

  // The bridge: names are looked up where they are used, in any case of letters.
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
      session = stringify(args[0]);
    }
    return named(
      (key) => want("method", service, stringify(key)),
      (name) => (...given) => want("call", name, stringify(given), session),
    );
  };
  const bridge = named(
    (key) => want("getter", stringify(key)),
    (found) => {
      const name = found[1];
      if (found[0]) return (...given) => proxyOf(name, given);
      if (name === "bridge.include") return () => undefined;
      return (...given) => want("call", name, stringify(given));
    },
  );

  // One run. Its result is a JSON text; what failed is told beside it. Only what stringify made goes out: a text that was
  // put together may have a form that the process cannot read.
  const failed = (kind, e) => {
    let message = "", stack = "";
    try {
      const isError = e instanceof E;
      stack = isError ? "" + e.stack : "";
      message = isError ? "" + e : typeof e === "object" && e !== null ? stringify(e) ?? "" + e : typeof e === "string" ? e : "" + stringify(e);
    } catch { message = "something was thrown that cannot be shown"; }
    ask("failed", stringify([kind, cut(message, 0, 2000), cut(stack, 0, 10000)]));
  };
  let result, waiting = false, settled;
  G.__end = (is_good, value) => {
    if (!is_good) return failed("thrown", value);
    result = value;
    if (typeof value === "object" && value !== null) try {
      then(value, (value) => { settled = [0, value]; }, (e) => { settled = [1, e]; });
      waiting = true;
    } catch {}
  };
  const end = G.__end;
  G.__boot = (step, data, text) => {
    if (step === "begin") {
      delete G.__boot;
      delete G.__end;
      G.data = data;
      G.bridge = bridge;
    } else if (step === "evaluate") {
      let value;
      try { value = evaluate(text); } catch (e) { return end(false, e); }
      end(true, value);
    } else {
      if (settled) {
        if (settled[0]) return failed("thrown", settled[1]);
        result = settled[1];
      } else if (waiting) return failed("unsettled", "the script's result is a promise that nothing will settle");
      try { return stringify(result) ?? "null"; } catch (e) { failed("not_json", e); }
    }
  };
  delete G.__ask;
})()
