(function () {
  "use strict";
  // Runs before each script, in its context, where the engine is its Python module (see plain.py). What it uses later it
  // keeps in constants: a script may change every global and every prototype, and these functions must go on. So nothing
  // here iterates, spreads or calls methods by name later. `ask` is the way out to the process, whose answer is a list.
  // The lines are joined before they are read: what starts with two slashes is left out, and each statement has its semicolon.
  delete globalThis.performance;
  const G = globalThis, ask = G.__ask, E = Error, P = Promise, evaluate = eval, stringify = JSON.stringify;
  // What bridge.js asks by: properties, as native.py makes them.
  G.__ask = new Proxy({}, {
    __proto__: null,
    get(target, text) {
      const answer = ask(text);
      if (answer === false) throw new E("out of memory");
      return answer === null ? undefined : answer[0];
    },
  });
  const call = Function.prototype.call, then = call.bind(P.prototype.then), cut = call.bind(String.prototype.slice);

  // One run. Its result is a JSON text; what failed is told beside it. Only what stringify made goes out: a text that was
  // put together may have a form that the process cannot read.
  const failed = (kind, e) => {
    let message = "", stack = "";
    try {
      const isError = e instanceof E;
      stack = isError ? "" + e.stack : "";
      message = isError ? "" + e : typeof e === "object" && e !== null ? stringify(e) ?? "" + e : typeof e === "string" ? e : "" + stringify(e);
    } catch { message = "something was thrown that cannot be shown"; }
    ask(stringify([kind, cut(message, 0, 2000), cut(stack, 0, 10000)]));
  };
  let result, waiting = false, settled;
  const end = (is_good, value) => {
    if (!is_good) return failed("thrown", value);
    result = value;
    if (typeof value === "object" && value !== null) try {
      then(value, (value) => { settled = [0, value]; }, (e) => { settled = [1, e]; });
      waiting = true;
    } catch {}
  };
  G.__boot = (step, data, text) => {
    if (step === "begin") {
      delete G.__ask;
      delete G.__boot;
      G.data = data;
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
})()
