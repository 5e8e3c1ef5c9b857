// Run the scenarios of a file, or list the client's methods; the last line that is printed is the result.
//
//   node run.js scenarios/entity.js
//   node run.js --methods
const path = require("path");
const { looked, services, speaker } = require("./helper");

async function run(file) {
  const failed = {};
  const scenarios = require(path.resolve(file));
  for (const [name, scenario] of Object.entries(scenarios)) {
    try {
      await scenario();
    } catch (error) {
      failed[name] = error.stack;
    }
  }
  return { names: Object.keys(scenarios), failed, looked: [...looked] };
}

// Call every method of every service of the client, and note what it would have sent.
function methods() {
  const { core } = speaker();
  const found = {};
  let sent;
  core.brainCloudManager.sendRequest = (request) => (sent = `${request.service}.${request.operation}`);
  for (const [service, methods] of services(core)) {
    for (const name of Object.keys(methods).filter((name) => typeof methods[name] === "function")) {
      sent = null;
      try {
        methods[name](...Array(methods[name].length).fill(new Date()));
      } catch (error) {
        sent = `raises ${error.message}`;
      }
      found[`${service}.${name}`] = sent;
    }
  }
  return found;
}

Promise.resolve(process.argv[2] === "--methods" ? methods() : run(process.argv[2])).then(
  (result) => process.stdout.write(`\n${JSON.stringify(result)}\n`, () => process.exit(0)),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
