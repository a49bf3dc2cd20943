// The entry point of the GitHub action. Only actions in JavaScript get the address and the token of
// the Actions cache (ACTIONS_RESULTS_URL, ACTIONS_RUNTIME_TOKEN), so it passes them to the script.
const { spawnSync } = require("child_process");
const path = require("path");

const env = { ...process.env, LAMINA_SOURCE: path.join(__dirname, "..", "..") };
for (const [name, value] of Object.entries(process.env)) {
  // A shell cannot read names with hyphens, such as INPUT_CACHE-FROM.
  if (name.startsWith("INPUT_")) env[name.replace(/[- ]/g, "_")] = value;
}
const script = path.join(__dirname, "build.sh");
const done = spawnSync("sh", [script], { env, stdio: "inherit" });
if (done.error) console.error(`cannot run ${script}: ${done.error.message}`);
process.exit(done.status ?? 1);
