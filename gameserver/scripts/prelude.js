(function () {
  "use strict";
  // Runs before each script, in its context. What it uses later it keeps in constants: a script may change every global
  // and every prototype, and these functions must go on. `ask` is the way out to the process, whose answer is a list
  // of [0, value], or [1, message] for an error to throw. Everything here stands in line 1 or is told apart by the worker.
  const ask = globalThis.__ask, G = globalThis, D = Date, E = Error, F = Function, P = Promise, X = Proxy;
  const { stringify } = JSON, evaluate = eval, { construct, defineProperty, get: reflectGet } = Reflect;
  const then = F.prototype.call.bind(P.prototype.then), cut = F.prototype.call.bind(String.prototype.slice);
  delete G.__ask;
  for (const name of ["performance", "SharedArrayBuffer", "Atomics", "WeakRef", "FinalizationRegistry", "queueMicrotask"]) delete G[name];

  const want = (kind, text, more, session) => {
    const answer = ask(kind, text, more || "", session || "");
    if (answer === null) throw new E("out of memory");
    if (answer[0]) throw new E(answer[1]);
    return answer[1];
  };
  const hide = (where, name, value) => defineProperty(where, name, { value, writable: true, configurable: true });

  // Time and chance, which a second run of the same packet is given again.
  const now = () => ask("now");
  hide(D, "now", now);
  hide(Math, "random", () => ask("random"));
  const Clock = new X(D, {
    __proto__: null,
    construct: (_, given, target) => construct(D, given.length ? given : [now()], target === Clock ? D : target),
    apply: () => "" + new D(now()),
  });
  hide(G, "Date", Clock);
  hide(D.prototype, "constructor", Clock);

  // What Rhino's errors have.
  const place = (e, what) => { try { return ask("place", stringify("" + e.stack))[1][what]; } catch { return undefined; } };
  for (const [name, at] of [["fileName", 0], ["lineNumber", 1], ["columnNumber", 2]])
    defineProperty(E.prototype, name, {
      get() { return place(this, at); },
      set(value) { defineProperty(this, name, { value, writable: true, configurable: true, enumerable: true }); },
      configurable: true,
    });
  hide(E.prototype, "toJSON", function () {
    return { name: this.name, message: this.message, fileName: this.fileName, lineNumber: this.lineNumber, ...this };
  });
  for (const name of ["java", "javax", "Packages", "JavaImporter", "importClass", "importPackage"])
    defineProperty(G, name, {
      get() { throw new E(name + " is not available: scripts run without Java; use JavaScript and the bridge"); },
      set(value) { defineProperty(G, name, { value, writable: true, configurable: true, enumerable: true }); },
      configurable: true,
    });

  // The bridge: names are looked up where they are used, in any case of letters.
  const quiet = { __proto__: null, then: 1, toJSON: 1, constructor: 1, prototype: 1 };
  const named = (known, make) => {
    const made = { __proto__: null };
    return new X({}, {
      __proto__: null,
      get(target, key, self) {
        if (typeof key !== "string" || key in quiet) return reflectGet(target, key, self);
        return made[key] ??= make(known(key), key);
      },
      has: (_, key) => { try { return typeof key === "string" && !!known(key); } catch { return false; } },
      set: (_, key, value) => { made[key] = value; return true; },
    });
  };
  const call = (name, args, session) => want("call", name, stringify(args), session);
  const proxyOf = (service, args) => {
    let session = "";
    if (args.length) {
      if (args[0] === undefined || args[0] === null) throw new E("a proxy was asked for with a session that is " + args[0]);
      session = stringify(args[0]);
    }
    return named((key) => want("method", service, stringify(key)), (name) => (...given) => call(name, given, session));
  };
  const bridge = named(
    (key) => want("getter", stringify(key)),
    (found) => {
      const name = found[1];
      if (found[0]) return (...given) => proxyOf(name, given);
      return name === "bridge.include" ? () => undefined : (...given) => call(name, given, "");
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
    return "";
  };
  let result, waiting = false, settled;
  const finish = () => {
    if (settled) { if (settled[0]) return failed("thrown", settled[1]); result = settled[1]; }
    else if (waiting) return failed("unsettled", "the script's result is a promise that nothing will settle");
    try { return stringify(result) ?? "null"; } catch (e) { return failed("not_json", e); }
  };
  const run = (text, data) => {
    defineProperty(G, "data", { value: data, writable: true, configurable: true, enumerable: true });
    defineProperty(G, "bridge", { value: bridge, writable: true, configurable: true, enumerable: true });
    try { result = evaluate(text); } catch (e) { return failed("thrown", e); }
    if (typeof result === "object" && result !== null) try {
      then(result, (value) => { settled = [0, value]; }, (e) => { settled = [1, e]; });
      waiting = true;
    } catch {}
    return "";
  };
  return (...given) => given.length ? run(...given) : finish();
})()
