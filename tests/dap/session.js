// A session with the test client of VS Code: session.js MODULES FOLDER LINE COMMAND…
const { spawn } = require("child_process");

const [modules, folder, line, command, ...args] = process.argv.slice(2);
const { DebugClient } = require(`${modules}/node_modules/@vscode/debugadapter-testsupport`);
const path = `${folder}/Dockerfile`;

async function main() {
  const client = new DebugClient(command, "", "lamina");
  client.defaultTimeout = 60000; // milliseconds
  const adapter = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  client.connect(adapter.stdout, adapter.stdin);
  await Promise.all([
    client
      .waitForEvent("initialized")
      .then(() => client.setBreakpointsRequest({ source: { path }, breakpoints: [{ line: Number(line) }] }))
      .then(() => client.configurationDoneRequest()),
    client.launch({ contextPath: folder, dockerfile: path }),
    client.assertStoppedLocation("breakpoint", { path, line: Number(line) }),
  ]);
  const shown = await client.evaluateRequest({ expression: "echo $(cat one /tool)" });
  await Promise.all([client.waitForEvent("terminated"), client.continueRequest({ threadId: 1 })]);
  console.log(shown.body.result.trim());
  adapter.stdin.end();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
